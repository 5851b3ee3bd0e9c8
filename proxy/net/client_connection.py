"""One client's connection: aiohttp's protocol, and what it leaves open.

aiohttp parses, limits and keeps alive. Here are the moments it does not tell of (a client that falls behind, damages a
body, or leaves while nothing is read from it), and the places where its parser would take bytes for what they are not.
"""

import asyncio
import re
import select
from typing import TYPE_CHECKING, Any, cast

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMethod, LineTooLong
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from proxy.core.errors import (
    ClientError,
    NotImplementedByProxy,
    ProxyError,
    RequestHeadTooLarge,
    TargetTooLong,
    TooManyFields,
)
from proxy.core.forwarding import plain_ip
from proxy.core.message import Peer
from proxy.net.downstream import SENT
from proxy.net.relay import Relay
from proxy.net.request import Request
from proxy.net.sockets import keep_end_behind_bytes, tune, unsent_bytes
from proxy.net.tail import Tail
from proxy.net.tracebacks import drop_tracebacks
from proxy.net.tunnel import Tunnel

if TYPE_CHECKING:
    from proxy.net.server import Server

# Above this a client counts as slow and the upstream is paused; below the second it is read on.
HIGH_WATER_BYTES, LOW_WATER_BYTES = 64 * 1024, 16 * 1024
# Bytes of chunk sizes, extensions and trailers in one request body: this many, and this many for each of the body.
OVERHEAD_BYTES, OVERHEAD_FACTOR = 320 * 1024, 16
# The last chunk where nothing follows it. A trailer cannot look like it, as it would need a colon.
_PLAIN_END = b"\r\n0\r\n\r\n"
# How long what a client still sends is read and dropped, so that a reset does not take our answer away from it.
LINGER_S = 5.0
# What aiohttp's message quotes, where the line is a request's and only its method is unknown: RFC 9110 section 9.1.
_REQUEST_LINE = re.compile(r"b['\"][!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP/1\.[01]")
# POLLRDHUP tells of an end although bytes before it are unread; Linux only.
_GONE = select.POLLHUP | select.POLLERR | getattr(select, "POLLRDHUP", 0)


class ClientConnection(web.RequestHandler):
    """One client's connection, from the first byte to the last."""

    __slots__ = (
        "_abort_timer",
        "_ending",
        "_handler",
        "_is_deaf",
        "_last_body",
        "_overhead_bytes",
        "_plainly_ended",
        "_tunnel",
        "body",
        "peer",
        "relay",
        "tail",
    )

    def __init__(self, manager: "Server", **options: Any) -> None:
        super().__init__(manager, **options)
        self._handler = manager.handler
        self._abort_timer: asyncio.TimerHandle | None = None
        self.relay: Relay | Tunnel | None = None
        self._tunnel: Tunnel | None = None
        self._is_deaf = False
        self._last_body: StreamReader | None = None
        """That of a request behind which aiohttp reads no other."""
        self._overhead_bytes = 0
        self._ending = b""
        self._plainly_ended: StreamReader | None = None
        self.body: StreamReader | None = None
        """The body of the request being served, or served last."""
        self.tail: Tail | None = None
        self.peer = Peer("", False)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)
        keep_end_behind_bytes(transport)
        self.tail = Tail(transport)
        accepted = transport.get_extra_info("socket")
        if accepted is not None:
            tune(accepted)
        name = transport.get_extra_info("peername")
        ip = plain_ip(name[0]) if isinstance(name, tuple) else ""
        self.peer = Peer(ip, transport.get_extra_info("sslcontext") is not None)
        super().connection_made(transport)

    # What comes.

    def data_received(self, data: bytes) -> None:
        """Bytes of the client, up to several requests.

        aiohttp's parser forgets the requests of one call when something behind them is malformed: it is given no more
        than one head at a time, up to the first body.
        """
        self._ending = (data if len(data) >= len(_PLAIN_END) else self._ending + data)[-len(_PLAIN_END) :]
        start, end = 0, data.find(b"\r\n\r\n") + 4
        while 3 < end < len(data) and not self._is_inside_body():
            self._parse(data[start:end])
            start, end = end, data.find(b"\r\n\r\n", end) + 4
        self._parse(data[start:] if start else data)
        if self.transport is not None and not self.transport.is_reading():
            self._handler.watch(self)

    def _parse(self, data: bytes) -> None:
        if self._is_deaf and self._tunnel is None:
            return
        body = self.body
        taken = 0 if body is None else body.total_bytes
        super().data_received(data)
        messages = self._messages
        last = messages[-1][1] if messages else body
        if messages and getattr(messages[-1][0], "upgrade", False) and self._leaves_http(messages[-1][0]):
            self._last_body = last
        if self._last_body is not None and self._last_body.is_eof():
            self._is_deaf = True
        if last is not None and last is not EMPTY_PAYLOAD and last.is_eof() and self._ending.endswith(_PLAIN_END):
            self._plainly_ended = last
        if body is None or body is EMPTY_PAYLOAD or body.is_eof():
            return
        # What aiohttp holds back while reading is paused counts for a while, and is less than this limit.
        self._overhead_bytes += len(data) - (body.total_bytes - taken)
        if self._overhead_bytes > OVERHEAD_BYTES + OVERHEAD_FACTOR * body.total_bytes:
            self._spoil(body, "too much framing")
        elif messages:
            self._find_fault()

    def _leaves_http(self, message: Any) -> bool:
        """Whether aiohttp loses what comes behind this upgrade: it keeps only what follows a WebSocket handshake."""
        return str(message.headers.get("Upgrade", "")).lower() != "websocket"

    def ended_plainly(self, body: StreamReader) -> bool:
        """Whether a chunked body ended with the last bytes of a read, and without trailers.

        aiohttp's parser adds the last trailer to the fields of the next request.
        """
        return self._plainly_ended is body

    def serve(self, body: StreamReader) -> None:
        """The turn of a request has come, and this is its body."""
        self.body = body
        self._overhead_bytes = 0
        if self._messages:
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
            for complaint, _ in self._messages:
                drop_tracebacks(cast(Any, complaint).exc)
            self._messages.clear()
            self._spoil(self.body, "malformed")

    def _spoil(self, body: StreamReader, why: str) -> None:
        """Tells whoever reads a body that it will not be whole.

        Twice: a reader that the end of a chunk has just woken waits once more without looking, and would for ever.
        """
        fault = web.RequestPayloadError(why)
        body.set_exception(fault)
        self._loop.call_soon(body.set_exception, fault)

    def tunnel(self, tunnel: Tunnel) -> None:
        """Ends HTTP: gives everything that comes to the tunnel, what came behind the handshake before this returns."""
        self._tunnel = tunnel
        self.set_parser(cast(Any, tunnel), lambda: None)

    # How the client takes what is sent.

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        if self.relay is not None:
            self.relay.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        super().resume_writing()
        # Later: who closes the transport in this turn makes asyncio's report the end of the connection twice.
        self._loop.call_soon(self._resume_relay)

    def _resume_relay(self) -> None:
        if self.relay is not None and not self.writing_paused:
            self.relay.resume()

    # The end.

    def eof_received(self) -> bool:  # type: ignore[override] # aiohttp's never keeps the other direction open
        """The client sends no more, which outside a tunnel counts as having left."""
        return self._tunnel is not None and self._tunnel.client_ended()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone; aiohttp cancels the handler in a later turn, the upstream is left in this one."""
        if exc is not None:  # aiohttp keeps it with the request; asyncio's comes from a write, and so from an exchange
            drop_tracebacks(exc)
        if self.relay is not None:
            self.relay.client_lost()
        if self._abort_timer is not None:
            self._abort_timer.cancel()
        if self.tail is not None:
            self.tail.release()
        super().connection_lost(exc)
        # They refer to their connection: in a circle all would stay until the collector comes, which is rare here.
        self.body = self._last_body = self._plainly_ended = self._tunnel = None

    def check(self, now: float) -> None:
        """Looks whether a client that is not being read from has left: nothing else would tell. Called by a sweeper."""
        if self.transport is None or self.transport.is_reading():
            self._handler.unwatch(self)
            return
        poller = select.poll()
        gone = _GONE if self._tunnel is None else select.POLLHUP | select.POLLERR  # in a tunnel an end is just one
        poller.register(self.transport.get_extra_info("socket").fileno(), gone)
        if poller.poll(0):
            self.transport.abort()

    async def linger(self) -> None:
        """Ends our direction, and drops what the client still sends until it ends its own, or for a while.

        Closed with bytes unread, the connection would be reset, and the client might lose the answer. RFC 9112 9.6.
        """
        self._is_deaf = True
        if self.transport is not None and not self.transport.is_closing():
            if self.transport.can_write_eof():
                self.transport.write_eof()
            await asyncio.sleep(LINGER_S)

    def close_after_flush(self, seconds: float) -> None:
        """Closes once everything written has left, or after that time; nothing more is read or served."""
        transport = self.transport
        if transport is not None and not seconds:
            transport.abort()
        self.force_close()
        if transport is not None and seconds and unsent_bytes(transport):
            self._abort_timer = self._loop.call_later(seconds, transport.abort)

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Ends an answer that is out: mostly without aiohttp's steps, all of them empty, a fiftieth of a request."""
        if resp is SENT and not self._upgraded:
            return resp, False
        return await super().finish_response(request, resp, start_time)

    # What aiohttp would answer and log in its own words.

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what aiohttp's parser refused, in our form and without its traceback."""
        error = refusal(exc, self.max_line_size)
        if exc is not None:
            drop_tracebacks(exc)
        return self._handler.refuse_malformed(cast(Request, request), error)

    def log_exception(self, *args: Any, **options: Any) -> None:
        """Logs nothing of a body that ends badly after its request was answered: aiohttp closes the connection."""
        cause = options.get("exc_info")
        is_ended_body = isinstance(cause, web.RequestPayloadError) or (
            self._force_close and isinstance(cause, RuntimeError)
        )
        if not is_ended_body:
            super().log_exception(*args, **options)


def refusal(exc: BaseException | None, max_line_size: int) -> ProxyError:
    """Our error for one of aiohttp's parser."""
    if isinstance(exc, LineTooLong):
        # Fields may be one byte longer than the request line, so that the limit in the error tells which it was.
        return TargetTooLong() if exc.args[1] == max_line_size else RequestHeadTooLarge()
    if isinstance(exc, BadHttpMethod) and _REQUEST_LINE.search(exc.message):
        return NotImplementedByProxy()
    if exc is not None and "Too many headers" in str(exc):
        return TooManyFields()
    return ClientError()
