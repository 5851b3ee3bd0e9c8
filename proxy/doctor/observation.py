"""What a probe saw, as it saw it. Written by `probe`, read by everything else; no judgement in here.

All moments are seconds since the probe began, on a clock that only goes forward.
"""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from proxy.core.message import Field, first, values
from proxy.core.message import field as field_of

Trouble = Literal[
    "dns",
    "refused",
    "unroutable",
    "connect_timeout",
    "tls_self_signed",
    "tls_unknown_authority",
    "tls_expired",
    "tls_not_yet_valid",
    "tls_wrong_name",
    "tls_certificate",
    "tls_handshake",
    "https_to_http_port",
    "http_to_https_port",
    "no_answer",
    "not_http",
]
"""Why there is no answer, or none that can be trusted."""

End = Literal["complete", "closed", "cut", "reset", "timeout", "limit", "stopped"]
"""How the answer ended: as its framing says (`complete`); by closing where only that tells (`closed`); closed (`cut`)
or reset before its end; or because the doctor had enough: its time, its bytes, or the user (`stopped`)."""
BY_US: frozenset[End] = frozenset({"timeout", "limit", "stopped"})


class Bytes(NamedTuple):
    """Bytes and when they came."""

    at_s: float
    data: bytes


class Size(NamedTuple):
    """How many bytes came, and when the last of them did."""

    at_s: float
    size: int


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `fields` are in addition to Host, Accept and what else every request has."""

    url: str
    method: bytes = b"GET"
    fields: tuple[Field, ...] = ()
    body: bytes = b""
    origin: bytes | None = None
    """The page's origin, where the question is whether that page could read the answer."""

    @classmethod
    def of(cls, url: str, method: str, lines: list[tuple[str, str]], body: bytes, origin: str | None) -> "Request":
        """A request from text."""
        fields = tuple(field_of(name.encode(), value.encode()) for name, value in lines)
        return cls(url, method.upper().encode(), fields, body, origin.encode() if origin else None)


@dataclass(slots=True)
class Observation:
    """One exchange. What never happened is None or empty."""

    request: Request
    resolved_s: float | None = None
    connected_s: float | None = None
    secured_s: float | None = None
    sent_s: float | None = None
    trouble: Trouble | None = None
    detail: str = ""
    """What the system, OpenSSL or the parser said of the trouble."""
    head_s: float | None = None
    version: str = ""
    status: int = 0
    reason: bytes = b""
    fields: tuple[Field, ...] = ()
    interim: list[tuple[float, int]] = field(default_factory=list)
    """Moments and codes of 1xx heads."""
    reads: list[Size] = field(default_factory=list)
    """What each read of the socket brought, the head included."""
    body: list[Bytes] = field(default_factory=list)
    """The body, without the framing of chunks, one piece a read or chunk."""
    chunks: list[Size] = field(default_factory=list)
    end: End | None = None
    ended_s: float = 0.0
    """When it ended; until then, when it was last looked at."""

    @property
    def answered(self) -> bool:
        """Whether a head came."""
        return self.head_s is not None

    @property
    def body_bytes(self) -> int:
        """Bytes of the body, as they came: coded, if they were."""
        return sum(len(piece.data) for piece in self.body)

    def first(self, key: bytes) -> bytes | None:
        """The first line of the answer's field of that lower-case name."""
        return first(self.fields, key)

    def values(self, key: bytes) -> list[bytes]:
        """All lines of it."""
        return values(self.fields, key)
