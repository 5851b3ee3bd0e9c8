"""The last bytes of an answer: nobody's once its exchange is over, and yet a client's."""

import asyncio

from proxy.net.client_connection import ClientConnection
from proxy.net.tail import Tail

from .client import Client
from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied, settles
from .origin import request
from .responses import counted

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


async def stopped_readers(origin: MakeOrigin, proxy: MakeProxy, **changes: object) -> tuple[Proxied, list[Client]]:
    """Clients that stop reading after the head, each in another place, when all that can end has ended."""
    one = await origin(*[[request, counted(bytes(size), b"Connection: close")] for size in SIZES])
    proxied = await proxy(one, **changes)
    clients = []
    for _ in SIZES:
        client = await proxied.connect(receive_buffer=4096)
        client.get()
        await client.next_head()
        client.pause()
        clients.append(client)
    return proxied, clients


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
