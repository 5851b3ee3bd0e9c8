"""`on_client_gone: drain`: the upstream is read on for its usage when the client has gone, within bounds."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.net import life, relay

from .client import Client
from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied, settles
from .origin import Connection, Origin, fin, request, whole_request
from .responses import OK, SSE
from .streams import CHAT, DONE, OFTEN, token, turns, usage
from .wire import chunk, head

DRAINS = {"reads_on": True, "family": "openai"}
TELLING = chunk(usage(11, 7)) + chunk(DONE) + chunk(b"")
LEAVING: dict[str, Callable[[Client], None]] = {"closes": Client.close, "resets": Client.reset}


async def left(proxied: Proxied, one: Origin, leave: Callable[[Client], None] = Client.close) -> Connection:
    """A client that has read an event and then left, as the proxy knows; its upstream's connection."""
    number = len(one.connections)
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=b"{}")
    await client.wait_body(await client.next_head(), len(token("a")))
    before = proxied.running.open_exchanges
    leave(client)
    assert await settles(lambda: proxied.running.open_exchanges == before - 1), "it is still an open exchange"
    return one.connections[number]


def reading_on(proxied: Proxied) -> int:
    """How many upstreams are read on."""
    return sum(len(entry.handler._aftermath) for entry in proxied.running._listening)


async def test_no_heart_beats_for_nobody(origin: MakeOrigin, proxy: MakeProxy):
    """D6. While it is read on, its deadlines are watched and nothing else."""
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream={**DRAINS, "heartbeat": OFTEN})
    connection = await left(proxied, one)
    assert len(proxied.running._upstreams.sweeper) == 1
    connection.send(TELLING)
    await proxied.ended()
    assert await settles(lambda: not len(proxied.running._upstreams.sweeper))


@pytest.mark.parametrize("leaving", LEAVING)
@pytest.mark.parametrize("policy", [{}, {"whole": True}, {"heartbeat": OFTEN}], ids=["plain", "events", "heartbeat"])
async def test_what_it_cost_is_known_though_the_client_left(
    origin: MakeOrigin, proxy: MakeProxy, leaving: str, policy: dict[str, object]
):
    """D6. The exchange ends when its upstream does, as the client's doing, with the usage and what became of it."""
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream={**DRAINS, **policy})
    connection = await left(proxied, one, LEAVING[leaving])
    assert not proxied.exchanges.ended_ones
    assert reading_on(proxied) == 1
    connection.send(chunk(token("b")) + TELLING)
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code, exchange.status) == ("client_closed", "client_closed", 200)
    assert (exchange.read_on, exchange.verdict, exchange.events) == (True, "complete", 4)
    assert exchange.usage is not None
    assert (exchange.usage.input, exchange.usage.output) == (11, 7)
    if "heartbeat" not in policy:
        assert exchange.bytes_out == len(token("a")), "what nobody was given counts"
    assert await settles(lambda: not reading_on(proxied))
    await connection.wait_ended()


async def test_without_it_the_upstream_is_left_at_once(origin: MakeOrigin, proxy: MakeProxy):
    """D1. The twin: `cancel`."""
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream={"family": "openai"})
    connection = await left(proxied, one)
    await connection.wait_ended()
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.read_on, exchange.usage) == ("client_closed", False, None)


async def test_its_connection_is_never_used_again(origin: MakeOrigin, proxy: MakeProxy):
    """D9. However well the answer ended."""
    one = await origin([whole_request, SSE + chunk(token("a"))], [whole_request, OK])
    proxied = await proxy(one, stream=DRAINS)
    connection = await left(proxied, one)
    connection.send(TELLING)
    await proxied.ended()
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"
    assert [len(each.requests) for each in one.connections] == [1, 1]


async def test_it_is_bounded_in_time(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch):
    """Nobody tells any more what became of the answer."""
    monkeypatch.setattr(life, "READ_ON_S", 0.05)
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=DRAINS)
    connection = await left(proxied, one)
    await connection.wait_ended()
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.read_on, exchange.verdict) == ("client_closed", True, "unknown")


@pytest.mark.parametrize("policy", [{}, {"whole": True}], ids=["plain", "events"])
async def test_it_is_bounded_in_bytes(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, policy: dict[str, object]
):
    """What the client had does not count."""
    monkeypatch.setattr(relay, "READ_ON_BYTES", 1000)
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream={**DRAINS, **policy})
    connection = await left(proxied, one)
    connection.send(chunk(token("x" * 500)))
    await asyncio.sleep(0)
    assert not proxied.exchanges.ended_ones
    connection.send(chunk(token("x" * 500)))
    await connection.wait_ended()
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.read_on) == ("client_closed", True)


async def test_it_is_bounded_in_number(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch):
    """One more is cancelled; when another has ended there is room again."""
    monkeypatch.setattr(life, "READ_ON_AT_ONCE", 2)
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=DRAINS)
    first, second = await left(proxied, one), await left(proxied, one)
    third = await left(proxied, one)
    await third.wait_ended()
    assert not (await proxied.ended(1)).read_on
    first.send(TELLING)
    assert (await proxied.ended(2)).usage is not None
    fourth = await left(proxied, one)
    assert reading_on(proxied) == 2
    for connection in (second, fourth):
        connection.send(TELLING)
    assert (await proxied.ended(4)).usage is not None


async def test_an_incomplete_request_is_cancelled(origin: MakeOrigin, proxy: MakeProxy):
    """D6. An upstream that answers early is not read on: what it was asked was never said to the end."""
    one = await origin([request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=DRAINS)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(head(b"POST /x HTTP/1.1", b"Host: localhost", b"Content-Length: 100") + b"part")
    await client.wait_body(await client.next_head(), len(token("a")))
    client.close()
    await one.connections[0].wait_ended()
    assert not (await proxied.ended()).read_on


@pytest.mark.parametrize("sent", [b"", chunk(b'{"half": ')], ids=["before the head", "no stream"])
async def test_what_tells_no_usage_is_cancelled(origin: MakeOrigin, proxy: MakeProxy, sent: bytes):
    """D1. There is nothing to read on for."""
    start = SSE.replace(b"text/event-stream", b"application/json") if sent else b""
    one = await origin([whole_request, start + sent])
    proxied = await proxy(one, stream=DRAINS)
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=b"{}")
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests) and connection.request.complete, "the request")
    if sent:
        await client.wait_body(await client.next_head(), len(b'{"half": '))
    client.close()
    await connection.wait_ended()
    assert not (await proxied.ended()).read_on


async def test_what_is_known_already_is_not_waited_for(origin: MakeOrigin, proxy: MakeProxy):
    """With the usage and the end of the answer seen, the rest tells nothing."""
    said = token("a") + usage(1, 2) + DONE
    one = await origin([whole_request, SSE + chunk(said)])
    proxied = await proxy(one, stream={**DRAINS, "heartbeat": OFTEN})
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=b"{}")
    await client.wait_body(await client.next_head(), len(said))
    client.close()
    await one.connections[0].wait_ended()
    exchange = await proxied.ended()
    assert (exchange.read_on, exchange.verdict) == (False, "complete")
    assert exchange.usage is not None
    assert exchange.usage.output == 2


async def test_it_ends_with_the_process(origin: MakeOrigin, proxy: MakeProxy):
    """D8. A stop waits for clients, not for what nobody will get; the exchange is told of all the same."""
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=DRAINS)
    connection = await left(proxied, one)
    async with asyncio.timeout(5):
        assert await proxied.stop(30) == 0
    await connection.wait_ended()
    assert (await proxied.ended()).read_on


async def test_a_client_that_leaves_in_the_turn_of_the_stop_starts_none(origin: MakeOrigin, proxy: MakeProxy):
    """D8. What is cancelled when all reading on has been ended is not read on."""
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=DRAINS)
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=b"{}")
    await client.wait_body(await client.next_head(), len(token("a")))
    (entry,) = proxied.running._listening
    (served,) = entry.handler.clients
    assert served.connection.transport is not None
    served.connection.transport.abort()  # told to the relay in the next turn, and to its task in the one after
    while served.connection.transport is not None:
        await turns(1)
    assert not reading_on(proxied)  # its task has not been told yet
    proxied.running.abort()
    await one.connections[0].wait_ended()
    assert not reading_on(proxied)
    assert not (await proxied.ended()).read_on
    assert await proxied.stop(0) == 1


@pytest.mark.usefixtures("looks_often")
async def test_a_silent_upstream_is_given_up(origin: MakeOrigin, proxy: MakeProxy):
    """`timeouts.idle` holds on."""
    one = await origin([whole_request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=DRAINS, timeouts={"idle": 0.2})
    connection = await left(proxied, one)
    await connection.wait_ended()
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.read_on, exchange.verdict) == ("client_closed", True, "truncated")


async def test_an_upstream_that_breaks_is_written_down_as_the_client_left_it(origin: MakeOrigin, proxy: MakeProxy):
    """A14. One failure, one cause: the first. The verdict is that of the answer."""
    gate = asyncio.Event()
    one = await origin([whole_request, SSE + chunk(token("a")), gate, fin])
    proxied = await proxy(one, stream={**DRAINS, "error_event": True})
    await left(proxied, one)
    gate.set()
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.verdict) == ("client_closed", "truncated")


async def test_a_stalled_client_that_leaves_is_read_on_for(origin: MakeOrigin, proxy: MakeProxy):
    """What was held for it is read, and what comes then."""
    event = token("x" * 60_000)
    one = await origin([whole_request, SSE])
    proxied = await proxy(one, stream={**DRAINS, "whole": True})
    client = await proxied.connect(receive_buffer=8192)
    client.ask(b"POST", CHAT, body=b"{}")
    await client.next_head()
    client.pause()
    connection = one.connections[0]
    (entry,) = proxied.running._listening
    (served,) = entry.handler.clients
    sent = 0
    while not served.connection.writing_paused:
        connection.send(chunk(event))
        sent += 1
        await asyncio.sleep(0)
    client.reset()
    connection.send(TELLING)
    exchange = await proxied.ended()
    assert (exchange.read_on, exchange.verdict, exchange.events) == (True, "complete", sent + 2)


async def test_200_that_leave_leave_nothing(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch):
    """D5. Some are read on and some are cancelled; the fixtures look for tasks, sockets and errors."""
    monkeypatch.setattr(life, "READ_ON_S", 0.2)
    one = await origin([whole_request, SSE + chunk(token("a"))], kept=False)
    proxied = await proxy(one, stream=DRAINS)

    async def leaves() -> None:
        client = await proxied.connect(kept=False)
        client.ask(b"POST", CHAT, body=b"{}")
        await client.wait_body(await client.next_head(20), len(token("a")), 20)
        client.reset()

    async with asyncio.timeout(40):
        for _ in range(4):
            await asyncio.gather(*(leaves() for _ in range(50)))
    await proxied.exchanges.until(lambda: len(proxied.exchanges.ended_ones) == 200, "all to end", 20)
    assert {exchange.outcome for exchange in proxied.exchanges.ended_ones} == {"client_closed"}
    assert {exchange.read_on for exchange in proxied.exchanges.ended_ones} >= {True}
    assert await settles(lambda: not reading_on(proxied))
    assert await settles(lambda: not len(proxied.running._upstreams.sweeper))


@pytest.mark.usefixtures("looks_often")
async def test_who_has_left_is_waited_for_no_longer(origin: MakeOrigin, proxy: MakeProxy):
    """D6. A client that had stalled has no clock any more: only the upstream's say when to give up."""
    one = await origin([whole_request, SSE])
    proxied = await proxy(one, stream=DRAINS, timeouts={"client_write": 0.3})
    client = await proxied.connect(receive_buffer=8192)
    client.ask(b"POST", CHAT, body=b"{}")
    await client.next_head()
    client.pause()
    (served,) = proxied.running._listening[0].handler.clients
    while not served.connection.writing_paused:
        one.connections[0].send(chunk(token("x" * 60_000)))
        await asyncio.sleep(0)
    client.reset()
    assert await settles(lambda: reading_on(proxied) == 1)
    await one.connections[0].stays_quiet(0.6)
    one.connections[0].send(TELLING)
    exchange = await proxied.ended()
    assert (exchange.read_on, exchange.verdict) == (True, "complete")
