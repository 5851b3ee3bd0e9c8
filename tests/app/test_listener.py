"""A listener listens on all of its sockets or on none."""

import asyncio
import errno
import socket
import ssl

import pytest

from proxy.app.errors import CannotListen
from proxy.app.listener import Listener
from proxy.net.addresses import bind_shared
from proxy.net.server import Server, listen_on
from proxy.net.tap import Tap
from proxy.net.upstream import Upstreams
from tests.net.harness import route, settings_of, settles


@pytest.mark.parametrize("bad", [0, 1, 2])
async def test_where_one_socket_fails_nobody_is_taken(monkeypatch: pytest.MonkeyPatch, bad: int):
    """What listened before it is closed again, and so is what would have come after it."""
    settings = settings_of(route(9))
    listener = Listener(settings.sites[0], settings, Upstreams(), Tap())
    sockets = [bind_shared("127.0.0.1", 0, None)[0] for _ in range(3)]
    ports = [one.getsockname()[1] for one in sockets]

    async def listens(server: Server, bound: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        if bound is sockets[bad]:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return await listen_on(server, bound, tls)

    monkeypatch.setattr("proxy.app.listener.listen_on", listens)
    with pytest.raises(CannotListen):
        await listener.open(None, sockets)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    assert await settles(lambda: all(one.fileno() < 0 for one in sockets))
