"""One HTTP/1.1 connection to an origin, seen from the client's side: one exchange at a time, pushed as it arrives.

The parser's callbacks fill plain lists and `buffer_updated` hands on what one read brought, in the same turn of the
loop and in one call: no task, queue or future stands between two events. This module parses and tells; whether a
response may be used is decided in `core.answer`, what to do with it in `handler`.

httptools calls a 1xx a whole message, cannot be told that the request was HEAD, and knows no end of input; the places
below that look roundabout are there for these three.
"""

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from proxy.core.answer import Body, response_body
from proxy.core.errors import (
    ConnectionTerminated,
    ProxyError,
    ResponseHeadTooLarge,
    ResponseIncomplete,
    ResponseMalformed,
    UpgradeFailed,
)
from proxy.core.message import Field, Framing, ResponseHead

READ_BYTES = 64 * 1024
# Body bytes kept while nobody takes them yet: between the head and `attach`.
HELD_BYTES = 64 * 1024
MAX_INTERIM = 32
# SO_LINGER on, for no time at all: close() sends a reset.
RESET_ON_CLOSE = struct.pack("ii", 1, 0)

# One buffer for every connection of the process: a loop fills it and calls `buffer_updated` before it does anything
# else, and the parser copies what it hands out. Spares an allocation and a copy a read, and 64 KiB a connection.
_buffer = bytearray(READ_BYTES)
_view = memoryview(_buffer)


class Receiver(Protocol):
    """Who gets the body. Called from the event loop's read callback: must not block, and may pause the connection."""

    def receive(self, data: bytes, last: bool) -> None:
        """What one read brought, possibly empty when `last`."""

    def failed(self, error: ProxyError) -> None:
        """The body will not be complete; nothing follows."""


class Connection(asyncio.BufferedProtocol):
    """A connection to an origin.

    Life of an exchange: `begin`, `write` and `wait_writable` for the request, `wait_head`, `attach`; the pool then
    looks at `reusable`. A failure reaches whoever waits: `wait_head` raises it, else the receiver is told.
    """

    __slots__ = (
        "_body",
        "_complete",
        "_failure",
        "_fields",
        "_head",
        "_head_bytes",
        "_head_limit",
        "_head_waiter",
        "_interims",
        "_keep_alive",
        "_loop",
        "_method",
        "_on_interim",
        "_on_lost",
        "_overhead_bytes",
        "_parser",
        "_paused",
        "_pieces",
        "_reason",
        "_receiver",
        "_transport",
        "_write_waiter",
        "_writing_paused",
        "born",
        "idle_since",
        "last_read_at",
        "on_body",
        "request_sent",
        "used",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._on_lost: Callable[[Connection], None] | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._writing_paused = False
        self.born = time.monotonic()
        self.idle_since = 0.0
        self.last_read_at = 0.0
        self.used = 0
        self._pieces: list[bytes] = []
        # httptools takes its callbacks from attributes: a list's own method spares a Python call per chunk.
        self.on_body = self._pieces.append
        self._reset(b"", None, None)
        self._complete = self.request_sent = True

    def _reset(self, method: bytes, head_limit: int | None, on_interim: Callable[[ResponseHead], None] | None) -> None:
        self._method, self._head_limit, self._on_interim = method, head_limit, on_interim
        self._fields: list[Field] = []
        self._reason = b""
        self._head: ResponseHead | None = None
        self._head_bytes = self._overhead_bytes = 0
        self._head_waiter: asyncio.Future[None] | None = None
        self._interims = 0
        self._body = Body(Framing.NONE)
        self._pieces.clear()
        self._complete = False
        self._keep_alive = False
        self._paused = False
        self._receiver: Receiver | None = None
        self._failure: ProxyError | None = None
        self.request_sent = False

    # The exchange, called by the handler and the pool.

    def begin(
        self, method: bytes, head_limit: int | None, on_interim: Callable[[ResponseHead], None] | None = None
    ) -> None:
        """Starts an exchange: what comes from now on answers this request. `head_limit` is in bytes, None is none."""
        self._reset(method, head_limit, on_interim)
        self.used += 1
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)

    def write(self, data: bytes) -> None:
        """Sends bytes of the request; `wait_writable` says when more are welcome."""
        if self._transport is not None and self._failure is None:
            self._transport.write(data)

    async def wait_writable(self) -> None:
        """Returns when the upstream has taken enough for more to be sent, or will never take any."""
        if self._writing_paused and self._transport is not None:
            self._write_waiter = self._loop.create_future()
            await self._write_waiter

    @property
    def writing_paused(self) -> bool:
        """Whether the upstream is slower than the request that is sent to it."""
        return self._writing_paused

    def unsent(self) -> int:
        """Bytes of the request that the kernel has not taken yet."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    async def wait_head(self) -> ResponseHead:
        """The final response head. Errors: UpstreamError, or what was given to `fail`."""
        if self._head is None and self._failure is None:
            self._head_waiter = self._loop.create_future()
            try:
                await self._head_waiter
            finally:
                self._head_waiter = None
        if self._failure is not None:
            raise self._failure
        assert self._head is not None
        return self._head

    @property
    def body(self) -> Body:
        """How the response body ends; valid once there is a head."""
        return self._body

    @property
    def head(self) -> ResponseHead | None:
        """The final response head, as soon as it is there."""
        return self._head

    def attach(self, receiver: Receiver) -> None:
        """Gives the body to a receiver, from its first byte on; what is there already arrives before this returns."""
        self._receiver = receiver
        self.resume()  # where too much had come to be held
        if self._pieces or self._complete:
            self._deliver()
        if self._failure is not None:
            receiver.failed(self._failure)

    def pause(self) -> None:
        """Stops reading: the kernel's buffer fills, and the upstream has to wait."""
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads on after `pause`."""
        if self._paused:
            self._paused = False
            if self._transport is not None and not self._transport.is_closing():
                self.last_read_at = time.monotonic()  # silence while we did not listen is not the upstream's
                self._transport.resume_reading()

    @property
    def complete(self) -> bool:
        """Whether the response was read to its end."""
        return self._complete

    @property
    def reusable(self) -> bool:
        """Whether another exchange may follow. Source: RFC 9112 sections 9.3 and 9.6."""
        return (
            self._complete
            and self._keep_alive
            and self.request_sent
            and self._failure is None
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def rest(self, on_lost: Callable[["Connection"], None]) -> None:
        """Begins to be idle: whatever arrives or ends now makes the connection unusable, and its end is told."""
        self._on_lost = on_lost
        self._receiver = None
        self._on_interim = None
        self.idle_since = time.monotonic()
        if self._paused:
            self.resume()

    def leave_idle(self) -> None:
        """Ends being idle: from now on an end concerns the exchange."""
        self._on_lost = None

    def fail(self, error: ProxyError) -> None:
        """Ends the exchange and the connection with that error, which reaches whoever waits. Later ones are ignored."""
        if self._failure is not None:
            return
        self._failure = error
        self._abort()
        self._wake()
        if self._receiver is not None and not self._complete:
            self._receiver.failed(error)

    def close(self) -> None:
        """Closes at once; nobody is told."""
        self._receiver = None
        self._on_lost = None
        self._abort()

    def _abort(self) -> None:
        """Closes; with a reset while the request is incomplete.

        An upstream that has stopped reading would not see an end behind the bytes it does not take, and one that reads
        must not take a part for a whole.
        """
        if self._transport is None:
            return
        if not self.request_sent:
            connected = self._transport.get_extra_info("socket")
            if connected is not None and not self._transport.is_closing():
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        self._transport.abort()

    def _wake(self) -> None:
        if self._head_waiter is not None and not self._head_waiter.done():
            self._head_waiter.set_result(None)
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    # asyncio's protocol, called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name

    def get_buffer(self, sizehint: int) -> bytearray:
        """The shared buffer; what is in it has been used up by the time this is called again."""
        return _buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Parses one read and hands on the body bytes in it. Runs once per event."""
        parser = self._parser
        if parser is None or self._complete:
            self._unexpected()
            return
        self.last_read_at = time.monotonic()
        if self._head is None:
            self._head_bytes += nbytes
        failure = None
        try:
            parser.feed_data(_view[:nbytes])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            failure = self._mapped(error)
        pieces, receiver = self._pieces, self._receiver
        if pieces and self._body.framing is Framing.NONE:
            self._keep_alive = False  # bytes after the end: never part of a response
            pieces.clear()
        if pieces or self._complete:
            self._overhead_bytes = 0
            if receiver is not None:
                data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                pieces.clear()
                receiver.receive(data, self._complete)
            elif sum(map(len, pieces)) > HELD_BYTES:
                self.pause()
        elif failure is None:
            failure = self._too_much(nbytes)
        if failure is not None:
            self.fail(failure)

    def _too_much(self, nbytes: int) -> ProxyError | None:
        """What to say of a read without a body byte: heads, chunk extensions and trailers have to end some time."""
        if self._head is not None:
            self._overhead_bytes += nbytes
        limit = self._head_limit
        if limit is not None and (self._overhead_bytes if self._head else self._head_bytes) > limit:
            return ResponseHeadTooLarge()
        return None

    def _mapped(self, error: Exception) -> ProxyError | None:
        """Ours for the parser's; None where the response had ended before the fault."""
        if self._complete:
            self._keep_alive = False
            return None
        if isinstance(error, httptools.HttpParserUpgrade):
            return UpgradeFailed()
        cause = error.__context__
        return cause if isinstance(cause, ProxyError) else ResponseMalformed()

    def _deliver(self) -> None:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        assert self._receiver is not None
        self._receiver.receive(data, self._complete)

    def _unexpected(self) -> None:
        """Bytes nobody asked for: never a response, and never a connection to use again. RFC 9112 section 9.2."""
        self._keep_alive = False
        if self._transport is not None:
            self._transport.abort()

    def eof_received(self) -> bool:
        """A clean end of the upstream's bytes: the end of a body that has no other. Source: RFC 9112 section 6.3."""
        if self._head is not None and not self._complete and self._body.framing is Framing.CLOSE:
            self._complete = True
            if self._receiver is not None:
                self._deliver()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: the end of an exchange under way, or of the wait for one."""
        self._transport = None
        self._parser = None
        if self._on_lost is not None:
            self._on_lost(self)
        elif not self._complete and self._failure is None:
            inside_head = self._head is None and self._head_bytes > 0
            self.fail(ResponseIncomplete() if inside_head else ConnectionTerminated())
        self._wake()

    def pause_writing(self) -> None:
        """The upstream takes the request more slowly than it arrives."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The upstream has caught up."""
        self._writing_paused = False
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    # httptools' callbacks. What they raise comes out of feed_data as the context of a HttpParserError.

    def on_message_begin(self) -> None:
        """The first byte of a response, or of something after it that nobody asked for. RFC 9112 section 9.2."""
        if self._complete:
            self._keep_alive = False

    def on_status(self, reason: bytes) -> None:
        """A part of the reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head; those of a trailer section are dropped.

        Empty names and control characters never come here: the parser refuses them.
        """
        if self._head is None:
            self._fields.append((name.lower(), name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """The head is whole: interim heads are told and forgotten, the final one is what `wait_head` waits for."""
        parser = self._parser
        assert parser is not None
        if self._head is not None:
            raise ResponseMalformed
        version = (1, 0) if parser.get_http_version() == "1.0" else (1, 1)
        head = ResponseHead(parser.get_status_code(), self._reason, version, tuple(self._fields))
        self._fields, self._reason = [], b""
        self._check_head(head, parser.get_http_version())
        if head.status < 200:
            if head.status != 101:  # httptools raises HttpParserUpgrade for it
                self._interim(head)
            return
        self._body = response_body(self._method, head)
        self._keep_alive = parser.should_keep_alive()
        self._head = head
        if self._body.framing is Framing.NONE:
            # The parser may wait for a body that does not come (HEAD): leave it, the next exchange gets a new one.
            self._complete = True
            self._parser = None
        if self._head_waiter is not None and not self._head_waiter.done():
            self._head_waiter.set_result(None)

    def _check_head(self, head: ResponseHead, version: str) -> None:
        if version not in ("1.1", "1.0") or not 100 <= head.status <= 999:
            raise ResponseMalformed
        if self._head_limit is None or self._head_bytes <= self._head_limit:
            return
        # What was read may hold a part of the body: count the head alone.
        if sum(len(name) + len(value) + 4 for _, name, value in head.fields) > self._head_limit:
            raise ResponseHeadTooLarge

    def _interim(self, head: ResponseHead) -> None:
        self._interims += 1
        if self._interims > MAX_INTERIM:
            raise ResponseMalformed
        self._head_bytes = 0
        if self._on_interim is not None:
            self._on_interim(head)

    def on_message_complete(self) -> None:
        """The end of a message, an interim one included."""
        if self._head is not None:
            self._complete = True
