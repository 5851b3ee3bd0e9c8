"""A worker: the whole proxy in a process of its own, but for the admin listener. It does what its supervisor asks.

Signals of a group reach it too and are ignored: the supervisor passes on what they ask for. When that is gone, a worker
lets its streams end and follows.
"""

import asyncio
import itertools
import os
import socket
from collections.abc import Sequence

from proxy.app.errors import CannotStart
from proxy.app.logs import Logs
from proxy.app.process import calm_collector, loop_factory
from proxy.app.running import Change, Running
from proxy.app.workers.channel import Message, answer_all
from proxy.app.workers.exchanges import answered
from proxy.config.changes import taken
from proxy.config.compile import compiled
from proxy.config.messages import ConfigError
from proxy.config.model import Config
from proxy.config.source import Written
from proxy.edge.merged import plain


def work(channel: socket.socket, hatch: socket.socket) -> None:
    """The life of a worker."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(Worker().live(channel, hatch))


class Worker:
    """What a worker has and answers."""

    def __init__(self) -> None:
        self._instance = ""
        self._first: Config | None = None
        self._running: Running | None = None
        self._logs: Logs | None = None
        self._change: Change | None = None
        self._stopping: asyncio.Task[int] | None = None
        self._changing = asyncio.Lock()
        """What is asked of a change waits for what was asked before."""

    async def live(self, channel: socket.socket, hatch: socket.socket) -> None:
        """Answers until it is stopped, or its supervisor gone."""
        await answer_all(channel, hatch, self._answer)
        if self._running is not None:
            await self._stop(None)
        if self._logs is not None:
            self._logs.close()

    async def _answer(self, asked: Message, sockets: list[socket.socket]) -> Message:
        match asked["ask"]:
            case "start":
                return await self._start(asked, sockets)
            case what:
                assert self._running is not None, "nothing is asked before the start"
                return await self._told(what, self._running, asked, sockets)

    async def _told(self, what: str, running: Running, asked: Message, sockets: list[socket.socket]) -> Message:
        match what:
            case "prepare" | "commit" | "discard":
                async with self._changing:
                    return await self._changed(what, running, asked, sockets)
            case "load":
                count, age_s = await running.under_way()
                return {"open": count, "age_s": age_s}
            case "exchanges" | "exchange" if running.exchanges is not None:
                return await answered(running.exchanges, asked)
            case "metrics":
                return {"families": plain(running.metrics.families())} if running.metrics else {"families": []}
            case "status":
                return {"document": await running.status.document()} if running.status else {"document": {}}
            case "drain":
                return {"cut": await self._stop(asked["seconds"])}
            case "abort":
                running.abort()
        return {}

    async def _start(self, asked: Message, sockets: list[socket.socket]) -> Message:
        try:
            # What was there at the very first start decides what no reload can change.
            self._first = Written(**asked["first"]).config(os.environ)
            config = self._config(asked)
            self._logs = logs = Logs(config)
            self._instance = asked["instance"]
            settings = compiled(config, self._instance)
            bound = _dealt(sockets, asked["counts"])
            share = asked["share"]
            self._running = await Running.start_worker(settings, [logs.access], logs.sink, bound, share)
        except (ConfigError, CannotStart) as error:
            return _failure(error, sockets)
        calm_collector()
        return {"addresses": self._running.addresses}

    async def _changed(self, what: str, running: Running, asked: Message, sockets: list[socket.socket]) -> Message:
        change, self._change = self._change, None
        if what == "commit" and change is not None:
            running.commit(change)
        elif change is not None:
            running.discard(change)
        if what == "prepare":
            return await self._prepare(running, asked, sockets)
        return {"addresses": running.addresses}

    async def _prepare(self, running: Running, asked: Message, sockets: list[socket.socket]) -> Message:
        try:
            config = self._config(asked)
            if self._logs is not None:
                self._logs.hide(config)
            self._change = await running.prepare(compiled(config, self._instance), _dealt(sockets, asked["counts"]))
        except (ConfigError, CannotStart) as error:
            return _failure(error, sockets)
        return {}

    def _config(self, asked: Message) -> Config:
        found = Written(**asked["written"]).config(os.environ)
        return found if self._first is None else taken(self._first, found)

    async def _stop(self, drain_s: float | None) -> int:
        """Stops, once, whoever asks first."""
        assert self._running is not None
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._running.stop(drain_s), name="stop")
        return await self._stopping


def _dealt(sockets: Sequence[socket.socket], counts: Sequence[int]) -> list[list[socket.socket]]:
    """The sockets of each address."""
    left = iter(sockets)
    return [list(itertools.islice(left, count)) for count in counts]


def _failure(error: ConfigError | CannotStart, sockets: Sequence[socket.socket]) -> Message:
    for one in sockets:
        one.close()
    return {"failed": str(error), "exit_code": getattr(error, "exit_code", 2)}
