"""From the moment everything listens to the exit: reloads while it serves, and a stop that lets streams end.

The same for one process and for the supervisor of several.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from proxy.app.logs import Logs
from proxy.app.reloading import Reloader
from proxy.app.signals import Signals

log = logging.getLogger("proxy")

# How often a long stop says what it waits for.
TOLD_EVERY_S = 10.0


class Served(Protocol):
    """What listens."""

    async def under_way(self) -> tuple[int, float]:
        """How many exchanges are open, and how long the oldest has been, in seconds."""

    async def stop(self, drain_s: float) -> int:
        """Ends in good order; returns how many exchanges were cut."""

    def abort(self) -> None:
        """Cuts what is open, so that `stop` has nothing left to wait for."""


@asynccontextmanager
async def reloading(reloader: Reloader, signals: Signals, watched: Path | None) -> AsyncIterator[None]:
    """Reloads on request while its block runs, and when the `watched` file changes."""
    tasks = [asyncio.create_task(reloader.serve(signals.reload), name="reload")]
    if watched is not None:
        from proxy.app.watching import watch  # takes a tenth of the start's time

        content = (reloader.written.text or "").encode("utf-8")
        tasks.append(asyncio.create_task(watch(watched, content, signals.reload.set), name="watch"))
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(ended, Exception):
                log.error("reloading had ended early: %r", ended)


async def stop(served: Served, drain_s: float, signals: Signals, logs: Logs) -> None:
    """Waits for open exchanges; a second signal ends the wait. That it stopped is told behind all of them."""
    telling = asyncio.create_task(_tell(served, drain_s), name="stop: tell")
    waiting = asyncio.create_task(served.stop(drain_s), name="stop")
    again = asyncio.create_task(signals.second.wait(), name="stop: second signal")
    await asyncio.wait({waiting, again}, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if not waiting.done():
        served.abort()
    cut = await waiting
    telling.cancel()
    await asyncio.gather(telling, again, return_exceptions=True)
    logs.access.flush()
    log.info("stopped%s", f": open exchanges cut: {cut}" if cut else "")


async def _tell(served: Served, drain_s: float) -> None:
    """Says what a stop waits for, now and from time to time."""
    count, age_s = await served.under_way()
    if count:
        log.info("stopping: up to %g s for what is open (%d), the oldest for %.1f s", drain_s, count, age_s)
    while True:
        await asyncio.sleep(TOLD_EVERY_S)
        count, age_s = await served.under_way()
        log.info("stopping: still open: %d, the oldest for %.1f s", count, age_s)
