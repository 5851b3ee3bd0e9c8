"""One soak: opens the crowd, lets things happen to the proxy, and judges what the ledger and the system then say."""

import asyncio
import contextlib
import random
import re
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.account import GROWTH_KIB, Memory, open_files
from tests.soak.clients import Crowd
from tests.soak.ledger import Ledger
from tests.soak.origin import listen
from tests.soak.subject import Subject

SAMPLE_S = 1.0
END_S = 30.0  # more than the longest stream
IDLE_S = 20.0  # more than kept connections to upstreams live


@dataclass(frozen=True)
class Settings:
    """How long, how much, and how often."""

    seconds: float
    streams: int
    seed: int
    most_events: int = 40
    pace_s: float = 0.5
    reload_every_s: float = 5.0
    kills: int = 3
    """All in the first third, so that every process has time to show whether it grows, and all of the second worker:
    the first one shows what size they come to."""
    growth_kib: float = GROWTH_KIB
    """More for a short one, in which every process still grows into its size."""


@dataclass
class Report:
    """What came of it."""

    settings: Settings
    ledger: Ledger
    faults: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        found = [f"FAULT: {fault}" for fault in self.faults[:40]]
        found += [f"... and {len(self.faults) - 40} more"] if len(self.faults) > 40 else []
        return "\n".join([f"seed: {self.settings.seed}", self.ledger.told(), *self.lines, *(found or ["no fault"])])


async def soak(settings: Settings, folder: Path) -> Report:
    """Runs one. `folder` holds the configuration and the log."""
    ledger = Ledger(settings.seed, settings.most_events, settings.pace_s)
    report = Report(settings, ledger)
    origin = await listen(ledger)
    subject = Subject(folder, origin.sockets[0].getsockname()[1])
    try:
        await subject.start()
        await _Soak(settings, subject, ledger, report).run()
        code = await subject.stop()
        if code != 0:
            report.faults.append(f"the proxy ended with {code}")
        if "Traceback" in subject.log:
            report.faults.append(f"a traceback in the log: {subject.log.partition('Traceback')[2][:800]}")
    finally:
        await subject.end()
        origin.close()
    report.faults += ledger.faults()
    return report


class _Soak:
    def __init__(self, settings: Settings, subject: Subject, ledger: Ledger, report: Report) -> None:
        self._settings = settings
        self._subject = subject
        self._ledger = ledger
        self._report = report
        self._crowd = Crowd(ledger, subject.port, settings.streams)
        self._memory = Memory(settings.growth_kib)
        self._random = random.Random(settings.seed)
        self._most_open = 0

    async def run(self) -> None:
        """From the first stream to the last, and until nothing is held any more."""
        before = [open_files(pid) for pid in await self._subject.pids()]
        async with _running(self._crowd.keep(), self._sample()) as tasks:
            happening = asyncio.create_task(self._happen(), name="soak: what happens")
            done, _ = await asyncio.wait({happening, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            happening.cancel()
            for task in done:
                task.result()
            await self._crowd.stop(END_S)
        self._report.faults += self._memory.faults()
        thirds = self._memory.thirds()
        for pid, name in zip(
            await self._subject.pids(), ("supervisor", "nursery", "worker 1", "worker 2"), strict=True
        ):
            told = ", ".join(f"{kib / 1024:.1f}" for kib in thirds.get(pid, []))
            self._report.lines.append(f"memory of {name}, medians of three thirds: {told or 'too short a life'} MiB")
        self._report.lines.append(f"open at once: up to {self._most_open}")
        await self._wait_let_go(before)

    async def _sample(self) -> None:
        while True:
            self._memory.sample(await self._subject.pids())
            self._most_open = max(self._most_open, len(self._ledger.open))
            await asyncio.sleep(SAMPLE_S)

    async def _happen(self) -> None:
        """Reloads at intervals, kills in the first third. Returns when the time is over."""
        settings, clock = self._settings, asyncio.get_running_loop().time
        started = clock()
        kills = [
            started + settings.seconds / 3 * (number + 1) / (settings.kills + 1) for number in range(settings.kills)
        ]
        reloads = spoiled = 0
        while clock() < started + settings.seconds:
            await asyncio.sleep(settings.reload_every_s * self._random.uniform(0.5, 1.5))
            if kills and clock() > kills[0]:
                kills.pop(0)
                await self._kill()
            await self._reload()
            reloads += 1
            if reloads % 4 == 0:
                await self._subject.spoil()
                spoiled += 1
        if self._subject.has_extra:  # ends as it began, for the files to be compared
            await self._reload()
            reloads += 1
        if kills:
            self._report.faults.append(f"there was no time to kill {len(kills)} workers")
        self._report.lines.append(f"reloads: {reloads}, refused: {spoiled}")

    async def _reload(self) -> None:
        """The next configuration; nobody is on the way to an address that it takes away."""
        self._crowd.ports = [self._subject.port]
        await self._crowd.wait_settled()
        await self._subject.reload()
        if self._subject.has_extra:
            self._crowd.ports.append(self._subject.extra)

    async def _kill(self) -> None:
        number = 1
        pid = await self._subject.worker_pid(number)
        robbed = self._ledger.rob(self._subject.kill(pid))
        clock = asyncio.get_running_loop().time
        killed = clock()
        await self._subject.wait_back(number, pid)
        self._report.lines.append(
            f"killed worker {number + 1}, which had {robbed} streams; another has some after {clock() - killed:.1f} s"
        )
        if not robbed:
            self._report.faults.append("a worker was killed that had no streams: that shows nothing")

    async def _wait_let_go(self, before: list[int]) -> None:
        """Returns when as many files are open as at the start, or notes how many are after a while."""
        clock = asyncio.get_running_loop().time
        ended = clock()
        while True:
            after = [open_files(pid) for pid in await self._subject.pids()]
            if after == before or clock() > ended + IDLE_S:
                break
            await asyncio.sleep(0.2)
        self._report.lines.append(
            f"open files: {before} at the start, {after} {clock() - ended:.1f} s after the last stream"
        )
        if after != before:
            self._report.faults.append(f"open files: {before} at the start, {after} at the end")
        page = await self._subject.metrics()
        for name in ("open_exchanges", "open_streams", "log_lines_dropped_total", "observer_failures_total"):
            found = re.findall(rf"^streamsafe_{name}(?:\{{[^}}]*\}})? (\S+)$", page, re.MULTILINE)
            if not found or any(map(float, found)):
                self._report.faults.append(f"streamsafe_{name}: expected 0, found {found}")


@contextlib.asynccontextmanager
async def _running(*work: Coroutine[Any, Any, None]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Tasks that end with the block."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
