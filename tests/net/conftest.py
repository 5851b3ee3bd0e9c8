"""A scripted origin, our proxy in front of it, and after each test the proof that nothing was left behind."""

import asyncio
import contextlib
import gc
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from proxy.core.routes import Route
from proxy.net import deadlines

from . import harness
from .certificates import authority, authority_file, certificate_file
from .harness import Proxied, settles
from .origin import Origin, Script

__all__ = ["authority", "authority_file", "certificate_file"]

MakeOrigin = Callable[..., Awaitable[Origin]]
MakeProxy = Callable[..., Awaitable[Proxied]]
Measured = Callable[[str, float], None]
CLOSED_AFTER = "upstream closed after its client left"


def _open_sockets() -> int:
    """How many sockets this process has; 0 where the system does not tell."""
    sockets = 0
    with contextlib.suppress(FileNotFoundError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                sockets += os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    return sockets


@pytest.fixture(scope="session", autouse=True)
def _only_what_tests_make_is_collected() -> None:
    """What imports made stays for good: left out of each collection after a test, which then costs next to nothing."""
    gc.collect()
    gc.freeze()


@pytest.fixture
async def left_behind(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """After the test: no task, no socket and no error in the log that was not there before."""
    caplog.set_level(logging.DEBUG, logger="proxy")
    tasks_before, sockets_before = asyncio.all_tasks(), _open_sockets()
    yield
    assert await settles(lambda: asyncio.all_tasks() <= tasks_before | {asyncio.current_task()}), (
        f"tasks are left: {asyncio.all_tasks() - tasks_before}"
    )
    assert await settles(lambda: _open_sockets() <= sockets_before), "sockets are left"
    gc.collect()  # what a task or a future failed with, and nobody asked for, is logged when it goes
    gc.freeze()  # what is left is pytest's: looked at again after every test, it would cost most of a run
    if request.node.get_closest_marker("logs_errors") is None:
        for phase in ("setup", "call", "teardown"):
            bad = [entry for entry in caplog.get_records(phase) if entry.levelno >= logging.ERROR or entry.exc_info]
            assert not bad, f"logged: {[entry.getMessage() for entry in bad]}"


@pytest.fixture
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines and silences of a fraction of a second are noticed, which take a tick."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)


@pytest.fixture
async def origin(left_behind: None) -> AsyncIterator[MakeOrigin]:
    """Makes scripted origins."""
    made: list[Origin] = []

    async def make(
        *scripts: Script, kept: bool = True, read: bool = True, receive_buffer: int | None = None, tls: Any = None
    ) -> Origin:
        one = Origin(scripts, kept, read, receive_buffer)
        made.append(one)
        return await one.listen(tls)

    yield make
    for one in made:
        await one.close()


@pytest.fixture
async def proxy(origin: MakeOrigin) -> AsyncIterator[MakeProxy]:
    """Makes proxies in front of an origin, of a port, or of routes."""
    made: list[Proxied] = []
    behind: list[Origin] = []

    async def make(
        *before: Origin | int | Route,
        settings: dict[str, Any] | None = None,
        proxy: dict[str, Any] | None = None,
        **overrides: Any,
    ) -> Proxied:
        behind.extend(one for one in before if isinstance(one, Origin))
        ports = [one.port if isinstance(one, Origin) else one for one in before]
        served = [one if isinstance(one, Route) else harness.route(one, **overrides) for one in ports]
        one = await harness.start(*served, settings=settings or {}, proxy=proxy or {})
        made.append(one)
        return one

    yield make
    for one in made:
        await _ended_well(one)
    for one in behind:
        await one.until(lambda one=one: not one.open_connections, "the proxy to close its connections")


async def _ended_well(proxied: Proxied) -> None:
    """Closes the clients, and then the proxy, in which nothing may be going on any more."""
    for client in proxied.clients:
        if not client.gone:
            client.close()
            if client.transport.get_write_buffer_size():
                client.transport.abort()
            await client.wait_gone()
    assert await settles(lambda: not proxied.running.open_exchanges), "an exchange is open though every client left"
    if not proxied.stopped:
        assert await proxied.stop() == 0


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: further ones are neither accepted nor refused."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    waiting = []
    for _ in range(3):
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex(listening.getsockname())
        waiting.append(one)
    yield listening.getsockname()[1]
    for one in (*waiting, listening):
        one.close()


@pytest.fixture
def dead_port() -> Iterator[int]:
    """A port that refuses every connection, and that nobody else gets meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Keeps a figure, in seconds, for the report: where a rule gives one and a test has to allow for a busy machine."""

    def keep(what: str, seconds: float) -> None:
        request.node.user_properties.append((what, seconds))

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tells what was measured."""
    figures = [
        value
        for report in terminalreporter.getreports("passed")
        for what, value in report.user_properties
        if what == CLOSED_AFTER and report.when == "call"
    ]
    if figures:
        middle = sorted(figures)[len(figures) // 2]
        terminalreporter.write_line(f"{CLOSED_AFTER}: median {middle * 1000:.1f} ms, most {max(figures) * 1000:.1f} ms")
