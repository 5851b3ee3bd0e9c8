"""One HTTP/1.1 connection to an origin, seen from the client's side: one exchange at a time, pushed as it arrives.

`data_received` hands on what one read brought, in the same turn of the loop and in one call: no task, queue or future
stands between two events. This module moves bytes and tells; what they mean is `response`'s, whether a response may be
used is decided in `core.answer`, what to do with it in `handler`.
"""

import asyncio
import contextlib
import select
import ssl
import time
from collections.abc import Callable
from typing import cast

from proxy.core.errors import ConnectionTerminated, ProxyError, ResponseIncomplete
from proxy.core.framing import Body
from proxy.core.message import Field, ResponseHead, keep_alive_timeout
from proxy.net.sockets import bytes_acknowledged, keep_end_behind_bytes, open_again, reset_on_close, unsent_bytes
from proxy.net.upstream.buffer import MUCH_BYTES, READ_BYTES, IntoBuffer
from proxy.net.upstream.receiver import Raw, Receiver, Straight
from proxy.net.upstream.response import OnInterim, ResponseReader

# Body bytes kept while nobody takes them yet: between the head and `attach`.
HELD_BYTES = 64 * 1024


class Connection(asyncio.Protocol):
    """A connection to an origin.

    Life of an exchange: `begin`, `write` and `wait_writable` for the request, `head`, `attach`; the pool then looks at
    `reusable`. A failure reaches whoever waits: `head` raises it, else the receiver is told.
    """

    __slots__ = (
        "_acknowledged",
        "_brings_much",
        "_ended_first",
        "_failure",
        "_head_waiter",
        "_loop",
        "_on_lost",
        "_paused",
        "_poller",
        "_raw",
        "_reader",
        "_receiver",
        "_straight",
        "_transport",
        "_write_waiter",
        "born",
        "head_at",
        "idle_until",
        "last_read_at",
        "request_sent",
        "unread",
        "writing_paused",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._reader = ResponseReader()
        self._transport: asyncio.Transport | None = None
        self._receiver: Receiver | None = None
        self._straight: Straight | None = None
        """The receiver, or whom it named, while the next byte begins a chunk."""
        self._failure: ProxyError | None = None
        self._head_waiter: asyncio.Future[ResponseHead] | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._on_lost: Callable[[Connection], None] | None = None
        self._poller: select.poll | None = None
        self._raw: Raw | None = None
        self._paused = self._brings_much = self._ended_first = False
        self.writing_paused = False
        """Whether the upstream is slower than the request that is sent to it."""
        self.born = time.monotonic()
        self.idle_until = self.last_read_at = self.head_at = 0.0
        self.request_sent = True
        self._acknowledged: int | None = None
        self.unread = False
        """Whether a connection that is gone provably took no byte since `watch_acknowledgements`."""

    # The exchange, called by the handler and the pool.

    def begin(
        self, method: bytes, head_limit: int | None, on_interim: OnInterim | None = None, tunnel: bool = False
    ) -> None:
        """What comes from now on answers this request; `tunnel` is whether it asks to switch protocols.

        `head_limit` is in bytes, None is none.
        """
        self._reader.begin(method, head_limit, on_interim, tunnel)
        self.request_sent = False
        if self._brings_much and self._transport is not None:
            self._brings_much = False
            self._transport.set_protocol(self)

    def write(self, data: bytes) -> None:
        """Sends bytes of the request; `wait_writable` says when more are welcome."""
        if self._transport is not None and not self._transport.is_closing():  # uvloop raises where asyncio is silent
            self._transport.write(data)

    async def wait_writable(self) -> None:
        """Returns when the upstream has taken enough for more to be sent, or will never take any."""
        if self.writing_paused and self._transport is not None:
            self._write_waiter = self._loop.create_future()
            await self._write_waiter

    def unsent(self) -> int:
        """Bytes of the request that the kernel has not taken yet."""
        return unsent_bytes(self._transport) if self._transport else 0

    def head(self) -> asyncio.Future[ResponseHead]:
        """The final response head, to be awaited. Errors: UpstreamError, or what was given to `fail`."""
        waiter: asyncio.Future[ResponseHead] = self._loop.create_future()
        if self._failure is not None:
            waiter.set_exception(self._failure)
        elif self._reader.head is not None:
            waiter.set_result(self._reader.head)
        else:
            self._head_waiter = waiter
        return waiter

    @property
    def body(self) -> Body:
        """How the response body ends; valid once there is a head."""
        return self._reader.body

    @property
    def trailers(self) -> tuple[ResponseHead, list[Field]] | None:
        """What came behind the last chunk, and the head it belongs to; None if nothing did."""
        reader = self._reader
        return (reader.head, reader.trailers) if reader.trailers and reader.head is not None else None

    def shed_head(self) -> None:
        """Lets go of the fields that nobody asks for any more once the body is on its way."""
        self._reader.shed_head()

    @property
    def kept_s(self) -> float | None:
        """For how long the upstream says that it keeps the connection."""
        head = self._reader.head
        return None if head is None or b"keep-alive" not in head.names else keep_alive_timeout(head)

    def take_whole(self) -> bytes | None:
        """The body, if all of it is here already, small and without trailers; it needs no receiver then."""
        return self._reader.take_whole()

    def expect_much(self) -> None:
        """Reads into the shared buffer until the next request."""
        if self._transport is not None and self._transport.get_protocol() is self:
            self._brings_much = True
            self._transport.set_protocol(IntoBuffer(self))

    def attach(self, receiver: Receiver) -> None:
        """Gives the body to a receiver, from its first byte on; what is there already arrives before this returns."""
        self._receiver = receiver
        self.resume()  # where too much had come to be held
        self._deliver()
        if self._failure is not None:
            receiver.failed(self._failure)

    def send_straight(self, way: Straight) -> None:
        """Gives lone chunks to this one until the parser has to read again; if that is where the body is."""
        if self._straight is not None:
            self._straight = way

    def tunnel(self, raw: Raw) -> asyncio.Transport | None:
        """Ends HTTP after a 101: gives everything that comes to `raw`, what is there already before this returns.

        Returns the transport to write to, None if the connection is gone.
        """
        self._raw = raw
        self.resume()
        early, self._reader.early = self._reader.early, b""
        if early:
            raw.upstream_sent(early)
        return self._transport

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
    def reusable(self) -> bool:
        """Whether another exchange may follow. Source: RFC 9112 sections 9.3 and 9.6."""
        return (
            self._reader.complete
            and self._reader.keep_alive
            and self.request_sent
            and self._failure is None
            and self._transport is not None
            and not self._transport.is_closing()
        )

    @property
    def has_waiting(self) -> bool:
        """Whether bytes or an end lie in the kernel that the loop has not told of yet."""
        if self._transport is None:
            return True
        if self._poller is None:  # kept: making one costs more than asking it
            self._poller = select.poll()
            self._poller.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(self._poller.poll(0))

    def rest(self, until: float, on_lost: Callable[["Connection"], None]) -> None:
        """Begins to be idle: whatever arrives or ends now makes the connection unusable, and its end is told."""
        self._on_lost = on_lost
        self._receiver = self._straight = None
        self.idle_until = until
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
        if self._receiver is not None and not self._reader.complete:
            self._receiver.failed(error)

    def close(self) -> None:
        """Closes at once; nobody is told."""
        self._receiver = self._straight = None
        self._on_lost = None
        self._abort()

    def _abort(self) -> None:
        """Closes; with a reset while the request is incomplete.

        An upstream that has stopped reading would not see an end behind the bytes it does not take, and one that reads
        must not take a part for a whole.
        """
        if self._transport is None:
            return
        if not self.request_sent and not self._transport.is_closing():
            reset_on_close(self._transport)
        self._transport.abort()

    def _wake(self) -> None:
        """Lets nobody wait for what will not come."""
        waiter, self._head_waiter = self._head_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_exception(self._failure or ConnectionTerminated())
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    # asyncio's protocol, called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        keep_end_behind_bytes(self._transport)

    def data_received(self, data: bytes) -> None:
        """Takes one read; one that is large is the first of more, most likely. Runs once per event."""
        straight = self._straight
        if straight is not None and straight.receive_lone(data):
            return
        if len(data) > MUCH_BYTES:
            self.expect_much()
        self.take(data)

    def take(self, read: bytes | memoryview) -> None:
        """Parses one read and hands on the body bytes in it."""
        reader = self._reader
        if reader.complete:
            self._beyond(bytes(read))
            return
        self.last_read_at = time.monotonic()
        failure = reader.feed(read)
        receiver = self._receiver
        if receiver is not None:
            # Not behind a part of the next chunk's size.
            self._straight = receiver if reader.between_chunks and read[-2:] == b"\r\n" else None
            self._deliver()
        elif reader.head is not None:
            if failure is None:
                self._tell_head(reader.head)
            if len(reader.pieces) > 1 and sum(map(len, reader.pieces)) > HELD_BYTES:
                self.pause()
        if failure is not None:
            self.fail(failure)

    def _beyond(self, data: bytes) -> None:
        """Bytes behind a response: those of a tunnel, or nobody's."""
        if self._raw is not None:
            self._raw.upstream_sent(data)
        elif self._reader.switched:
            self._reader.early += data
            self.pause()  # until the tunnel stands, which is a turn of the loop away
        else:
            self._abort()  # bytes nobody asked for are never a response: RFC 9112 section 9.2

    def _tell_head(self, head: ResponseHead) -> None:
        waiter, self._head_waiter = self._head_waiter, None
        if waiter is not None and not waiter.done():
            self.head_at = self.last_read_at
            waiter.set_result(head)

    def _deliver(self) -> None:
        """Hands on what is there, if there is a receiver and anything to hand on."""
        pieces, complete = self._reader.pieces, self._reader.complete
        if self._receiver is not None and (pieces or complete):
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._receiver.receive(data, complete)

    def eof_received(self) -> bool:
        """An end of the upstream's bytes; over TLS a clean one only if it was announced. RFC 9112 sections 6.3, 9.8."""
        if self._raw is not None:
            return self._raw.upstream_ended()
        self._ended_first = True
        if self._said_goodbye() and self._reader.end():
            self._deliver()
        return False

    def _said_goodbye(self) -> bool:
        """Whether the end came with close_notify: asyncio, unlike uvloop, calls eof_received for a bare FIN too."""
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        if tls is None:
            return True
        try:
            return bool(tls.read(1) == b"")
        except ssl.SSLZeroReturnError:
            return True
        except ssl.SSLError:
            return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: the end of an exchange under way, or of the wait for one."""
        if isinstance(exc, ConnectionError) and not self._reader.complete and self._failure is None:
            self._read_rest()
        # An upstream that read and then reset may do so before its TCP acknowledges; one that ended first never reads.
        untaken = self._acknowledged is not None and self._acknowledged == self._count_acknowledged()
        self.unread = self._ended_first and untaken
        self._transport = None
        self._reader.release()
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.upstream_lost()
        elif self._on_lost is not None:
            self._on_lost(self)
        elif not self._reader.complete and self._failure is None:
            cut_head = self._reader.head is None and self._reader.begun
            self.fail(ResponseIncomplete() if cut_head else ConnectionTerminated())
        self._wake()

    def watch_acknowledgements(self) -> None:
        """Before a request that must not be sent twice: remembers what the upstream's TCP has taken so far."""
        self._acknowledged = self._count_acknowledged()

    def _count_acknowledged(self) -> int | None:
        """Bytes that the upstream's TCP has taken, ever; None where the system or TLS does not let us know."""
        if self._transport is None or self._transport.get_extra_info("ssl_object") is not None:
            return None
        return bytes_acknowledged(self._transport)

    def _read_rest(self) -> None:
        """Reads what came before a write failed.

        An upstream may answer early and close while the request is still on its way; a loop that fails to write then
        ends the connection without another read, and the answer would be lost in the kernel.
        """
        transport = self._transport
        if transport is None or transport.get_extra_info("ssl_object") is not None:
            return
        with contextlib.suppress(OSError), open_again(transport) as rest:
            while not self._reader.complete and (data := rest.recv(READ_BYTES)):
                self.take(data)

    def pause_writing(self) -> None:
        """The upstream takes the request more slowly than it arrives."""
        self.writing_paused = True
        if self._raw is not None:
            self._raw.upstream_full()

    def resume_writing(self) -> None:
        """The upstream has caught up."""
        self.writing_paused = False
        if self._raw is not None:
            self._raw.upstream_ready()
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)
