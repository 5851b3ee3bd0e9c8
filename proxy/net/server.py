"""Listens: aiohttp's low-level server with our protocol, and the stop that lets streams end.

aiohttp parses, limits, keeps alive and terminates TLS; it has no part in routing, and its writers are not used.
"""

import asyncio
import socket
import ssl
import sys
from typing import Any, cast

from aiohttp import web
from aiohttp.http_parser import HttpRequestParser, HttpRequestParserPy

from proxy.core.errors import MAX_FIELDS
from proxy.net.addresses import BACKLOG
from proxy.net.client_connection import ClientConnection
from proxy.net.handler import Handler
from proxy.net.request import Request

PARSES_STRICTLY = HttpRequestParser is not HttpRequestParserPy
"""Whether requests are read by llhttp. Where its C extension is missing, aiohttp reads them in Python, and takes more
for a message: that is what request smuggling is made of."""
READ_BUFFER_BYTES = 64 * 1024
_TLS_SHUTDOWN_S = 1.0
# From Python 3.13 on both loops remove the file of a Unix socket with the first of those who listen on it.
_KEEPING_PATH: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}


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


async def listen_on(server: Server, bound: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
    """Has a bound socket, which it closes at its end. Takes connections from `start_serving` on. Errors: OSError."""
    loop = asyncio.get_running_loop()
    options: dict[str, Any] = {
        "sock": bound,
        "ssl": tls,
        "backlog": BACKLOG,
        "ssl_shutdown_timeout": _TLS_SHUTDOWN_S if tls else None,
        "start_serving": False,
    }
    if bound.family == socket.AF_UNIX:
        return await loop.create_unix_server(server, **options, **_KEEPING_PATH)
    return await loop.create_server(server, **options)
