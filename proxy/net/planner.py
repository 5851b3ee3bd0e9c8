"""Decides what to do with a request, and only once for a head that comes again.

Most clients repeat their heads byte for byte but for the length of a body: SDKs, pages, probes. A plan is a function of
the head and the configuration alone, so that it may be kept. A head that is known costs a twentieth of one that is not,
which with a dozen fields is a third of all that a request costs.
"""

from typing import NamedTuple

from aiohttp import web

from proxy.core.framing import Body
from proxy.core.message import Fields, Peer, RequestHead, request_head
from proxy.core.plan import Forward, Plan, Proxy, plan

# How many heads are kept, the oldest going for a new one, and how large one may be. A client that never repeats itself
# wins nothing and costs no more than this.
KEPT = 512
KEPT_BYTES = 4096
_LENGTH_NAMES = frozenset({b"Content-Length", b"content-length"})


class _Known(NamedTuple):
    forward: Forward
    fields: Fields
    """Those of its request, but for Content-Length."""


class Planner:
    """The decisions of one configuration."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._known: dict[object, _Known] = {}

    def plan(self, request: web.BaseRequest, peer: Peer) -> tuple[RequestHead, Plan]:
        """The request's head, and what to do with it."""
        fields = request.raw_headers
        at = _length_at(request) if request.body_exists else -1
        if at < 0:
            key: object = request.method, request.raw_path, request.version, peer, fields
            known = self._known.get(key)
            return (known.forward.request, known.forward) if known is not None else self._decide(request, peer, key, at)
        name, length = fields[at]
        # As many digits make a head of the same size, which is limited.
        others = (*fields[:at], len(length), *fields[at + 1 :])
        key = request.method, request.raw_path, request.version, peer, others
        known = self._known.get(key)
        forward = _with_length(known, at, name, length) if known is not None else None
        return (forward.request, forward) if forward is not None else self._decide(request, peer, key, at)

    def _decide(self, request: web.BaseRequest, peer: Peer, key: object, at: int) -> tuple[RequestHead, Plan]:
        """Decides anew, and keeps what was decided if it may come again."""
        head = read(request, peer)
        decided = plan(self._proxy, head)
        if isinstance(decided, Forward) and _may_come_again(decided, head):
            while len(self._known) >= KEPT:
                del self._known[next(iter(self._known))]
            self._known[key] = _Known(decided, head.fields if at < 0 else head.fields[:at] + head.fields[at + 1 :])
        return head, decided


def _may_come_again(forward: Forward, head: RequestHead) -> bool:
    """Whether a head is worth keeping: not a handshake's, whose key is its own, nor one read as if it were another."""
    return not forward.tunnel and forward.request is head and head.size <= KEPT_BYTES


def read(request: web.BaseRequest, peer: Peer) -> RequestHead:
    """aiohttp's request in our types: the bytes as received."""
    version = request.version
    return request_head(
        request.method.encode("ascii"),
        request.raw_path.encode("utf-8", "surrogateescape"),
        (version.major, version.minor),
        tuple([(name.lower(), name, value) for name, value in request.raw_headers]),
        peer,
    )


def _length_at(request: web.BaseRequest) -> int:
    """Which field says the length of the body; -1 for none."""
    for at, (name, _) in enumerate(request.raw_headers):
        if name in _LENGTH_NAMES:
            return at
    return -1


def _with_length(known: _Known, at: int, name: bytes, length: bytes) -> Forward | None:
    """What is known, for another length of the body; None where the length itself has to be judged."""
    route, request, lines, _, host, tunnel = known.forward
    limit = route.limits.request_body
    if not length.isdigit() or not (size := int(length)) or (limit is not None and size > limit):
        return None
    fields = (*known.fields[:at], (b"content-length", name, length), *known.fields[at:])
    again = tuple.__new__(RequestHead, (*request[:3], fields, *request[4:]))
    return tuple.__new__(Forward, (route, again, lines, Body("length", size), host, tunnel))
