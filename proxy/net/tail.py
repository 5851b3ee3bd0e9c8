"""What an answer leaves behind in a client's buffer when its exchange is over.

The last 64 KiB are nobody's any more then, and closing a connection waits for them without end: a client that stops
reading just before the end would keep its connection for ever.
"""

import asyncio
import time

from proxy.net.deadlines import Sweeper
from proxy.net.sockets import reset_on_close, unsent_bytes


class Tail:
    """Unsent bytes of one connection, watched until they are gone or have not become fewer for `limit_s` seconds."""

    __slots__ = ("_left", "_limit_s", "_since", "_sweeper", "_transport", "watched")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._sweeper: Sweeper | None = None
        self._left = 0
        self._since = self._limit_s = 0.0
        self.watched = False

    @property
    def left(self) -> int:
        """Bytes that the kernel has not taken yet."""
        return unsent_bytes(self._transport)

    def cut(self) -> None:
        """Resets the connection, whatever is left: nobody shall take the part for the whole."""
        self.release()
        reset_on_close(self._transport)
        self._transport.abort()

    def watch(self, sweeper: Sweeper, limit_s: float) -> None:
        """Begins to watch, if anything is unsent. A client that lets the limit pass is reset."""
        left = unsent_bytes(self._transport)
        if left and not self.watched:
            self._sweeper, self._limit_s, self._left, self._since = sweeper, limit_s, left, time.monotonic()
            self.watched = True
            sweeper.add(self)

    def release(self) -> None:
        """Stops watching: another answer has its own clocks, and a closed connection has no tail."""
        if self.watched and self._sweeper is not None:
            self.watched = False
            self._sweeper.discard(self)

    def check(self, now: float) -> None:
        """Looks at what is left; called by the sweeper."""
        left = self.left
        if not left:
            self.release()
        elif left < self._left:
            self._left, self._since = left, now
        elif now - self._since > self._limit_s:
            self.cut()
