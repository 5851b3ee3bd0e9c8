"""Upstream connections: used again when that is safe, and only then."""

import asyncio
import socket

import pytest

from proxy.core.routes import Origin as Origin_
from proxy.net.deadlines import Sweeper
from proxy.net.upstream import pool

from .conftest import MakeOrigin, MakeProxy
from .harness import settles
from .origin import Connection, Origin, fin, request, rst, whole_request
from .responses import CHUNKED, OK, SSE, UNTIL_CLOSE, counted
from .streams import turns
from .wire import chunk, head

UNSAFE = {
    "Connection: close": head(b"HTTP/1.1 200 OK", b"Connection: close", b"Content-Length: 2") + b"ok",
    "close in a list": head(b"HTTP/1.1 200 OK", b"Connection: x, Close", b"Content-Length: 2") + b"ok",
    "HTTP/1.0": head(b"HTTP/1.0 200 OK", b"Content-Length: 2") + b"ok",
    "a promise too short": head(b"HTTP/1.1 200 OK", b"Keep-Alive: timeout=1", b"Content-Length: 2") + b"ok",
    "a whole answer too many": OK + OK,
    "half a status line too many": OK + b"HTTP/1.1 2",
    "half a head too many": OK + b"HTTP/1.1 200 OK\r\nX-Secret: 1\r\nX-A: ",
    "garbage": OK + b"garbage",
    "a body too many behind a 204": head(b"HTTP/1.1 204 No Content") + b"ok",
    "bytes behind the last chunk": CHUNKED + chunk(b"ok") + chunk(b"") + b"H",
}


async def two_requests(proxied, one: Origin) -> list[int]:
    """Requests on each upstream connection after two that went well."""
    client = await proxied.connect()
    for _ in range(2):
        response = await client.ask_for_answer()
        assert response.status in (200, 204)
    return [len(connection.requests) for connection in one.connections]


@pytest.mark.parametrize("answer", [OK, CHUNKED + chunk(b"ok") + chunk(b""), SSE + chunk(b"ok") + chunk(b"")])
async def test_a_connection_is_used_again(origin: MakeOrigin, proxy: MakeProxy, answer: bytes):
    """MUST. K1, S10. RFC 9112 section 9.3. After a counted and after a chunked answer, streams too."""
    one = await origin([request, answer, request, answer])
    assert await two_requests(await proxy(one), one) == [2]


async def test_a_connection_is_used_again_for_another_client(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K1, H18."""
    one = await origin([request, OK, request, OK])
    proxied = await proxy(one)
    for _ in range(2):
        await (await proxied.connect()).ask_for_answer()
    assert len(one.connections) == 1


@pytest.mark.parametrize("case", UNSAFE)
async def test_a_connection_is_not_used_again_after(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """MUST. K1, M15. What is left on it must never become the answer to somebody else's request."""
    one = await origin([request, UNSAFE[case]], [request, OK])
    proxied = await proxy(one)
    assert await two_requests(proxied, one) == [1, 1]
    assert [exchange.outcome for exchange in proxied.exchanges.ended_ones] == ["complete"] * 2
    await one.connections[0].wait_gone()


async def test_a_connection_is_not_used_again_after_an_upload_that_was_cut_short(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K1. The upstream still takes what comes for the rest of that body."""
    one = await origin([request, OK, request, OK], [request, OK])
    proxied = await proxy(one)
    first = await proxied.connect()
    first.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 100") + b"part")
    assert (await first.answer()).status == 200
    await proxied.ended()
    assert (await (await proxied.connect()).ask_for_answer()).status == 200
    assert [len(connection.requests) for connection in one.connections] == [1, 1]
    await one.connections[0].wait_ended(1)


async def test_a_close_delimited_answer_ends_its_connection(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K1."""
    one = await origin([request, UNTIL_CLOSE + b"ok", fin], [request, OK])
    assert await two_requests(await proxy(one), one) == [1, 1]


async def test_bytes_on_an_idle_connection_close_it(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K2, M15. An answer to nobody is not the answer to the next request."""
    gate = asyncio.Event()
    one = await origin([request, OK, gate, counted(b"poison")], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    await client.ask_for_answer()
    gate.set()
    await one.connections[0].wait_gone()
    assert (await client.ask_for_answer()).body == b"ok"


@pytest.mark.parametrize("ending", [fin, rst])
async def test_an_idle_connection_that_the_upstream_closed_is_not_used(origin: MakeOrigin, proxy: MakeProxy, ending):
    """MUST. K2. Not even for a POST, which could not be sent again."""
    one = await origin([request, OK, ending], [whole_request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    await client.ask_for_answer()
    await one.connections[0].wait_gone()
    await asyncio.sleep(0.02)  # the proxy is told in a turn of its own
    client.ask(b"POST", body=b"{}")
    assert (await client.answer()).status == 200
    assert (await proxied.ended(2)).attempts == 1


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"])
async def test_a_stale_connection_costs_a_repeatable_request_nothing(
    origin: MakeOrigin, proxy: MakeProxy, method: bytes
):
    """MUST. R1. RFC 9110 section 9.2.2. Closed while the request was on its way: once more, on a new connection."""
    one = await origin([request, OK, request, fin], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    await client.ask_for_answer()
    client.ask(method, b"/again")
    assert (await client.answer()).status == 200
    assert [connection.request.target for connection in one.connections] == [b"/again"] * 2
    exchange = await proxied.ended(2)
    assert (exchange.attempts, exchange.outcome) == (2, "complete")


async def test_a_stale_connection_sends_a_small_body_again(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R4."""
    one = await origin([request, OK, whole_request, fin], [whole_request, OK])
    client = await (await proxy(one)).connect()
    await client.ask_for_answer()
    client.ask(b"PUT", body=b"content")
    assert (await client.answer()).status == 200
    assert one.connections[1].request.body == b"content"


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
async def test_a_post_is_never_sent_twice(origin: MakeOrigin, proxy: MakeProxy, method: bytes):
    """MUST. R1, R2. The upstream may have acted on it before it closed."""
    one = await origin([request, OK, whole_request, fin], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    await client.ask_for_answer()
    client.ask(method, body=b"{}")
    response = await client.answer()
    assert (response.status, len(one.connections)) == (502, 1)
    assert (await proxied.ended(2)).code == "connection_terminated"


async def test_a_fresh_connection_that_closes_is_not_tried_again(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R4. Staleness is the only reason for a second try, and it is tried once."""
    one = await origin([request, OK, request, fin], [request, fin], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    await client.ask_for_answer()
    assert (await client.ask_for_answer()).status == 502
    assert len(one.connections) == 2


async def test_half_an_answer_is_no_reason_to_ask_again(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R2. Zero response bytes is the condition; 1xx included."""
    one = await origin([request, OK, request, b"HTTP/1.1 2", fin], [request, OK])
    client = await (await proxy(one)).connect()
    await client.ask_for_answer()
    assert (await client.ask_for_answer()).status == 502
    assert len(one.connections) == 1


async def test_an_interim_answer_is_no_reason_to_ask_again(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R5. A byte went to the client."""
    one = await origin([request, OK, request, b"HTTP/1.1 103 Early Hints\r\n\r\n", fin], [request, OK])
    client = await (await proxy(one)).connect()
    await client.ask_for_answer()
    client.get()
    assert [(await client.answer()).status for _ in range(2)] == [103, 502]
    assert len(one.connections) == 1


BODYLESS = {
    "HEAD with a length": (b"HEAD", head(b"HTTP/1.1 200 OK", b"Content-Length: 1000")),
    "HEAD chunked": (b"HEAD", head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked")),
    "HEAD without framing": (b"HEAD", head(b"HTTP/1.1 200 OK")),
    "204": (b"GET", head(b"HTTP/1.1 204 No Content")),
    "304": (b"GET", head(b"HTTP/1.1 304 Not Modified", b"ETag: x")),
    "304 with a length": (b"GET", head(b"HTTP/1.1 304 Not Modified", b"Content-Length: 1000")),
    "coded HEAD": (b"HEAD", head(b"HTTP/1.1 200 OK", b"Content-Type: text/event-stream", b"Content-Encoding: gzip")),
    "coded 304": (
        b"GET",
        head(b"HTTP/1.1 304 Not Modified", b"Content-Type: text/event-stream", b"Content-Encoding: br"),
    ),
}


@pytest.mark.parametrize("case", BODYLESS)
async def test_an_answer_without_body_leaves_the_connection_usable(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """MUST. X9, X10, E10. RFC 9112 section 6.3. No body byte, no waiting for one, and Content-Length kept."""
    method, answer = BODYLESS[case]
    one = await origin([request, answer, request, OK])
    client = await (await proxy(one)).connect()
    client.ask(method)
    response = await client.answer()
    assert response.get(b"content-length") == (b"1000" if b"1000" in answer else None)
    assert (await client.ask_for_answer()).body == b"ok"
    assert len(one.connections) == 1


async def test_a_body_that_answers_head_never_reaches_the_client(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. X9. Some servers send one all the same: it is neither a body nor the next answer."""
    one = await origin([request, counted(b"a body")], [request, OK])
    client = await (await proxy(one)).connect()
    client.ask(b"HEAD")
    response = await client.answer()
    assert response.get(b"content-length") == b"6"
    assert (await client.ask_for_answer()).body == b"ok"
    assert b"a body" not in client.raw


@pytest.mark.parametrize("fault", [b"", b"ZZZ"], ids=["well framed", "broken behind it"])
async def test_a_response_inside_a_body_that_answers_head_is_nobodys_answer(
    origin: MakeOrigin, proxy: MakeProxy, fault: bytes
):
    """MUST. X9, M15. Response splitting: the next request on the client's connection gets its own answer."""
    poison = counted(b"POISON")
    one = await origin([request, CHUNKED + chunk(poison) + (fault or chunk(b""))], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.ask(b"HEAD")
    await client.answer()
    assert (await client.ask_for_answer()).body == b"ok"
    assert b"POISON" not in client.raw
    assert (await proxied.ended()).bytes_out == 0


async def test_an_idle_connection_is_closed_after_its_time(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """SHOULD. K3."""
    monkeypatch.setattr(pool, "IDLE_PLAIN_S", 0.2)
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    await client.ask_for_answer()
    assert not one.connections[0].gone
    await one.connections[0].wait_ended(2)


@pytest.mark.usefixtures("looks_often")
async def test_a_pool_that_is_empty_is_not_looked_at(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """SHOULD. At rest there is no timer: an idle process wakes for nothing."""
    monkeypatch.setattr(pool, "IDLE_PLAIN_S", 0.1)
    one = await origin([request, OK])
    proxied = await proxy(one)
    await (await proxied.connect()).ask_for_answer()
    sweeper = proxied.running._upstreams.sweeper
    assert len(sweeper) == 1
    await one.connections[0].wait_ended(2)
    assert await settles(lambda: not len(sweeper))


async def test_two_requests_at_once_take_two_connections(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K8. Nothing is pipelined upstream."""
    gate = asyncio.Event()
    one = await origin([request, gate, OK])
    proxied = await proxy(one)
    clients = [await proxied.connect() for _ in range(2)]
    for client in clients:
        client.get()
    await one.until(lambda: len(one.connections) == 2, "two connections")
    gate.set()
    for client in clients:
        assert (await client.answer()).status == 200


async def test_pipelined_requests_are_answered_in_order_one_at_a_time(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M18. RFC 9112 section 9.3.2."""
    answers = [step for number in range(5) for step in (request, counted(b"%d" % number))]
    one = await origin(answers)
    client = await (await proxy(one)).connect()
    for number in range(5):
        client.get(b"/%d" % number)
    assert [(await client.answer()).body for _ in range(5)] == [b"%d" % number for number in range(5)]
    assert [received.target for received in one.connections[0].requests] == [b"/%d" % number for number in range(5)]


async def test_answers_never_mix(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. H18, K8. Forty clients at once, five requests each, over connections that are used again and again."""

    async def answer_what_was_asked(connection: Connection) -> None:
        body = connection.request.target * 3000
        connection.send(CHUNKED)
        for at in range(0, len(body), 7001):
            connection.send(chunk(body[at : at + 7001]))
            await asyncio.sleep(0)
        connection.send(chunk(b""))

    one = await origin([step for _ in range(200) for step in (request, answer_what_was_asked)])
    proxied = await proxy(one)

    async def ask(number: int) -> None:
        client = await proxied.connect()
        for turn in range(5):
            target = b"/%d-%d" % (number, turn)
            assert (await client.ask_for_answer(target)).body == target * 3000

    await asyncio.gather(*(ask(number) for number in range(40)))
    assert len(one.connections) <= 40


async def test_what_the_kernel_has_and_the_loop_has_not_told_keeps_a_connection_from_being_used():
    """MUST. K2, M15. An answer nobody asked for would be taken for that to the next request."""
    sweeper = Sweeper(asyncio.get_running_loop())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        connections = pool.Pool(Origin_("127.0.0.1", listening.getsockname()[1]), sweeper)
        connection = await connections.dial(5)
        peer, _ = listening.accept()
        with peer:
            connection.begin(b"GET", None)
            connection.request_sent = True
            peer.sendall(OK)
            await connection.head()
            connections.put(connection)
            assert connections.take() is connection
            connections.put(connection)
            peer.sendall(OK)  # on loopback this is there when the call returns, and the loop has had no turn since
            assert connections.take() is None
            assert not connection.reusable, "it is left open"
    sweeper.close()


async def test_what_was_promised_with_the_head_of_a_stream_is_known_at_its_end(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K3. Of a head that is long gone, how long the connection is kept is still needed."""
    start = head(b"HTTP/1.1 200 OK", b"Keep-Alive: timeout=1", b"Transfer-Encoding: chunked")
    one = await origin([request, start], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await turns()
    one.connections[0].send(chunk(b"end") + chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert (await client.ask_for_answer()).body == b"ok"
    assert [len(connection.requests) for connection in one.connections] == [1, 1]
