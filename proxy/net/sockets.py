"""Options of every TCP socket, on both sides.

asyncio leaves Nagle's algorithm on for some listeners, and the kernel takes megabytes for a reader that has stopped.
"""

import contextlib
import socket
import sys

# Bytes the kernel takes beyond what is on its way: more of it would only hide from us that the other side is slow, for
# it tells that there is room again only when a third of its buffer is free, which may be a minute's worth of a stream.
UNSENT_BYTES = 128 * 1024
# Python 3.11 has no name for it. Source: linux/tcp.h, and netinet/tcp.h of macOS.
_NOTSENT_LOWAT = {"linux": 25, "darwin": 0x201}.get(sys.platform)


def tune(connected: socket.socket) -> None:
    """Sends small writes at once, notices a peer that vanished, and keeps the kernel's backlog small."""
    if connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if _NOTSENT_LOWAT is not None:
        with contextlib.suppress(OSError):  # a system without it only holds more
            connected.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT_BYTES)
