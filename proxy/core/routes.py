"""Routes: what a request has to look like, and all that was decided for it when the configuration was read.

A route is made once, at load, by `config.compile`; per request it is only read.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

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
    """An upstream URL taken apart: `authority` is what Host says, without the scheme's default port.

    `weight` is its share of a route's requests, `name` what logs and metrics call it: its origin's name, unless told.
    """

    origin: Origin
    authority: bytes
    base_path: bytes = b""
    query: bytes = field(default=b"", repr=False)
    weight: int = field(default=1, compare=False)
    name: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.origin.name)


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

    has_time: bool = field(init=False)
    """Whether none of those that run during an exchange is so short that a second more would matter."""

    def __post_init__(self) -> None:
        during = (self.head, self.first_byte, self.idle, self.total, self.client_write, self.client_body)
        object.__setattr__(self, "has_time", all(limit is None or limit > 10.0 for limit in during))


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, `concurrent` in open exchanges; None is none."""

    request_head: int | None = 32 * 1024
    request_body: int | None = None
    response_head: int | None = 64 * 1024
    event: int = 1024 * 1024
    concurrent: int | None = None


@dataclass(frozen=True, slots=True)
class HealthPolicy:
    """When an upstream is not used. Times in seconds; `path` None asks none, `eject` None leaves none out."""

    path: bytes | None = None
    every: float = 10.0
    timeout: float = 2.0
    healthy_after: int = 2
    unhealthy_after: int = 2
    eject: float | None = 30.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """After what a request is tried on another upstream: failing to connect, or an answer with one of the statuses."""

    attempts: int = 1
    connect: bool = True
    statuses: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the upstreams of a route share its requests; `hash_by` is the lower-case field that `hash` goes by."""

    upstreams: tuple[Upstream, ...]
    balance: Literal["round_robin", "least_streams", "hash"] = "round_robin"
    hash_by: bytes = b""
    health: HealthPolicy = HealthPolicy()
    retry: RetryPolicy = RetryPolicy()


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
    """One route with everything it decides.

    `upstream` is the only one, or the first of `sharing`, which is None where there is one that nobody looks after.
    """

    name: str
    match: Match
    upstream: Upstream
    sharing: Sharing | None = None
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
    ways: tuple["Route", ...] = field(init=False, repr=False)
    """The same route with each of several upstreams as its only one; empty where there is one."""

    def __post_init__(self) -> None:
        clears = self.credential.clears if self.credential else frozenset()
        object.__setattr__(self, "request_dropped", REQUEST_DROPPED | FRAMING | NAMES | clears)
        object.__setattr__(self, "echoes_request_id", is_echoed(self.response_rules))
        object.__setattr__(self, "guarded", self.injects or self.credential is not None)
        several = self.sharing.upstreams if self.sharing is not None and len(self.sharing.upstreams) > 1 else ()
        object.__setattr__(self, "ways", tuple([replace(self, upstream=one, sharing=None) for one in several]))

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """All of them."""
        return self.sharing.upstreams if self.sharing is not None else (self.upstream,)


def ordered(routes: Iterable[Route]) -> tuple[Route, ...]:
    """The routes in the order in which they are tried: the most specific first, equals as they were written."""
    return tuple(sorted(routes, key=lambda route: route.match.specificity, reverse=True))


def find(routes: tuple[Route, ...], method: bytes, host: bytes, path: bytes) -> Route | None:
    """The first of the ordered routes that covers the request, or None."""
    for route in routes:
        if route.match.covers(method, host, path):
            return route
    return None
