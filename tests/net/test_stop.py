"""Stopping: open exchanges end in their own time, up to a limit, and nobody new is taken."""

import asyncio

import pytest

from proxy.core.streams import Heartbeat
from proxy.net import downstream

from .client import connect
from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied
from .origin import Origin, fin, request, whole_request
from .responses import OK, SSE, UNTIL_CLOSE
from .test_failures import assert_is_our_error
from .wire import chunk, head


async def in_a_stream(proxied: Proxied):
    """A client whose stream has begun."""
    client = await proxied.connect()
    client.get()
    return client, await client.next_head()


async def stopping(proxied: Proxied, drain_s: float) -> asyncio.Task[int]:
    """A stop under way: its first turn is over."""
    task = asyncio.create_task(proxied.stop(drain_s))
    await asyncio.sleep(0)
    return task


async def test_an_open_stream_is_waited_for(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2, O5. It goes on as before, and the stop ends with it."""
    gates = [asyncio.Event() for _ in range(2)]
    one = await origin([request, SSE, gates[0], chunk(b"data: 1\n\n"), gates[1], chunk(b"")])
    proxied = await proxy(one)
    client, response = await in_a_stream(proxied)
    task = await stopping(proxied, 10)
    gates[0].set()
    await client.wait_body(response, 9)
    assert not task.done()
    gates[1].set()
    assert await client.wait_body_end(response) == "complete"
    assert await asyncio.wait_for(task, 2) == 0
    assert await client.wait_ended() == "fin"
    assert (await proxied.ended()).outcome == "complete"


async def test_what_is_still_open_after_the_drain_is_cut(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2, A6. The clients can tell, the stop says how many they were, and the upstream is let go."""
    one = await origin([request, SSE + chunk(b"data: 1\n\n")])
    proxied = await proxy(one)
    started = asyncio.get_running_loop().time()
    streams = [await in_a_stream(proxied) for _ in range(3)]
    assert await proxied.stop(0.3) == 3
    assert 0.3 <= asyncio.get_running_loop().time() - started < 2
    for client, response in streams:
        assert await client.wait_body_end(response) == "fin"
        assert response.body == b"data: 1\n\n"
    assert [exchange.outcome for exchange in proxied.exchanges.ended_ones] == ["drained"] * 3
    for connection in one.connections:
        await connection.wait_ended()


async def test_a_client_that_knows_only_the_close_sees_a_reset_at_the_end_of_the_drain(
    origin: MakeOrigin, proxy: MakeProxy
):
    """MUST. A8."""
    one = await origin([request, UNTIL_CLOSE + b"text"])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(head(b"GET / HTTP/1.0", b"Host: localhost"))
    response = await client.next_head()
    await client.wait_body(response, 4)
    assert await proxied.stop(0) == 1
    assert await client.wait_body_end(response) == "reset"


@pytest.mark.parametrize("early", [False, True])
async def test_a_request_that_waits_for_its_head_is_answered(origin: MakeOrigin, proxy: MakeProxy, early: bool):
    """MUST. O2, A1. Also where a heartbeat might have begun the answer, and had not yet."""
    one = await origin([request])
    proxied = await proxy(one, stream={"heartbeat": Heartbeat(20.0, "auto", True)} if early else {})
    client = await proxied.connect()
    client.get(b"/", b"Accept: text/event-stream")
    await one.asked()
    assert await proxied.stop(0) == 1
    response = await client.answer()
    assert_is_our_error(response, 503, "connection_limit_reached", "proxy")
    assert (response.get(b"connection"), response.get(b"retry-after")) == (b"close", b"1")
    assert await client.wait_ended() == "fin"
    await one.connections[0].wait_ended()
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code, exchange.status) == ("drained", "draining", 503)


async def test_idle_connections_are_told_goodbye(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. Clients and upstreams alike."""
    one = await origin([request, OK])
    proxied = await proxy(one)
    idle, silent = await proxied.connect(), await proxied.connect()
    await idle.ask_for_answer()
    assert await asyncio.wait_for(proxied.stop(10), 2) == 0
    assert [await idle.wait_ended(), await silent.wait_ended()] == ["fin", "fin"]
    await one.connections[0].wait_ended()


async def test_idle_connections_do_not_wait_for_the_busy_ones(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. They are closed at the beginning of the drain, not at its end."""
    gate = asyncio.Event()
    one = await origin([request, SSE, gate, chunk(b"")])
    proxied = await proxy(one)
    idle = await proxied.connect()
    client, response = await in_a_stream(proxied)
    task = await stopping(proxied, 10)
    assert await idle.wait_ended() == "fin"
    assert not task.done()
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert await asyncio.wait_for(task, 2) == 0


async def test_new_connections_are_refused_at_once(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. While an open stream is still waited for."""
    gate = asyncio.Event()
    one = await origin([request, SSE, gate, chunk(b"")])
    proxied = await proxy(one)
    client, response = await in_a_stream(proxied)
    task = await stopping(proxied, 10)
    with pytest.raises(ConnectionRefusedError):
        await connect(proxied.port)
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert await asyncio.wait_for(task, 2) == 0


async def test_an_answer_that_begins_while_stopping_says_close(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. The head was still ours to write."""
    gate = asyncio.Event()
    one = await origin([request, gate, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    await one.asked()
    task = await stopping(proxied, 10)
    gate.set()
    response = await client.answer()
    assert (response.body, response.get(b"connection")) == (b"ok", b"close")
    assert await asyncio.wait_for(task, 2) == 0


async def test_an_upload_goes_on_while_stopping(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O3."""
    one: Origin = await origin([whole_request, OK, fin])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 8") + b"part")
    await one.asked()
    task = await stopping(proxied, 10)
    client.send(b"part")
    assert (await client.answer()).status == 200
    assert await asyncio.wait_for(task, 2) == 0
    assert one.connections[0].request.body == b"partpart"


async def test_a_stalled_client_does_not_hold_up_the_end_of_the_drain(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """MUST. O5. There is always an upper bound: what is unsent is flushed for FLUSH_S and then dropped."""
    monkeypatch.setattr(downstream, "FLUSH_S", 0.2)
    one = await origin([request, SSE + chunk(bytes(8_000_000))])
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    await client.next_head()
    client.pause()
    assert await asyncio.wait_for(proxied.stop(0.1), 3) == 1
    client.transport.abort()


async def test_a_stream_that_is_cut_ends_with_the_event_its_route_asks_for(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. `on_break: error-event` also says in the stream that the drain is over; the missing end says so too."""
    one = await origin([request, SSE + chunk(b"data: 1\n\n")])
    proxied = await proxy(one, stream={"error_event": True, "family": "anthropic"})
    client, response = await in_a_stream(proxied)
    await client.wait_body(response, 9)
    assert await proxied.stop(0.1) == 1
    assert await client.wait_body_end(response) == "fin"
    first, event = response.body[:9], response.body[9:]
    assert first == b"data: 1\n\n"
    assert event.startswith(b"event: error\ndata: {")
    assert event.endswith(b"}\n\n")
    assert (await proxied.ended()).outcome == "drained"


async def test_nothing_is_put_into_the_middle_of_an_event(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A half event and ours would be read as one."""
    one = await origin([request, SSE + chunk(b"data: 1\n\ndata: ha")])
    proxied = await proxy(one, stream={"error_event": True, "family": "anthropic"})
    client, response = await in_a_stream(proxied)
    await client.wait_body(response, 17)
    assert await proxied.stop(0) == 1
    assert await client.wait_body_end(response) == "fin"
    assert response.body == b"data: 1\n\ndata: ha"


async def test_an_answer_that_began_before_the_upstreams_is_cut_with_an_event(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. There is a stream already, though the upstream has said nothing yet."""
    one = await origin([whole_request])
    beat = Heartbeat(0.05, "auto", True)
    proxied = await proxy(one, stream={"heartbeat": beat, "error_event": True, "family": "anthropic"})
    client = await proxied.connect()
    client.ask(b"POST", b"/", b"Content-Type: application/json", b"Accept: text/event-stream", body=b'{"stream":true}')
    response = await client.next_head()
    await client.wait_body(response, 1)
    assert await proxied.stop(0) == 1
    assert await client.wait_body_end(response) == "fin"
    assert b"event: error\ndata: {" in response.body
    assert (await proxied.ended()).outcome == "drained"
