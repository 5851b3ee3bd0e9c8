"""What observers are told of one exchange: filled in while it runs, read at its end.

Times are seconds of a monotonic clock; the moment of the start is also kept as wall-clock time for the log.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from proxy.core.errors import (
    ClientGone,
    ClientStalled,
    Draining,
    ProxyError,
    TunnelIdle,
    UpstreamError,
    UpstreamTimeout,
)

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


Phase = Literal["plan", "upload", "waiting", "body"]
"""Deciding; connecting and sending the request; waiting for the answer's head; the answer's body."""


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
