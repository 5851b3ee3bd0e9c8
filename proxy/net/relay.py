"""Moves a response body from the upstream's connection to the client's, as it arrives.

The parser's callback writes to the client's transport: no task, queue or timer between. Back-pressure goes the other
way: a full client pauses the upstream's reading, and the upstream's own window does the rest.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from proxy.core.answer import Answer, trailers
from proxy.core.errors import ClientGone, ClientStalled, OwnError, ProxyError
from proxy.core.exchange import Exchange
from proxy.core.framers.sse import BOM
from proxy.core.framing import LONE_BYTES, LONE_CHUNKS
from proxy.core.message import field_lines
from proxy.core.plan import Forward
from proxy.core.stages import Stage
from proxy.net.deadlines import Deadlines
from proxy.net.downstream import ChunkedSink, Client, Nowhere, Sink
from proxy.net.lane import FAULT, Lane
from proxy.net.onlookers import Onlookers
from proxy.net.upstream.connection import Connection

log = logging.getLogger("proxy")

# What one stream may unfold to in one turn of the loop, before others have theirs.
TURN_BYTES = 256 * 1024
# How much of an answer is read on for a client that has gone.
READ_ON_BYTES = 16 * 1024 * 1024


class Relay:
    """One body on its way: `start`, then `wait`, then `close`, always."""

    __slots__ = (
        "_client",
        "_clocks",
        "_connection",
        "_done",
        "_error",
        "_exchange",
        "_finished",
        "_forward",
        "_held",
        "_injects",
        "_last",
        "_onlookers",
        "_send_chunk",
        "_sink",
        "_stage",
    )

    def __init__(
        self, client: Client, connection: Connection, forward: Forward, clocks: Deadlines, exchange: Exchange
    ) -> None:
        self._client = client
        self._forward = forward
        self._connection = connection
        self._clocks = clocks
        self._exchange = exchange
        self._onlookers = Onlookers(exchange)
        self._sink: Sink
        self._send_chunk: Callable[[bytes], None] | None = None
        self._stage: Stage | None = None
        self._injects = False
        self._held = False
        self._last = False
        self._finished = False
        self._error: ProxyError | None = None
        self._done: asyncio.Future[None] | None = None

    def start(self, sink: Sink, answer: Answer) -> None:
        """Sends the head now, with what there is of the body."""
        self._sink, self._stage, self._injects = sink, answer.stage, answer.injects
        self._onlookers.watch = answer.watch
        self._send_chunk = sink.send_chunk if answer.stage is None else None
        client, clocks, connection = self._client.connection, self._clocks, self._connection
        clocks.body_since = lambda: connection.last_read_at
        clocks.first_byte_since = connection.last_read_at
        client.relay = self
        if client.tail is not None:
            client.tail.release()
        if answer.stream is None:
            connection.expect_much()
        connection.attach(self)
        if self._error is not None:
            return
        sink.flush_head()
        if client.writing_paused and clocks.client_write_since is None:
            self.pause()  # it was behind already when this answer began

    async def wait(self) -> None:
        """Returns when the client's connection has taken all. Errors: what ended the body early, the client aborted."""
        await self.until_finished()
        if self._error is not None:
            raise self._error

    @property
    def finished(self) -> bool:
        """Whether nothing is left to `wait` for, not even an error."""
        return self._finished and self._error is None

    def close(self) -> None:
        """Listens no more to the client's connection, and writes down what was learnt of the stream."""
        self._client.connection.relay = None
        if self._onlookers.client_gone and isinstance(self._sink, Nowhere):
            self._sink.release()
        exchange, now = self._exchange, time.monotonic()
        if self._clocks.client_write_since is not None:
            exchange.max_stall = max(exchange.max_stall, now - self._clocks.client_write_since)
        elif exchange.outcome != "complete" and exchange.last_byte_at is not None:
            exchange.max_gap = max(exchange.max_gap, now - exchange.last_byte_at)
        self._onlookers.close(self._error, ended=self._finished)

    def receive_lone(self, read: bytes) -> bool:
        """`receive` for what may be a chunk that came alone, and leaves as it came.

        Runs once per event; once the watch knows the stream's frames, a lane takes them.
        """
        send, exchange, connection = self._send_chunk, self._exchange, self._connection
        if send is None or len(read) >= LONE_BYTES:
            return False
        size_line, size = LONE_CHUNKS[len(read)]
        data = read.removeprefix(size_line).removesuffix(b"\r\n")
        if len(data) != size:
            return False
        connection.last_read_at = now = time.monotonic()
        previous, exchange.last_byte_at = exchange.last_byte_at, now
        if previous is not None and now - previous > exchange.max_gap:
            exchange.max_gap = now - previous
        exchange.bytes_out += size
        try:
            send(read)
            self._onlookers.look(data, now)
            known = self._onlookers.known
            if exchange.capture is not None:
                self._onlookers.passed(exchange.capture, data, now)
            elif known is not None:
                connection.send_straight(Lane(self, connection, exchange, known, send))
        except Exception:  # else the loop would take it for the transport's
            log.exception(FAULT, exchange.request_id)
            self.fault()
        return True

    def receive(self, data: bytes, last: bool) -> None:
        """One read of the upstream: counters, one write, and only then a look at it."""
        exchange = self._exchange
        now = self._connection.last_read_at
        previous, exchange.last_byte_at = exchange.last_byte_at, now
        if previous is None:
            exchange.first_byte_at = now
            self._clocks.first_byte_since = None
            if exchange.heartbeats:
                data = data.removeprefix(BOM)  # behind a heartbeat it would be a part of the first field's name
        elif now - previous > exchange.max_gap:
            exchange.max_gap = now - previous
        try:
            if self._stage is not None:
                self._last = last
                self._through(self._stage, data)
                self._onlookers.read(data, now)
                return
            if not self._onlookers.client_gone:
                exchange.bytes_out += len(data)
            if last:
                self._sink.finish(data, self._trailers())
                self._end()
            elif data:  # no chunk may be empty
                self._sink.write(data)
            self._onlookers.look(data, now)
            if exchange.capture is not None:
                self._onlookers.passed(exchange.capture, data, now)
        except Exception:  # likewise
            log.exception(FAULT, self._exchange.request_id)
            self.fault()

    def _trailers(self) -> bytes:
        """The lines of the trailer section, if there is one."""
        found = self._connection.trailers
        lines = field_lines(trailers(self._forward, *found)) if found else b""
        if found:
            self._onlookers.trailers(found[1], lines if isinstance(self._sink, ChunkedSink) else b"")
        return lines

    def _send(self, piece: bytes) -> None:
        """Sends what came out of a stage."""
        if not self._onlookers.client_gone:
            self._exchange.bytes_out += len(piece)
        self._sink.write(piece)
        self._onlookers.look(piece, self._connection.last_read_at)
        self._onlookers.wrote(piece)

    def _through(self, stage: Stage, data: bytes) -> None:
        """Feeds the stage and sends its pieces, until it wants input, the client is full, or others have waited."""
        sent_bytes = 0
        try:
            piece = stage.feed(data)
            while True:
                if piece:
                    sent_bytes += len(piece)
                    self._send(piece)
                if not stage.more():
                    break
                if self._is_full:
                    self._held = True
                    return
                if sent_bytes >= TURN_BYTES:
                    self._held = True
                    self._connection.pause()
                    asyncio.get_running_loop().call_soon(self._go_on)
                    return
                piece = stage.feed(b"")
            if self._last:
                rest = stage.flush()
                if not self._onlookers.client_gone:
                    self._exchange.bytes_out += len(rest)
                self._sink.finish(rest, self._trailers())
                self._onlookers.look(rest, self._connection.last_read_at)
                self._onlookers.wrote(rest)
                self._end()
        except ProxyError as error:
            self.failed(error)

    @property
    def _is_full(self) -> bool:
        """Whether the client has to catch up first; nobody waits for one that has gone."""
        return self._client.connection.writing_paused and not self._onlookers.client_gone

    def fault(self) -> None:
        """Something unforeseen was raised: the exchange ends, with an answer if nothing of one has left."""
        if self._client.answered:
            self.failed(OwnError())
        else:
            self._error = OwnError()
            self._finish()
        self._connection.close()

    def failed(self, error: ProxyError) -> None:
        """The body will not be complete: the client is told by an abort, never by an end."""
        if self._finished:
            return
        self._error = error
        self._exchange.failed(error)  # now: the abort ends the connection, and with it the task that would say so
        if self._client.connected:
            self._sink.flush_head()
            self._end_early(error)
        self._client.abort(at_once=isinstance(error, ClientStalled))
        self._finish()

    def _end_early(self, error: ProxyError) -> None:
        """Sends the event that says that the stream broke, where the route wants one and there is a place for it.

        What a stage holds of an unfinished frame is dropped then, as every parser would drop it; else it still leaves.
        """
        stage = self._stage
        was_all = stage is None or self._let_go(stage)
        event = None
        if self._injects and self._forward.route.stream.error_event and error.side != "client":
            event = self._onlookers.error_event()
        rest = event or (stage.held() if stage is not None and was_all else b"")
        if rest:
            self._exchange.bytes_out += len(rest)
            self._sink.write(rest)
            self._onlookers.wrote(rest)

    def _let_go(self, stage: Stage) -> bool:
        """Sends what a stage had ready and kept only for a client that is behind; whether that was all of it.

        What compressed bytes may unfold to is bounded here too: nobody waits for the client any more.
        """
        sent_bytes = 0
        with contextlib.suppress(ProxyError):  # the stage's own, which is the failure that brought us here
            while stage.more() and sent_bytes < TURN_BYTES:
                piece = stage.feed(b"")
                if piece:
                    sent_bytes += len(piece)
                    self._send(piece)
            return not stage.more()
        return True

    def beat(self, form: str) -> bool:
        """Sends a heartbeat if there is a place for one now; whether it did."""
        takes = self._client.connected and not self._onlookers.client_gone and not self._is_full
        if self._finished or self._held or not takes or not self._injects:
            return False
        heartbeat = self._onlookers.heartbeat(form)
        if heartbeat is None:
            return False
        self._exchange.heartbeats += 1
        self._exchange.bytes_out += len(heartbeat)
        self._sink.write(heartbeat)
        self._onlookers.wrote(heartbeat)
        return True

    @property
    def heard_at(self) -> float:
        """When the upstream was last heard."""
        return self._connection.last_read_at

    def expire(self, error: ProxyError) -> None:
        """A deadline has passed: ends both sides."""
        self.failed(error)
        self._connection.fail(error)

    def client_lost(self) -> None:
        """Nobody reads any more: nothing more is taken from the upstream, unless its usage is wanted."""
        if self._onlookers.client_gone:
            return
        if not self.reads_on:
            self._connection.close()
            return
        self._onlookers.client_gone = True
        self._sink, self._send_chunk = Nowhere(READ_ON_BYTES, self._enough), None
        self._connection.send_straight(self)
        self._clocks.client_write_since = None
        self._go_on()

    def _enough(self) -> None:
        """Ends the reading on."""
        self._error = ClientGone()
        self._connection.close()
        self._finish()

    @property
    def reads_on(self) -> bool:
        """Whether the upstream is read on although the client has gone: the answer may still tell what it cost."""
        watch = self._onlookers.watch
        return self._onlookers.client_gone or (
            self._forward.route.stream.reads_on
            and watch is not None
            and not (watch.dialect.ended and watch.dialect.usage)
            and self._connection.request_sent
            and not self._finished
            and not self._client.connected
        )

    async def until_finished(self) -> None:
        """Returns when nothing more will be relayed, or read on, whatever the reason."""
        if not self._finished:
            self._done = asyncio.get_running_loop().create_future()
            await self._done

    def pause(self) -> None:
        """The client's buffer is full: nothing more is read for it."""
        self._clocks.wait_for_client(self._sink.unsent, time.monotonic())
        self._connection.pause()
        self._onlookers.paused()

    def resume(self) -> None:
        """The client has caught up."""
        now, since = time.monotonic(), self._clocks.client_write_since
        if since is not None:
            self._exchange.max_stall = max(self._exchange.max_stall, now - since)
        self._clocks.client_write_since = None
        if self._exchange.last_byte_at is not None:
            self._exchange.last_byte_at = now  # the silence was not the upstream's
        self._onlookers.resumed()
        self._go_on()

    def _go_on(self) -> None:
        """Sends what a stage still holds, and reads on when that is all."""
        if self._finished or self._is_full or not (self._client.connected or self._onlookers.client_gone):
            return
        try:
            if self._held and self._stage is not None:
                self._held = False
                self._through(self._stage, b"")
        except Exception:  # likewise
            log.exception(FAULT, self._exchange.request_id)
            self.fault()
        if self._finished or self._held or self._is_full:
            return
        if self._last:
            self._end()
        else:
            self._connection.resume()

    def _end(self) -> None:
        """All bytes are with the client's connection; a client that is far behind is waited for."""
        self._last = True
        if not self._is_full:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        if self._done is not None and not self._done.done():
            self._done.set_result(None)
