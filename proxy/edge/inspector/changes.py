"""A head as it came beside the head as it went on: what was changed on the way, and why.

The heads are redacted here, field by field, before anything else sees them. The reasons are told from names and the
route's rules: they explain what `core` decided and decide nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from proxy.core import headers
from proxy.core.headers import NO_RULES, Rules
from proxy.core.message import Field, RequestHead, ResponseHead, phrase
from proxy.core.redact import Redactor, is_secret_name, redacted, target
from proxy.core.routes import Route

Change = Literal["same", "added", "removed", "changed"]
Pair = tuple[str, str]

_LINKS = frozenset({"location", "content-location", "referer", "link"})
_HOP = "belongs to one connection, and ends with it (RFC 9110 section 7.6.1)"
_REQUEST_WHY = {
    "host": "the upstream's own name; `preserve_host` keeps the client's",
    "via": "says that a proxy passed the request on (RFC 9110 section 7.6.3)",
    "x-forwarded-for": "who the client is; one that was not trusted is replaced",
    "x-forwarded-proto": "how the client came to us",
    "x-forwarded-host": "the name the client asked for",
    "x-real-ip": "who the client is",
    "forwarded": "who the client is (RFC 7239)",
    "accept-encoding": "asks for an answer that is not compressed, as a compressed stream is held back",
    "x-request-id": "the name of this request, in the log and here",
    "traceparent": "W3C Trace Context",
    "tracestate": "means nothing without its traceparent",
    "te": "only `trailers` is passed on",
    "content-length": "how the body is framed towards the upstream",
    "transfer-encoding": "how the body is framed towards the upstream",
    "expect": "HTTP/1.0 has none",
    "proxy": "CGI back ends would take it for HTTP_PROXY",
    "max-forwards": "one proxy fewer to go (RFC 9110 section 7.6.2)",
    "upgrade": "the upstream is asked to switch protocols",
}
_RESPONSE_WHY = {
    "cache-control": "keeps what stands before us from compressing or storing the stream",
    "x-accel-buffering": "keeps nginx before us from buffering the stream",
    "content-encoding": "the coding is undone here, so that each piece can be read at once",
    "content-length": "how the body is framed towards the client",
    "transfer-encoding": "how the body is framed towards the client",
    "connection": "whether this client's connection is used again",
    "x-request-id": "the name of this request, in the log and here",
    "date": "the upstream sent none (RFC 9110 section 6.6.1)",
    "location": "turned to where the client finds it",
    "set-cookie": "turned by the route's `cookies`",
    "vary": "the answer depends on the Origin",
    "alt-svc": "would lead the client around the proxy",
    "content-type": "set by the route",
    "proxy-status": "says what went wrong (RFC 9209)",
    "retry-after": "when to try again",
    "etag": "weak now, as the coding is undone",
}


@dataclass(frozen=True, slots=True)
class Head:
    """One head as it came and as it went, redacted. A side that does not exist is None."""

    came: str | None
    went: str | None
    """The start lines."""
    received: list[Pair] | None
    sent: list[Pair] | None
    rows: list[dict[str, Any]]
    """Name, value before and after, change and why, aligned line by line."""

    def document(self) -> dict[str, Any]:
        """As the API tells it."""
        return {"came": self.came, "went": self.went, "fields": self.rows}

    def went_with(self, name: str) -> str:
        """The value of a field as it was sent; empty if there is none."""
        return next((value for key, value in self.sent or self.received or () if key.lower() == name), "")


def request_head(received: RequestHead, sent: bytes, route: Route | None, redactor: Redactor) -> Head:
    """A request's head: `sent` is what went upstream, empty if nothing did."""
    version = "{}.{}".format(*received.version)
    came = f"{_text(received.method)} {redactor.text(target(_text(received.target)))} HTTP/{version}"
    before = [(_text(name), _text(value)) for _, name, value in received.fields]
    went, after = _parsed(sent)
    if went is not None:
        method, _, rest = went.partition(" ")
        went = f"{method} {redactor.text(target(rest.rpartition(' ')[0]))} {rest.rpartition(' ')[2]}"
    return _head((came, went), (before, after), _Reasons(route, of_request=True), redactor)


def response_head(received: ResponseHead | None, sent: bytes, route: Route | None, redactor: Redactor) -> Head:
    """A response's head: `received` is None for an answer of ours."""
    came = before = None
    if received is not None:
        reason = _text(received.reason) or _text(phrase(received.status))
        came = f"HTTP/{received.version[0]}.{received.version[1]} {received.status} {reason}".rstrip()
        before = [(_text(name), _text(value)) for _, name, value in received.fields]
    went, after = _parsed(sent)
    return _head((came, went), (before, after), _Reasons(route, of_request=False), redactor)


def trailer_section(received: list[Field], sent: bytes, route: Route | None, redactor: Redactor) -> Head:
    """The fields behind a response's body, and the lines of those that went on; a head without start lines."""
    before = [(_text(name), _text(value)) for _, name, value in received]
    after = _pairs(sent.split(b"\r\n"))
    return _head((None, None), (before, after), _Reasons(route, of_request=False, of_trailers=True), redactor)


class _Reasons:
    """Why a field differs."""

    def __init__(self, route: Route | None, of_request: bool, of_trailers: bool = False) -> None:
        rules = NO_RULES if route is None else route.request_rules if of_request else route.response_rules
        self._of_request = of_request
        self._of_trailers = of_trailers
        self._ruled = _names(rules)
        credential = route.credential if route is not None and of_request else None
        self._key = {credential.field[0]} if credential else set()
        self._cleared = credential.clears if credential else frozenset()
        self._defaults = {entry[0] for entry in credential.defaults} if credential else set()

    def why(self, name: str, change: Change) -> str:
        """One sentence; empty for what did not change."""
        key = name.lower().encode("latin-1", "replace")
        if change == "same":
            return ""
        if key in self._ruled:
            return "a rule of this route (`headers`)"
        if self._of_trailers:
            return "has to be known before a body, or was removed from the head (RFC 9110 section 6.5)"
        if key in self._key:
            return "the route's `api_key`"
        if key in self._defaults:
            return "the preset's, where the client says nothing"
        if key in self._cleared:
            return "a credential of the client's, which the route's own replaces"
        known = (_REQUEST_WHY if self._of_request else _RESPONSE_WHY).get(name.lower())
        if known and not (change == "removed" and key in headers.HOP_BY_HOP):
            return known
        if name.lower().startswith("access-control-"):
            return "what `cors` of this route grants, and nothing else"
        if key in headers.HOP_BY_HOP or key in headers.RESPONSE_DROPPED:
            return _HOP
        if change == "removed":
            return "named by Connection, or a token for this proxy" if self._of_request else "named by Connection"
        return "added by the proxy"


def _names(rules: Rules) -> set[bytes]:
    renamed = {name for old, new in rules.rename for name in (old, new.lower())}
    return {*rules.remove, *renamed, *(entry[0] for entry in (*rules.set, *rules.add))}


def _head(
    lines: tuple[str | None, str | None],
    fields: tuple[list[Pair] | None, list[Pair] | None],
    reasons: _Reasons,
    redactor: Redactor,
) -> Head:
    rows: list[dict[str, Any]] = []
    for name, before, after in _aligned(fields[0], fields[1]):
        change = _change(before, after, fields)
        rows.append(
            {
                "name": redactor.text(name),
                "before": None if before is None else shown_value(name, before, redactor),
                "after": None if after is None else shown_value(name, after, redactor),
                "change": change,
                "why": reasons.why(name, change),
            }
        )
    came, went = (line if line is None else redactor.text(line) for line in lines)
    return Head(came, went, _shown(fields[0], redactor), _shown(fields[1], redactor), rows)


def _change(before: str | None, after: str | None, fields: tuple[list[Pair] | None, list[Pair] | None]) -> Change:
    if before == after or None in fields:
        return "same"
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def _aligned(before: list[Pair] | None, after: list[Pair] | None) -> Iterable[tuple[str, str | None, str | None]]:
    """Each line with its counterpart of the same name, in the order in which they came; what is new stands last."""
    left = list(after or ())
    for name, value in before or ():
        at = next((index for index, (key, _) in enumerate(left) if key.lower() == name.lower()), None)
        if at is None:
            yield name, value, None
        else:
            yield name, value, left.pop(at)[1]
    for name, value in left:
        yield name, None, value


def _shown(fields: list[Pair] | None, redactor: Redactor) -> list[Pair] | None:
    if fields is None:
        return None
    return [(redactor.text(name), shown_value(name, value, redactor)) for name, value in fields]


def shown_value(name: str, value: str, redactor: Redactor) -> str:
    """A value as it may be shown: by its name, and by what is known to be secret."""
    if is_secret_name(name):
        return redacted(value) if value else ""
    return redactor.text(target(value) if name.lower() in _LINKS else value)


def _parsed(head: bytes) -> tuple[str | None, list[Pair] | None]:
    """The start line and the fields of a head as bytes; None where there is none."""
    if not head:
        return None, None
    start, *lines = head.partition(b"\r\n\r\n")[0].split(b"\r\n")
    return _text(start), _pairs(lines)


def _pairs(lines: list[bytes]) -> list[Pair]:
    return [(_text(name), _text(value)) for name, _, value in (line.partition(b": ") for line in lines if line)]


def _text(data: bytes) -> str:
    """Field values are bytes: UTF-8 where they are, each byte a character else."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
