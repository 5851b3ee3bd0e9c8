"""A log that can be written nowhere costs nobody anything: neither who asks, nor the exit code."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from .command import COMMAND, WAIT_LIMIT_S, environment
from .conftest import Echo

FULL = Path("/dev/full")


@pytest.fixture
def unwritable(echo: Echo, tmp_path: Path, unused_tcp_port: int) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """`serve` on a full disk, which cannot say where it is."""
    url = f"127.0.0.1:{unused_tcp_port}"
    words = [*COMMAND, "serve", echo.url, "--listen", url, "--admin", "off"]
    with open(FULL, "wb") as full:
        process = subprocess.Popen(words, env=environment(tmp_path, {}), stdin=subprocess.DEVNULL, stderr=full)
    yield f"http://{url}/", process
    process.kill()
    process.wait()


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
async def test_a_full_disk_under_the_log_stops_nothing(
    unwritable: tuple[str, "subprocess.Popen[bytes]"], session: aiohttp.ClientSession
) -> None:
    url, process = unwritable
    await wait_answered(session, url, process)
    for _ in range(20):
        async with session.get(url) as answer:
            assert answer.status == 200
    process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(process.wait, WAIT_LIMIT_S) == 0


async def wait_answered(session: aiohttp.ClientSession, url: str, process: "subprocess.Popen[bytes]") -> None:
    """Returns once the proxy answers."""
    while True:
        assert process.poll() is None
        try:
            async with session.get(url):
                return
        except aiohttp.ClientConnectorError:
            await asyncio.sleep(0.01)
