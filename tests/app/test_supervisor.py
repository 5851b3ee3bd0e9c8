"""How the supervisor asks its workers, which are scripted here: a reload is taken by all of them or by none."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from proxy.app import CannotStart
from proxy.app.workers import supervisor as module
from proxy.app.workers.channel import Message, answer_all
from proxy.app.workers.supervisor import Supervisor
from proxy.config.source import Written

WRITTEN = Written({"listen": "127.0.0.1:0", "admin": "off", "routes": [{"upstream": "http://a"}]})
OTHER = Written({**WRITTEN.values, "listen": ["127.0.0.1:0", "127.0.0.1:0"]})
Script = Callable[[int, Message], Any]


class Nursery:
    """Workers that answer as the test says, and what each was asked."""

    def __init__(self, script: Script) -> None:
        self.reports, self._tell = socket.socketpair()
        self._script = script
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._all: list[asyncio.Task[None]] = []
        self.asked: list[tuple[int, str]] = []
        self.sockets: list[int] = []

    def fork(self, slot: int, channel: socket.socket, hatch: socket.socket) -> None:
        self._report(slot)
        self._tasks[slot] = asyncio.create_task(self._live(slot, channel.dup(), hatch.dup()))
        self._all.append(self._tasks[slot])

    async def _live(self, slot: int, channel: socket.socket, hatch: socket.socket) -> None:
        async def answer(message: Message, sockets: list[socket.socket]) -> Message:
            self.asked.append((slot, message["ask"]))
            self.sockets.append(len(sockets))
            for one in sockets:
                one.close()
            told = self._script(slot, message)
            return {"addresses": ["http://here"], "cut": 0, "open": 0, "age_s": 0} if told is None else told

        channel.setblocking(False)
        await answer_all(channel, hatch, answer)
        self._report(slot, 0)

    def end(self, slot: int) -> None:
        """The worker dies."""
        self._tasks[slot].cancel()
        self._report(slot, -9)

    async def wait_empty(self) -> None:
        """Until nothing of the workers is left, their closed connections included."""
        await asyncio.gather(*self._all, return_exceptions=True)
        await asyncio.sleep(0.02)  # sockets that were closed are let go in a later turn, of which nobody tells

    def _report(self, slot: int, status: int | None = None) -> None:
        report = {"slot": slot, "pid": 0x7FFFFFF0 + slot} | ({} if status is None else {"status": status})
        self._tell.sendall(json.dumps(report).encode() + b"\n")

    def close(self) -> None:
        self.reports.close()
        self._tell.close()


Make = Callable[[Script], Any]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    """Starts a supervisor of two scripted workers."""
    made: list[Supervisor] = []
    nurseries: list[Nursery] = []

    async def start(script: Script) -> tuple[Supervisor, Nursery]:
        nursery: Any = Nursery(script)
        nurseries.append(nursery)
        made.append(Supervisor(nursery, WRITTEN.config({}), WRITTEN, "streamsafe-test", 2))
        await made[-1].start()
        return made[-1], nursery

    yield start
    for one in made:
        if not one.draining:
            await one.stop(0)
    for nursery in nurseries:
        await nursery.wait_empty()


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while True:
            if met():
                return
            await asyncio.sleep(0.005)  # what is waited for differs from test to test, and tells nobody


def fails(slot: int, what: str) -> Script:
    return lambda at, message: {"failed": "no", "exit_code": 1} if (at, message["ask"]) == (slot, what) else None


async def test_what_all_have_made_ready_all_take(make: Make) -> None:
    running, nursery = await make(lambda slot, message: None)
    nursery.asked.clear()
    nursery.sockets.clear()
    await running.apply(OTHER.config({}), OTHER)
    assert sorted(nursery.asked[:2]) == [(1, "prepare"), (2, "prepare")]
    assert sorted(nursery.asked[2:]) == [(1, "commit"), (2, "commit")]
    assert nursery.sockets == [1, 1, 0, 0], "the address that stays is not opened again"


@pytest.mark.parametrize("slot", [1, 2])
async def test_what_one_cannot_make_ready_none_takes(make: Make, slot: int) -> None:
    """MUST. And a worker that is started later does not take it either."""
    starts = []

    def script(at: int, message: Message) -> Message | None:
        if message["ask"] == "start":
            starts.append(message["written"])
        return fails(slot, "prepare")(at, message)

    running, nursery = await make(script)
    nursery.asked.clear()
    with pytest.raises(CannotStart, match="no"):
        await running.apply(OTHER.config({}), OTHER)
    assert sorted(nursery.asked[2:]) == [(1, "discard"), (2, "discard")]
    nursery.end(1)
    await until(lambda: len(starts) == 3)
    assert starts[2] == starts[0]


async def test_a_worker_that_dies_during_a_reload_is_said(make: Make) -> None:
    def script(at: int, message: Message) -> Message | None:
        if (at, message["ask"]) == (2, "prepare"):
            nursery.end(2)
            raise asyncio.CancelledError
        return None

    running, nursery = await make(script)
    with pytest.raises(CannotStart, match="worker 2: it ended, or did not answer"):
        await running.apply(OTHER.config({}), OTHER)
    assert (1, "commit") not in nursery.asked


async def test_one_that_does_not_start_stops_the_start(make: Make) -> None:
    with pytest.raises(CannotStart, match="no"):
        await make(fails(2, "start"))


async def test_one_that_does_not_come_up_again_is_tried_again(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "FIRST_PAUSE_S", 0.01)
    starts: list[int] = []

    def script(at: int, message: Message) -> Message | None:
        if message["ask"] != "start" or at != 2:
            return None
        starts.append(at)
        return {"failed": "no", "exit_code": 1} if len(starts) in (2, 3) else None

    _, nursery = await make(script)
    nursery.end(2)
    await until(lambda: len(starts) == 4)
    assert caplog.text.count("worker 2 cannot be started: no") == 2
    assert [line for line in caplog.messages if "started again in" in line][-1].endswith("again in 0.04 s")
