"""Options of the sockets the proxy makes and accepts."""

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest

from .conftest import MakeOrigin, MakeProxy
from .origin import request
from .responses import SSE


@contextlib.contextmanager
def connected_sockets() -> Iterator[list[socket.socket]]:
    """Copies of all connected sockets of this process."""
    copies = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                copies.append(socket.socket(fileno=os.dup(int(number))))
    connected = []
    for copy in copies:
        with contextlib.suppress(OSError):
            copy.getpeername()
            connected.append(copy)
    try:
        yield connected
    finally:
        for copy in copies:
            copy.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="sockets are found through /proc")
async def test_no_socket_of_ours_waits_to_fill_a_packet(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S9. TCP_NODELAY on what was accepted and on what was opened; keep-alive probes find a vanished upstream."""
    one = await origin([request, SSE])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    await client.next_head()
    with connected_sockets() as found:
        tcp = [made for made in found if made.family == socket.AF_INET]
        accepted = [made for made in tcp if made.getsockname()[1] == proxied.port]
        opened = [made for made in tcp if made.getpeername()[1] == one.port]
        assert accepted
        assert opened
        for made in (*accepted, *opened):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert all(made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) for made in opened)
