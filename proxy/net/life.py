"""What an exchange holds while it runs, and what may still run when its client has gone."""

import asyncio
import logging
from collections.abc import Callable

from proxy.core.exchange import Exchange
from proxy.net.deadlines import Deadlines, Sweeper, Watched
from proxy.net.relay import Relay
from proxy.net.upstream.attempts import Attempts
from proxy.net.upstream.call import Call

log = logging.getLogger("proxy")

# For how long, and for how many at once, an upstream is read on after its client has gone.
READ_ON_S = 120.0
READ_ON_AT_ONCE = 64


class Life:
    """Clocks, an upstream call and a relay, given back together by `end`."""

    __slots__ = ("_also", "_sweeper", "call", "clocks", "relay")

    def __init__(self, sweeper: Sweeper, clocks: Deadlines, call: Call | Attempts) -> None:
        self._sweeper = sweeper
        self._also: Watched | None = None
        self.clocks = clocks
        self.call = call
        self.relay: Relay | None = None
        (sweeper.add_patient if clocks.has_time else sweeper.add)(clocks)

    def watch(self, watched: Watched | None) -> None:
        """Watches this beside the clocks, in place of what was watched so."""
        if self._also is not None:
            self._sweeper.discard(self._also)
        self._also = watched
        if watched is not None:
            self._sweeper.add(watched)

    def unwatch(self) -> None:
        """Stops all clocks."""
        self.watch(None)
        self._sweeper.discard(self.clocks)

    def end(self) -> None:
        """Ends all of it; the connection is kept if it may be used again."""
        if self.relay is not None:
            self.relay.close()
        if self._also is not None:
            self.watch(None)
        self._sweeper.discard(self.clocks)
        self.clocks.release()
        self.call.close()


class Aftermath:
    """Exchanges that are over for their client and not for us: their upstreams are read on for what they still tell."""

    def __init__(self, ended: Callable[[Exchange], None]) -> None:
        self._ended = ended
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False

    def __len__(self) -> int:
        return len(self._tasks)

    def take(self, life: Life, exchange: Exchange) -> bool:
        """Takes over what a cancelled exchange leaves; False where there is too much of it already, or all is over."""
        if self._is_over or len(self._tasks) >= READ_ON_AT_ONCE:
            return False
        exchange.read_on = True
        life.watch(None)  # nobody is left to hear a heartbeat
        task = asyncio.get_running_loop().create_task(self._read_on(life, exchange), name="read on")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def cancel(self) -> None:
        """Ends all of it, for good."""
        self._is_over = True
        for task in self._tasks:
            task.cancel()

    async def _read_on(self, life: Life, exchange: Exchange) -> None:
        try:
            if life.relay is not None:
                async with asyncio.timeout(READ_ON_S):
                    await life.relay.until_finished()
        except TimeoutError:
            log.debug("request %s was read on in vain", exchange.request_id)
        finally:
            life.call.abandon()  # what was cancelled is never used again
            life.end()
            self._ended(exchange)
