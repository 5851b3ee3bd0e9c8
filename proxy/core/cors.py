"""Cross-origin requests: which origins may, what a preflight is answered, which fields a response gets.

Source: Fetch standard, section 3.2 (the CORS protocol).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from proxy.core.message import Field, RequestHead, field, members, values

PREFIX = b"access-control-"
_AMOUNTS = (b"limit", b"remaining", b"reset")
_ANTHROPIC = (b"requests", b"tokens", b"input-tokens", b"output-tokens")
# What a page wants to read of an LLM API's answer, and cannot by default: `*` does not count where credentials do.
EXPOSED = b", ".join(
    [
        *(b"proxy-status", b"request-id", b"x-request-id", b"apim-request-id", b"x-ms-request-id", b"cf-ray"),
        *(b"retry-after", b"retry-after-ms", b"x-should-retry", b"openai-processing-ms"),
        *(b"ratelimit", b"ratelimit-policy", b"ratelimit-limit", b"ratelimit-remaining", b"ratelimit-reset"),
        *(b"x-ratelimit-%b-%b" % (what, of) for of in (b"requests", b"tokens") for what in _AMOUNTS),
        *(b"anthropic-ratelimit-%b-%b" % (of, what) for of in _ANTHROPIC for what in _AMOUNTS),
    ]
)
# Asked for by name, as `*` never covers Authorization; listed even when a preflight names none.
ALLOWED = (b"authorization", b"content-type", b"last-event-id")


@dataclass(frozen=True, slots=True)
class Cors:
    """Who may read this route's answers.

    `any_port` are origins written `scheme://host:*`, without their port; `below` those written `scheme://*.name` or
    `scheme://*.name:port`, without `*.`, and `below_any_port` those written `scheme://*.name:*`, without both.
    """

    origins: frozenset[bytes]
    any_port: frozenset[bytes] = frozenset()
    below: frozenset[bytes] = frozenset()
    below_any_port: frozenset[bytes] = frozenset()
    any_origin: bool = False
    credentials: bool = False
    expose: bytes = EXPOSED
    max_age_s: int | None = 600

    def allows(self, origin: bytes) -> bool:
        """Whether pages of that origin may; `null` only if it is listed."""
        if origin in self.origins:
            return True
        if origin == b"null":
            return False
        if self.any_origin:
            return True
        without_port = _without_port(origin)
        return (
            without_port in self.any_port
            or (bool(self.below) and not self.below.isdisjoint(_parents(origin)))
            or (bool(self.below_any_port) and not self.below_any_port.isdisjoint(_parents(without_port)))
        )


def _without_port(origin: bytes) -> bytes:
    scheme, _, authority = origin.partition(b"://")
    name, colon, port = authority.rpartition(b":")
    return b"%b://%b" % (scheme, name if colon and port.isdigit() else authority)


_NAMED = re.compile(rb"([a-z][a-z0-9+.-]*://)((?:[a-z0-9_-]+\.)+[a-z0-9_-]+)((?::[0-9]+)?)\Z")


def _parents(origin: bytes) -> Iterator[bytes]:
    """The same origin at every name above its own; none for addresses and for what no browser would send."""
    match = _NAMED.match(origin)
    if match is None:
        return
    scheme, name, port = match.groups()
    while name := name.partition(b".")[2]:
        yield scheme + name + port


def is_preflight(request: RequestHead) -> bool:
    """Whether a browser asks for permission; any other OPTIONS is an ordinary request."""
    return (
        request.method == b"OPTIONS"
        and request.first(b"origin") is not None
        and request.first(b"access-control-request-method") is not None
    )


def granted(cors: Cors, origin: bytes | None) -> list[Field]:
    """The fields of an actual response; only Vary if that origin may not.

    Vary goes with `*` too: who sends no Origin, or `null`, gets no `*`, and a cache must not keep that for others.
    """
    if origin is None or not cors.allows(origin):
        return [_VARY]
    allowed = b"*" if _same_for_all(cors) else origin
    fields = [field(b"Access-Control-Allow-Origin", allowed), _VARY]
    if cors.credentials:
        fields.append(field(b"Access-Control-Allow-Credentials", b"true"))
    return [*fields, field(b"Access-Control-Expose-Headers", cors.expose)]


_VARY = field(b"Vary", b"Origin")
# Browsers that let public pages reach private addresses only with this; others ask the user. Never for `*`.
_PRIVATE = b"access-control-request-private-network"
_PREFLIGHT_VARY = field(
    b"Vary",
    b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers, Access-Control-Request-Private-Network",
)
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9a-z-]+\Z")


def _same_for_all(cors: Cors) -> bool:
    return cors.any_origin and not cors.credentials


def preflight(cors: Cors, request: RequestHead) -> list[Field] | None:
    """The fields of a 204 that grants what was asked, or None where that origin may not."""
    origin = request.first(b"origin") or b""
    if not cors.allows(origin):
        return None
    asked = [name for name in members(request.values(b"access-control-request-headers")) if _TOKEN.match(name)]
    allowed = [*asked, *(name for name in ALLOWED if name not in asked)]
    method = request.first(b"access-control-request-method") or b""
    fields = [
        field(b"Access-Control-Allow-Origin", b"*" if _same_for_all(cors) else origin),
        field(b"Access-Control-Allow-Methods", method),
        field(b"Access-Control-Allow-Headers", b", ".join(allowed)),
        _PREFLIGHT_VARY,
    ]
    if request.first(_PRIVATE) == b"true" and not cors.any_origin:
        fields.append(field(b"Access-Control-Allow-Private-Network", b"true"))
    if cors.max_age_s is not None:
        fields.append(field(b"Access-Control-Max-Age", b"%d" % cors.max_age_s))
    if cors.credentials:
        fields.append(field(b"Access-Control-Allow-Credentials", b"true"))
    return fields


def merge(fields: list[Field], ours: list[Field]) -> list[Field]:
    """A response's fields with its own CORS fields replaced by ours and Vary joined."""
    result = [entry for entry in fields if not entry[0].startswith(PREFIX)]
    for entry in ours:
        if entry[0] == b"vary":
            known = members(values(result, b"vary"))
            if b"*" in known or entry[2].lower() in known:
                continue
        result.append(entry)
    return result
