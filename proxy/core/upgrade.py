"""Switching protocols: what is asked of the upstream, and whether its 101 is the answer to it.

Only WebSocket is tunnelled. Any other upgrade is a hop's own matter and is dropped, `h2c` above all.
Source: RFC 9110 section 7.8, RFC 6455 sections 4.1 and 4.2.2.
"""

from proxy.core import headers
from proxy.core.cors import Cors
from proxy.core.errors import ClientError, RequestRefused, UpgradeFailed
from proxy.core.guard import Hosts, host_name
from proxy.core.message import Field, RequestHead, ResponseHead, field, members

WEBSOCKET = b"websocket"
_CONNECTION = field(b"Connection", b"upgrade")
ASKED = (_CONNECTION, field(b"Upgrade", WEBSOCKET))
"""The fields of a handshake on its way upstream."""


def is_asked(request: RequestHead) -> bool:
    """Whether a request asks for another protocol, whichever, on this connection."""
    return b"upgrade" in request.names and b"upgrade" in members(request.values(b"connection"))


def asks(request: RequestHead) -> bool:
    """Whether a request is a WebSocket handshake. Errors: ClientError for an Upgrade that is no list of names."""
    if not is_asked(request):
        return False
    lines = request.values(b"upgrade")
    if not _is_plain(lines):
        raise ClientError("The Upgrade field holds a character that no protocol's name has.")
    alone = [line.lower() for line in lines] == [WEBSOCKET]  # in a list, aiohttp would not keep what follows
    return request.method == b"GET" and request.version >= (1, 1) and alone


def check_origin(request: RequestHead, host: bytes, hosts: Hosts | None, cors: Cors | None) -> None:
    """Refuses pages of other hosts: browsers let any page open a WebSocket to anywhere. Errors: RequestRefused.

    For a route that carries no key. The page of a dev server on another port of this machine may.
    """
    for origin in request.values(b"origin"):
        if cors is not None and cors.allows(origin):
            continue
        authority = origin.partition(b"://")[2]
        ours = hosts.allow(authority) if hosts else host_name(authority) == host_name(host)
        if not authority or not ours:
            raise RequestRefused("Pages of that origin may not open a WebSocket here: list it in cors.origins.")


def switched(head: ResponseHead, rules: headers.Rules) -> list[Field]:
    """The fields of a 101 on its way to the client, cleaned and changed by the rules like any others.

    Errors: UpgradeFailed for one that names another protocol than the one we asked for, or none.
    """
    lines = head.values(b"upgrade")
    if not _is_plain(lines) or members(lines) != [WEBSOCKET] or b"upgrade" not in members(head.values(b"connection")):
        raise UpgradeFailed
    fields = headers.end_to_end(head.fields, headers.RESPONSE_DROPPED | headers.FRAMING, head.names)
    return [_CONNECTION, (b"upgrade", b"Upgrade", lines[0]), *rules.apply(fields)]


def _is_plain(lines: list[bytes]) -> bool:
    return all(line.isascii() and line.decode("ascii").isprintable() for line in lines)
