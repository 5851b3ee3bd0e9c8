"""One exchange as the list shows it: a flat document, redacted when it is made.

Times are milliseconds since the exchange began; what is not known or does not apply is null.
"""

from typing import Any

from proxy.core import redact
from proxy.core.exchange import Exchange
from proxy.core.redact import Redactor
from proxy.edge.escaping import escaped
from proxy.edge.inspector.captured import Captured
from proxy.edge.log_lines import timestamp

State = tuple[object, ...]


class Record:
    """One exchange of the list. `number` counts up and names it; a request's own id may come twice."""

    __slots__ = ("_ended", "_summary", "_text", "captured", "exchange", "number", "origin_s", "revision", "state")

    def __init__(self, number: int, exchange: Exchange) -> None:
        self.number = number
        self.exchange: Exchange | None = exchange
        """Only while it runs."""
        self._ended: tuple[Exchange, Redactor] | None = None
        """What the last summary is made of, until somebody asks for it: most exchanges nobody ever looks at."""
        self.captured: Captured | None = None
        self.origin_s = exchange.started
        self.revision = 0
        self.state: State = ()
        self._summary: dict[str, Any] = {}
        self._text = ""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.exchange is not None

    @property
    def summary(self) -> dict[str, Any]:
        """What the list shows, as it was when it was last looked at."""
        if self._ended is not None:
            (exchange, redactor), self._ended = self._ended, None
            self._tell(exchange, redactor)
        return self._summary

    @property
    def text(self) -> str:
        """The summary as JSON, made when it is asked for."""
        if not self._text:
            self._text = escaped(self.summary)
        return self._text

    def look(self, redactor: Redactor) -> bool:
        """Makes the summary anew if anything has changed; whether it has."""
        exchange, captured = self.exchange, self.captured
        if exchange is None:
            return False
        state = _state(exchange, captured)
        if state == self.state:
            return False
        self.state = state
        self._tell(exchange, redactor)
        return True

    def end(self, redactor: Redactor) -> None:
        """The last summary; the exchange is let go."""
        assert self.exchange is not None
        self._ended, self._text = (self.exchange, redactor), ""
        self.exchange, self.state = None, ()

    def _tell(self, exchange: Exchange, redactor: Redactor) -> None:
        summary = summarised(exchange, redactor)
        self._summary = {"id": self.number, **summary, **_of_capture(self.captured)}
        self._text = ""


def _state(exchange: Exchange, captured: Captured | None) -> State:
    """What has to differ for a summary to differ."""
    ex = exchange
    moments = (ex.sent_at, ex.head_at, ex.first_byte_at, ex.ended)
    pieces = (captured.pieces, len(captured.marks), captured.lost) if captured else None
    return ex.route, ex.status, ex.outcome, ex.bytes_in, ex.bytes_out, ex.attempts, ex.heartbeats, moments, pieces


def summarised(exchange: Exchange, redactor: Redactor) -> dict[str, Any]:
    """What is known of an exchange by itself."""
    ex, usage = exchange, exchange.usage
    per_second = ex.tokens_per_s
    return {
        "request_id": redactor.text(ex.request_id),
        "time": timestamp(ex.wall_time),
        "route": ex.route or None,
        "client": ex.client or None,
        "method": ex.method or None,
        "target": redactor.text(redact.target(ex.target)) or None,
        "upstream": ex.upstream or None,
        "attempts": ex.attempts,
        "status": ex.status or None,
        "open": not ex.ended,
        "outcome": ex.outcome if ex.ended else None,
        "phase": ex.phase if ex.ended else _phase(ex),
        "code": ex.code or None,
        "stream": ex.stream or None,
        "sent_ms": _since(ex, ex.sent_at),
        "head_ms": _since(ex, ex.head_at),
        "first_byte_ms": _since(ex, ex.first_byte_at),
        "first_event_ms": _since(ex, ex.first_event_at),
        "first_token_ms": _since(ex, ex.first_token_at),
        "last_byte_ms": _since(ex, ex.last_byte_at),
        "duration_ms": _since(ex, ex.ended or None),
        "bytes_in": ex.bytes_in,
        "bytes_out": ex.bytes_out,
        "max_gap_ms": round(ex.max_gap * 1000, 1),
        "max_stall_ms": round(ex.max_stall * 1000, 1),
        "stalled_on": ex.stalled_on if ex.ended else None,
        "dialect": ex.dialect or None,
        "events": ex.events if ex.dialect else None,
        "input_tokens": usage.input if usage else None,
        "output_tokens": usage.output if usage else None,
        "cached_tokens": usage.cached if usage else None,
        "reasoning_tokens": usage.reasoning if usage else None,
        "tokens_per_s": None if per_second is None else round(per_second, 1),
        "verdict": ex.verdict,
        "limited": ex.limited,
        "heartbeats": ex.heartbeats,
        "read_on": ex.read_on,
    }


def _of_capture(captured: Captured | None) -> dict[str, Any]:
    if captured is None:
        return {"captured": False}
    return {
        "captured": True,
        "late": captured.late,
        "pieces": captured.pieces,
        "lost_bytes": captured.lost,
        "gaps_ms": [round(gap * 1000, 1) for gap in captured.gaps],
    }


def _phase(exchange: Exchange) -> str:
    """How far an open exchange has come."""
    if exchange.head_at is not None:
        return "body"
    if exchange.sent_at is not None:
        return "waiting"
    return "upload" if exchange.attempts else "plan"


def _since(exchange: Exchange, moment: float | None) -> float | None:
    return None if moment is None else round((moment - exchange.started) * 1000, 1)
