"""Decides what to do with a request, and only once for a head that comes again.

Most clients repeat their heads byte for byte but for the length of a body and the names of the request: SDKs, pages,
probes. A plan is a function of the head and the configuration alone, so that it may be kept. A head that is known costs
a twentieth of one that is not, which with a dozen fields is a third of all that a request costs.
"""

from random import getrandbits

from multidict import istr

from proxy.core.framing import Body
from proxy.core.message import Peer, RequestHead, request_head
from proxy.core.plan import Forward, Plan, Proxy, plan
from proxy.core.tracing import CHANCE_BITS, Trace, trace
from proxy.net.request import Request

# How many heads are kept, the oldest going for a new one, and how large one may be. A client that never repeats itself
# wins nothing and costs no more than this.
KEPT = 512
KEPT_BYTES = 4096
_LENGTH_NAMES = frozenset({b"Content-Length", b"content-length"})
_TRACE_NAMES = frozenset({b"X-Request-ID", b"X-Request-Id", b"x-request-id", b"traceparent", b"Traceparent"})
# Looked up in every request: istr saves folding the case each time.
_REQUEST_ID, _TRACEPARENT = istr("X-Request-ID"), istr("traceparent")


class Planner:
    """The decisions of one configuration."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._known: dict[object, Forward] = {}

    def plan(self, request: Request, peer: Peer, trace: Trace) -> tuple[RequestHead, Plan]:
        """The request's head, and what to do with it. `trace` are the names that the request goes by."""
        fields = request.raw_headers
        changing = _changing(request, trace)
        shape: object = fields
        if changing:
            # As many bytes make a head of the same size, which is limited.
            others: list[object] = list(fields)
            for at in changing:
                others[at] = fields[at][0], len(fields[at][1])
            shape = tuple(others)
        key = request.method, request.raw_path, request.version, peer, shape
        known = self._known.get(key)
        if known is not None and changing:
            known = _changed(known, fields, changing)
        return (known.request, known) if known is not None else self._decide(request, peer, key)

    def _decide(self, request: Request, peer: Peer, key: object) -> tuple[RequestHead, Plan]:
        """Decides anew, and keeps what was decided if it may come again."""
        head = read(request, peer)
        decided = plan(self._proxy, head)
        if isinstance(decided, Forward) and _may_come_again(decided, head):
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = decided
        return head, decided


def _may_come_again(forward: Forward, head: RequestHead) -> bool:
    """Whether a head is worth keeping: not a handshake's, whose key is its own, nor one read as if it were another."""
    return not forward.tunnel and forward.request is head and head.size <= KEPT_BYTES


def named(request: Request) -> Trace:
    """The names by which a request goes: its own if they are well-formed, else new ones."""
    fields = request.headers
    if _REQUEST_ID not in fields and _TRACEPARENT not in fields:
        return trace((), (), getrandbits(CHANCE_BITS))
    return trace(fields.getall(_REQUEST_ID, ()), fields.getall(_TRACEPARENT, ()), getrandbits(CHANCE_BITS))


def read(request: Request, peer: Peer) -> RequestHead:
    """aiohttp's request in our types: the bytes as received."""
    version = request.version
    return request_head(
        request.method.encode("ascii"),
        request.raw_path.encode("utf-8", "surrogateescape"),
        (version.major, version.minor),
        tuple([(name.lower(), name, value) for name, value in request.raw_headers]),
        peer,
    )


def _changing(request: Request, trace: Trace) -> list[int]:
    """Which fields differ from one request of a client to the next, and change nothing that is decided: the length of
    the body, and names that were kept."""
    fields = request.headers
    if not request.body_exists and _REQUEST_ID not in fields and _TRACEPARENT not in fields:
        return []
    return [
        at
        for at, (name, value) in enumerate(request.raw_headers)
        if name in _LENGTH_NAMES or (name in _TRACE_NAMES and value.decode("latin-1") in trace)
    ]


def _changed(known: Forward, fields: tuple[tuple[bytes, bytes], ...], changing: list[int]) -> Forward | None:
    """What is known, for other values of those fields; None where the length of the body has to be judged."""
    route, request, lines, body, host, tunnel, told, ways = known
    others = list(request.fields)
    for at in changing:
        name, value = fields[at]
        key = others[at][0]
        if key == b"content-length":
            counted = _counted(value, route.limits.request_body)
            if counted is None:
                return None
            body = counted
        others[at] = key, name, value
    again = tuple.__new__(RequestHead, (*request[:3], tuple(others), *request[4:]))
    return tuple.__new__(Forward, (route, again, lines, body, host, tunnel, told, ways))


def _counted(length: bytes, limit: int | None) -> Body | None:
    """The body of such a length; None where it is empty, over the limit, or no number."""
    if not length.isdigit() or not (size := int(length)) or (limit is not None and size > limit):
        return None
    return Body("length", size)
