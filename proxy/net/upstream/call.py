"""One request to an upstream: a pooled connection, the body piped, the head awaited."""

import asyncio
import time
from collections.abc import Callable

from proxy.core.errors import ConnectTimeout, ProxyError, TotalTimeout
from proxy.core.exchange import Exchange
from proxy.core.message import ResponseHead
from proxy.core.plan import Forward
from proxy.core.retry import IDEMPOTENT, may_repeat
from proxy.net.deadlines import Deadlines
from proxy.net.upload import Upload
from proxy.net.upstream.connection import Connection
from proxy.net.upstream.pool import Pool


class Call:
    """A request under way. `open` once, then `close`, always."""

    __slots__ = ("_clocks", "_exchange", "_on_interim", "_pool", "_told_interim", "_upload", "connection", "forward")

    def __init__(
        self,
        pool: Pool,
        forward: Forward,
        upload: Upload,
        clocks: Deadlines,
        exchange: Exchange,
        on_interim: Callable[[ResponseHead], None],
    ) -> None:
        self._pool = pool
        self.forward = forward
        self._upload = upload
        self._clocks = clocks
        self._exchange = exchange
        self._on_interim = on_interim
        self._told_interim = False
        self.connection: Connection | None = None

    async def open(self) -> tuple[Connection, ResponseHead]:
        """The final response head and the connection its body comes on. Errors: ProxyError of either side.

        A kept connection may have been closed by the upstream while our request was on its way; what may be sent twice
        is then sent once more, on a new connection. Nothing is repeated after a 1xx went to the client.
        """
        connection = self._pool.take()
        self._exchange.attempts += 1
        if connection is not None:
            if self.forward.request.method not in IDEMPOTENT:
                connection.watch_acknowledgements()
            try:
                head = await self._send(connection)
            except ProxyError as error:
                method, replayable = self.forward.request.method, self._upload.replayable
                if not may_repeat(error, method, replayable, self._told_interim, connection.unread):
                    raise
                connection.close()
                connection = self.connection = None
                self._exchange.attempts += 1
        if connection is None:
            connection = await self._dial()
            head = await self._send(connection)
        self._clocks.head_since = None
        return connection, head

    async def _dial(self) -> Connection:
        """A new connection, within `timeouts.connect` and what is left of `timeouts.total`."""
        timeouts = self.forward.route.timeouts
        left = None if timeouts.total is None else self._exchange.started + timeouts.total - time.monotonic()
        if left is None or (timeouts.connect is not None and timeouts.connect <= left):
            return await self._pool.dial(timeouts.connect)
        try:
            return await self._pool.dial(left)
        except ConnectTimeout as error:
            raise TotalTimeout from error

    def fail(self, error: ProxyError) -> None:
        """A deadline has passed while the head was awaited."""
        if self.connection is not None:
            self.connection.fail(error)

    def _send(self, connection: Connection) -> asyncio.Future[ResponseHead]:
        """Sends head and body, or begins to; the answer's head is to be awaited."""
        self.connection = connection
        forward = self.forward
        limit = forward.route.limits.response_head
        connection.begin(forward.request.method, limit, self._interim, forward.tunnel)
        self._upload.send(connection)
        return connection.head()

    def _interim(self, head: ResponseHead) -> None:
        self._told_interim = True
        self._on_interim(head)

    def shed(self) -> None:
        """Lets go of what nobody needs any more once the answer's body is on its way."""
        self._upload.shed()
        if self.connection is not None:
            self.connection.shed_head()

    def hand_over(self) -> Connection:
        """Gives the connection away for good: it became a tunnel, and is no longer this call's to close."""
        connection, self.connection = self.connection, None
        assert connection is not None
        return connection

    def abandon(self) -> None:
        """Nobody wants the answer: the connection is not used again, even if the answer has come meanwhile."""
        if self.connection is not None:
            self.connection.close()

    def close(self) -> None:
        """Stops the upload and gives the connection back, to be kept or closed."""
        self._upload.cancel()
        if self.connection is not None:
            self._pool.put(self.connection)
            self.connection = None
