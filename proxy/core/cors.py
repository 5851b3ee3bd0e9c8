"""Cross-origin requests: which origins may, what a preflight is answered, which fields a response gets.

Source: Fetch standard, section 3.2 (the CORS protocol).
"""

from dataclasses import dataclass

from proxy.core.message import Field, RequestHead, field, members, values

PREFIX = b"access-control-"
# What a page wants to read of an LLM API's answer, and cannot by default.
EXPOSED = (
    b"proxy-status, request-id, retry-after, x-request-id, "
    b"x-ratelimit-limit-requests, x-ratelimit-remaining-requests, x-ratelimit-reset-requests, "
    b"x-ratelimit-limit-tokens, x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
)
# Asked for by name, as `*` never covers Authorization; listed even when a preflight names none.
ALLOWED = (b"authorization", b"content-type", b"last-event-id")


@dataclass(frozen=True, slots=True)
class Cors:
    """Who may read this route's answers; `any_port` are origins written `scheme://host:*`, without their port."""

    origins: frozenset[bytes]
    any_port: frozenset[bytes] = frozenset()
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
        return self.any_origin or (bool(self.any_port) and _without_port(origin) in self.any_port)


def _without_port(origin: bytes) -> bytes:
    scheme, _, authority = origin.partition(b"://")
    name, colon, port = authority.rpartition(b":")
    return b"%b://%b" % (scheme, name if colon and port.isdigit() else authority)


def is_preflight(request: RequestHead) -> bool:
    """Whether a browser asks for permission; any other OPTIONS is an ordinary request."""
    return (
        request.method == b"OPTIONS"
        and request.first(b"origin") is not None
        and request.first(b"access-control-request-method") is not None
    )


def granted(cors: Cors, origin: bytes | None) -> list[Field]:
    """The fields of an actual response; only Vary if that origin may not."""
    if origin is None or not cors.allows(origin):
        return [] if _same_for_all(cors) else [field(b"Vary", b"Origin")]
    if _same_for_all(cors):
        fields = [field(b"Access-Control-Allow-Origin", b"*")]
    else:
        fields = [field(b"Access-Control-Allow-Origin", origin), field(b"Vary", b"Origin")]
    if cors.credentials:
        fields.append(field(b"Access-Control-Allow-Credentials", b"true"))
    return [*fields, field(b"Access-Control-Expose-Headers", cors.expose)]


def _same_for_all(cors: Cors) -> bool:
    return cors.any_origin and not cors.credentials


def preflight(cors: Cors, request: RequestHead) -> list[Field] | None:
    """The fields of a 204 that grants what was asked, or None where that origin may not."""
    origin = request.first(b"origin") or b""
    if not cors.allows(origin):
        return None
    asked = members(request.values(b"access-control-request-headers"))
    allowed = [*asked, *(name for name in ALLOWED if name not in asked)]
    method = request.first(b"access-control-request-method") or b""
    fields = [
        field(b"Access-Control-Allow-Origin", b"*" if _same_for_all(cors) else origin),
        field(b"Access-Control-Allow-Methods", method),
        field(b"Access-Control-Allow-Headers", b", ".join(allowed)),
        field(b"Vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
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
