"""One line per exchange on a stream, as `key=value` text or JSON.

Lines are made and written together a moment later, so that a burst of requests costs one write and no request waits for
its line. Nothing from the wire can start a line of its own: what is not plain is quoted and escaped.
"""

import asyncio
import functools
import logging
import re
from collections.abc import Callable
from math import floor
from typing import Protocol, get_args

from proxy.core import redact
from proxy.core.exchange import Exchange, Outcome
from proxy.edge.escaping import escaped
from proxy.edge.log_lines import timestamp, timestamp_of
from proxy.edge.terminal import Columns

FLUSH_AFTER_S = 0.05
# How many lines are made in one turn of the loop, a tenth of a millisecond of it. With all that come in FLUSH_AFTER_S,
# 1,600 on a full core, one request in a hundred took 2.7 ms instead of 1.2.
AT_ONCE = 64
# Characters, many times what that many lines have unless somebody sends long targets.
MUCH = 128 * 1024
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+\Z")  # what needs no quotes: visible ASCII without `"`, `=` and backslash
# What somebody should look at; a client's own leaving is no fault of ours or the upstream's.
_WARNINGS: frozenset[Outcome] = frozenset({"upstream_aborted", "upstream_timeout", "client_stalled"})

Value = str | int | float | None


def level(exchange: Exchange) -> str:
    """`warning` for what the upstream broke or a client blocked, else `info`."""
    return _level(exchange.outcome)


def _level(outcome: Outcome) -> str:
    return "warning" if outcome in _WARNINGS else "info"


def fields(exchange: Exchange) -> dict[str, Value]:
    """What a JSON line says, in its order; None is unknown or does not apply. Times are ms since the start."""
    started = exchange.started
    return {
        "time": timestamp(exchange.wall_time),
        "level": level(exchange),
        "route": exchange.route or None,
        "client": exchange.client or None,
        "method": exchange.method or None,
        "target": redact.target(exchange.target) or None,
        "status": exchange.status or None,
        "outcome": exchange.outcome,
        "phase": exchange.phase,
        "code": exchange.code or None,
        "stream": exchange.stream or None,
        "head_ms": _milliseconds(started, exchange.head_at),
        "ttfb_ms": _milliseconds(started, exchange.first_byte_at),
        "duration_ms": _milliseconds(started, exchange.ended),
        "bytes_in": exchange.bytes_in,
        "bytes_out": exchange.bytes_out,
        "max_gap_ms": _milliseconds(0.0, exchange.max_gap),
        **_of_stream(exchange),
        "upstream": exchange.upstream or None,
        "attempts": exchange.attempts,
        "request_id": exchange.request_id,
    }


def _of_stream(exchange: Exchange) -> dict[str, Value]:
    """What is known of a stream by its frames; None is unknown."""
    usage = exchange.usage
    per_second = exchange.tokens_per_s
    return {
        "stalled_on": exchange.stalled_on,
        "dialect": exchange.dialect or None,
        "events": exchange.events if exchange.dialect else None,
        "first_event_ms": _milliseconds(exchange.started, exchange.first_event_at),
        "first_token_ms": _milliseconds(exchange.started, exchange.first_token_at),
        "input_tokens": usage.input if usage else None,
        "output_tokens": usage.output if usage else None,
        "cached_tokens": usage.cached if usage else None,
        "reasoning_tokens": usage.reasoning if usage else None,
        "tokens_per_s": None if per_second is None else round(per_second, 1),
        "verdict": exchange.verdict,
        "limited": exchange.limited or None,
        "heartbeats": exchange.heartbeats or None,
        "oversized": exchange.oversized or None,
        "read_on": exchange.read_on or None,
    }


def _milliseconds(since: float, until: float | None) -> float | None:
    return None if until is None else floor((until - since) * 10_000 + 0.5) / 10


def json_line(exchange: Exchange) -> str:
    """The line as one JSON object."""
    return escaped(fields(exchange))


def text_line(exchange: Exchange) -> str:
    """The line as `key=value` pairs, the same as in JSON; what does not apply is left out.

    Written out, because it is made for every request: a tenth of what a loop over `fields` costs. No number is
    formatted twice, what comes again and again is kept, and `floor` takes a third of what `round` does.
    """
    ex, started = exchange, exchange.started
    head_ms = "" if ex.head_at is None else _tenths(floor((ex.head_at - started) * 10_000 + 0.5))
    ttfb_ms = head_ms
    if ex.first_byte_at != ex.head_at:
        ttfb_ms = "" if ex.first_byte_at is None else _tenths(floor((ex.first_byte_at - started) * 10_000 + 0.5))
    phase = "" if ex.outcome == "complete" else ex.phase or ""
    said = _said((ex.outcome, ex.route, ex.client, ex.method, ex.target, ex.status, phase, ex.code, ex.stream))
    return (
        f"time={timestamp_of(floor(ex.wall_time * 1000))}{said}"
        f"{f' head_ms={head_ms}' if head_ms else ''}{f' ttfb_ms={ttfb_ms}' if ttfb_ms else ''}"
        f" duration_ms={_tenths(floor((ex.ended - started) * 10_000 + 0.5))}"
        f" bytes_in={ex.bytes_in} bytes_out={ex.bytes_out}"
        f" max_gap_ms={_tenths(floor(ex.max_gap * 10_000 + 0.5)) if ex.max_gap else '0.0'}"
        f"{_stream_text(ex) if ex.dialect or ex.max_gap or ex.max_stall else ''}"
        f"{f' upstream={ex.upstream}' if ex.upstream else ''}"
        f" attempts={ex.attempts} request_id={ex.request_id if '=' not in ex.request_id else escaped(ex.request_id)}"
    )


def _stream_text(exchange: Exchange) -> str:
    """What a text line says of a stream."""
    told = ((key, value) for key, value in _of_stream(exchange).items() if value is not None)
    return "".join([f" {key}={'true' if value is True else value}" for key, value in told])


# The same few come again and again; bounded, as anybody can send others.


@functools.lru_cache(maxsize=4096)
def _tenths(number: int) -> str:
    """Tenths of milliseconds as milliseconds."""
    return f"{number / 10:.1f}"


@functools.lru_cache(maxsize=512)
def _said(words: tuple[Outcome, str, str, str, str, int, str, str, str]) -> str:
    """What a line says in words. Only a route's name and a target can need quotes."""
    outcome, route, client, method, target, status, phase, code, stream = words
    return (
        f" level={_level(outcome)}"
        f"{f' route={_quoted(route)}' if route else ''}"
        f"{f' client={client}' if client else ''}"
        f"{f' method={method}' if method else ''}"
        f"{f' target={_quoted(redact.target(target))}' if target else ''}"
        f"{_of_answer(status, outcome, phase, code, stream)}"
    )


@functools.lru_cache(maxsize=256)
def _of_answer(status: int, outcome: str, phase: str, code: str, stream: str) -> str:
    return (
        f"{f' status={status}' if status else ''} outcome={outcome}{f' phase={phase}' if phase else ''}"
        f"{f' code={code}' if code else ''}{f' stream={stream}' if stream else ''}"
    )


def _quoted(value: str) -> str:
    return value if _PLAIN.match(value) else escaped(value)


FORMATS: dict[str, Callable[[Exchange], str]] = {
    "text": text_line,
    "json": json_line,
    "columns": Columns(colour=False).exchange,
    "coloured columns": Columns(colour=True).exchange,
}


class Stream(Protocol):
    """Where lines are written to."""

    def write(self, text: str, /) -> int:
        """Takes text."""

    def flush(self) -> None:
        """Hands on what was taken."""


class AccessLog:
    """An observer that writes a line for each exchange of at least `least` level to `stream`."""

    def __init__(self, stream: "Stream", form: str, least: str = "info") -> None:
        self._stream = stream
        self._format = FORMATS[form]
        self._left_out = {outcome for outcome in get_args(Outcome) if _number(_level(outcome)) < _number(least)}
        self._waiting: list[Exchange] = []
        self._timer: asyncio.TimerHandle | None = None

    def ended(self, exchange: Exchange) -> None:
        """Keeps the exchange for the next write."""
        if exchange.outcome in self._left_out:
            return
        self._waiting.append(exchange)
        if len(self._waiting) >= AT_ONCE:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER_S, self.flush)

    def flush(self) -> None:
        """Writes what is waiting. A stream that cannot be written to costs lines, never an exchange."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        lines = [f"{self._format(exchange)}\n" for exchange in waiting]
        text = "".join(lines)
        try:
            # What there is no room for is dropped: of much that is each line by itself, whosoever the others are.
            for piece in [text] if len(text) <= MUCH else lines:
                self._stream.write(piece)
            self._stream.flush()
        except (OSError, ValueError):
            return


def _number(name: str) -> int:
    return logging.getLevelNamesMapping()[name.upper()]
