"""Listens: aiohttp's low-level server with our protocol, and the stop that lets streams end.

aiohttp parses, limits, keeps alive and terminates TLS; it has no part in routing, and its writers are not used.
"""

import asyncio
import errno
import os
import socket
import ssl
from typing import Any

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from proxy.core.destinations import resolved_name
from proxy.net.client_connection import ClientConnection
from proxy.net.handler import Handler

PARSES_STRICTLY = HttpRequestParser is not HttpRequestParserPy
"""Whether requests are read by llhttp. Where its C extension is missing, aiohttp reads them in Python, and takes more
for a message: that is what request smuggling is made of."""
READ_BUFFER_BYTES = 64 * 1024
MAX_FIELDS = 128
BACKLOG = 4096
_TLS_SHUTDOWN_S = 1.0


class Server(web.Server):
    """Makes our connections instead of aiohttp's."""

    def __init__(self, handler: Handler, *, keep_alive_s: float, head_bytes: int) -> None:
        super().__init__(handler.handle, handler_cancellation=True)
        self.handler = handler
        self._options: dict[str, Any] = {
            "loop": asyncio.get_running_loop(),
            "keepalive_timeout": keep_alive_s,
            "access_log": None,
            "auto_decompress": False,
            "max_line_size": head_bytes,
            "max_field_size": head_bytes + 1,
            "max_headers": MAX_FIELDS,
            "read_bufsize": READ_BUFFER_BYTES,
            "tcp_keepalive": False,  # `tune` does it
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
        return await loop.create_unix_server(server, path, ssl=tls, backlog=BACKLOG, ssl_shutdown_timeout=shutdown_s)
    name = resolved_name(host) if host is not None else None
    return await loop.create_server(
        server, name, port, ssl=tls, backlog=BACKLOG, reuse_address=True, ssl_shutdown_timeout=shutdown_s
    )
