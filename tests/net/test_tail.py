"""The last bytes of an answer: nobody's once its exchange is over, and yet a client's."""

import asyncio
import time

import pytest

from proxy.core.routes import Match
from proxy.net.client_connection import ClientConnection
from proxy.net.deadlines import Sweeper
from proxy.net.tail import Tail

from .client import Client
from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied, route, settles
from .origin import request
from .responses import SSE, counted
from .wire import chunk

# The kernel's share of an answer differs from machine to machine: one of these sizes ends inside our own buffer.
SIZES = range(100_000, 440_000, 20_000)


def tails(proxied: Proxied) -> list[Tail]:
    """Those of the connections that have bytes in our memory."""
    found = [
        connection.tail
        for entry in proxied.running._listening
        for connection in entry.server.connections
        if isinstance(connection, ClientConnection)
    ]
    return [tail for tail in found if tail is not None and tail.left]


async def stopped_reader(proxied: Proxied) -> Client:
    """A client that stops reading after the head."""
    client = await proxied.connect(receive_buffer=4096)
    client.get()
    await client.next_head()
    client.pause()
    return client


async def stopped_readers(origin: MakeOrigin, proxy: MakeProxy, **changes: object) -> tuple[Proxied, list[Client]]:
    """Clients that stop reading after the head, each in another place, when all that can end has ended."""
    one = await origin(*[[request, counted(bytes(size), b"Connection: close")] for size in SIZES])
    proxied = await proxy(one, **changes)
    return proxied, [await stopped_reader(proxied) for _ in SIZES]


async def test_a_client_that_leaves_the_last_bytes_lying_is_cut(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T5. Its exchange is complete and has no clock any more; its connection must not stay for ever."""
    proxied, clients = await stopped_readers(origin, proxy, timeouts={"client_write": 0.4})
    await proxied.ended(len(SIZES))
    outcomes = [exchange.outcome for exchange in proxied.exchanges.ended_ones]
    assert {"complete", "client_stalled"} == set(outcomes), "no size ended inside our own buffer"
    assert await settles(lambda: not tails(proxied))
    for client in clients:
        client.resume()


async def test_a_stop_waits_for_the_last_bytes(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. An answer that is complete for us is not yet so for a client that is a little behind."""
    proxied, clients = await stopped_readers(origin, proxy)
    behind = tails(proxied)
    assert behind
    stop = asyncio.create_task(proxied.stop(10))
    await asyncio.sleep(0)
    for client in clients:
        client.resume()
    assert await asyncio.wait_for(stop, 8) == 0
    assert not any(tail.left for tail in behind), "the process would end with bytes in its memory"
    for client, size in zip(clients, SIZES, strict=True):
        message = client.reader.messages[-1]
        assert await client.wait_body_end(message) == "complete"
        assert len(message.body) == size


async def test_a_stop_does_not_wait_longer_than_drain_for_them(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O5, A8. What is left then is reset, so that nobody takes the part for the whole."""
    proxied, clients = await stopped_readers(origin, proxy)
    started = asyncio.get_running_loop().time()
    await proxied.stop(0.3)
    assert asyncio.get_running_loop().time() - started < 8
    for client in clients:
        client.resume()
    assert "reset" in [await client.wait_ended() for client in clients]
    assert any(not client.reader.messages[-1].complete for client in clients)


async def in_our_memory(proxied: Proxied) -> list[Tail]:
    """The tails that answers have left, once there are some."""
    assert await settles(lambda: bool(tails(proxied))), "no size ended inside our own buffer"
    return tails(proxied)


@pytest.mark.usefixtures("looks_often")
async def test_the_longest_limit_of_any_route_is_theirs(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. T5. A connection belongs to no route: the next request on it may be for the most patient one."""
    one = await origin(*[[request, counted(bytes(size), b"Connection: close")] for size in SIZES])
    hasty = route(one.port, name="hasty", match=Match(b"/hasty/"), timeouts={"client_write": 0.1})
    proxied = await proxy(hasty, route(one.port, name="patient", timeouts={"client_write": 30.0}))
    clients = [await stopped_reader(proxied) for _ in SIZES]
    behind = await in_our_memory(proxied)
    await clients[0].stays_quiet(0.5)
    assert all(tail.left for tail in behind)
    for client in clients:
        client.resume()


@pytest.mark.usefixtures("looks_often")
async def test_an_answer_that_follows_has_its_own_clocks(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T5. What one has left is no reason to cut the stream behind it, which may have nothing to send."""
    stream = SSE + chunk(b"data: 1\n\n")
    one = await origin(*[[request, counted(bytes(size)), request, stream] for size in SIZES])
    proxied = await proxy(one, timeouts={"client_write": 0.3})
    clients = []
    for number in range(len(SIZES)):
        clients.append(await stopped_reader(proxied))
        clients[-1].get(b"/stream")
        await one.asked(number)
    assert await settles(lambda: any(len(upstream.requests) == 2 for upstream in one.connections))
    behind = await in_our_memory(proxied)
    await clients[0].stays_quiet(1)
    streaming = [
        client for client, upstream in zip(clients, one.connections, strict=True) if len(upstream.requests) == 2
    ]
    assert set(behind) & set(tails(proxied))
    for client in streaming:
        client.resume()
        assert await client.wait_body(await client.next_head(), 9) == b"data: 1\n\n"


class Behind(asyncio.Transport):
    """A transport with so many bytes that nobody takes."""

    unsent = 0
    aborted = False

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


async def test_a_client_that_takes_some_of_them_is_not_cut():
    """SHOULD. T5. Only for as long as nothing at all is taken does the limit run."""
    transport, sweeper = Behind(), Sweeper(asyncio.get_running_loop())
    tail = Tail(transport)
    transport.unsent = 3
    began = asyncio.get_running_loop().time()
    tail.watch(sweeper, 60)
    for minute, unsent in enumerate((2, 1), 1):
        transport.unsent = unsent
        tail.check(began + minute * 59)
    tail.check(began + 2 * 59 + 59)
    assert not transport.aborted
    tail.check(began + 2 * 59 + 61)
    assert transport.aborted
    assert not tail.watched
    sweeper.close()


async def test_each_answer_begins_the_wait_anew(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. T5. Small ones too, which need no relay."""
    one = await origin([request, counted(bytes(16_000))] * 2000)
    proxied = await proxy(one, timeouts={"client_write": 30.0})
    client = await proxied.connect(receive_buffer=4096)
    client.pause()
    while not tails(proxied):
        client.get()
        await proxied.ended(len(client.methods))
    before_the_last = time.monotonic()
    client.get()
    await proxied.ended(len(client.methods))
    (tail,) = tails(proxied)
    tail.check(before_the_last + 30)
    assert tail.watched
    tail.check(time.monotonic() + 31)
    assert await settles(lambda: not tails(proxied))
    client.resume()
