"""Listens: aiohttp's low-level server with our protocol, and the stop that lets streams end.

aiohttp parses, limits, keeps alive and terminates TLS; it has no part in routing, and its writers are not used.
"""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
import stat
import sys
from typing import Any, cast

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from proxy.core.destinations import resolved_name
from proxy.core.errors import MAX_FIELDS
from proxy.net.client_connection import ClientConnection
from proxy.net.handler import Handler
from proxy.net.request import Request

PARSES_STRICTLY = HttpRequestParser is not HttpRequestParserPy
"""Whether requests are read by llhttp. Where its C extension is missing, aiohttp reads them in Python, and takes more
for a message: that is what request smuggling is made of."""
READ_BUFFER_BYTES = 64 * 1024
BACKLOG = 4096
_TLS_SHUTDOWN_S = 1.0


class Server(web.Server):
    """Makes our connections instead of aiohttp's."""

    def __init__(self, handler: Handler, *, keep_alive_s: float, head_bytes: int) -> None:
        made = cast(Any, handler.handle), cast(Any, Request)  # which is what is used of aiohttp's
        super().__init__(made[0], handler_cancellation=True, request_factory=made[1])
        self.handler = handler
        self._options: dict[str, Any] = {
            "loop": asyncio.get_running_loop(),
            "access_log": None,
            "auto_decompress": False,
            "max_headers": MAX_FIELDS,
            "read_bufsize": READ_BUFFER_BYTES,
            "tcp_keepalive": False,  # `tune` does it
        }
        self.limit(keep_alive_s=keep_alive_s, head_bytes=head_bytes)

    def limit(self, *, keep_alive_s: float, head_bytes: int) -> None:
        """How long connections made from now on may be idle, and how large the heads on them may be."""
        self._options |= {
            "keepalive_timeout": keep_alive_s,
            "max_line_size": head_bytes,
            "max_field_size": head_bytes + 1,
        }

    def __call__(self) -> ClientConnection:
        """The protocol for a new connection."""
        return ClientConnection(self, **self._options)


def refuse_taken(path: str) -> None:
    """Both loops replace a socket file without asking whether somebody listens behind it. Errors: OSError, if so."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


async def listen(
    server: Server, host: str | None, port: int, path: str | None, tls: ssl.SSLContext | None
) -> asyncio.Server:
    """Listens on a Unix socket if there is a `path`, else on TCP; port 0 takes a free one.

    Errors: OSError where the address is taken or not ours, or the path cannot be made.
    """
    loop = asyncio.get_running_loop()
    shutdown_s = _TLS_SHUTDOWN_S if tls else None
    if path is not None:
        refuse_taken(path)
        return await loop.create_unix_server(
            server, path, ssl=tls, backlog=BACKLOG, ssl_shutdown_timeout=shutdown_s, **_keeping_path(loop)
        )
    name = resolved_name(host) if host is not None else None
    return await loop.create_server(
        server, name, port, ssl=tls, backlog=BACKLOG, reuse_address=True, ssl_shutdown_timeout=shutdown_s
    )


async def listen_on(server: Server, bound: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
    """Listens on a socket that is bound already, and closes it at its end. Errors: OSError."""
    loop = asyncio.get_running_loop()
    shutdown_s = _TLS_SHUTDOWN_S if tls else None
    if bound.family == socket.AF_UNIX:
        return await loop.create_unix_server(
            server, sock=bound, ssl=tls, backlog=BACKLOG, ssl_shutdown_timeout=shutdown_s, **_keeping_path(loop)
        )
    return await loop.create_server(server, sock=bound, ssl=tls, backlog=BACKLOG, ssl_shutdown_timeout=shutdown_s)


def _keeping_path(loop: asyncio.AbstractEventLoop) -> dict[str, Any]:
    """From Python 3.13 on asyncio removes the file of a Unix socket with the first of those who listen on it."""
    ours = isinstance(loop, asyncio.BaseEventLoop) and sys.version_info >= (3, 13)
    return {"cleanup_socket": False} if ours else {}


def bind(host: str | None, port: int, path: str | None) -> list[socket.socket]:
    """Sockets that several processes share: each process listens on one of its own, made by `beside`.

    What is bound and does not listen gets no connections, and keeps the port. Errors: OSError where the address is
    taken, also by other processes that share it.
    """
    if path is not None:
        refuse_taken(path)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(path).st_mode):
                os.unlink(path)
        return [_bound(socket.AF_UNIX, path, listening=True)]
    name = resolved_name(host) if host is not None else None
    found = socket.getaddrinfo(name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, where in dict.fromkeys((entry[0], entry[4]) for entry in found):
            _bound(family, where, alone=True).close()
            made.append(_bound(family, where))
    except OSError:
        for one in made:
            one.close()
        raise
    return made


def beside(bound: socket.socket) -> socket.socket:
    """A socket for one more process at the address of a bound one. Errors: OSError.

    A Unix socket cannot be bound twice: its processes take connections from one queue.
    """
    if bound.family == socket.AF_UNIX:
        return bound.dup()
    return _bound(bound.family, bound.getsockname())


def _bound(family: int, where: Any, *, alone: bool = False, listening: bool = False) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        if family != socket.AF_UNIX:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not alone:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(where)
        if listening:
            made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made
