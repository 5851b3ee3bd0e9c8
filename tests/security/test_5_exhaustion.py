"""One slow or hostile peer must cost the others nothing: no memory, no time, no connection."""

import asyncio
import gzip
import re
import resource
import statistics
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.net.client import Client, connect
from tests.net.conftest import MakeOrigin
from tests.net.harness import settles
from tests.net.origin import Connection, Origin, Script, pushed, request, whole_request
from tests.net.responses import CHUNKED, OK, SSE, counted
from tests.net.wire import chunk, head
from tests.spec.relayed import answering

from .world import HOST, code, routes

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")

MIB = 1024 * 1024
PIECE = bytes(64 * 1024)
# What the kernel may hold for us, and what the allocator does on its own account.
FLAT_BYTES = 6 * MIB


@pytest.fixture(autouse=True)
def _enough_files() -> Iterator[None]:
    """The clients of these tests are all in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 16_384), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Served:
    """A proxy in a process of its own."""

    command: Command
    port: int
    clients: list[Client]

    async def connect(self, **options: object) -> Client:
        client = await connect(self.port, **options)
        self.clients.append(client)
        return client

    def grown(self, since: int) -> int:
        return self.command.resident_bytes - since


Serving = Callable[[str], "asynccontextmanager[Served]"]


@pytest.fixture
def serving(launch: Callable[..., Command], tmp_path: Path, asked_loop: str) -> Serving:
    """Starts the program with a configuration; its loop is the program's own choice."""

    @asynccontextmanager
    async def start(text: str) -> AsyncIterator[Served]:
        (tmp_path / "proxy.yaml").write_text(f"listen: 127.0.0.1:0\nadmin: off\n{text}")
        command = launch("serve", "-c", str(tmp_path / "proxy.yaml"), environ={"KEY": "sk-0123456789abcdef"})
        one = Served(command, int((await command.wait_url()).rpartition(":")[2]), [])
        try:
            yield one
        finally:
            for client in one.clients:
                if not client.gone:
                    client.transport.abort()
                    await client.wait_gone()

    return start


async def drip(clients: list[Client], stop: asyncio.Event) -> None:
    """Sends one byte a second on each connection, for as long as it stands."""
    text = head(b"GET /n/x HTTP/1.1", HOST, b"X-Slow: " + b"a" * 1000)
    for byte in text:
        for client in clients:
            if client.ending == "open":
                client.send(bytes([byte]))
        try:
            await asyncio.wait_for(stop.wait(), 1)
        except TimeoutError:
            continue
        return


async def timed(client: Client, times: int) -> list[float]:
    """How long whole answers took, in seconds."""
    took = []
    for _ in range(times):
        before = time.monotonic()
        answer = await client.ask_for_answer(b"/k/x")
        took.append(time.monotonic() - before)
        assert (answer.status, answer.body) == (200, b"ok")
    return took


async def test_slow_heads_are_cut_and_nobody_waits_for_them(origin: MakeOrigin, serving: Serving):
    """SEC-33: who sends a head byte by byte holds a connection, for `keep_alive` and not a moment longer."""
    one = await origin(answering())
    async with serving(f"keep_alive: 3s\n{routes(one.port)}") as served:
        slow = [await served.connect() for _ in range(200)]
        begun = time.monotonic()
        stop = asyncio.Event()
        dripping = asyncio.create_task(drip(slow, stop))
        assert statistics.median(await timed(await served.connect(), 20)) < 1
        for client in slow:
            assert await client.wait_ended(20) in ("fin", "reset")
        assert 2 < time.monotonic() - begun < 10
        assert not any(client.raw for client in slow)
        stop.set()
        await dripping


def script_of(kinds: dict[bytes, Script]) -> Script:
    """Plays what a request's target names; answers all other requests."""

    async def play(connection: Connection) -> None:
        while True:
            await whole_request(connection)
            if connection.gone:
                return
            for step in kinds.get(connection.request.target.rpartition(b"/")[2], [OK]):
                if connection.gone:
                    return
                if isinstance(step, bytes):
                    connection.send(step)
                elif (waiting := step(connection)) is not None:  # type: ignore[operator]
                    await waiting

    return [play]


POURING: Script = [SSE, pushed(chunk(PIECE), 16 * 1024)]


async def test_a_reader_that_stops_costs_its_own_stream_and_nothing_else(origin: MakeOrigin, serving: Serving):
    """SEC-34: the upstream is read no faster than its client reads, and a client that stopped for good is let go."""
    one = await origin(script_of({b"pour": POURING}))
    more = ", timeouts: {client_write: 3s}"
    async with serving(routes(one.port, plain=more)) as served:
        await timed(await served.connect(), 20)
        before = served.command.resident_bytes
        stalled = []
        for _ in range(10):
            client = await served.connect(kept=False, receive_buffer=64 * 1024)
            client.get(b"/n/pour")
            await client.next_head()
            client.pause()
            stalled.append(client)
        await asyncio.sleep(1)  # long enough for 64 MiB, if anybody took them
        assert served.grown(before) < 10 * MIB
        pouring = [connection for connection in one.connections if connection.sent_bytes]
        assert all(connection.writing_paused for connection in pouring)
        assert statistics.median(await timed(await served.connect(), 20)) < 1
        lines = await served.command.wait_lines("outcome=client_stalled", 10)
        assert len(lines) == 10
        await one.until(lambda: all(connection.gone for connection in pouring), "the upstreams to be left", 10)


async def test_a_body_over_its_limit_is_refused_and_without_one_it_flows(origin: MakeOrigin, serving: Serving):
    """SEC-35: a declared body at once, a chunked one while it is counted; where there is no limit nothing is held."""
    one = await origin([whole_request, OK], [whole_request, OK], kept=False)
    more = ", limits: {request_body: 1MiB}"
    async with serving(routes(one.port, keyed=more)) as served:
        declared = await served.connect()
        declared.send(head(b"POST /k/x HTTP/1.1", HOST, b"Content-Length: %d" % (MIB + 1)))
        assert code(await declared.answer())[0] == 413
        assert not one.connections
        counting = await served.connect()
        counting.send(head(b"POST /k/x HTTP/1.1", HOST, b"Transfer-Encoding: chunked"))
        for _ in range(17):
            counting.send(chunk(PIECE))
        assert code(await counting.answer())[0] == 413
        await one.connections[0].wait_ended()
        assert not one.connections[0].request.complete
        before = served.command.resident_bytes
        free = await served.connect()
        free.methods.append(b"POST")
        free.send(head(b"POST /n/x HTTP/1.1", HOST, b"Content-Length: %d" % (256 * MIB)))
        for _ in range(256 * MIB // len(PIECE)):
            free.send(PIECE)
            await free.until(lambda: not free.writing_paused, "room to write", 20)
        assert (await free.answer(20)).status == 200
        assert one.connections[1].request.size == 256 * MIB
        assert served.grown(before) < FLAT_BYTES


async def test_a_bomb_is_passed_on_or_cut_but_never_unfolded_here(origin: MakeOrigin, serving: Serving):
    """SEC-36: what nobody reads here stays folded; a coded event stream that unfolds without end is cut."""
    bomb = gzip.compress(bytes(256 * MIB), 9)
    coded = counted(bomb, b"Content-Type: application/json", b"Content-Encoding: gzip")
    streamed = SSE.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + chunk(bomb) + chunk(b"")
    one = await origin([whole_request, coded, whole_request, OK], [request, streamed])
    async with serving(routes(one.port)) as served:
        client = await served.connect()
        before = served.command.resident_bytes
        answer = await client.ask_for_answer(b"/k/x")
        assert (answer.body, answer.get(b"content-encoding")) == (bomb, b"gzip")
        client.ask(b"POST", b"/k/x", b"Content-Encoding: gzip", body=bomb)
        assert (await client.answer()).status == 200
        assert one.connections[0].requests[1].body == bomb
        client.close()
        events = await served.connect(kept=False)
        one.connections[0].close()
        await one.connections[0].wait_gone()
        events.get(b"/k/x")
        message = await events.next_head()
        assert await events.wait_body_end(message, 20) == "fin"
        assert message.size <= max(MIB, 100 * len(bomb))
        assert served.grown(before) < FLAT_BYTES + 4 * len(bomb)
        (line,) = await served.command.wait_lines("outcome=upstream_aborted", 1)
        assert "code=http_response_content_coding" in line


async def test_a_line_without_end_passes(origin: MakeOrigin, serving: Serving):
    """SEC-37: an event stream is bytes like any others, whether or not a line of it ever ends."""
    times = 128 * MIB // len(PIECE)
    noise = zlib.compress(PIECE, 0)[2 : 2 + len(PIECE)].replace(b"\n", b"-").replace(b"\r", b"-")
    one = await origin([request, SSE, chunk(b"data: "), pushed(chunk(noise), times), chunk(b"")], kept=False)
    async with serving(routes(one.port)) as served:
        client = await served.connect(kept=False)
        before = served.command.resident_bytes
        client.get(b"/k/x")
        message = await client.next_head()
        assert await client.wait_body_end(message, 40) == "complete"
        assert message.size == 6 + len(noise) * times
        assert message.checksum == zlib.crc32(noise * times, zlib.crc32(b"data: "))
        assert served.grown(before) < FLAT_BYTES


@pytest.mark.parametrize("case", ["chunks down", "chunks up", "trailers down", "trailers up"])
async def test_crumbs_take_no_turn_from_others(origin: MakeOrigin, serving: Serving, case: str):
    """SEC-38: a hundred thousand chunks of one byte, or ten thousand trailers, cost about what their bytes do."""
    trailers = b"".join([b"X-%d: a\r\n" % number for number in range(10_000)])
    scripts: dict[bytes, Script] = {
        b"chunks": [CHUNKED, chunk(b"a") * 100_000, chunk(b"")],
        b"trailers": [CHUNKED, chunk(b"a"), b"0\r\n" + trailers + b"\r\n"],
    }
    one = await origin(script_of(scripts))
    async with serving(routes(one.port)) as served:
        normal, client = await served.connect(), await served.connect()
        await timed(normal, 20)
        before = served.command.resident_bytes
        kind = case.split(" ")[0].encode()
        if case.endswith("down"):
            client.get(b"/n/" + kind)
        else:
            body = chunk(b"a") * 100_000 + chunk(b"") if kind == b"chunks" else chunk(b"a") + b"0\r\n" + trailers
            client.methods.append(b"POST")
            client.send(head(b"POST /n/up HTTP/1.1", HOST, b"Transfer-Encoding: chunked") + body)
        took = await timed(normal, 30)
        answer = await client.next_head(20)
        await client.wait_body_end(answer, 20)
        assert statistics.median(took) < 0.1
        if case == "chunks down":
            assert answer.body == b"a" * 100_000
        elif case == "chunks up":
            sent = next(
                asked for connection in one.connections for asked in connection.requests if asked.method == b"POST"
            )
            assert (answer.status, sent.body) == (200, b"a" * 100_000)
        elif case == "trailers up":
            assert answer.status == 400
        assert served.grown(before) < FLAT_BYTES


LORIS, STALLED = 500, 200


async def ticking(connection: Connection) -> None:
    """An event every 20 ms, until nobody wants them."""
    connection.send(SSE)
    while not connection.gone and connection.ending == "open":
        connection.send(chunk(b"data: %d\n\n" % time.monotonic_ns()))
        await asyncio.sleep(0.02)


async def test_a_normal_client_does_not_notice_an_attack(origin: MakeOrigin, serving: Serving):
    """500 heads that never end, 200 readers that stopped: answers and events come as before, and those are cut."""
    one: Origin = await origin(script_of({b"pour": POURING, b"tick": [ticking]}), kept=False)
    text = f"keep_alive: 18s\n{routes(one.port, plain=', timeouts: {client_write: 12s}')}"
    async with serving(text) as served:
        normal, watching = await served.connect(), await served.connect()
        watching.get(b"/k/tick")
        events = await watching.next_head()
        await timed(normal, 50)
        calm = await timed(normal, 200)
        before = served.command.resident_bytes
        slow = await asyncio.gather(*[served.connect(kept=False) for _ in range(LORIS)])
        stop = asyncio.Event()
        dripping = asyncio.create_task(drip(list(slow), stop))
        stalled = await asyncio.gather(*[served.connect(kept=False, receive_buffer=32 * 1024) for _ in range(STALLED)])
        try:
            await asyncio.gather(*[stop_reading(client) for client in stalled])
            await all_paused(one)
            seen = len(events.pieces)
            attacked = await timed(normal, 200)
            grown = served.grown(before)
            assert all(client.ending == "open" for client in slow)
            told = report(calm, attacked, grown)
            assert statistics.median(attacked) < max(5 * statistics.median(calm), 0.02), told
            # Of twenty, the slowest may be another program's doing.
            assert statistics.quantiles(attacked, n=20)[-2] < max(5 * statistics.quantiles(calm, n=20)[-2], 0.2), told
            assert grown < STALLED * MIB, told
            print(told)
            await watching.until(lambda: len(events.pieces) > seen + 20, "events to go on")
            assert statistics.median(delays(events.pieces[seen:])) < 0.25
            lines = await served.command.wait_lines("outcome=client_stalled", STALLED)
            assert len(lines) == STALLED
            for client in slow:
                await client.wait_ended(20)
        finally:
            stop.set()
            await dripping
        await timed(normal, 20)


async def stop_reading(client: Client) -> None:
    """Asks for what pours, and takes no more of it than its head came with.

    To be called for all at once: what pours for those that wait until others have stopped keeps this process so busy
    that it may find no time for a head.
    """
    client.get(b"/n/pour")
    await client.next_head(20)
    client.pause()


async def all_paused(one: Origin) -> None:
    """Returns once every stream that pours has to wait for its reader."""

    def are_paused() -> bool:
        pouring = [connection for connection in one.connections if connection.sent_bytes]
        return len(pouring) == STALLED and all(connection.writing_paused for connection in pouring)

    assert await settles(are_paused)


def delays(pieces: list[tuple[float, bytes]]) -> list[float]:
    """How long after it was made each read of events arrived, in seconds."""
    return [at - int(re.findall(rb"data: (\d+)", data)[0]) / 1e9 for at, data in pieces if b"data: " in data]


def report(calm: list[float], attacked: list[float], grown: int) -> str:
    def line(took: list[float]) -> str:
        return f"median {statistics.median(took) * 1000:.2f} ms, most {max(took) * 1000:.2f} ms"

    return f"calm: {line(calm)}; attacked: {line(attacked)}; memory +{grown // 1024} KiB"
