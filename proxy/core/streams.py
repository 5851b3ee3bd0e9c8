"""What is a stream, and what a stream's head says to the hops after us.

Being a stream decides hints, decompression and the log; every body, stream or not, is relayed the moment it arrives.
"""

import functools
import re
from dataclasses import dataclass
from dataclasses import field as field_
from typing import Literal

from proxy.core.headers import replace
from proxy.core.message import Field, Fields, RequestHead, field, first, members, values

EVENT_STREAM = b"text/event-stream"
STREAM_TYPES = frozenset(
    {
        EVENT_STREAM,
        b"application/x-ndjson",
        b"application/ndjson",
        b"application/jsonl",
        b"application/jsonlines",
        b"application/json-seq",
        b"application/stream+json",
        b"application/vnd.amazon.eventstream",
        b"multipart/x-mixed-replace",
    }
)

Classify = Literal["auto", "always", "never"]
Reason = Literal["type", "accept", "route"]
"""Why a response is a stream: its media type, the request's Accept, or the route."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Signs of life in a silent event stream, after that many seconds and every so many then.

    `form` is that of a comment: auto, block or line. `early` is whether they may begin before the upstream answered.
    """

    every_s: float
    form: str = "auto"
    early: bool = False


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """How a route treats streams; the keys of `stream:` in the configuration."""

    classify: Classify = "auto"
    decode: bool = True
    """False is `compression: pass`: Accept-Encoding stays the client's and nothing is decoded."""
    whole: bool = False
    """Whether only whole frames leave: `deliver: events`."""
    heartbeat: Heartbeat | None = None
    error_event: bool = False
    """Whether a stream that breaks ends with an event that says so: `on_break: error-event`."""
    reads_on: bool = False
    """Whether the upstream is read on for its usage when the client has gone: `on_client_gone: drain`."""
    to_events: bool = False
    """Whether lines of JSON become events: `convert: ndjson-to-sse`."""
    content_type: bytes | None = None
    """What the Content-Type of a successful answer is replaced with."""
    family: str | None = None
    """The family of dialects that the route's preset speaks."""

    injects: bool = field_(init=False)
    """Whether anything may be put into a stream."""
    changes: bool = field_(init=False)
    """Whether the type or the format of answers is changed."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "injects", self.heartbeat is not None or self.error_event)
        object.__setattr__(self, "changes", self.to_events or self.content_type is not None)


def media_type(fields: Fields | list[Field]) -> bytes:
    """The lower-case type of Content-Type without parameters; empty if there is none.

    Of a malformed one all before the first `;`, which is no type that anybody knows: RFC 9110 section 8.3.1.
    """
    return type_of(first(fields, b"content-type") or b"")


# The values of these fields are few and come again with every request; the caches are bounded, as anybody can send
# others.


@functools.lru_cache(maxsize=256)
def type_of(content_type: bytes) -> bytes:
    """The type in a Content-Type value."""
    return content_type.partition(b";")[0].strip(b" \t").lower()


def accepts_events(request: RequestHead) -> bool:
    """Whether Accept names text/event-stream with a weight above zero."""
    return b"accept" in request.names and _names_events(tuple(request.values(b"accept")))


@functools.lru_cache(maxsize=256)
def _names_events(accept: tuple[bytes, ...]) -> bool:
    for member in members(list(accept)):
        name, _, parameters = member.partition(b";")
        if name.strip(b" \t") == EVENT_STREAM:
            return not any(_is_zero_weight(parameter) for parameter in parameters.split(b";"))
    return False


def _is_zero_weight(parameter: bytes) -> bool:
    name, _, weight = parameter.strip(b" \t").partition(b"=")
    return name == b"q" and weight.strip(b"0.") == b""


def may_stream(request: RequestHead, policy: StreamPolicy) -> bool:
    """Whether the answer to this request may be a stream, as far as the request tells."""
    if policy.classify != "auto":
        return policy.classify == "always"
    if request.method == b"POST":
        sent = type_of(request.first(b"content-type") or b"")
        if sent == b"application/json" or sent.endswith(b"+json"):
            return True
    return accepts_events(request)


def refuses_identity(request: RequestHead) -> bool:
    """Whether the client takes no uncompressed answer: `identity;q=0`, or `*;q=0` without identity. RFC 9110 12.5.3."""
    return b"accept-encoding" in request.names and _refuses_identity(tuple(request.values(b"accept-encoding")))


@functools.lru_cache(maxsize=256)
def _refuses_identity(accept_encoding: tuple[bytes, ...]) -> bool:
    others_refused = False
    for member in members(list(accept_encoding)):
        coding, _, parameters = member.partition(b";")
        refused = any(_is_zero_weight(parameter) for parameter in parameters.split(b";"))
        if coding.strip() == b"identity":
            return refused
        if coding.strip() == b"*":
            others_refused = refused
    return others_refused


def classify(request: RequestHead, fields: list[Field], policy: StreamPolicy) -> Reason | None:
    """Why this response is a stream, or None."""
    if policy.classify == "always":
        return "route"
    if policy.classify == "never":
        return None
    if media_type(fields) in STREAM_TYPES:
        return "type"
    return "accept" if accepts_events(request) else None


_DIRECTIVE = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')


def directives(lines: list[bytes]) -> list[bytes]:
    """The members of Cache-Control lines, as written; a comma inside a quoted value separates nothing."""
    found = [member.strip(b" \t") for line in lines for member in _DIRECTIVE.findall(line)]
    return [directive for directive in found if directive]


def forbids_transform(fields: Fields | list[Field]) -> bool:
    """Whether Cache-Control holds no-transform. Source: RFC 9111 section 5.2.2.6."""
    return b"no-transform" in {name.lower() for name in directives(values(fields, b"cache-control"))}


def hints(fields: list[Field]) -> list[Field]:
    """The fields with what keeps the next hop from buffering or compressing this stream.

    X-Accel-Buffering is for nginx and those that copied it, no-transform for compressing middlewares and CDNs.
    """
    known = directives(values(fields, b"cache-control"))
    names = {directive.partition(b"=")[0].strip().lower() for directive in known}
    if media_type(fields) == EVENT_STREAM and not names & {b"no-cache", b"no-store"}:
        known.append(b"no-cache")
    if b"no-transform" not in names:
        known.append(b"no-transform")
    fields = replace(fields, field(b"Cache-Control", b", ".join(known)))
    return replace(fields, field(b"X-Accel-Buffering", b"no"))
