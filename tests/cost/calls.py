"""Counts Python's function calls in the thread of a proxy with its defaults: log, metrics, an unwatched inspector.

A call is one of a Python function, a generator's or coroutine's going on included; builtins and extensions are none.
"""

import asyncio
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from proxy.app import Running
from proxy.config.compile import compiled
from proxy.config.load import from_values
from proxy.edge.access_log import AccessLog
from proxy.edge.log_sink import Descriptor, LogSink

from .script import LIMIT_S, Counted, Script, counted

PACKAGE = str(Path(__file__).resolve().parents[2] / "proxy") + os.sep
STEPS, ROUNDS = 200, 3
# Calls up to Python 3.11 only; and what is called again when another millisecond has begun.
UNCOUNTED = {"<listcomp>", "<dictcomp>", "<setcomp>", "timestamp_of"}


class Profile:
    """The calls of a proxy's thread, by code object, in the best of some rounds: what a timer does is in the others."""

    def __init__(self, served: "Served") -> None:
        self._served = served
        self._calls: Counter[CodeType] = Counter()

    def count(self, step: Callable[[], None], steps: int) -> Counted:
        """Calls of ours that a step takes, and the functions that they were of."""
        found = min((self._round(step, steps) for _ in range(ROUNDS)), key=Counter.total)
        names = [(f"{code.co_filename.removeprefix(PACKAGE)}: {code.co_qualname}", found[code]) for code in found]
        names.sort(key=lambda one: (-one[1], one[0]))
        return Counted(found.total() / steps, {name: number / steps for name, number in names if number >= steps / 4})

    def _round(self, step: Callable[[], None], steps: int) -> Counter[CodeType]:
        """Lines of the log, which a timer writes, are written at the beginning and at the end."""
        self._calls = Counter()
        self._served.on_loop(lambda: sys.setprofile(self._note))
        for _ in range(steps):
            step()
        self._served.on_loop(lambda: sys.setprofile(None))
        ours = {code: number for code, number in self._calls.items() if code.co_filename.startswith(PACKAGE)}
        return Counter(ours)

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call" and frame.f_code.co_name not in UNCOUNTED:
            self._calls[frame.f_code] += 1


class Served:
    """A proxy on a loop and in a thread of its own, for the time of a `with`."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop], origin_port: int) -> None:
        self._new_loop = new_loop
        self._values = {
            "listen": "127.0.0.1:0",
            "admin": "127.0.0.1:0",
            "routes": [{"path": "/", "upstream": f"http://127.0.0.1:{origin_port}"}],
        }
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._live, name="proxy under count")
        self.port = 0
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._ready.wait(LIMIT_S)
        assert self.port, "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive()

    def on_loop(self, switch: Callable[[], None]) -> None:
        """Runs it in the loop's thread, once the log's waiting lines are written, and returns when that is done."""
        done = threading.Event()

        def both() -> None:
            self._log.flush()
            switch()
            done.set()

        self.loop.call_soon_threadsafe(both)
        assert done.wait(LIMIT_S)

    def _live(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._new_loop) as runner:
                runner.run(self._serve())
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self.loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            sink = LogSink(Descriptor(nowhere), str)
            log = self._log = AccessLog(sink, "text")
            running = await Running.start(compiled(from_values(self._values, {})), [log])
            self.port = int(running.addresses[0].rpartition(":")[2])
            self._ready.set()
            await self._ended.wait()
            await running.stop(0)
            log.flush()
            sink.drain(LIMIT_S)
        finally:
            os.close(nowhere)


def counts(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> dict[str, Counted]:
    """Calls of Python functions of ours, by kind of step."""
    script = Script()
    try:
        with Served(new_loop, script.origin_port) as served:
            script.connect(served.port)
            return counted(script, Profile(served).count, STEPS)
    finally:
        script.close()
