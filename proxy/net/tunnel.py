"""Raw bytes both ways after a 101, untouched: masking, extensions and close frames are the two ends' own matter.

Like the relay it pushes: what one side's read brings is written to the other in the same turn of the loop, and a side
that is full pauses the other's reading. An end of one side's bytes goes on as one, where its transport can say so, and
the other direction stays open. Source: RFC 9110 section 7.8, RFC 6455 section 5.
"""

import asyncio
import time

from proxy.core.errors import ProxyError, TunnelIdle
from proxy.core.exchange import Exchange
from proxy.net.deadlines import Sweeper
from proxy.net.downstream import FLUSH_S, Client
from proxy.net.sockets import unsent_bytes
from proxy.net.tap import copying
from proxy.net.upstream.connection import Connection


class Tunnel:
    """A switched connection: `run` returns when both sides are closed or being closed."""

    __slots__ = (
        "_client",
        "_client_ended",
        "_connection",
        "_done",
        "_exchange",
        "_idle_s",
        "_last",
        "_upstream",
        "_upstream_ended",
    )

    def __init__(self, client: Client, connection: Connection, exchange: Exchange, idle_s: float | None) -> None:
        self._client = client
        self._connection = connection
        self._exchange = exchange
        self._idle_s = idle_s
        self._upstream: asyncio.Transport | None = None
        self._client_ended = self._upstream_ended = False
        self._last = time.monotonic()
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, sweeper: Sweeper) -> None:
        """Carries bytes until one side is gone, or both have ended. The client has its 101 already."""
        client = self._client.connection
        client.relay = self
        try:
            self._upstream = self._connection.tunnel(self)
            if self._upstream is None:
                self._finish()
            else:
                client.tunnel(self)
            if self._idle_s is not None:
                sweeper.add(self)
            if client.writing_paused:
                self.pause()  # by what came with the 101
            await self._done
        finally:
            sweeper.discard(self)
            client.relay = None
            self._close_upstream()
            client.close_after_flush(FLUSH_S)

    def check(self, now: float) -> None:
        """Ends a tunnel in which nothing moves; called by the sweeper."""
        if self._idle_s is not None and now - self._last > self._idle_s:
            self.expire(TunnelIdle())

    def expire(self, error: ProxyError) -> None:
        """Its time is over: both sides get what is written and are closed."""
        self._exchange.failed(error)
        self._finish()

    # The client's side.

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """What one read of the client brought; aiohttp's interface of what takes over a connection."""
        self._last = time.monotonic()
        self._exchange.bytes_in += len(data)
        if self._upstream is not None and not self._upstream.is_closing():
            self._upstream.write(data)
        if self._exchange.capture is not None:
            with copying(self._exchange) as capture:
                capture.uploaded(data)
        return False, b""

    def feed_eof(self) -> None:
        """Nothing: `client_lost` is told too."""

    def client_ended(self) -> bool:
        """The client sends no more; returns whether it may still be sent to."""
        self._client_ended = True
        return self._pass_end(self._client.connection.transport, self._upstream)

    def client_lost(self) -> None:
        """The client is gone, or is to be."""
        self._finish()

    def pause(self) -> None:
        """The client takes bytes more slowly than they arrive."""
        self._connection.pause()

    def resume(self) -> None:
        """The client has caught up."""
        self._connection.resume()

    # The upstream's side.

    def upstream_sent(self, data: bytes) -> None:
        """What one read of the upstream brought."""
        self._last = time.monotonic()
        self._exchange.bytes_out += len(data)
        self._client.write(data)
        if self._exchange.capture is not None:
            with copying(self._exchange) as capture:
                capture.passed(data, self._last)

    def upstream_ended(self) -> bool:
        """The upstream sends no more; returns whether it may still be sent to."""
        self._upstream_ended = True
        return self._pass_end(self._upstream, self._client.connection.transport)

    def upstream_lost(self) -> None:
        """The upstream is gone."""
        self._upstream = None
        self._finish()

    def upstream_full(self) -> None:
        """The upstream takes bytes more slowly than they arrive."""
        self._client.connection.pause_reading()

    def upstream_ready(self) -> None:
        """The upstream has caught up."""
        self._client.connection.resume_reading()

    def _pass_end(self, ended: asyncio.WriteTransport | None, other: asyncio.WriteTransport | None) -> bool:
        """Tells the other side of the end of one's bytes; a tunnel that ended both ways is over.

        So is one with TLS on either side, which knows no end of one direction alone.
        """
        both_ended = self._client_ended and self._upstream_ended
        if both_ended or other is None or not (_can_end_alone(ended) and _can_end_alone(other)):
            self._finish()
            return False
        other.write_eof()
        return True

    def _close_upstream(self) -> None:
        """Closes once everything written has left, or after a while."""
        transport, self._upstream = self._upstream, None
        if transport is not None and not transport.is_closing():
            unsent = unsent_bytes(transport)
            transport.close()
            if unsent:
                asyncio.get_running_loop().call_later(FLUSH_S, transport.abort)

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


def _can_end_alone(transport: asyncio.WriteTransport | None) -> bool:
    """Whether one direction of it can end while the other goes on."""
    return transport is not None and transport.can_write_eof()
