"""The project's own rules for a client that leaves: its upstream request goes with it, and nothing else does."""

import asyncio
import collections
import gc
import os
import random
import re
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from proxy.core.routes import Tls
from proxy.edge import access_log
from tests.net.client import Client
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import Proxied, settles
from tests.net.origin import Origin, body_bytes, pushed, request, stop_reading
from tests.net.responses import OK, SSE, counted
from tests.net.test_backpressure import stalls
from tests.net.test_client_gone import leaves_somewhere
from tests.net.test_sockets import connected_sockets
from tests.net.wire import chunk, head

CLOSED_WITHIN_S = 0.1
BUSY_MACHINE_S = 1.0
LEAVING: dict[str, Callable[[Client], None]] = {"closes": Client.close, "resets": Client.reset}
POST = head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 100")


async def in_upload(client: Client, one: Origin) -> None:
    client.send(POST + b"part")
    connection = await one.connection(len(one.connections))
    await connection.until(lambda: bool(connection.requests) and connection.request.size == 4, "the first bytes")


async def before_the_head(client: Client, one: Origin) -> None:
    number = len(one.connections)
    client.get()
    connection = await one.connection(number)
    await connection.until(lambda: bool(connection.requests), "the request")


async def in_body(client: Client, one: Origin) -> None:
    client.get()
    await client.wait_body(await client.next_head(), 1)


async def in_silence(client: Client, one: Origin) -> None:
    client.get()
    await client.next_head()


Phase = tuple[Callable[[Client, Origin], Awaitable[None]], list]
PHASES: dict[str, Phase] = {
    "upload": (in_upload, [request, body_bytes(100)]),
    "waiting for the head": (before_the_head, [request]),
    "silent stream": (in_silence, [request, SSE]),
    "busy stream": (in_body, [request, SSE, pushed(chunk(b"data: x\n\n" * 100), 100_000)]),
    "plain answer": (in_body, [request, counted(bytes(1000))[:-500]]),
}
CONNECTING = ["DNS", "connect", "TLS"]


NAME = "name.example"


def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes one name's resolution take as long as the test."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **options: int) -> list:
        while host == NAME and socket.getaddrinfo is getaddrinfo:
            time.sleep(0.01)  # in a thread; that the patch is taken back tells nobody
        return resolve(host, port, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


async def connecting(
    phase: str, origin: MakeOrigin, proxy: MakeProxy, deaf_port: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[Proxied, Origin | None]:
    """A proxy whose connections to the upstream stay in that phase."""
    timeouts = {"connect": 30.0}
    if phase == "DNS":
        silent_resolver(monkeypatch)
        return await proxy(80, host=NAME, timeouts=timeouts), None
    if phase == "connect":
        return await proxy(deaf_port, timeouts=timeouts), None
    one = await origin([], read=False)
    return await proxy(one, tls=Tls(), timeouts=timeouts), one


@pytest.mark.parametrize("leaving", LEAVING)
@pytest.mark.parametrize("phase", [*CONNECTING, *PHASES])
async def test_the_upstream_is_left_too(
    origin: MakeOrigin, proxy: MakeProxy, deaf_port: int, monkeypatch: pytest.MonkeyPatch, phase: str, leaving: str
):
    """D1: within 100 ms of a close or reset nothing of the upstream request is left, whatever it was waiting for."""
    took = []
    one: Origin | None
    if phase in CONNECTING:
        proxied, one = await connecting(phase, origin, proxy, deaf_port, monkeypatch)
    else:
        one = await origin(PHASES[phase][1], kept=False)
        proxied = await proxy(one)
    for number in (1, 2):  # the better of two: another program may have had the processor
        client = await proxied.connect()
        if phase in CONNECTING:
            client.get()
            assert await settles(lambda: proxied.running.open_exchanges == 1)
            if one is not None:
                hello = await one.connection(number - 1)
                await hello.until(lambda hello=hello: hello.received_bytes > 0, "the ClientHello")
        else:
            await PHASES[phase][0](client, one)
        left_at = time.monotonic()
        LEAVING[leaving](client)
        if one is not None:
            await one.connections[-1].wait_ended(BUSY_MACHINE_S)
        ended = (await proxied.exchanges.number(number, BUSY_MACHINE_S)).ended
        took.append(max(ended, one.connections[-1].ended_at if one else 0.0) - left_at)
    assert min(took) < CLOSED_WITHIN_S
    assert {exchange.outcome for exchange in proxied.exchanges.ended_ones} == {"client_closed"}


@pytest.mark.parametrize("pipelined", [False, True])
@pytest.mark.parametrize("phase", ["waiting for the head", "silent stream"])
async def test_nothing_has_to_be_written_to_notice(origin: MakeOrigin, proxy: MakeProxy, phase: str, pipelined: bool):
    """D2: an upstream that never says another byte is left all the same, also with a second request in waiting."""
    reach, script = PHASES[phase]
    one = await origin(script)
    proxied = await proxy(one)
    client = await proxied.connect()
    await reach(client, one)
    before = client.received_bytes
    if pipelined:
        client.get(b"/second")
    client.close()
    await one.connections[0].wait_ended(BUSY_MACHINE_S)
    assert (await proxied.ended()).outcome == "client_closed"
    assert (client.received_bytes, len(one.connections), len(one.connections[0].requests)) == (before, 1, 1)


COUNTS = {"upload": (4, 0), "waiting for the head": (0, 0), "silent stream": (0, 0), "plain answer": (0, 500)}


@pytest.mark.parametrize("phase", COUNTS)
async def test_how_it_is_logged(origin: MakeOrigin, proxy: MakeProxy, phase: str):
    """D3: the line says client_closed, 499 unless a status was sent, in which phase, and the bytes each way."""
    lines = {}
    for name in COUNTS:
        reach, script = PHASES[name]
        one = await origin(script)
        proxied = await proxy(one)
        client = await proxied.connect()
        await reach(client, one)
        client.close()
        lines[name] = access_log.fields(await proxied.ended())
    line = lines[phase]
    assert (line["outcome"], line["code"]) == ("client_closed", "client_closed")
    assert (line["bytes_in"], line["bytes_out"]) == COUNTS[phase]
    assert line["status"] == (200 if line["phase"] == "body" else 499)  # what was sent stays what it was
    assert len({entry.get("phase") for entry in lines.values()} - {None}) >= 3  # upload, head, body


@pytest.mark.parametrize("phase", PHASES)
async def test_the_upstream_is_not_blamed(origin: MakeOrigin, proxy: MakeProxy, phase: str):
    """D4: no second attempt on its account, no warning, and the upstream serves the next request as if nothing were."""
    one = await origin([request, OK, *PHASES[phase][1]], [request, OK])
    proxied = await proxy(one)
    warm = await proxied.connect()
    await warm.ask_for_answer()  # so that the request goes out on a connection that has been used before
    client = await proxied.connect()
    client.get() if phase != "upload" else client.send(POST + b"part")
    connection = one.connections[0]
    await connection.until(lambda: len(connection.requests) == 2, "the second request")
    if phase not in ("upload", "waiting for the head"):
        await client.next_head()
    client.reset()
    exchange = await proxied.ended(2)
    await connection.wait_ended()
    assert (exchange.attempts, len(one.connections)) == (1, 1)
    assert access_log.level(exchange) == "info"
    assert (await warm.ask_for_answer()).body == b"ok"
    assert (await proxied.ended(3)).attempts == 1


def ours_alive() -> collections.Counter[str]:
    """Objects of `proxy.net` that have not been freed."""
    gc.collect()
    kinds = [type(one) for one in gc.get_objects()]
    return collections.Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith("proxy.net"))


async def test_a_thousand_that_leave_leave_nothing(origin: MakeOrigin, proxy: MakeProxy):
    """D5: after 1000 clients that left at random no socket, task, buffer or exchange of theirs is there any more."""
    one = await origin([request, SSE, chunk(b"data: 1\n\n")])
    proxied = await proxy(one)
    chance = random.Random(5)
    before: collections.Counter[str] = collections.Counter()
    tasks = sockets = 0
    for turn in range(51):
        await asyncio.gather(*(leaves_somewhere(proxied, chance) for _ in range(20)))
        await one.until(lambda: not one.open_connections, "all upstream connections to be closed")
        assert await settles(lambda: not proxied.running.open_exchanges)
        if turn == 0:
            before, tasks, sockets = ours_alive(), len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    assert {exchange.outcome for exchange in proxied.exchanges.ended_ones} == {"client_closed"}
    assert await settles(lambda: len(asyncio.all_tasks()) <= tasks)
    assert await settles(lambda: len(os.listdir("/proc/self/fd")) <= sockets)
    assert await settles(lambda: not ours_alive() - before), ours_alive() - before
    client = await proxied.connect()
    client.get()
    assert (await client.next_head()).status == 200


RESTS = {"waiting for the head": counted(b"late"), "silent stream": chunk(b""), "plain answer": bytes(500)}


@pytest.mark.parametrize("phase", RESTS)
async def test_what_was_cancelled_is_not_used_again(origin: MakeOrigin, proxy: MakeProxy, phase: str):
    """D9: though the answer becomes complete some turns after its client left, its connection is closed, not kept."""
    reach, script = PHASES[phase]
    left = 0
    for turns in range(8):
        one = await origin(script, [request, OK])
        proxied = await proxy(one)
        client = await proxied.connect()
        await reach(client, one)
        client.reset()
        for _ in range(turns):
            await asyncio.sleep(0)
        if not one.connections[0].gone:
            one.connections[0].send(RESTS[phase])
        if (await proxied.ended()).outcome == "complete":
            continue  # the answer was seen first
        left += 1
        await one.connections[0].wait_ended(BUSY_MACHINE_S)
        assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"
        assert [len(connection.requests) for connection in one.connections] == [1, 1]
    assert left


def tasks_of_the_proxy(before: set[asyncio.Task]) -> list[asyncio.Task]:
    """What runs since then and is no script of an origin."""
    return [task for task in asyncio.all_tasks() - before if task.get_name() != "origin script"]


@pytest.mark.parametrize("turns", [0, 1, 3])
@pytest.mark.parametrize("phase", [*PHASES, "connect"])
async def test_cancelled_twice_is_ended_once(
    origin: MakeOrigin, proxy: MakeProxy, deaf_port: int, phase: str, turns: int
):
    """D10: a second cancellation, some turns behind the first, neither is swallowed nor stops what is cleaned up."""
    if phase == "connect":
        proxied = await proxy(deaf_port, timeouts={"connect": 30.0})
    else:
        one = await origin(PHASES[phase][1], kept=False)
        proxied = await proxy(one)
    before = asyncio.all_tasks()
    client = await proxied.connect()
    if phase == "connect":
        client.get()
        assert await settles(lambda: proxied.running.open_exchanges == 1)
    else:
        await PHASES[phase][0](client, one)
    running = tasks_of_the_proxy(before)
    assert running
    client.reset()
    for number in range(2):
        for task in running:
            task.cancel()
        for _ in range(turns if number == 0 else 0):
            await asyncio.sleep(0)
    await asyncio.wait(running, timeout=5)
    assert all(task.done() for task in running)
    assert not [task for task in running if not task.cancelled() and task.exception()]
    assert (await proxied.ended()).outcome == "client_closed"
    assert await settles(lambda: not proxied.running.open_exchanges)
    if phase != "connect":
        await one.connections[0].wait_ended()
    assert len(proxied.exchanges.ended_ones) == 1


def documents() -> str:
    """What users read."""
    root = Path(__file__).parents[2]
    return "".join(page.read_text("utf-8") for page in (*root.glob("docs/*.md"), root / "README.md"))


@pytest.mark.parametrize("phase", ["upload", "waiting for the head", "silent stream", "plain answer", "documented"])
async def test_a_half_close_is_a_close(origin: MakeOrigin, proxy: MakeProxy, phase: str):
    """D11: a client that ends only its own direction counts as gone, at once; and our documents say so."""
    if phase == "documented":
        assert re.search(r"half.?clos", documents(), re.IGNORECASE)
        return
    reach, script = PHASES[phase]
    one = await origin(script)
    proxied = await proxy(one)
    client = await proxied.connect()
    await reach(client, one)
    client.finish_writing()
    await one.connections[0].wait_ended(BUSY_MACHINE_S)
    assert (await proxied.ended()).outcome == "client_closed"


FOUND_WITHIN_S = 120


@pytest.mark.skipif(sys.platform != "linux", reason="sockets are found through /proc")
@pytest.mark.parametrize("case", ["probed", "not read from"])
async def test_a_client_that_vanished_is_found(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """D12: probes or missing acknowledgements find it in two minutes; one we do not read from, the upload's clock."""
    if case == "probed":
        one = await origin([request, SSE])
        proxied = await proxy(one)
        client = await proxied.connect()
        await in_silence(client, one)
        with connected_sockets() as found:
            accepted = next(
                made for made in found if made.family == socket.AF_INET and made.getsockname()[1] == proxied.port
            )
            names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            idle, each, count, silent_ms = (
                accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names
            )
            probed_s = idle + each * count if accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) else None
        assert min(probed_s or 10**9, (silent_ms / 1000) or 10**9) <= FOUND_WITHIN_S
        return
    one = await origin([request, stop_reading], receive_buffer=4096, kept=False)
    proxied = await proxy(one, timeouts={"idle": 1.0, "client_body": None})
    client = await proxied.connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 20000000") + bytes(20_000_000))
    connection = await one.asked()
    await stalls(client.transport.get_write_buffer_size, 0.1)
    client.reset()
    await proxied.exchanges.number(1, 3)
    connection.resume()
    await connection.wait_ended()
    assert not connection.request.complete
