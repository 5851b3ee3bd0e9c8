"""Listens: aiohttp's low-level server with our protocol, and the stop that lets streams end.

aiohttp parses, limits, keeps alive and terminates TLS; it has no part in routing, and its writers are not used.
"""

import asyncio
import errno
import os
import re
import socket
import ssl
from typing import Any, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.streams import StreamReader

from proxy.core.errors import (
    ClientError,
    NotImplementedByProxy,
    ProxyError,
    RequestHeadTooLarge,
    TargetTooLong,
)
from proxy.core.forwarding import plain_ip
from proxy.core.message import Peer
from proxy.net.handler import Handler
from proxy.net.relay import Relay
from proxy.net.sockets import tune
from proxy.net.tail import Tail
from proxy.net.tunnel import Tunnel

# Above this a client counts as slow and the upstream is paused; below the second it is read on.
HIGH_WATER_BYTES, LOW_WATER_BYTES = 64 * 1024, 16 * 1024
READ_BUFFER_BYTES = 64 * 1024
MAX_FIELDS = 128
# Bytes of chunk sizes, extensions and trailers in one request body: this many, and this many for each of the body.
OVERHEAD_BYTES, OVERHEAD_FACTOR = 320 * 1024, 16
BACKLOG = 4096
# What aiohttp's message quotes, where the line is a request's and only its method is unknown: RFC 9110 section 9.1.
_REQUEST_LINE = re.compile(r"b['\"][!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP/1\.[01]")
_TLS_SHUTDOWN_S = 1.0


class ClientConnection(web.RequestHandler):
    """One client's connection: aiohttp's protocol, which also tells the relay when the client falls behind."""

    __slots__ = ("_abort_timer", "_handler", "_overhead_bytes", "_tunnel", "body", "peer", "relay", "tail")

    def __init__(self, manager: "Server", **options: Any) -> None:
        super().__init__(manager, **options)
        self._handler = manager.handler
        self._abort_timer: asyncio.TimerHandle | None = None
        self.relay: Relay | Tunnel | None = None
        self._tunnel: Tunnel | None = None
        self._overhead_bytes = 0
        self.body: StreamReader | None = None
        """The body of the request being served."""
        self.tail: Tail | None = None
        self.peer = Peer("", False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        self.tail = Tail(transport)
        accepted = transport.get_extra_info("socket")
        if accepted is not None:
            tune(accepted)
        name = transport.get_extra_info("peername")
        ip = plain_ip(name[0]) if isinstance(name, tuple) else ""
        self.peer = Peer(ip, transport.get_extra_info("sslcontext") is not None)
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Bytes of the client, up to several requests.

        aiohttp's parser forgets the requests of one call when something behind them is malformed: it is given no more
        than one head at a time.
        """
        start, end = 0, data.find(b"\r\n\r\n") + 4
        while 3 < end < len(data) and not self._is_inside_body():
            super().data_received(data[start:end])
            start, end = end, data.find(b"\r\n\r\n", end) + 4
        body = self.body
        taken = 0 if body is None else body.total_bytes
        super().data_received(data[start:] if start else data)
        if body is not None and not body.is_eof():
            # What aiohttp holds back while reading is paused counts for a while, and is less than this limit.
            self._overhead_bytes += len(data) - start - (body.total_bytes - taken)
            if self._overhead_bytes > OVERHEAD_BYTES + OVERHEAD_FACTOR * body.total_bytes:
                body.set_exception(web.RequestPayloadError("too much framing"))
                return
        self._find_fault()

    def serve(self, body: StreamReader) -> None:
        """The turn of a request has come, and this is its body."""
        self.body = body
        self._overhead_bytes = 0
        self._find_fault()

    def _is_inside_body(self) -> bool:
        """Whether the request received last is incomplete: blank lines in its body are no ends of heads."""
        body = self._messages[-1][1] if self._messages else self.body
        return self._tunnel is not None or (body is not None and not body.is_eof())

    def _find_fault(self) -> None:
        """Tells the request being served that its body is malformed.

        aiohttp's parser queues its complaint behind that request, and leaves it waiting for the rest. A message behind
        a body that has not ended can be nothing else.
        """
        if self.body is not None and self._messages and not self.body.is_eof():
            self._messages.clear()
            self.body.set_exception(web.RequestPayloadError("malformed"))

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Logs nothing of a body that ends badly after its request was answered: aiohttp closes the connection."""
        cause = options.get("exc_info")
        if not isinstance(cause, web.RequestPayloadError) and not (
            self._force_close and isinstance(cause, RuntimeError)
        ):
            super().log_exception(*args, **options)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        if self.relay is not None:
            self.relay.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        if self.relay is not None:
            self.relay.resume()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone; aiohttp cancels the handler in a later turn, the upstream is left in this one."""
        if self.relay is not None:
            self.relay.client_lost()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if self.tail is not None:
            self.tail.release()
        super().connection_lost(exc)

    def tunnel(self, tunnel: Tunnel) -> None:
        """Ends HTTP: gives everything that comes to the tunnel, what came behind the handshake before this returns."""
        self._tunnel = tunnel
        self.set_parser(cast(Any, tunnel), lambda: None)

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's never keeps the other direction open
        """The client sends no more, which outside a tunnel counts as having left."""
        return self._tunnel is not None and self._tunnel.client_ended()

    def close_after_flush(self, seconds: float) -> None:
        """Closes once everything written has left, or after that time; nothing more is read or served."""
        transport = self.transport
        if transport is not None and not seconds:
            transport.abort()
        self.force_close()
        if transport is not None and seconds and transport.get_write_buffer_size():
            self._abort_timer = self._loop.call_later(seconds, transport.abort)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what aiohttp's parser refused, in our form and without its traceback."""
        return self._handler.refuse_malformed(request, refusal(exc, self.max_line_size))


def refusal(exc: BaseException | None, max_line_size: int) -> ProxyError:
    """Our error for one of aiohttp's parser."""
    if isinstance(exc, LineTooLong):
        # Fields may be one byte longer than the request line, so that the limit in the error tells which it was.
        return TargetTooLong() if exc.args[1] == max_line_size else RequestHeadTooLarge()
    if isinstance(exc, BadHttpMethod) and _REQUEST_LINE.search(exc.message):
        return NotImplementedByProxy()
    if exc is not None and "Too many headers" in str(exc):
        return RequestHeadTooLarge()
    return ClientError()


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


def _refuse_taken(path: str) -> None:
    """Both loops replace a socket file without asking whether somebody listens behind it."""
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
        _refuse_taken(path)
        return await loop.create_unix_server(server, path, ssl=tls, backlog=BACKLOG, ssl_shutdown_timeout=shutdown_s)
    return await loop.create_server(
        server, host, port, ssl=tls, backlog=BACKLOG, reuse_address=True, ssl_shutdown_timeout=shutdown_s
    )
