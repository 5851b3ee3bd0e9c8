"""Moves a response body from the upstream's connection to the client's, as it arrives.

The parser's callback writes to the client's transport: no task, queue or timer between. Back-pressure goes the other
way: a full client pauses the upstream's reading, and the upstream's own window does the rest.
"""

import asyncio
import logging
import time

from proxy.core.answer import trailers
from proxy.core.errors import ClientStalled, OwnError, ProxyError
from proxy.core.exchange import Exchange
from proxy.core.message import field_lines
from proxy.core.plan import Forward
from proxy.core.stages import Stage
from proxy.net.deadlines import Deadlines
from proxy.net.downstream import Client, Sink
from proxy.net.upstream.connection import Connection

log = logging.getLogger("proxy")

FAULT = "request %s failed in the proxy itself"
# What one stream may unfold to in one turn of the loop, before others have theirs.
TURN_BYTES = 256 * 1024


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
        "_last",
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
        self._sink: Sink
        self._stage: Stage | None = None
        self._held = False
        self._last = False
        self._finished = False
        self._error: ProxyError | None = None
        self._done: asyncio.Future[None] | None = None

    def start(self, sink: Sink, stage: Stage | None) -> None:
        """Sends the head now, with what there is of the body."""
        self._sink, self._stage = sink, stage
        client, clocks, connection = self._client.connection, self._clocks, self._connection
        clocks.body_since = self._heard_at
        clocks.first_byte_since = connection.last_read_at
        client.relay = self
        if client.tail is not None:
            client.tail.release()
        connection.attach(self)
        if self._error is not None:
            return
        sink.flush_head()
        if client.writing_paused and clocks.client_write_since is None:
            self.pause()  # it was behind already when this answer began

    async def wait(self) -> None:
        """Returns when the client's connection has taken all. Errors: what ended the body early, the client aborted."""
        if not self._finished:
            self._done = asyncio.get_running_loop().create_future()
            await self._done
        if self._error is not None:
            raise self._error

    @property
    def finished(self) -> bool:
        """Whether nothing is left to `wait` for, not even an error."""
        return self._finished and self._error is None

    def close(self) -> None:
        """Listens no more to the client's connection."""
        self._client.connection.relay = None

    def _heard_at(self) -> float:
        return self._connection.last_read_at

    def receive(self, data: bytes, last: bool) -> None:
        """One read of the upstream. Runs once per event: counters, one write."""
        exchange = self._exchange
        now = self._connection.last_read_at
        previous, exchange.last_byte_at = exchange.last_byte_at, now
        if previous is None:
            exchange.first_byte_at = now
            self._clocks.first_byte_since = None
        elif now - previous > exchange.max_gap:
            exchange.max_gap = now - previous
        try:
            if self._stage is not None:
                self._last = last
                self._through(self._stage, data)
            elif last:
                exchange.bytes_out += len(data)
                self._sink.finish(data, self._trailers())
                self._end()
            else:
                exchange.bytes_out += len(data)
                self._sink.write(data)
        except Exception:  # else the loop would take it for the transport's
            log.exception(FAULT, self._exchange.request_id)
            self._fault()

    def _trailers(self) -> bytes:
        """The lines of the trailer section, if there is one."""
        found = self._connection.trailers
        return field_lines(trailers(self._forward, *found)) if found else b""

    def _through(self, stage: Stage, data: bytes) -> None:
        """Feeds the stage and sends its pieces, until it wants input, the client is full, or others have waited."""
        sent_bytes = 0
        try:
            piece = stage.feed(data)
            while True:
                if piece:
                    sent_bytes += len(piece)
                    self._exchange.bytes_out += len(piece)
                    self._sink.write(piece)
                if not stage.more():
                    break
                if self._client.connection.writing_paused:
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
                self._exchange.bytes_out += len(rest)
                self._sink.finish(rest, self._trailers())
                self._end()
        except ProxyError as error:
            self.failed(error)

    def _fault(self) -> None:
        """Something unforeseen: the exchange ends, with an answer if nothing of one has left."""
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
        self._client.abort(at_once=isinstance(error, ClientStalled))
        self._finish()

    def expire(self, error: ProxyError) -> None:
        """A deadline has passed: ends both sides."""
        self.failed(error)
        self._connection.fail(error)

    def client_lost(self) -> None:
        """Nobody reads any more: nothing more is taken from the upstream, or written to a transport that is gone."""
        self._connection.close()

    def pause(self) -> None:
        """The client's buffer is full: nothing more is read for it."""
        self._clocks.client_unsent = self._sink.unsent
        self._clocks.client_write_since = time.monotonic()
        self._connection.pause()

    def resume(self) -> None:
        """The client has caught up."""
        self._clocks.client_write_since = None
        self._exchange.last_byte_at = time.monotonic()  # the silence was not the upstream's
        self._go_on()

    def _go_on(self) -> None:
        """Sends what a stage still holds, and reads on when that is all."""
        if self._finished or self._client.connection.writing_paused or not self._client.connected:
            return
        try:
            if self._held and self._stage is not None:
                self._held = False
                self._through(self._stage, b"")
        except Exception:  # else the loop would take it for the transport's
            log.exception(FAULT, self._exchange.request_id)
            self._fault()
        if self._finished or self._held or self._client.connection.writing_paused:
            return
        if self._last:
            self._end()
        else:
            self._connection.resume()

    def _end(self) -> None:
        """All bytes are with the client's connection; a client that is far behind is waited for."""
        self._last = True
        if not self._client.connection.writing_paused:
            self._finish()

    def _finish(self) -> None:
        self._finished = True
        if self._done is not None and not self._done.done():
            self._done.set_result(None)
