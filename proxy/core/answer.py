"""What the client gets: the head of a relayed response, of an interim one, and of our own errors.

Stripping and our own fields come first, the operator's rules last; framing is computed, never copied.
"""

import json
import re
from typing import NamedTuple

from proxy.core import cors, framing, headers, message, streams
from proxy.core.dialects.recognise import LINE_TYPES, framing_of, recognise
from proxy.core.errors import ProxyError
from proxy.core.framing import CLOSE_BODY, Body
from proxy.core.message import ALLOW, Field, RequestHead, ResponseHead, field, members, values
from proxy.core.plan import Forward
from proxy.core.routes import Route
from proxy.core.stages import Stage, stages_of
from proxy.core.stages.convert import LinesToEvents
from proxy.core.stages.decode import CODINGS, Decode
from proxy.core.stages.events import Whole
from proxy.core.streams import EVENT_STREAM
from proxy.core.watch import FRAMERS, Watch


class Answer(NamedTuple):
    """A response head for the client; `stage` changes the body on its way, None passes it on as it is."""

    status: int
    reason: bytes
    fields: list[Field]
    body: Body
    stage: Stage | None = None
    stream: streams.Reason | None = None
    watch: Watch | None = None
    """What reads the stream; None for what is none, or cannot be read."""
    injects: bool = False
    """Whether anything may be put into the stream: a heartbeat, or an event that says that it broke."""

    @property
    def is_plain(self) -> bool:
        """Whether the body passes unchanged and unread."""
        return self.stage is None and self.watch is None


def answer(forward: Forward, head: ResponseHead, upstream_body: Body) -> Answer:
    """The head and the stages for a response of the upstream.

    Errors: none of its own; what is malformed was refused by `framing.of_response`.
    """
    route, request, status, names = forward.route, forward.request, head.status, head.names
    policy = route.stream
    fields = _for_client(forward, head)
    has_body = upstream_body.framing != "none"
    coded = has_body and b"content-encoding" in names
    may_change = has_body and 200 <= status < 300 and status != 206
    coding, converts = None, False
    if coded or (policy.changes and may_change):
        fields, coding, converts = _changed(forward, fields, coded, may_change, status)
    stream = streams.classify(request, fields, policy)
    injects = policy.injects and may_change and not streams.forbids_transform(fields) and not _SIGNED & names
    if stream:
        fields = streams.hints(fields)
    if route.response_rules is not headers.NO_RULES:
        fields = route.response_rules.apply(fields)
    changed = converts or coding is not None
    body = framing.of_answer(request, upstream_body, changed)
    if b"content-length" in names and (body.length is None or status == 204):
        fields = [entry for entry in fields if entry[0] != b"content-length"]
    if body.framing == "chunked":
        fields.append(_CHUNKED)
    stage = watch = None
    if changed or (may_change and not coded and (stream or _GROWING in request.target)):
        injects = injects and body.framing in ("chunked", "close")
        stage, watch = _read(forward, fields, coding, converts, injects)
    return tuple.__new__(
        Answer, (status, head.reason, fields, body, stage, stream, watch, injects and watch is not None)
    )


# The method of Gemini's whose answers are JSON arrays that grow: streams, but not by their type.
_GROWING = b":streamGenerateContent"


def _for_client(forward: Forward, head: ResponseHead) -> list[Field]:
    """The fields that travel on, turned to who the client talks to."""
    route, names = forward.route, head.names
    fields = headers.end_to_end(head.fields, headers.RESPONSE_DROPPED, names)
    if route.guarded:
        fields = [entry for entry in fields if not entry[0].startswith(cors.PREFIX)]
    if b"location" in names and route.rewrite_redirects and head.status // 100 in (2, 3):
        fields = [_turned(entry, forward) if entry[0] == b"location" else entry for entry in fields]
    if route.cookies and b"set-cookie" in names:
        fields = route.cookies.apply(fields)
    if route.cors:
        fields = cors.merge(fields, cors.granted(route.cors, forward.request.first(b"origin")))
    return fields


def _changed(
    forward: Forward, fields: list[Field], coded: bool, may_change: bool, status: int
) -> tuple[list[Field], bytes | None, bool]:
    """The fields of a body that is changed on its way, the coding to undo, and whether lines become events."""
    policy = forward.route.stream
    if may_change and policy.content_type is not None:
        fields = headers.replace(fields, field(b"Content-Type", policy.content_type))
    converts = may_change and policy.to_events and _is_lines(forward.request, fields)
    coding = _decodable(forward, fields, converts) if coded and status != 206 else None
    converts = converts and (coding is not None or not coded)
    if coding or converts:
        fields = _undone(fields)
    if converts:
        fields = headers.replace(fields, field(b"Content-Type", EVENT_STREAM))
    return fields, coding, converts


# What vouches for the bytes of a body: RFC 9530, RFC 9421.
_SIGNED = frozenset({b"content-digest", b"repr-digest", b"signature"})


def early(forward: Forward) -> Answer:
    """The answer that begins before the upstream's: an event stream, with the fields that do not depend on it."""
    route, request = forward.route, forward.request
    fields = streams.hints([field(b"Content-Type", EVENT_STREAM)])
    if route.cors:
        fields = cors.merge(fields, cors.granted(route.cors, request.first(b"origin")))
    fields = route.response_rules.apply(fields)
    body = framing.of_answer(request, CLOSE_BODY, changed=False)
    if body.framing == "chunked":
        fields.append(_CHUNKED)
    _, watch = _read(forward, fields, None, converts=False, exact=True)
    return Answer(200, message.phrase(200), fields, body, None, "route", watch)


def _read(
    forward: Forward, fields: list[Field], coding: bytes | None, converts: bool, exact: bool
) -> tuple[Stage | None, Watch | None]:
    """The stages of a body, and what reads it on its way out."""
    policy, limit = forward.route.stream, forward.route.limits.event
    path = forward.lines.split(b" ", 2)[1].partition(b"?")[0]
    cut = framing_of(streams.media_type(fields), path) if policy.classify != "never" else None
    stages: list[Stage] = [Decode(coding)] if coding else []
    if converts:
        stages.append(LinesToEvents(limit))
    if policy.whole and cut in ("sse", "lines"):
        stages.append(Whole(FRAMERS[cut](limit)))
    if cut is None:
        return stages_of(stages), None
    dialect = recognise(policy.family, "lines" if converts else cut, path)
    return stages_of(stages), Watch(cut, dialect, limit, exact)


def _is_lines(request: RequestHead, fields: list[Field]) -> bool:
    """Whether a body holds lines of JSON, as far as its type tells.

    What is labelled as one JSON text may be just that, and is taken for lines only where the client asks for events.
    """
    media_type = streams.media_type(fields)
    if media_type == b"application/json":
        return streams.accepts_events(request)
    return media_type in LINE_TYPES or media_type in (b"", b"text/plain", b"application/octet-stream")


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
        fields.append(field(b"Retry-After", b"%d" % error.retry_after_s))
    if error.status == 401:
        fields.append(field(b"WWW-Authenticate", b"Bearer"))
    if error.status == 405:
        fields.append(ALLOW)
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


def _decodable(forward: Forward, fields: list[Field], converts: bool) -> bytes | None:
    """The coding to undo: one known coding on an event stream, if nobody objects. None leaves body and label alone."""
    is_stream = converts or streams.media_type(fields) == EVENT_STREAM
    if not is_stream or not forward.route.stream.decode:
        return None
    codings = members(values(fields, b"content-encoding"))
    if len(codings) != 1 or codings[0] not in CODINGS:
        return None
    objects = streams.forbids_transform(fields) or streams.refuses_identity(forward.request)
    return None if objects else codings[0]


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
