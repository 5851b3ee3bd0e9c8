"""Idle connections to one origin, the most recently used first.

The pool is told when an idle connection ends and forgets it at once; how long it keeps one is shorter than what common
servers allow, because a connection that closes while a request is on its way costs that request.
"""

import ssl
import time

from proxy.core.routes import Origin
from proxy.net.deadlines import Sweeper
from proxy.net.upstream.connection import Connection
from proxy.net.upstream.dial import dial

# uvicorn and Node close idle connections after 5 s; TLS costs more to set up, and public APIs keep theirs longer.
IDLE_PLAIN_S = 4.0
IDLE_TLS_S = 30.0
# How much earlier than an upstream announces we close: a request may be on its way when it does.
MARGIN_S = 1.0
# So that a name that moved is followed.
MAX_AGE_S = 300.0


class Pool:
    """Connections to one origin, which speaks TLS with that `context` if it does. Belongs to one event loop."""

    def __init__(self, origin: Origin, sweeper: Sweeper, context: ssl.SSLContext | None = None) -> None:
        self.origin = origin
        self.context = context
        self._retired = False
        self._sweeper = sweeper
        self._idle: list[Connection] = []
        self._idle_limit_s = IDLE_TLS_S if origin.tls else IDLE_PLAIN_S

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> Connection | None:
        """The connection used last, if one is idle and still good.

        What came since the loop last looked is asked for: it would be taken for the answer to the next request.
        """
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and not connection.has_waiting:
                connection.leave_idle()
                return connection
            connection.close()
        return None

    async def dial(self, timeout_s: float | None) -> Connection:
        """A new connection. Errors: UpstreamError."""
        return await dial(self.origin, timeout_s, self.context)

    def put(self, connection: Connection) -> None:
        """Takes a connection back after its exchange; one that cannot be used again is closed."""
        now = time.monotonic()
        kept_s = connection.kept_s
        idle_s = self._idle_limit_s if kept_s is None else min(self._idle_limit_s, kept_s - MARGIN_S)
        if self._retired or not connection.reusable or idle_s <= 0 or now - connection.born > MAX_AGE_S:
            connection.close()
            return
        connection.rest(min(now + idle_s, connection.born + MAX_AGE_S), self._lost)
        self._idle.append(connection)
        if len(self._idle) == 1:  # it is watched while there is any
            self._sweeper.add(self)

    def retire(self) -> None:
        """Keeps nothing from now on: what is idle is closed, and what is in use when its exchange is over."""
        self._retired = True
        self.close()

    def close(self) -> None:
        """Closes what is idle; connections in use are not touched."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()
        self._sweeper.discard(self)

    def check(self, now: float) -> None:
        """Closes what has been idle too long; called by the sweeper."""
        for connection in [idle for idle in self._idle if now > idle.idle_until]:
            self._idle.remove(connection)
            connection.close()
        if not self._idle:
            self._sweeper.discard(self)

    def _lost(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
