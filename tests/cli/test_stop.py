"""How a running command ends: streams are let to their end, and a second signal cuts them so that clients can tell."""

import asyncio
import contextlib
import signal
from pathlib import Path

import aiohttp
import pytest

from proxy.demo.run import Demo

from .conftest import Serve, Told

every_signal = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)


async def wait_refused(url: str) -> None:
    """Until new connections are refused. One that is still in the queue of a listener that closes is reset."""
    host, _, port = url.removeprefix("http://").partition(":")
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(ConnectionResetError):
                try:
                    _, writer = await asyncio.open_connection(host, int(port))
                except ConnectionRefusedError:
                    return
                writer.close()
            await asyncio.sleep(0.01)  # another process: nobody is told what it does


@every_signal
async def test_a_signal_ends_an_idle_proxy_at_once(serve: Serve, demo: Demo, number: signal.Signals) -> None:
    command = serve(demo.upstream_url)
    url = await command.wait_url()
    command.signal(number)
    assert await command.wait_end(within_s=3) == 0
    await wait_refused(url)
    assert command.stderr.endswith('message="stopped"\n')


@every_signal
async def test_an_open_stream_goes_on_to_its_end_while_new_connections_are_refused(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, number: signal.Signals
) -> None:
    command = serve(demo.upstream_url)
    url = await command.wait_url()
    told = Told()
    reading = await told.begin(session, url, pace=20, tokens=40)
    command.signal(number)
    await command.wait_match(r'message="stopping: up to 30 s for what is open \(1\), the oldest for \d+\.\d s"')
    await wait_refused(url)
    assert len(told.tokens) < 20, "too slow a machine to tell whether the stream was still open"
    await reading
    assert told.is_whole
    assert len(told.tokens) == 40
    assert await command.wait_end(within_s=3) == 0
    (line,) = await command.wait_lines("outcome=", 1)
    assert "outcome=complete" in line
    await command.wait_match('message="stopped"$')


@every_signal
async def test_a_second_signal_ends_at_once_and_the_client_can_tell(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, number: signal.Signals
) -> None:
    command = serve(demo.upstream_url)
    url = await command.wait_url()
    told = Told()
    reading = await told.begin(session, url, pace=20, tokens=1200)
    command.signal(number)
    await command.wait_match("stopping: ")
    command.signal(number)
    assert await command.wait_end(within_s=3) == 0
    await reading
    assert not told.is_whole
    (line,) = await command.wait_lines("outcome=", 1)
    assert "outcome=drained" in line
    await command.wait_match(r'message="stopped: open exchanges cut: 1"$')
    assert "stopped" in command.stderr.splitlines()[-1], "what ended before it is told before it"


async def test_the_first_signal_may_differ_from_the_second(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    command = serve(demo.upstream_url)
    told = Told()
    reading = await told.begin(session, await command.wait_url(), pace=20, tokens=1200)
    command.signal(signal.SIGINT)
    await command.wait_match("stopping: ")
    command.signal(signal.SIGTERM)
    assert await command.wait_end(within_s=3) == 0
    await reading
    assert not told.is_whole


async def test_a_stop_waits_no_longer_than_drain(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(f"drain: 500ms\nroutes: [{{upstream: '{demo.upstream_url}'}}]\n")
    command = serve("-c", str(file))
    told = Told()
    reading = await told.begin(session, await command.wait_url(), pace=20, tokens=1200)
    clock = asyncio.get_running_loop().time
    signalled = clock()
    command.signal(signal.SIGTERM)
    assert await command.wait_end(within_s=5) == 0
    assert clock() - signalled > 0.45
    await reading
    assert not told.is_whole
    await command.wait_match(r"stopping: up to 0\.5 s for what is open \(1\), the oldest for \d+\.\d s")


async def test_an_upstream_is_told_when_its_stream_is_cut(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(f"drain: 0\nroutes: [{{upstream: '{demo.upstream_url}'}}]\n")
    command = serve("-c", str(file))
    told = Told()
    reading = await told.begin(session, await command.wait_url(), pace=20, tokens=1200)
    command.signal(signal.SIGTERM)
    assert await command.wait_end(within_s=3) == 0
    await reading
    async with asyncio.timeout(2):
        while True:
            async with session.get(f"{demo.upstream_url}/demo/state") as answer:
                if (await answer.json())["generating"] == 0:
                    return


async def test_an_idle_connection_does_not_hold_a_stop_up(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    command = serve(demo.upstream_url)
    url = await command.wait_url()
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with session.get(f"{url}/demo/state") as answer:
        assert answer.status == 200
    command.signal(signal.SIGTERM)
    assert await command.wait_end(within_s=3) == 0
    assert await asyncio.wait_for(reader.read(), 3) == b""
    writer.close()
    await writer.wait_closed()


async def test_a_signal_before_anything_listens_ends_without_a_traceback(serve: Serve) -> None:
    """However early it comes; the exit code is then the signal's or the command's."""
    command = serve("http://127.0.0.1:1")
    command.signal(signal.SIGTERM)
    assert await command.wait_end(within_s=5) in (0, -signal.SIGTERM)
