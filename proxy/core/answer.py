"""What the client gets: the head of a relayed response, of an interim one, and of our own errors.

Stripping and our own fields come first, the operator's rules last; framing is computed, never copied.
"""

import json
from typing import NamedTuple

from proxy.core import cors, headers, message, streams
from proxy.core.errors import ProxyError, ResponseMalformed, TransferCodingUnknown
from proxy.core.message import Field, Framing, RequestHead, ResponseHead, field, members, values
from proxy.core.plan import Forward
from proxy.core.routes import Route
from proxy.core.stages import CODINGS, Decode, Stage


class Body(NamedTuple):
    """How a message's body ends; `length` is what Content-Length says, None where it says nothing."""

    framing: Framing
    length: int | None = None


class Answer(NamedTuple):
    """A response head for the client; `stage` changes the body on its way, None passes it on as it is."""

    status: int
    reason: bytes
    fields: list[Field]
    body: Body
    stage: Stage | None = None
    stream: streams.Reason | None = None


def response_body(method: bytes, head: ResponseHead) -> Body:
    """How the upstream's body ends. Source: RFC 9112 section 6.3.

    Errors: TransferCodingUnknown, ResponseMalformed for a length that is none.
    """
    lengths, codings = [], []
    for key, _, value in head.fields:
        if key == b"content-length":
            lengths.append(value)
        elif key == b"transfer-encoding":
            codings.append(value)
    if lengths and (codings or len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18):
        raise ResponseMalformed
    length = int(lengths[0]) if lengths else None
    if method == b"HEAD" or head.status in message.BODYLESS_STATUSES:
        return Body(Framing.NONE, length)
    if codings:
        if members(codings) != [b"chunked"] or head.version < (1, 1):
            raise TransferCodingUnknown
        return Body(Framing.CHUNKED)
    return Body(Framing.CLOSE) if length is None else Body(Framing.LENGTH, length)


def answer(forward: Forward, head: ResponseHead, upstream_body: Body) -> Answer:
    """The head and the stage for a response of the upstream.

    Errors: none of its own; what is malformed was refused by `response_body`.
    """
    route, request = forward.route, forward.request
    fields = _cleaned(route, head)
    if route.rewrite_redirects and head.status // 100 in (2, 3):
        fields = [_turned(entry, forward) if entry[0] == b"location" else entry for entry in fields]
    if route.cors:
        fields = cors.merge(fields, cors.granted(route.cors, request.first(b"origin")))
    stream = streams.classify(request, fields, route.stream)
    coding = _decodable(request, route, head, fields) if upstream_body.framing is not Framing.NONE else None
    if coding:
        fields = _undone(fields)
    if stream:
        fields = streams.hints(fields)
    fields = route.response_rules.apply(fields)
    body = _client_body(request, upstream_body, changed=coding is not None)
    if body.length is None or head.status == 204:
        fields = [entry for entry in fields if entry[0] != b"content-length"]
    if body.framing is Framing.CHUNKED:
        fields.append(_CHUNKED)
    return Answer(head.status, head.reason, fields, body, Decode(coding) if coding else None, stream)


def interim(head: ResponseHead) -> list[Field]:
    """The fields of a 1xx on its way to the client; framing fields have no place there. RFC 9110 section 15.2."""
    fields = headers.end_to_end(head.fields, headers.RESPONSE_DROPPED)
    return [entry for entry in fields if entry[0] not in headers.FRAMING]


def failure(error: ProxyError, request: RequestHead | None, route: Route | None, instance: bytes) -> Answer:
    """Our own error as an answer, with its body in `error_body`'s form. Source: RFC 9209 section 2."""
    body = error_body(error, route)
    fields = [
        field(b"Content-Type", b"application/json"),
        field(b"Content-Length", b"%d" % len(body)),
        field(b"Cache-Control", b"no-store"),
        field(b"X-Content-Type-Options", b"nosniff"),
        field(b"Proxy-Status", b"%b; error=%b" % (instance, error.token.encode())),
    ]
    if error.status == 503:
        fields.append(field(b"Retry-After", b"1"))
    if error.status == 405:
        fields.append(field(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
    if route and route.cors and request:
        fields += cors.granted(route.cors, request.first(b"origin"))
    return Answer(error.status, message.phrase(error.status), fields, Body(Framing.LENGTH, len(body)))


def error_body(error: ProxyError, route: Route | None) -> bytes:
    """The JSON an SDK shows: who is at fault, a code, and a sentence with the next step."""
    text = f"Route {route.name!r}: {error}" if route else str(error)
    return json.dumps({"error": {"type": error.side, "code": error.token, "message": text}}).encode()


def _cleaned(route: Route, head: ResponseHead) -> list[Field]:
    fields = headers.end_to_end(head.fields, headers.RESPONSE_DROPPED)
    if route.credential:
        return [entry for entry in fields if not entry[0].startswith(cors.PREFIX)]
    return fields


def _turned(location: Field, forward: Forward) -> Field:
    """A Location that points at the route's upstream, turned to us; any other as it is."""
    upstream, route = forward.route.upstream, forward.route
    key, name, value = location
    scheme = b"https" if upstream.origin.tls else b"http"
    root = b"%b://%b" % (scheme, upstream.authority)
    if value[: len(root)].lower() == root.lower() and value[len(root) :][:1] in (b"", b"/", b"?", b"#"):
        rest = value[len(root) :]
    elif value.startswith(b"/") and not value.startswith(b"//"):
        return key, name, _ours(value, route) or value
    else:
        return location
    path = _ours(rest if rest.startswith(b"/") else b"/" + rest, route)
    if path is None:
        return location
    own = b"https" if forward.request.peer.secure else b"http"
    return key, name, b"%b://%b%b" % (own, forward.host, path) if forward.host else path


def _ours(path: bytes, route: Route) -> bytes | None:
    """The path at which a client finds an upstream's path; None where this route does not lead there."""
    base = route.upstream.base_path.rstrip(b"/")
    if base:
        if path != base and not path.startswith((base + b"/", base + b"?", base + b"#")):
            return None
        path = path[len(base) :]
        path = path if path.startswith(b"/") else b"/" + path
    if route.strip_prefix and route.match.prefix is not None:
        return route.match.prefix.rstrip(b"/") + path
    return path


def _decodable(request: RequestHead, route: Route, head: ResponseHead, fields: list[Field]) -> bytes | None:
    """The coding to undo: one known coding on an event stream, if nobody objects. None leaves body and label alone."""
    if streams.media_type(fields) != streams.EVENT_STREAM or not route.stream.decode or head.status == 206:
        return None
    codings = members(values(fields, b"content-encoding"))
    if len(codings) != 1 or codings[0] not in CODINGS:
        return None
    return None if streams.forbids_transform(fields) or streams.refuses_identity(request) else codings[0]


# What describes the coded bytes: RFC 9110 section 8, RFC 9530.
_OF_CODED_BYTES = frozenset(
    {b"content-encoding", b"content-length", b"accept-ranges", b"content-md5", b"content-digest", b"repr-digest"}
)


def _undone(fields: list[Field]) -> list[Field]:
    return [
        (key, name, b"W/" + value) if key == b"etag" and not value.startswith(b"W/") else (key, name, value)
        for key, name, value in fields
        if key not in _OF_CODED_BYTES
    ]


def _client_body(request: RequestHead, upstream: Body, changed: bool) -> Body:
    """How our body ends: as short a promise as holds. An HTTP/1.0 client never gets chunked. RFC 9112 section 6.1."""
    if upstream.framing is Framing.NONE:
        return upstream
    if upstream.framing is Framing.LENGTH and not changed:
        return upstream
    return Body(Framing.CHUNKED if request.version >= (1, 1) else Framing.CLOSE)


_CHUNKED = field(b"Transfer-Encoding", b"chunked")
