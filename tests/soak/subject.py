"""The proxy of a soak, with two workers: its configuration changes, its workers are killed, and it tells of itself."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from tests.soak import account

START_S, CHANGE_S, STOP_S = 20.0, 20.0, 20.0
GONE_S = 5.0


class Subject:
    """`serve` on a configuration in `folder`, before an origin on a loopback port."""

    def __init__(self, folder: Path, origin: int, workers: int = 2) -> None:
        self._folder = folder
        self._origin = origin
        self._workers = workers
        self.port, self.extra, self._admin = _free_ports(3)
        self.generation = 0
        """The number of the configuration in force."""

    async def start(self) -> None:
        """Returns when it is ready."""
        self._write()
        self._process = self._launch()
        # One connection: its files are among those that are counted.
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1))
        async with asyncio.timeout(START_S):
            while not await self._is_ready():
                assert self._process.poll() is None, self.log[-800:]
                await asyncio.sleep(0.02)

    def _launch(self) -> "subprocess.Popen[bytes]":
        words = [sys.executable, "-m", "proxy", "serve", "-c", str(self._folder / "proxy.yaml")]
        with open(self._folder / "log", "wb") as log:
            return subprocess.Popen(words, stdin=subprocess.DEVNULL, stderr=log)

    async def _is_ready(self) -> bool:
        try:
            return all(worker["pid"] for worker in (await self.status())["workers"])
        except aiohttp.ClientConnectorError:
            return False

    @property
    def has_extra(self) -> bool:
        """Whether the configuration in force has a second address: every other one does."""
        return self.generation % 2 == 1

    def _write(self, spoiled: str = "") -> None:
        listen = [self.port, self.extra] if self.has_extra else [self.port]
        how = "{deliver: events, heartbeat: 1s}" if self.has_extra else "{deliver: bytes}"
        beside = self._folder / "proxy.new"
        beside.write_text(
            f"listen: [{', '.join(f'127.0.0.1:{port}' for port in listen)}]\n"
            f"admin: 127.0.0.1:{self._admin}\nworkers: {self._workers}\ninspector: off\nlog: {{format: json}}\n"
            f"routes:\n  - path: /events/\n    upstream: http://127.0.0.1:{self._origin}\n    stream: {how}\n"
            f"    headers: {{response: {{set: {{x-generation: '{self.generation}'}}}}}}\n{spoiled}"
        )
        beside.replace(self._folder / "proxy.yaml")

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text("utf-8")

    async def status(self) -> dict[str, Any]:
        """What the admin listener tells of all workers."""
        async with self._session.get(f"http://127.0.0.1:{self._admin}/status") as answer:
            assert answer.status == 200
            found: dict[str, Any] = await answer.json()
            return found

    async def metrics(self) -> str:
        async with self._session.get(f"http://127.0.0.1:{self._admin}/metrics") as answer:
            return await answer.text()

    async def pids(self) -> list[int]:
        """All its processes; the one that was started first."""
        told = await self.status()
        return [
            told["pid"],
            *account.children(told["pid"]),
            *(worker["pid"] for worker in told["workers"] if worker["pid"]),
        ]

    async def reload(self) -> None:
        """The next configuration. Returns when it is in force, in every worker. Errors: AssertionError if it is not."""
        before = (await self.status())["reloads"]
        self.generation += 1
        self._write()
        after = await self._changed(before)
        assert after["done"] == before["done"] + 1, f"generation {self.generation} was refused: {self.log[-800:]}"
        for _ in range(8):  # whichever worker takes them
            async with (
                aiohttp.ClientSession() as fresh,
                fresh.get(f"http://127.0.0.1:{self.port}/events/none") as answer,
            ):
                assert answer.headers["x-generation"] == str(self.generation)

    async def spoil(self) -> None:
        """A configuration that is wrong, which changes nothing; then the one in force again."""
        before = (await self.status())["reloads"]
        self._write("    upstrem: http://a\n")
        after = await self._changed(before)
        assert after["refused"] == before["refused"] + 1
        self._write()

    async def _changed(self, before: dict[str, Any]) -> dict[str, Any]:
        self._process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(CHANGE_S):
            while True:
                found: dict[str, Any] = (await self.status())["reloads"]
                if (found["done"], found["refused"]) != (before["done"], before["refused"]):
                    return found
                await asyncio.sleep(0.05)

    async def worker_pid(self, number: int) -> int:
        """Of a worker that runs."""
        pid: int = (await self.status())["workers"][number]["pid"]
        return pid

    def kill(self, pid: int) -> frozenset[account.Connection]:
        """Kills a worker. Returns the connections that it had, and those in a queue, as that may have been its.

        It is held first and seen out last, and blocks until then: nobody of this process connects meanwhile, to be
        given to a listener that is about to go.
        """
        ports = {self.port, self.extra}
        os.kill(pid, signal.SIGSTOP)
        own, found = account.sockets(pid), account.connections(ports)
        os.kill(pid, signal.SIGKILL)
        until = time.monotonic() + GONE_S
        while own & account.listeners(ports):
            assert time.monotonic() < until, f"{pid} still listens"
            time.sleep(0.001)
        return frozenset(connection for connection, inode in found.items() if inode in own or inode == 0)

    async def wait_back(self, number: int, killed: int) -> int:
        """Returns when another process does the worker's work, and has streams: its pid."""
        async with asyncio.timeout(CHANGE_S):
            while True:
                worker = (await self.status())["workers"][number]
                if worker["pid"] not in (None, killed) and worker["open_streams"]:
                    return int(worker["pid"])
                await asyncio.sleep(0.05)

    async def stop(self) -> int:
        """Its exit code."""
        await self._session.close()
        self._process.terminate()
        return await asyncio.to_thread(self._process.wait, STOP_S)

    async def end(self) -> None:
        """Kills what still runs; the workers follow."""
        await self._session.close()
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def _free_ports(count: int) -> list[int]:
    """Loopback ports that were free a moment ago."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return found
