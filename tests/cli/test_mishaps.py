"""What goes wrong around a running command: each is one clear line, and serving goes on, streams included."""

import asyncio
import contextlib
import os
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
import trustme

from proxy.demo.run import Demo

from .command import COMMAND, WAIT_LIMIT_S, Command, environment
from .conftest import Echo, Serve, Told
from .test_admin import scrape, value
from .test_log import parsed
from .test_reload import refused, reloaded, status_of, write

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def errors(command: Command) -> list[str]:
    """The messages of level error."""
    lines = [parsed(line) for line in command.stderr.splitlines()]
    return [line["message"] for line in lines if line["level"] == "error"]


# A certificate


class Tls:
    """`serve` with a certificate, as a user who cannot read every file, which root could."""

    def __init__(self, folder: Path, upstream: str, workers: int) -> None:
        self._folder = folder
        self.authority = trustme.CA()
        self.pem = folder / "tls.pem"
        self.renew()
        listen = f"listen: 127.0.0.1:0\nadmin: off\nworkers: {workers}\ntls: {{cert: {self.pem}, key: {self.pem}}}"
        self.file = write(folder / "proxy.yaml", upstream, more=listen)

    def renew(self) -> None:
        """Another certificate of the same authority."""
        self.pem.unlink(missing_ok=True)
        self.authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(self.pem))

    async def serial(self, url: str) -> str:
        """The number of the certificate that a new client is shown, on a connection that works."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 ")
        shown: str = writer.get_extra_info("peercert")["serialNumber"]
        writer.close()
        await writer.wait_closed()
        return shown


@pytest.fixture
def without_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands of this test cannot read what their user may not, also where that is root."""
    if os.geteuid() == 0:
        dropped = [shutil.which("setpriv") or "setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]
        monkeypatch.setattr("tests.cli.command.COMMAND", [*dropped, *COMMAND])


def closed(tls: Tls) -> str:
    tls.pem.chmod(0)
    return f"tls: {tls.pem}: permission denied"


def gone(tls: Tls) -> str:
    tls.pem.unlink()
    return f"tls: {tls.pem}: no such file or directory"


def cut(tls: Tls) -> str:
    tls.pem.write_bytes(tls.pem.read_bytes()[:400])
    return f"tls: no usable PEM in {tls.pem} and {tls.pem} ("


def folder(tls: Tls) -> str:
    tls.pem.unlink()
    tls.pem.mkdir()
    return f"tls: {tls.pem}: is a directory"


@WORKERS
@pytest.mark.parametrize("spoil", [closed, gone, cut, folder])
@pytest.mark.usefixtures("without_privileges")
async def test_a_certificate_that_cannot_be_read_any_more_is_refused_and_the_old_one_shown(
    launch: Serve, echo: Echo, tmp_path: Path, workers: int, spoil: Callable[[Tls], str]
) -> None:
    """MUST. Until it can be read again, which another reload finds."""
    tls = Tls(tmp_path, echo.url, workers)
    command = launch("serve", "-c", str(tls.file))
    url = await command.wait_url()
    shown = await tls.serial(url)
    said = spoil(tls)
    command.signal(signal.SIGHUP)
    assert f"reload refused: {said}" in await refused(command)
    assert len(errors(command)) == 2, command.stderr
    assert {await tls.serial(url) for _ in range(4)} == {shown}
    if tls.pem.is_dir():
        tls.pem.rmdir()
    tls.renew()
    command.signal(signal.SIGHUP)
    await reloaded(command)
    assert shown not in {await tls.serial(url) for _ in range(4)}


# An address

TAKES = "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"


@contextlib.contextmanager
def taking_a_port() -> Iterator[str]:
    """The address on which another process listens."""
    with subprocess.Popen(
        [sys.executable, "-c", TAKES], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        yield f"127.0.0.1:{other.stdout.readline().strip()}"
        other.communicate("\n")


@WORKERS
async def test_a_port_that_another_process_took_before_the_reload_leaves_a_stream_alone(
    launch: Serve, demo: Demo, session: aiohttp.ClientSession, tmp_path: Path, unused_tcp_port: int, workers: int
) -> None:
    """MUST. And it is taken as soon as that process is gone."""
    more = f"admin: off\nworkers: {workers}\nlisten: [127.0.0.1:{unused_tcp_port}{{}}]"
    file = write(tmp_path / "proxy.yaml", demo.upstream_url, more=more.format(""))
    command = launch("serve", "-c", str(file))
    url, told = await command.wait_url(), Told()
    reading = asyncio.ensure_future(told.read(session, url, pace=20, tokens=40))
    await told.wait_token()
    with taking_a_port() as taken:
        write(file, demo.upstream_url, more=more.format(f", '{taken}'"))
        command.signal(signal.SIGHUP)
        assert f"cannot listen on {taken}: address already in use" in await refused(command)
        assert len(errors(command)) == 2
    command.signal(signal.SIGHUP)
    await reloaded(command)
    assert await status_of(session, f"http://{taken}/demo/state") == 200
    await reading
    assert (told.is_whole, len(told.tokens)) == (True, 40)


# A name


@WORKERS
async def test_an_upstream_whose_name_does_not_resolve_is_its_routes_trouble_alone(
    launch: Serve, demo: Demo, session: aiohttp.ClientSession, tmp_path: Path, workers: int
) -> None:
    """MUST. It may resolve at the next request, so neither the start nor a reload is refused for it."""
    text = (
        f"listen: 127.0.0.1:0\nadmin: off\nworkers: {workers}\nroutes:\n"
        f"  - {{path: /nowhere/, upstream: 'http://no-such-host.invalid'}}\n  - {{upstream: '{demo.upstream_url}'}}\n"
    )
    file = tmp_path / "proxy.yaml"
    file.write_text(text)
    command = launch("serve", "-c", str(file))
    url, told = await command.wait_url(), Told()
    reading = asyncio.ensure_future(told.read(session, url, pace=20, tokens=30))
    await told.wait_token()
    for times in (1, 2):
        async with session.get(f"{url}/nowhere/") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (502, "dns_error")
        line = parsed((await command.wait_lines("code=dns_error", times))[-1])
        assert (line["level"], line["status"], line["upstream"]) == ("warning", "502", "http://no-such-host.invalid:80")
        if times == 1:
            file.write_text(text + "drain: 20s\n")
            command.signal(signal.SIGHUP)
            await reloaded(command)
    await reading
    assert (told.is_whole, len(told.tokens)) == (True, 30)
    assert errors(command) == []


# The log


LogsTo = Callable[[Path, int], "subprocess.Popen[bytes]"]


@pytest.fixture
def logs_to(tmp_path: Path) -> Iterator[LogsTo]:
    """Starts `serve` on a configuration, its stderr being that descriptor; it is gone after the test."""
    started = []

    def start(file: Path, log: int) -> "subprocess.Popen[bytes]":
        words = [*COMMAND, "serve", "-c", str(file)]
        started.append(subprocess.Popen(words, env=environment(tmp_path, {}), stdin=subprocess.DEVNULL, stderr=log))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@WORKERS
@pytest.mark.parametrize("log", ["pipe", "full"])
async def test_a_log_that_breaks_off_costs_lines_and_nothing_else(
    demo: Demo,
    session: aiohttp.ClientSession,
    tmp_path: Path,
    logs_to: LogsTo,
    unused_tcp_port_factory: Callable[[], int],
    workers: int,
    log: str,
) -> None:
    """MUST. Who read the pipe is gone, or the disk is full: streams, reloads and a stop go on; lines are counted."""
    listen, admin = unused_tcp_port_factory(), unused_tcp_port_factory()
    more = f"listen: 127.0.0.1:{listen}\nadmin: 127.0.0.1:{admin}\nworkers: {workers}"
    file = write(tmp_path / "proxy.yaml", demo.upstream_url, more=more)
    ours, theirs = os.pipe() if log == "pipe" else (None, os.open("/dev/full", os.O_WRONLY))
    process = logs_to(file, theirs)
    os.close(theirs)
    await wait_ready(session, f"http://127.0.0.1:{admin}/readyz", process)
    told = Told()
    reading = asyncio.ensure_future(told.read(session, f"http://127.0.0.1:{listen}", pace=20, tokens=30))
    await told.wait_token()
    if ours is not None:
        os.close(ours)
    for _ in range(20):
        assert await status_of(session, f"http://127.0.0.1:{listen}/demo/state") == 200
    write(file, demo.upstream_url, "/new/", more=more)
    process.send_signal(signal.SIGHUP)
    await until(lambda: status_of(session, f"http://127.0.0.1:{listen}/new/demo/state"), 200)
    await until(lambda: counts_dropped(session, f"http://127.0.0.1:{admin}"), True)
    await reading
    assert (told.is_whole, len(told.tokens)) == (True, 30)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, WAIT_LIMIT_S) == 0


async def counts_dropped(session: aiohttp.ClientSession, admin: str) -> bool:
    """Whether the lines of the twenty requests are counted as dropped; they are written a little later."""
    return (value(await scrape(session, admin), "streamsafe_log_lines_dropped_total") or 0) >= 20


async def until(ask: Callable[[], Awaitable[object]], wanted: object) -> None:
    """Returns once that is the answer."""
    async with asyncio.timeout(WAIT_LIMIT_S):
        while True:
            if await ask() == wanted:
                return
            await asyncio.sleep(0.02)


async def wait_ready(session: aiohttp.ClientSession, url: str, process: "subprocess.Popen[bytes]") -> None:
    """Returns once `/readyz` says so."""
    async with asyncio.timeout(WAIT_LIMIT_S):
        while True:
            assert process.poll() is None
            try:
                if await status_of(session, url) == 200:
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.01)
