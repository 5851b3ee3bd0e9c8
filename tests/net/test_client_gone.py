"""A client that leaves takes its upstream request with it, in every phase."""

import asyncio
import random
import time
from collections.abc import Callable

import pytest

from proxy.core.routes import Tls
from proxy.net.client_connection import ClientConnection

from .client import Client
from .conftest import CLOSED_AFTER, MakeOrigin, MakeProxy, Measured
from .harness import Proxied, settles
from .origin import Connection, Origin, body_bytes, pushed, request
from .responses import SSE, counted
from .test_tail import SIZES
from .wire import chunk, head

# The rule says 100 ms. What is measured is a few; the rest is for machines that are busy with something else.
CLOSED_WITHIN_S = 1.0
UPLOAD = head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 100")


async def uploading(client: Client, one: Origin) -> None:
    client.send(UPLOAD + b"part")
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests) and connection.request.size == 4, "the first bytes")


async def waiting_for_the_head(client: Client, one: Origin) -> None:
    client.get()
    await one.asked()


async def in_a_silent_stream(client: Client, one: Origin) -> None:
    client.get()
    await client.next_head()


async def in_a_busy_stream(client: Client, one: Origin) -> None:
    client.get()
    await client.wait_body(await client.next_head(), 10_000)


PHASES = {
    "upload": (uploading, [body_bytes(100)], 0),
    "waiting for the head": (waiting_for_the_head, [], 0),
    "silent stream": (in_a_silent_stream, [SSE], 200),
    "busy stream": (in_a_busy_stream, [SSE, pushed(chunk(b"data: x\n\n" * 100), 100_000)], 200),
}
LEAVING: dict[str, Callable[[Client], None]] = {"closes": Client.close, "resets": Client.reset}


@pytest.mark.parametrize("leaving", LEAVING)
@pytest.mark.parametrize("phase", PHASES)
async def test_the_upstream_connection_is_closed(
    origin: MakeOrigin, proxy: MakeProxy, phase: str, leaving: str, measured: Measured
):
    """MUST. D1, D2, D3, D4. At once, also while the upstream is silent; the upstream is not blamed."""
    reach, script, status = PHASES[phase]
    one = await origin([request, *script], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect()
    await reach(client, one)
    left_at = time.monotonic()
    LEAVING[leaving](client)
    connection = one.connections[0]
    await connection.wait_ended()
    measured(CLOSED_AFTER, connection.ended_at - left_at)
    assert connection.ended_at - left_at < CLOSED_WITHIN_S
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("client_closed", "client_closed")
    assert exchange.status == (status or 499)
    if phase == "upload":
        assert not connection.request.complete


async def test_a_connection_under_way_is_given_up(proxy: MakeProxy, deaf_port: int):
    """MUST. D1. The connect phase: nobody waits for the timeout of a connection that nobody wants."""
    proxied = await proxy(deaf_port, timeouts={"connect": 30})
    client = await proxied.connect()
    client.get()
    assert await settles(lambda: proxied.running.open_exchanges == 1)
    left_at = time.monotonic()
    client.close()
    exchange = await proxied.ended()
    assert exchange.ended - left_at < CLOSED_WITHIN_S
    assert (exchange.outcome, exchange.status, exchange.attempts) == ("client_closed", 499, 1)


async def test_a_half_close_counts_as_gone(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. D11. The server cannot tell a client that only stopped sending from one that left."""
    one = await origin([request])
    proxied = await proxy(one)
    client = await proxied.connect()
    await waiting_for_the_head(client, one)
    client.finish_writing()
    await one.connections[0].wait_ended()
    assert (await proxied.ended()).outcome == "client_closed"


async def test_a_stalled_client_that_leaves_is_noticed(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. D1. Also with a full buffer, when nothing can be written."""
    one = await origin([request, SSE, pushed(chunk(bytes(65536)), 1000)], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    await client.next_head()
    client.pause()
    connection = one.connections[0]
    await connection.until(lambda: connection.writing_paused, "back-pressure")
    client.reset()
    await connection.wait_ended()
    assert (await proxied.ended()).outcome == "client_closed"


async def test_a_connection_whose_client_left_is_not_used_again(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. D9."""
    one = await origin([request, SSE])
    proxied = await proxy(one)
    for number in range(3):
        client = await proxied.connect()
        client.get()
        await client.next_head()
        client.close()
        await proxied.ended(number + 1)
    assert len(one.connections) == 3
    assert [len(connection.requests) for connection in one.connections] == [1, 1, 1]


async def leaves_somewhere(proxied: Proxied, chance: random.Random) -> None:
    """One client that leaves in a random phase, in a random manner."""
    client = await proxied.connect()
    phase = chance.randrange(6)
    if phase == 1:
        client.send(b"GET / HTTP/1.1\r\nHost: lo")
    elif phase == 2:
        client.send(UPLOAD + b"part")
    elif phase >= 3:
        client.get()
    if phase >= 4:
        await client.next_head()
    if phase == 5:
        await client.wait_body(client.reader.messages[0], 1)
    else:
        for _ in range(chance.randrange(4)):
            await asyncio.sleep(0)
    (client.close if chance.random() < 0.5 else client.reset)()
    await client.wait_gone()


async def test_two_hundred_clients_that_leave_leave_nothing_behind(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. D5. No socket, no task, no exchange: the fixtures look. The proxy then serves on."""
    one = await origin([request, SSE, chunk(b"data: 1\n\n")])
    proxied = await proxy(one)
    chance = random.Random(7)
    for _ in range(10):
        await asyncio.gather(*(leaves_somewhere(proxied, chance) for _ in range(20)))
    await one.until(lambda: not one.open_connections, "all upstream connections to be closed")
    assert {exchange.outcome for exchange in proxied.exchanges.ended_ones} == {"client_closed"}
    client = await proxied.connect()
    client.get()
    assert (await client.next_head()).status == 200


async def test_a_client_that_leaves_after_the_end_is_no_failure(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. D3. What was answered in full is complete."""
    one = await origin([request, SSE + chunk(b"x") + chunk(b"")])
    proxied = await proxy(one)
    client = await proxied.connect()
    await client.ask_for_answer()
    client.reset()
    assert (await proxied.ended()).outcome == "complete"


async def test_an_upstream_that_breaks_is_not_booked_on_the_client(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A14. One failure, one side."""
    one = await origin([request, SSE, Connection.reset])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    await client.wait_ended()
    assert (await proxied.ended()).outcome == "upstream_aborted"
    assert len(proxied.exchanges.ended_ones) == 1


async def test_a_tls_handshake_under_way_is_given_up(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. D1. The TLS phase of connecting."""
    one = await origin([], read=False)
    proxied = await proxy(one, tls=Tls())
    client = await proxied.connect()
    client.get()
    connection = await one.connection()
    await connection.until(lambda: connection.received_bytes > 0, "the ClientHello")
    left_at = time.monotonic()
    client.close()
    await connection.wait_ended()
    assert connection.ended_at - left_at < CLOSED_WITHIN_S
    assert (await proxied.ended()).outcome == "client_closed"


async def test_a_request_in_waiting_does_not_hide_that_the_client_left(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. D2. What was pipelined behind a stream is never executed then."""
    one = await origin([request, SSE])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    await client.next_head()
    client.get(b"/second")
    client.close()
    await one.connections[0].wait_ended()
    assert (await proxied.ended()).outcome == "client_closed"
    assert len(one.connections) == 1


async def test_an_answer_of_ours_for_a_client_that_is_leaving_is_its_own_doing(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """MUST. A14, A16. What was pipelined comes to be answered while the connection closes: no fault of ours."""
    ended = asyncio.Event()
    eof_received = ClientConnection.eof_received

    def ends(connection: ClientConnection) -> bool:
        ended.set()
        return eof_received(connection)

    monkeypatch.setattr(ClientConnection, "eof_received", ends)
    codes = []
    for size in SIZES:
        ended.clear()
        gate = asyncio.Event()
        one = await origin([request, counted(bytes(size))[:-10], gate, bytes(10)], kept=False)
        proxied = await proxy(one)
        client = await proxied.connect(receive_buffer=4096, kept=False)
        client.get()
        client.ask(b"OPTIONS", b"*")
        await client.next_head()
        client.pause()
        client.transport.write_eof()
        await asyncio.wait_for(ended.wait(), 5)
        gate.set()
        client.resume()
        await client.wait_ended()
        assert await settles(lambda proxied=proxied: not proxied.running.open_exchanges)
        codes += [each.code for each in proxied.exchanges.ended_ones if each.method == "OPTIONS"]
    assert set(codes) == {"client_closed"}
