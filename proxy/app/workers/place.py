"""One place for a worker, and who has it at the moment."""

import asyncio
import contextlib
import os
import signal
import time
from typing import Any

from proxy.app.workers.channel import Asker, Message, WorkerGone
from proxy.edge import merged


class Place:
    """Numbered from 1. `asker` is None while nobody serves here."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.pid = 0
        self.asker: Asker | None = None
        self.forked_at = 0.0
        self.restarts = 0
        self.families: list[merged.Family] = []
        """The figures that were told last."""
        self.watched = True
        """Whether somebody would report the end of who is here."""
        self._ended: asyncio.Future[int] | None = None

    async def ask(self, what: str, within_s: float | None, **more: Any) -> Message:
        """The answer of who is here. Errors: WorkerGone."""
        if self.asker is None:
            raise WorkerGone
        return await self.asker.ask(what, within_s, **more)

    def begin(self) -> None:
        """Somebody is about to be forked for this place."""
        self.pid, self.forked_at = 0, time.monotonic()
        self._ended = asyncio.get_running_loop().create_future()

    def reported(self, pid: int, status: int | None) -> None:
        """The nursery has forked somebody for this place, or seen the end of one."""
        self.pid = pid
        if status is not None and self._ended is not None and not self._ended.done():
            self._ended.set_result(status)

    async def wait_ended(self) -> int:
        """The exit code of who was here, negative for a signal, once it has ended."""
        assert self._ended is not None
        return await asyncio.shield(self._ended)

    def leave(self) -> None:
        """Asks no more of who is here: without its supervisor a worker stops."""
        if self.asker is not None:
            self.asker.close()
            self.asker = None

    async def wait_gone(self, seconds: float) -> None:
        """Returns when who was here is gone, which is killed after that time; at once where nobody would tell."""
        if not self.watched:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.wait_ended()
                return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await self.wait_ended()
