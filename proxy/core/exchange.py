"""What observers are told of one exchange: filled in while it runs, read at its end.

Times are seconds of a monotonic clock; the moment of the start is also kept as wall-clock time for the log.
"""

from dataclasses import dataclass, field
from typing import Literal, Protocol

from proxy.core.dialects import Usage, Verdict
from proxy.core.errors import (
    ClientGone,
    ClientStalled,
    Draining,
    ProxyError,
    TunnelIdle,
    UpstreamError,
    UpstreamTimeout,
)
from proxy.core.message import Field, RequestHead, ResponseHead
from proxy.core.routes import Route

Outcome = Literal[
    "complete",
    "client_closed",
    "upstream_aborted",
    "upstream_timeout",
    "client_stalled",
    "refused",
    "tunnel_closed",
    "drained",
]


Side = Literal["upstream", "client"]
Phase = Literal["plan", "upload", "waiting", "body"]
"""Deciding; connecting and sending the request; waiting for the answer's head; the answer's body."""


STALL_S = 1.0
"""A wait of that many seconds is worth a word."""


class Capture(Protocol):
    """Takes a copy of one exchange, each part after it was sent. What it raises ends the copying and nothing else.

    It must not wait, keep a buffer that has no bound, or think: it is called within the turn of the loop that relays.
    """

    def asked(self, received: RequestHead, sent: bytes, route: Route | None) -> None:
        """The head of the request as it came, and as it went upstream; empty and None if it did not go there."""

    def interim(self, received: ResponseHead, sent: bytes) -> None:
        """The head of a 1xx answer, and what of it went to the client: nothing to one of HTTP/1.0."""

    def answered(self, received: ResponseHead | None, sent: bytes) -> None:
        """The head of the response as it came, None for an answer of ours, and as it went to the client."""

    def uploaded(self, data: bytes) -> None:
        """Bytes of the request's body, as they came."""

    def passed(self, data: bytes, read_at: float) -> None:
        """Body bytes that went on as they came. Runs once per event."""

    def read(self, data: bytes, read_at: float) -> None:
        """Body bytes that a stage changes on their way."""

    def wrote(self, data: bytes) -> None:
        """Body bytes that came out of a stage, or are our own."""

    def trailers(self, received: list[Field], sent: bytes) -> None:
        """The trailer section behind the response's body, and the lines of it that went to the client."""

    def paused(self) -> None:
        """The client is full, and nothing more is read for it."""

    def resumed(self) -> None:
        """The client has caught up."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer; `status` is 0 until something was answered."""

    request_id: str
    wall_time: float
    started: float
    method: str = ""
    target: str = ""
    client: str = ""
    route: str = ""
    upstream: str = ""
    attempts: int = 0
    status: int = 0
    outcome: Outcome = "complete"
    code: str = ""
    """What went wrong, mostly as the Proxy-Status error type; empty if nothing did."""
    stream: str = ""
    """Why the response was a stream: type, accept or route; empty if it was none."""
    sent_at: float | None = None
    """When the last byte of the request had been given to the upstream's connection."""
    head_at: float | None = None
    first_byte_at: float | None = None
    last_byte_at: float | None = None
    ended: float = 0.0
    bytes_in: int = 0
    """Body bytes of the request that went upstream."""
    bytes_out: int = 0
    """Body bytes of the response that were handed to the client's connection."""
    max_gap: float = 0.0
    """The longest silence of the upstream between two reads of the body, in seconds."""
    max_stall: float = 0.0
    """The longest time for which the client took nothing of what was there for it, in seconds."""
    dialect: str = ""
    """What the stream speaks; empty for what is no stream of frames."""
    events: int = 0
    """Frames of the stream that a client acts on."""
    first_event_at: float | None = None
    first_token_at: float | None = None
    """When output of a model began: an event that says no more than who speaks is none."""
    usage: Usage | None = None
    verdict: Verdict | None = None
    """What became of the answer by its dialect; None for what is no stream of frames."""
    limited: bool = False
    """Whether the answer is complete but was cut off by a limit on its length."""
    oversized: bool = False
    """Whether an event was over `limits.event`, and passed without being read or held."""
    heartbeats: int = 0
    read_on: bool = False
    """Whether the upstream was read on after the client had gone."""
    capture: Capture | None = field(default=None, repr=False, compare=False)
    """Who wants a copy of this exchange; may come and go while it runs."""

    @property
    def phase(self) -> Phase | None:
        """How far an exchange that did not complete came; None for one that did."""
        if self.outcome in ("complete", "tunnel_closed"):
            return None
        if self.head_at is not None:
            return "body"
        if self.sent_at is not None:
            return "waiting"
        return "upload" if self.attempts else "plan"

    @property
    def stalled_on(self) -> Side | None:
        """Who was waited for longest inside the body, if anybody was for a second."""
        if self.outcome in ("client_stalled", "upstream_timeout"):
            return "client" if self.outcome == "client_stalled" else "upstream"
        if max(self.max_gap, self.max_stall) < STALL_S:
            return None
        return "client" if self.max_stall >= self.max_gap else "upstream"

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens of output for each second from the first one on."""
        output, begun, last = self.usage.output if self.usage else None, self.first_token_at, self.last_byte_at
        return None if output is None or begun is None or last is None or last <= begun else output / (last - begun)

    def failed(self, error: ProxyError) -> None:
        """Writes down what went wrong and whose doing it was; the first failure counts, the others follow from it."""
        if self.code or (self.outcome == "tunnel_closed" and isinstance(error, ClientGone)):
            return  # a client that leaves a tunnel ends it, which is no failure
        self.code = error.log_code or error.token
        match error:
            case ClientStalled():
                self.outcome = "client_stalled"
            case ClientGone():
                self.outcome = "client_closed"
                self.status = self.status or error.status
            case Draining():
                self.outcome = "drained"
            case TunnelIdle():
                self.outcome = "tunnel_closed"
            case UpstreamTimeout():
                self.outcome = "upstream_timeout"
            case UpstreamError():
                self.outcome = "upstream_aborted"
            case _:
                self.outcome = "refused"


class Observer(Protocol):
    """Told of every exchange, after it ended; what it raises is logged and goes no further."""

    def ended(self, exchange: Exchange) -> None:
        """The exchange is over and will not change any more."""


class Capturer(Observer, Protocol):
    """An observer that may also ask for a copy of what passes."""

    def capture(self, exchange: Exchange) -> Capture | None:
        """Who takes the copy of an exchange that begins; None if nobody wants one."""
