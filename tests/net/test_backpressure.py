"""Nobody is read faster than the other side takes it, and memory shows it."""

import asyncio
import contextlib
import re
import signal
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from .client import Client, connect
from .codings import unfolding, whole
from .conftest import MakeOrigin, MakeProxy
from .origin import Connection, pushed, read_on, request, stop_reading
from .responses import SSE
from .wire import chunk, head

PIECE = bytes(range(256)) * 256
TIMES = 4096  # 256 MiB
GROWTH_BYTES = 1024 * 1024
MARGIN_BYTES = 512 * 1024  # what the allocator of a fresh process does on its own account


pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")


class Process:
    """A proxy in a process of its own, whose memory is its own."""

    def __init__(self, running: asyncio.subprocess.Process, port: int) -> None:
        self._running = running
        self._port = port
        self.clients: list[Client] = []

    async def connect(self, receive_buffer: int | None = None, *, kept: bool = False) -> Client:
        """A new client, which only counts what it gets if it is not `kept`."""
        client = await connect(self._port, kept=kept, receive_buffer=receive_buffer)
        self.clients.append(client)
        return client

    def resident_bytes(self) -> int:
        """VmRSS."""
        status = Path(f"/proc/{self._running.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


@pytest.fixture
async def serve(asked_loop: str) -> AsyncIterator[Callable]:
    """Starts `serve` for an upstream, on the loop under test."""
    running: list[asyncio.subprocess.Process] = []
    started: list[Process] = []

    async def start(upstream_port: int) -> Process:
        without = "import sys; sys.modules['uvloop'] = None; " if asked_loop == "asyncio" else ""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            f"{without}from proxy.cli import main; main()",
            "serve",
            f"http://127.0.0.1:{upstream_port}",
            "--listen=127.0.0.1:0",
            "--admin=off",
            stderr=asyncio.subprocess.PIPE,
        )
        running.append(process)
        assert process.stderr is not None
        async with asyncio.timeout(20):
            while not (found := re.search(rb"listens on http://127\.0\.0\.1:(\d+)", await process.stderr.readline())):
                pass
        started.append(Process(process, int(found[1])))
        return started[-1]

    yield start
    for client in [client for process in started for client in process.clients if not client.gone]:
        client.transport.abort()
        await client.wait_gone()
    for process in running:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
        _, said = await asyncio.wait_for(process.communicate(), 20)
        assert b"Traceback" not in said, said.decode()


async def stalls(progress: Callable[[], int], moves_s: float = 0.3) -> int:
    """How far it got when nothing moved any more for a while."""
    async with asyncio.timeout(20):
        before = -1
        while progress() != before:
            before = progress()
            await asyncio.sleep(moves_s)
    return before


async def warmed_up(process: Process) -> None:
    """A first exchange, so that what is imported and allocated once is there."""
    client = await process.connect()
    client.get(b"/warm-up")
    await client.wait_body(await client.next_head(), 4 * len(PIECE))
    client.reset()
    await client.wait_gone()


def checksum_of(times: int) -> int:
    checksum = 0
    for _ in range(times):
        checksum = zlib.crc32(PIECE, checksum)
    return checksum


async def read_to_the_end(client: Client, times: int) -> None:
    response = client.reader.messages[-1]
    assert await client.wait_body_end(response, 40) == "complete"
    assert (response.size, response.checksum) == (times * len(PIECE), checksum_of(times))


async def test_a_stalled_client_stops_an_upstream_that_could_push_256_mib(origin: MakeOrigin, serve: Callable):
    """MUST. S14. Held are buffers, not the body; when the client reads on, all of it arrives."""
    script = [request, SSE, pushed(chunk(PIECE), TIMES), chunk(b"")]
    one = await origin([request, SSE, pushed(chunk(PIECE), 5)], script, kept=False)
    process = await serve(one.port)
    await warmed_up(process)
    before = process.resident_bytes()
    client = await process.connect(receive_buffer=64 * 1024)
    client.get()
    await client.next_head()
    client.pause()
    connection = await one.connection(1)
    stalled_at = await stalls(lambda: connection.sent_bytes)
    assert stalled_at < 32 * 1024 * 1024  # the kernel's buffers of both connections, and ours
    grown = process.resident_bytes() - before
    assert grown < GROWTH_BYTES + MARGIN_BYTES, f"grew by {grown} bytes"
    client.resume()
    await read_to_the_end(client, TIMES)


async def test_a_bomb_grows_nothing_while_its_client_stalls(origin: MakeOrigin, serve: Callable):
    """MUST. E9. A few megabytes of gzip that unfold to 256 MiB."""
    start = SSE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    bomb = whole("gzip", unfolding(256 * 1024 * 1024))
    warm = whole("gzip", unfolding(4 * 1024 * 1024))
    one = await origin([request, start + chunk(warm)], [request, start + chunk(bomb) + chunk(b"")], kept=False)
    process = await serve(one.port)
    await warmed_up(process)
    before = process.resident_bytes()
    client = await process.connect(receive_buffer=64 * 1024)
    client.get()
    response = await client.next_head()
    client.pause()
    await stalls(lambda: client.received_bytes)
    grown = process.resident_bytes() - before
    assert grown < GROWTH_BYTES + MARGIN_BYTES, f"grew by {grown} bytes"
    client.resume()
    assert await client.wait_body_end(response, 40) == "complete"
    assert response.size == 256 * 1024 * 1024


async def test_a_stalled_upstream_stops_the_reading_of_an_upload(origin: MakeOrigin, serve: Callable):
    """MUST. S14, S16. The client is not read while the upstream takes nothing; then all of it arrives."""
    gate = asyncio.Event()
    size = len(PIECE) * 1024
    done = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    async def whole_body(connection: Connection) -> None:
        await connection.until(lambda: connection.request.size == size, "the body", 40)

    warm = [request, SSE, pushed(chunk(PIECE), 5)]
    one = await origin(warm, [request, stop_reading, gate, read_on, whole_body, done], kept=False)
    process = await serve(one.port)
    await warmed_up(process)
    before = process.resident_bytes()
    client = await process.connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % size))
    sent = 0

    async def upload() -> None:
        nonlocal sent
        while sent < size:
            client.send(PIECE)
            sent += len(PIECE)
            await client.until(lambda: not client.writing_paused, "room to write", 40)

    uploading = asyncio.create_task(upload())
    stalled_at = await stalls(lambda: sent)
    assert stalled_at < size
    grown = process.resident_bytes() - before
    assert grown < GROWTH_BYTES + MARGIN_BYTES, f"grew by {grown} bytes"
    gate.set()
    await uploading
    assert (await client.answer(40)).status == 200
    assert one.connections[1].request.checksum == checksum_of(1024)


async def test_a_slow_client_slows_nobody_else(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S14, S1. Back-pressure is each connection's own."""
    flood = [request, SSE, pushed(chunk(PIECE), 400), chunk(b"")]
    one = await origin(flood, flood, kept=False)
    proxied = await proxy(one)
    slow = await proxied.connect(kept=False, receive_buffer=8192)
    slow.get()
    await slow.next_head()
    slow.pause()
    quick = await proxied.connect(kept=False)
    quick.get()
    response = await quick.next_head()
    assert await quick.wait_body_end(response, 20) == "complete"
    assert response.size == 400 * len(PIECE)
    slow.resume()
    assert await slow.wait_body_end(slow.reader.messages[0], 20) == "complete"
    assert slow.reader.messages[0].size == 400 * len(PIECE)
