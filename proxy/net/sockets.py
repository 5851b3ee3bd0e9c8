"""Options of every TCP socket, on both sides.

asyncio leaves Nagle's algorithm on for some listeners, and the kernel takes megabytes for a reader that has stopped.
"""

import asyncio
import contextlib
import os
import socket
import struct
import sys

# Bytes the kernel takes beyond what is on its way: more of it would only hide from us that the other side is slow, for
# it tells that there is room again only when a third of its buffer is free, which may be a minute's worth of a stream.
UNSENT_BYTES = 128 * 1024
# Python 3.11 has no name for it. Source: linux/tcp.h, and netinet/tcp.h of macOS.
_NOTSENT_LOWAT = {"linux": 25, "darwin": 0x201}.get(sys.platform)


# tcpi_bytes_acked in struct tcp_info, of Linux 4.1 and later. Source: linux/tcp.h.
_ACKED_AT, _ACKED = 120, struct.Struct("=Q")

# Somebody who vanished without a word is asked for after a minute and given up after two: by default it takes hours.
_VANISHED = [
    (getattr(socket, name), value)
    for name, value in (
        ("TCP_KEEPIDLE", 60),
        ("TCP_KEEPALIVE", 60),  # what macOS calls it
        ("TCP_KEEPINTVL", 15),
        ("TCP_KEEPCNT", 4),
        ("TCP_USER_TIMEOUT", 120_000),
    )
    if hasattr(socket, name)
]

# SO_LINGER on, for no time at all: close() sends a reset.
_RESET = struct.pack("ii", 1, 0)


def reset_on_close(transport: asyncio.Transport) -> None:
    """Makes the close of this transport a reset, which nobody can take for an orderly end.

    Only while the connection is known to stand: a loop may have given the number of a closed socket to another one.
    """
    connected = transport.get_extra_info("socket")
    if connected is not None:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


def keep_end_behind_bytes(transport: asyncio.Transport) -> None:
    """Over TLS: reads nothing more from the socket, nor its end, while something that was read waits in it.

    asyncio and uvloop drop what waits when the end comes: up to 256 KiB of a connection that is paused, or read in
    pieces.
    """
    if transport.get_extra_info("ssl_object") is not None:
        transport.set_read_buffer_limits(1, 0)  # type: ignore[attr-defined]  # of TLS transports alone


def unsent_bytes(transport: asyncio.WriteTransport) -> int:
    """Bytes that the kernel has not taken yet. asyncio's TLS transport of a lost connection raises instead."""
    try:
        return transport.get_write_buffer_size()
    except AttributeError:
        return 0


def open_again(transport: asyncio.Transport) -> socket.socket:
    """A socket of our own on the transport's connection, which does not block. Errors: OSError where it is closed."""
    number = transport.get_extra_info("socket").fileno()
    again = socket.socket(fileno=os.dup(number))
    again.setblocking(False)
    return again


def bytes_acknowledged(transport: asyncio.Transport) -> int | None:
    """Bytes that the other side's TCP has acknowledged since the connection stands; None where nobody tells."""
    connected = transport.get_extra_info("socket")
    if sys.platform != "linux" or connected is None:
        return None
    try:
        told = connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _ACKED_AT + _ACKED.size)
    except OSError:
        return None
    return int(_ACKED.unpack_from(told, _ACKED_AT)[0]) if len(told) >= _ACKED_AT + _ACKED.size else None


def tune(connected: socket.socket) -> None:
    """Sends small writes at once, notices a peer that vanished, and keeps the kernel's backlog small."""
    if connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in _VANISHED:
        connected.setsockopt(socket.IPPROTO_TCP, option, value)
    if _NOTSENT_LOWAT is not None:
        with contextlib.suppress(OSError):  # a system without it only holds more
            connected.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, UNSENT_BYTES)
