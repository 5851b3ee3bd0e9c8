"""Requests, routes and responses to decide about, written as they stand on the wire.

A sample says only what a test is about: everything else is the plainest thing that works.
"""

from typing import Any

from proxy.core.answer import Answer, answer
from proxy.core.forwarding import Forwarding
from proxy.core.framing import of_response
from proxy.core.message import Field, Peer, RequestHead, ResponseHead, field, request_head, response_head
from proxy.core.plan import Forward, Plan, Proxy, Refuse, Reply, plan
from proxy.core.routes import Credential, Match, Origin, Route, Tls, Upstream, ordered
from proxy.core.tracing import Trace

LOOPBACK = Peer("127.0.0.1", secure=False)
SILENT = Forwarding(x_forwarded=False, forwarded=False, x_real_ip=False, via=False)
TRACE = Trace("4bf92f3577b34da6a3ce929d0e0e4736", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
NAMED = b"X-Request-ID: %b\r\ntraceparent: %b\r\n" % tuple(value.encode() for value in TRACE)
KEY = field(b"Authorization", b"Bearer injected")
CREDENTIAL = Credential(
    KEY,
    clears=frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"proxy-authorization"}),
    clears_query=frozenset({b"key", b"api-key", b"api_key", b"access_token"}),
)


def fields(*lines: bytes) -> list[Field]:
    """Fields from lines of the form `Name: value`."""
    return [field(name, value.strip(b" ")) for name, _, value in (line.partition(b":") for line in lines)]


def lines(of: list[Field] | tuple[Field, ...]) -> list[bytes]:
    """The same fields as lines."""
    return [b"%b: %b" % (name, value) for _, name, value in of]


def version(text: bytes) -> tuple[int, int]:
    return int(text[-3:-2]), int(text[-1:])


def request(
    line: bytes = b"GET / HTTP/1.1", *more: bytes, host: bytes | None = b"localhost", peer: Peer = LOOPBACK
) -> RequestHead:
    """A request head with a Host field in front, unless `host` is None."""
    method, target, spoken = line.split(b" ")
    named = [] if host is None else [field(b"Host", host)]
    return request_head(method, target, version(spoken), (*named, *fields(*more)), peer)


def response(line: bytes = b"HTTP/1.1 200 OK", *more: bytes) -> ResponseHead:
    """A response head."""
    spoken, status, reason = line.split(b" ", 2)
    return response_head(int(status), reason, version(spoken), tuple(fields(*more)))


def upstream(
    authority: str = "upstream.example", base_path: bytes = b"", query: bytes = b"", tls: bool = False
) -> Upstream:
    """An upstream on its scheme's default port, or the one in `authority`."""
    host, _, port = authority.partition(":")
    origin = Origin(host, int(port) if port else 443 if tls else 80, Tls() if tls else None)
    return Upstream(origin, authority.encode(), base_path, query)


def route(**changes: Any) -> Route:
    """A route that covers everything and tells the upstream nothing about the client."""
    given: dict[str, Any] = {"name": "r", "match": Match(), "upstream": upstream(), "forwarding": SILENT, **changes}
    return Route(**given)


def proxy(*routes: Route, **changes: Any) -> Proxy:
    """A proxy with these routes, or with the plain one."""
    given: dict[str, Any] = {"instance": b"here", "routes": ordered(routes or (route(),)), **changes}
    return Proxy(**given)


def forward(decided: Plan) -> Forward:
    """The same plan, known to be a Forward."""
    assert isinstance(decided, Forward), decided
    return decided


def refused(decided: Plan) -> tuple[int, str]:
    """Status and token of a plan known to be a Refuse."""
    assert isinstance(decided, Refuse), decided
    return decided.error.status, decided.error.token


def reply(decided: Plan) -> Reply:
    """The same plan, known to be a Reply."""
    assert isinstance(decided, Reply), decided
    return decided


def sent(asked: RequestHead, *routes: Route, **changes: Any) -> list[bytes]:
    """The lines of the head that goes upstream, without the names of the request and the line end at its end."""
    head = forward(plan(proxy(*routes, **changes), asked)).head(TRACE).replace(NAMED, b"")
    assert head.endswith(b"\r\n\r\n")
    return head.removesuffix(b"\r\n\r\n").split(b"\r\n")


def sent_target(target: bytes, **changes: Any) -> bytes:
    """The target that goes upstream, for a GET on a route with these changes."""
    return sent(request(b"GET %b HTTP/1.1" % target), route(**changes))[0].split(b" ")[1]


def answered(head: ResponseHead, asked: RequestHead | None = None, **changes: Any) -> Answer:
    """What the client gets for a response of the upstream, on a route with these changes."""
    decided = forward(plan(proxy(route(**changes)), asked or request()))
    return answer(decided, head, of_response(decided.request.method, head))
