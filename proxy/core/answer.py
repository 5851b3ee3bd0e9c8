"""What the client gets: the head of a relayed response, of an interim one, and of our own errors.

Stripping and our own fields come first, the operator's rules last; framing is computed, never copied.
"""

import json
import re
from typing import NamedTuple

from proxy.core import cors, framing, headers, message, streams
from proxy.core.errors import ProxyError
from proxy.core.framing import Body
from proxy.core.message import Field, RequestHead, ResponseHead, field, members, values
from proxy.core.plan import Forward
from proxy.core.routes import Route
from proxy.core.stages import CODINGS, Decode, Stage


class Answer(NamedTuple):
    """A response head for the client; `stage` changes the body on its way, None passes it on as it is."""

    status: int
    reason: bytes
    fields: list[Field]
    body: Body
    stage: Stage | None = None
    stream: streams.Reason | None = None


def answer(forward: Forward, head: ResponseHead, upstream_body: Body) -> Answer:
    """The head and the stage for a response of the upstream.

    Errors: none of its own; what is malformed was refused by `framing.of_response`.
    """
    route, request, names = forward.route, forward.request, head.names
    fields = headers.end_to_end(head.fields, headers.RESPONSE_DROPPED, names)
    if route.guarded:
        fields = [entry for entry in fields if not entry[0].startswith(cors.PREFIX)]
    if b"location" in names and route.rewrite_redirects and head.status // 100 in (2, 3):
        fields = [_turned(entry, forward) if entry[0] == b"location" else entry for entry in fields]
    if route.cookies and b"set-cookie" in names:
        fields = route.cookies.apply(fields)
    if route.cors:
        fields = cors.merge(fields, cors.granted(route.cors, request.first(b"origin")))
    stream = streams.classify(request, fields, route.stream)
    coding = None
    if b"content-encoding" in names and upstream_body.framing != "none":
        coding = _decodable(request, route, head, fields)
        fields = _undone(fields) if coding else fields
    if stream:
        fields = streams.hints(fields)
    if route.response_rules is not headers.NO_RULES:
        fields = route.response_rules.apply(fields)
    body = framing.of_answer(request, upstream_body, changed=coding is not None)
    if b"content-length" in names and (body.length is None or head.status == 204):
        fields = [entry for entry in fields if entry[0] != b"content-length"]
    if body.framing == "chunked":
        fields.append(_CHUNKED)
    stage = Decode(coding) if coding else None
    return tuple.__new__(Answer, (head.status, head.reason, fields, body, stage, stream))


def interim(head: ResponseHead) -> list[Field]:
    """The fields of a 1xx on its way to the client; framing fields have no place there. RFC 9110 section 15.2."""
    return headers.end_to_end(head.fields, _INTERIM_DROPPED, head.names)


_INTERIM_DROPPED = headers.RESPONSE_DROPPED | headers.FRAMING


def trailers(forward: Forward, head: ResponseHead, received: list[Field]) -> list[Field]:
    """The fields of a trailer section that reach the client. Source: RFC 9110 section 6.5.

    Neither what has to be known before a body, nor what was removed from the head, by Connection, by a rule or for the
    sake of a key.
    """
    route = forward.route
    dropped = headers.TRAILERS_DROPPED.union(members(head.values(b"connection")), route.response_rules.remove)
    kept = [entry for entry in received if entry[0] not in dropped]
    if route.guarded or route.cors:
        kept = [entry for entry in kept if not entry[0].startswith(cors.PREFIX)]
    return kept


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
    if error.status == 401:
        fields.append(field(b"WWW-Authenticate", b"Bearer"))
    if error.status == 405:
        fields.append(field(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))
    if route and route.cors and request:
        fields += cors.granted(route.cors, request.first(b"origin"))
    return Answer(error.status, message.phrase(error.status), fields, Body("length", len(body)))


def error_body(error: ProxyError, route: Route | None) -> bytes:
    """The JSON an SDK shows: who is at fault, a code, and a sentence with the next step."""
    text = f"Route {route.name!r}: {error}" if route else str(error)
    return json.dumps({"error": {"type": error.side, "code": error.token, "message": text}}).encode()


# A scheme, which may be missing, an authority and the rest.
_URL = re.compile(rb"(?:(https?):)?//([^/?#]*)(.*)\Z", re.IGNORECASE | re.DOTALL)


def _turned(location: Field, forward: Forward) -> Field:
    """A Location that points at the route's upstream, turned to us; any other as it is."""
    upstream, route = forward.route.upstream, forward.route
    key, name, value = location
    scheme, port = (b"https", b":443") if upstream.origin.tls else (b"http", b":80")
    url = _URL.match(value)
    if url is None:
        return (key, name, _ours(value, route) or value) if value.startswith(b"/") else location
    if (url[1] or scheme).lower() != scheme or url[2].lower().removesuffix(port) != upstream.authority.lower():
        return location
    rest = url[3]
    path = _ours(rest if rest.startswith(b"/") else b"/" + rest, route)
    if path is None:
        return location
    own = b"https" if forward.request.peer.secure else b"http"
    return key, name, b"%b://%b%b" % (own, forward.host, path) if forward.host else path


def _ours(path: bytes, route: Route) -> bytes | None:
    """The path at which a client finds an upstream's path; None where this route does not lead there."""
    base = route.upstream.base_path.removesuffix(b"/")
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


_CHUNKED = field(b"Transfer-Encoding", b"chunked")
