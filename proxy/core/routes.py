"""Routes: what a request has to look like, and all that was decided for it when the configuration was read.

A route is made once, at load, by `config.compile`; per request it is only read.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxy.core.cookies import Cookies
from proxy.core.cors import Cors
from proxy.core.forwarding import Forwarding
from proxy.core.guard import TOKEN_FIELDS, host_name
from proxy.core.headers import FRAMING, NO_RULES, REQUEST_DROPPED, Rules
from proxy.core.message import Field
from proxy.core.streams import StreamPolicy
from proxy.core.tracing import NAMES, is_echoed


@dataclass(frozen=True, slots=True)
class Tls:
    """How a TLS connection to an upstream is made.

    `ca`, `cert` and `key` are paths; `server_name` is what SNI and the certificate check use instead of the host.
    """

    verify: bool = True
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Where connections go, and what a pool of them is for; `tls` is None for plain http.

    `link_local` is whether link-local addresses and cloud metadata services may be dialled. `name` is for logs. Both it
    and the hash are made once: they are asked for with every request.
    """

    host: str
    port: int
    tls: Tls | None = None
    link_local: bool = False
    name: str = field(init=False, compare=False)
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        host = f"[{self.host}]" if ":" in self.host else self.host
        object.__setattr__(self, "name", f"{'https' if self.tls else 'http'}://{host}:{self.port}")
        object.__setattr__(self, "_hash", hash((self.host, self.port, self.tls)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Upstream:
    """An upstream URL taken apart: `authority` is what Host says, without the scheme's default port."""

    origin: Origin
    authority: bytes
    base_path: bytes = b""
    query: bytes = b""


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret to inject: the field that carries it, and what a client may have put in its place.

    `defaults` are fields set only where the client sent none.
    """

    field: Field = field(repr=False)
    defaults: tuple[Field, ...] = ()
    clears: frozenset[bytes] = frozenset()
    clears_query: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines in seconds; None is none."""

    connect: float | None = 10.0
    head: float | None = 600.0
    first_byte: float | None = None
    idle: float | None = 300.0
    total: float | None = None
    client_write: float | None = 60.0
    client_body: float | None = 60.0
    tunnel_idle: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, `concurrent` in open exchanges; None is none."""

    request_head: int | None = 32 * 1024
    request_body: int | None = None
    response_head: int | None = 64 * 1024
    event: int = 1024 * 1024
    concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """What a request has to look like. Exactly one of `prefix` and `regex` is set; None matches everything."""

    prefix: bytes | None = b"/"
    regex: re.Pattern[bytes] | None = None
    host: bytes | None = None
    methods: frozenset[bytes] | None = None
    _slashed: bytes = field(init=False, repr=False, compare=False)
    """The prefix with its final slash: what is below it begins so."""

    def __post_init__(self) -> None:
        prefix = self.prefix or b""
        object.__setattr__(self, "_slashed", prefix if prefix.endswith(b"/") else prefix + b"/")

    @property
    def specificity(self) -> tuple[bool, bool, int, bool]:
        """A host beats none, a regular expression beats a prefix, a longer prefix beats a shorter one."""
        return self.host is not None, self.regex is not None, len(self.prefix or b""), self.methods is not None

    def covers(self, method: bytes, host: bytes, path: bytes) -> bool:
        """Whether a request is this route's."""
        if self.prefix is not None:
            below = self._slashed
            if path[: len(below)] != below and path != below[:-1]:  # at a segment boundary; the slash may be missing
                return False
        elif self.regex is None or not self.regex.search(path):
            return False
        if self.host is not None and self.host != host_name(host):
            return False
        return self.methods is None or method in self.methods


@dataclass(frozen=True, slots=True)
class Route:
    """One route with everything it decides."""

    name: str
    match: Match
    upstream: Upstream
    strip_prefix: bool = False
    rewrite: tuple[re.Pattern[bytes], bytes] | None = None
    credential: Credential | None = None
    cors: Cors | None = None
    request_rules: Rules = NO_RULES
    response_rules: Rules = NO_RULES
    preserve_host: bool = False
    forwarding: Forwarding = Forwarding()
    rewrite_redirects: bool = True
    cookies: Cookies | None = None
    websocket: bool = True
    stream: StreamPolicy = StreamPolicy()
    close_on_refuse: bool = False
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    injects: bool = False
    """Whether a header rule or the upstream's URL carries a secret, as a credential does."""
    token_fields: frozenset[bytes] = TOKEN_FIELDS
    """Where a client may send its token."""
    guarded: bool = field(init=False, repr=False)
    """Whether using this route spends a secret of ours, so that pages of other origins have to be listed."""
    request_dropped: frozenset[bytes] = field(init=False, repr=False)
    """Request fields that never travel on as they came."""
    echoes_request_id: bool = field(init=False, repr=False)
    """Whether an answer that has no request id gets that of its request."""

    def __post_init__(self) -> None:
        clears = self.credential.clears if self.credential else frozenset()
        object.__setattr__(self, "request_dropped", REQUEST_DROPPED | FRAMING | NAMES | clears)
        object.__setattr__(self, "echoes_request_id", is_echoed(self.response_rules))
        object.__setattr__(self, "guarded", self.injects or self.credential is not None)


def ordered(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes in the order in which they are tried: the most specific first, equals as they were written."""
    return tuple(sorted(routes, key=lambda route: route.match.specificity, reverse=True))


def find(routes: tuple[Route, ...], method: bytes, host: bytes, path: bytes) -> Route | None:
    """The first of the ordered routes that covers the request, or None."""
    for route in routes:
        if route.match.covers(method, host, path):
            return route
    return None
