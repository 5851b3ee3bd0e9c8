"""The client's side of an exchange: aiohttp's request into our types, our answers onto the wire.

Heads are written as bytes, through the public transport: aiohttp's own writer re-encodes values, loses the case of
names and adds fields of its own. `SENT` and `SENT_CLOSE` then tell aiohttp that the answer is out.
"""

import time
from collections.abc import Callable
from email.utils import formatdate
from typing import TYPE_CHECKING

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from proxy.core import answer as answers
from proxy.core import upgrade
from proxy.core.answer import Answer
from proxy.core.errors import ClientGone, ProxyError
from proxy.core.exchange import Exchange
from proxy.core.framing import NO_BODY
from proxy.core.message import Field, RequestHead, ResponseHead, field, first, phrase, response_bytes
from proxy.core.plan import Reply
from proxy.core.routes import Route
from proxy.core.tracing import REQUEST_ID
from proxy.net.planner import named
from proxy.net.request import Request
from proxy.net.sockets import reset_on_close, unsent_bytes
from proxy.net.tap import copying

if TYPE_CHECKING:
    from asyncio import Transport

    from proxy.net.client_connection import ClientConnection

# How long bytes that were received before a failure may take to reach the client.
FLUSH_S = 5.0
_CLOSE = field(b"Connection", b"close")
# Without these in a request's head, what follows it is read for what it is.
_SPOILING = frozenset({b"transfer-encoding", b"upgrade"})


class Sent(web.StreamResponse):
    """Tells aiohttp that the answer is out, and whether the connection may be used again; nothing of an exchange.

    `lingering` is a connection whose client may still be sending what nobody will read.
    """

    keep_alive = False  # aiohttp's is a property, which would be called for every request
    """Whether another request may follow on this connection."""

    def __init__(self, keep_alive: bool, lingering: "ClientConnection | None" = None) -> None:
        super().__init__()
        self.keep_alive = keep_alive
        self._lingering = lingering

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Nothing: the head went out long ago."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing: the end went out long ago, or must never go out."""
        if self._lingering is not None:
            await self._lingering.linger()


class Sink:
    """Where the body of one answer goes: raw, for counted and close-delimited bodies.

    The head waits for the first call, which follows at once and without an await: bytes that are there already leave
    with it in one write.
    """

    __slots__ = ("_head", "_transport", "_write")

    def __init__(self, transport: "Transport", head: bytes) -> None:
        self._transport = transport
        self._write = transport.write
        self._head = head

    def write(self, data: bytes) -> None:
        """Sends body bytes, at once. Runs once per event."""
        if self._head:
            data, self._head = self._head + data, b""
        self._write(data)

    @property
    def send_chunk(self) -> Callable[[bytes], None] | None:
        """What sends a chunk as it came, if that is allowed at all; to be called only when the head has left."""
        return None

    def finish(self, data: bytes, trailers: bytes = b"") -> None:
        """Sends the last body bytes, possibly none, and the end, in one write; the lines of a trailer section fit
        only behind chunks."""
        if data or self._head:
            self.write(data)

    @property
    def head_sent(self) -> bool:
        """Whether the head has left."""
        return not self._head

    def flush_head(self) -> None:
        """Sends the head if it has not gone."""
        if self._head:
            self._write(self._head)
            self._head = b""

    def unsent(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return unsent_bytes(self._transport)


# The size lines of small chunks: formatting one costs twice what the rest of a chunk does.
_SIZE_LINES = tuple(b"%x\r\n" % size for size in range(1024))


class ChunkedSink(Sink):
    """The same, chunked: every write is one chunk, so that a reader by chunks sees our writes. RFC 9112 section 7.1."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Sends body bytes as a chunk; there have to be some, as an empty chunk is the end. Runs once per event."""
        # One bytes object, however large: writelines() of asyncio's loop in Python 3.12 and 3.13 never pauses us.
        size = len(data)
        chunk = _SIZE_LINES[size] + data + b"\r\n" if size < 1024 else b"%x\r\n%b\r\n" % (size, data)
        if self._head:
            chunk, self._head = self._head + chunk, b""
        self._write(chunk)

    @property
    def send_chunk(self) -> Callable[[bytes], None] | None:
        """The transport's own writing, which spares a Python call per event."""
        return self._write

    def finish(self, data: bytes, trailers: bytes = b"") -> None:
        """Sends the last bytes, possibly none, and the last chunk, in one write."""
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        self._write(b"%b%b0\r\n%b\r\n" % (self._head, chunk, trailers))
        self._head = b""


class HeadSink(Sink):
    """For an answer without a body: whatever an upstream sends behind the head, not one byte of it follows ours."""

    __slots__ = ()

    def write(self, data: bytes) -> None:
        """Sends the head only."""
        self.flush_head()


class Nowhere(Sink):
    """For an answer whose client has gone; `full` is called when it has taken `limit` bytes."""

    __slots__ = ("_full", "_left")

    def __init__(self, limit: int, full: Callable[[], None]) -> None:
        self._left = limit
        self._full: Callable[[], None] | None = full
        self._head = b""

    def release(self) -> None:
        """Lets go of whom it would call, who holds it: such circles are only freed by the collector."""
        self._full = None

    def write(self, data: bytes) -> None:
        """Counts."""
        self._left -= len(data)
        if self._left < 0 and self._full is not None:
            self._full()

    def finish(self, data: bytes, trailers: bytes = b"") -> None:
        """Nothing: nobody is told."""

    def unsent(self) -> int:
        """Nothing is ever unsent."""
        return 0


_SINKS = {"none": HeadSink, "chunked": ChunkedSink, "length": Sink, "close": Sink}


class Client:
    """One request and the way back to whoever sent it."""

    __slots__ = (
        "_ends_by_close",
        "_is_sent",
        "_lingers",
        "_sink",
        "_transport",
        "body",
        "connection",
        "early",
        "echoes_request_id",
        "exchange",
        "head",
        "head_bytes",
        "keep_alive",
        "trace",
    )

    head: RequestHead
    """Known as soon as it has been read; nothing is answered before."""
    exchange: Exchange
    """What is written down of this request and its answer."""

    def __init__(self, request: Request) -> None:
        self.body = request.content
        """The request's body as it arrives."""
        self.connection = request.protocol
        """The protocol of the client's connection."""
        self.trace = named(request)
        """The names of the request, for the upstream and the log."""
        self.echoes_request_id = True
        self.early: Callable[[ProxyError], None] | None = None
        """Says in the stream what went wrong, where one may have begun before the upstream's answer."""
        self.head_bytes = b""
        """The head of the answer, kept only for who wants a copy of it."""
        self.connection.serve(self.body)
        self._transport = self.connection.transport
        self._ends_by_close = self._lingers = self._is_sent = False
        self._sink: Sink | None = None
        self.keep_alive = request.keep_alive and request.version == (1, 1)

    @property
    def answered(self) -> bool:
        """Whether a byte of the final answer may have gone out: from then on an error can only be an abort."""
        return self._is_sent or (self._sink is not None and self._sink.head_sent)

    @property
    def connected(self) -> bool:
        """Whether an answer can still be sent, as far as can be told."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def _spoils_the_next(self) -> bool:
        """Whether what follows this request on its connection could be misread.

        aiohttp's parser adds the last trailer of a body to the next request's fields, and loses what comes with a
        request for another protocol than WebSocket. And who stands before us may take a handshake that was declined
        for a tunnel, and let its client write requests into it.
        """
        if b"transfer-encoding" in self.head.names and not self.connection.ended_plainly(self.body):
            return True
        return upgrade.is_asked(self.head)

    @property
    def sent(self) -> web.StreamResponse:
        """What aiohttp is given instead of a response."""
        if self._lingers:
            return Sent(keep_alive=False, lingering=self.connection)
        return SENT if self.keep_alive else SENT_CLOSE

    def interim(self, head: ResponseHead) -> None:
        """Passes a 1xx on; an HTTP/1.0 client would not understand it. RFC 9110 section 15.2."""
        sent = b""
        if self._transport is not None and self.connected and not self.answered and self.head.version >= (1, 1):
            sent = response_bytes(head.status, head.reason, answers.interim(head))
            self._transport.write(sent)
        if self.exchange.capture is not None:
            with copying(self.exchange) as capture:
                capture.interim(head, sent)

    def start(self, answer: Answer) -> Sink:
        """The sink for this answer's body; its head goes out with the sink's first call. Errors: ClientGone."""
        head = self._head(answer)
        assert self._transport is not None
        self._sink = _SINKS[answer.body.framing](self._transport, head)
        return self._sink

    def _head(self, answer: Answer) -> bytes:
        transport = self._transport
        if transport is None or transport.is_closing():
            raise ClientGone
        status, reason, fields, (framing, _), _, _, _, _ = answer
        echoes, is_dated = self.echoes_request_id, False
        for key, _, _ in fields:
            if key == b"date":
                is_dated = True
            elif key == REQUEST_ID:
                echoes = False
        ours = [self._request_id()] if echoes else []
        if not is_dated:
            ours.append(date())  # an origin without a clock: RFC 9110 section 6.6.1 leaves it to us
        self._ends_by_close = framing == "close"
        names = self.head.names
        if self._ends_by_close or not self.body.is_eof() or (_SPOILING & names and self._spoils_the_next):
            self.keep_alive = False  # with a body half read, whatever follows could be taken for the next request
        if not self.keep_alive:
            ours.append(_CLOSE)
        head = response_bytes(status, reason, fields + ours)
        if self.exchange.capture is not None:
            self.head_bytes = head
        return head

    def send_whole(self, answer: Answer, body: bytes) -> None:
        """Sends an answer whose body is all here, in one write. Errors: ClientGone."""
        framing = answer.body.framing
        if framing == "chunked":
            self.start(answer).finish(body)
        else:
            head = self._head(answer)
            assert self._transport is not None
            self._is_sent = True
            self._transport.write(head if framing == "none" else head + body)
        tail = self.connection.tail
        if tail is not None and tail.watched:
            tail.release()
        self.exchange.bytes_out = len(body)

    def _request_id(self) -> Field:
        """The request's id, for an answer without one: that of an upstream stays alone, as its support asks for it."""
        return REQUEST_ID, b"X-Request-ID", self.trace.request_id.encode()

    def switch(self, reason: bytes, fields: list[Field]) -> None:
        """Sends a 101: what follows is no HTTP. Errors: ClientGone."""
        if not self.connected:
            raise ClientGone
        self._is_sent = True
        self.keep_alive = False
        if self.echoes_request_id and first(fields, REQUEST_ID) is None:
            fields = [*fields, self._request_id()]
        head = response_bytes(101, reason, fields)
        if self.exchange.capture is not None:
            self.head_bytes = head
        self.write(head)

    def write(self, data: bytes) -> None:
        """Sends bytes of a tunnel."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def reply(self, reply: Reply) -> None:
        """Sends an answer of our own that has no body."""
        head = Answer(reply.status, phrase(reply.status), list(reply.fields), NO_BODY)
        self.start(head).flush_head()

    def refuse(self, error: ProxyError, route: Route | None, instance: bytes, malformed: bool = False) -> None:
        """Sends our error; HEAD gets the head of it. `malformed` is whether nobody knows where the request ends."""
        if error.side == "client" and error.status in (400, 405, 408, 413, 414, 431, 501, 505):
            self.keep_alive = False  # where a message ends is not agreed on any more
        sink = self.start(answers.failure(error, self.head, route, instance))
        sink.finish(b"" if self.head.method == b"HEAD" else answers.error_body(error, route))
        if malformed or self.body.exception() is not None:
            self._lingers = True  # aiohttp waits only for the rest of a body that it can read

    def cut(self, error: ProxyError) -> None:
        """Ends the exchange from outside; a stream that has begun ends as its route says that broken ones do."""
        under_way = self.connection.relay
        if under_way is not None:
            under_way.expire(error)
        elif self.early is not None:
            self.early(error)
        self.abort()

    def abort(self, at_once: bool = False) -> None:
        """Ends the connection so that the client can tell that the body is incomplete.

        What was written is flushed, for at most FLUSH_S or not if `at_once`, and the missing end tells. Where a close
        is the end, as for HTTP/1.0 and a body of unknown length, the close becomes a reset; over TLS that has to be at
        once, as every orderly close says that the end is the end. Source: RFC 9112 sections 8 and 9.8.
        """
        self.keep_alive = False
        if self.connection.relay is not None:
            self.connection.relay.client_lost()
        transport = self._transport
        if transport is None:
            return
        if self._ends_by_close and not transport.is_closing():
            reset_on_close(transport)
            at_once = at_once or self.head.peer.secure
        self.connection.close_after_flush(0 if at_once else FLUSH_S)


SENT = Sent(keep_alive=True)
SENT_CLOSE = Sent(keep_alive=False)


_dated: tuple[int, Field] = (0, field(b"Date", b""))


def date() -> Field:
    """The Date field of this second."""
    global _dated
    now = int(time.time())
    if _dated[0] != now:
        _dated = now, field(b"Date", formatdate(now, usegmt=True).encode("ascii"))
    return _dated[1]
