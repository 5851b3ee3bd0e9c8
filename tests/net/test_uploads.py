"""Request bodies: piped while they arrive, framed as they came, and never completed by us."""

import asyncio
import random

import pytest

from proxy.net.client_connection import ClientConnection

from .client import Client
from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied, settles
from .origin import body_bytes, half_close, read_on, request, stop_reading, whole_request
from .responses import OK, SSE, counted
from .test_backpressure import stalls
from .test_failures import assert_is_our_error
from .test_streaming import SIZES, noise
from .wire import chunk, head

CHUNKED_POST = head(b"POST / HTTP/1.1", b"Host: localhost", b"Transfer-Encoding: chunked")

LARGE = 20_000_000  # more than the kernel's buffers hold


def counted_post(size: int) -> bytes:
    return head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % size)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_the_upstream_has_the_first_bytes_before_the_last_are_sent(
    origin: MakeOrigin, proxy: MakeProxy, framing: str
):
    """MUST. S16. Each part is with the upstream before the client sends the next."""
    one = await origin([whole_request, OK])
    client = await (await proxy(one)).connect()
    client.send(CHUNKED_POST if framing == "chunked" else counted_post(40))
    connection = await one.connection()
    for number in range(10):
        client.send(chunk(b"part") if framing == "chunked" else b"part")
        await connection.until(
            lambda size=4 * number + 4: bool(connection.requests) and connection.request.size == size, "the part"
        )
    if framing == "chunked":
        assert not connection.request.complete
        client.send(chunk(b""))
    assert (await client.answer()).body == b"ok"
    assert connection.request.framing == framing
    assert connection.request.body == b"part" * 10


async def test_the_head_of_a_request_does_not_wait_for_its_body(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S16."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(counted_post(10))
    assert (await client.answer()).status == 200
    assert not one.connections[0].request.size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_request_body_arrives_exactly(origin: MakeOrigin, proxy: MakeProxy, size: int, framing: str):
    """MUST. S15, M9, M12. With the framing it came in; an empty body has none of its own to keep."""
    body = noise(size)
    one = await origin([whole_request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    if framing == "length":
        client.send(counted_post(size) + body)
    else:
        parts = [body[at : at + 10_000] for at in range(0, size, 10_000)]
        client.send(CHUNKED_POST + b"".join(map(chunk, parts)) + chunk(b""))
    assert (await client.answer()).status == 200
    received = one.connections[0].request
    assert (received.body, received.framing) == (body, framing)
    assert (await proxied.ended()).bytes_in == size


async def test_a_body_cut_at_random_arrives_exactly(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S7, S15. Chunk lines cut anywhere, in many reads."""
    chance = random.Random(3)
    parts = [chance.randbytes(chance.randrange(1, 3000)) for _ in range(40)]
    wire = b"".join(map(chunk, parts)) + chunk(b"")
    one = await origin([whole_request, OK])
    client = await (await proxy(one)).connect()
    client.send(CHUNKED_POST)
    while wire:
        cut = chance.randrange(1, 2000)
        client.send(wire[:cut])
        wire = wire[cut:]
        await asyncio.sleep(0)
    await client.answer()
    assert one.connections[0].request.body == b"".join(parts)


async def test_chunk_extensions_and_trailers_of_a_request_stop_here(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M8, X8."""
    one = await origin([whole_request, OK])
    client = await (await proxy(one)).connect()
    client.send(CHUNKED_POST[:-2] + b"Trailer: X-End\r\n\r\n" + b"4;name=value\r\nbody\r\n0\r\nX-End: 1\r\n\r\n")
    assert (await client.answer()).status == 200
    received = one.connections[0].request
    assert (received.body, received.get(b"trailer"), received.get(b"x-end")) == (b"body", None, None)


@pytest.mark.parametrize("method", [b"GET", b"DELETE", b"OPTIONS", b"PATCH", b"PUT", b"QUERY"])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_body_is_forwarded_for_every_method(origin: MakeOrigin, proxy: MakeProxy, method: bytes, framing: str):
    """MUST. M11, X12. RFC 9110 section 9.3.1 gives a GET's body no meaning, but its framing is real."""
    one = await origin([whole_request, OK])
    client = await (await proxy(one)).connect()
    if framing == "length":
        client.ask(method, body=b"body")
    else:
        client.ask(method, b"/", b"Transfer-Encoding: chunked")
        client.send(chunk(b"body") + chunk(b""))
    assert (await client.answer()).status == 200
    received = one.connections[0].request
    assert (received.method, received.body, received.framing) == (method, b"body", framing)


@pytest.mark.parametrize(("method", "length"), [(b"POST", b"0"), (b"PUT", b"0"), (b"GET", None), (b"DELETE", None)])
async def test_no_body_stays_no_body(origin: MakeOrigin, proxy: MakeProxy, method: bytes, length: bytes | None):
    """MUST. M10. RFC 9110 section 8.6."""
    one = await origin([whole_request, OK])
    client = await (await proxy(one)).connect()
    client.ask(method)
    await client.answer()
    received = one.connections[0].request
    assert (received.get(b"content-length"), received.get(b"transfer-encoding")) == (length, None)


async def test_an_early_answer_is_relayed_at_once_and_the_connection_closed_in_order(
    origin: MakeOrigin, proxy: MakeProxy
):
    """MUST. S18, K9. RFC 9112 section 9.5. The client reads its answer, not a reset, though it goes on sending."""
    refused = counted(b"too much", status=b"413 Content Too Large")
    one = await origin([request, body_bytes(1000), refused], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(counted_post(6_000_000) + bytes(1000))
    response = await client.answer()
    assert (response.status, response.get(b"connection")) == (413, b"close")
    client.send(bytes(5_999_000))
    assert await client.wait_ended() == "fin"
    await one.connections[0].wait_ended()
    assert not one.connections[0].request.complete
    exchange = await proxied.ended()
    assert (exchange.status, exchange.outcome) == (413, "complete")


async def test_an_early_stream_and_the_upload_both_go_on(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S17. RFC 9110 section 7.5. Each part is answered before the next is sent."""
    steps = [step for size in (4, 8, 12) for step in (body_bytes(size), chunk(b"data: %d\n\n" % size))]
    one = await origin([request, SSE, *steps, chunk(b"")])
    client = await (await proxy(one)).connect()
    client.send(counted_post(12))
    response = await client.next_head()
    for number in range(3):
        assert len(response.chunks) == number
        client.send(b"part")
        await client.until(lambda count=number + 1: len(response.chunks) == count, "the event")
    assert await client.wait_body_end(response) == "complete"
    assert one.connections[0].request.complete


@pytest.mark.parametrize(
    "bad", [b"zz\r\nx\r\n", b"4\nbody\r\n", b"4\r\nbodybody\r\n", b"f" * 20 + b"\r\n", b"-4\r\nbody\r\n"]
)
@pytest.mark.parametrize("when", ["with the head", "later"])
async def test_a_malformed_chunk_is_400_and_the_upstream_request_is_aborted(
    origin: MakeOrigin, proxy: MakeProxy, bad: bytes, when: str
):
    """MUST. M7, A15. Once, as the client's fault, and the upstream never sees an end."""
    one = await origin([request, body_bytes(1000)])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"POST")
    if when == "later":
        client.send(CHUNKED_POST + chunk(b"good"))
        connection = await one.connection()
        await connection.until(lambda: bool(connection.requests) and connection.request.size == 4, "the good part")
        client.send(bad)
    else:
        client.send(CHUNKED_POST + chunk(b"good") + bad)
    assert_is_our_error(await client.answer(), 400, "http_request_error", "client")
    assert await client.wait_ended() == "fin"
    assert client.raw.count(b"HTTP/1.1 ") == 1
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status) == ("refused", 400)
    for connection in one.connections:
        await connection.wait_ended()
        assert not any(received.complete for received in connection.requests)


async def test_a_malformed_chunk_after_our_head_is_an_abort(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A15."""
    one = await origin([request, SSE, chunk(b"data: 1\n\n")])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(CHUNKED_POST + chunk(b"good"))
    response = await client.next_head()
    await client.wait_body(response, 9)
    client.send(b"zz\r\n")
    assert await client.wait_body_end(response) == "fin"
    await one.connections[0].wait_ended()
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status, exchange.code) == ("refused", 200, "http_request_error")


async def test_a_client_that_leaves_inside_its_body_never_completes_the_request(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M14. RFC 9112 section 8. No last chunk is made up."""
    one = await origin([request, body_bytes(1000)])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(CHUNKED_POST + chunk(b"good"))
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests) and connection.request.size == 4, "the good part")
    client.close()
    await connection.wait_ended()
    assert not connection.request.complete
    assert not connection.raw.endswith(b"0\r\n\r\n")
    assert (await proxied.ended()).outcome == "client_closed"


async def refused_for_its_size(client: Client, proxied: Proxied) -> None:
    response = await client.answer()
    assert_is_our_error(response, 413, "http_request_error", "client")
    assert response.get(b"connection") == b"close"
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status) == ("refused", 413)


async def test_a_declared_body_over_the_limit_is_413_before_the_upstream_hears_of_it(
    origin: MakeOrigin, proxy: MakeProxy
):
    """MUST. Z2, RFC 9110 section 15.5.14. limits.request_body."""
    one = await origin([request, OK])
    proxied = await proxy(one, limits={"request_body": 10})
    client = await proxied.connect()
    client.send(counted_post(11) + bytes(11))
    await refused_for_its_size(client, proxied)
    assert not one.connections


async def test_a_chunked_body_over_the_limit_is_413_while_it_is_counted(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. Z2. The upstream's request is aborted, never completed."""
    one = await origin([request, body_bytes(1000)])
    proxied = await proxy(one, limits={"request_body": 10})
    client = await proxied.connect()
    client.send(CHUNKED_POST + chunk(b"12345678"))
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests) and connection.request.size == 8, "what is allowed")
    client.send(chunk(b"12345678"))
    await refused_for_its_size(client, proxied)
    await connection.wait_ended()
    assert not connection.request.complete


async def test_a_body_of_exactly_the_limit_passes(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. Z2. And the answer is not limited by it."""
    one = await origin([whole_request, counted(bytes(100))])
    client = await (await proxy(one, limits={"request_body": 10})).connect()
    client.ask(b"POST", body=bytes(10))
    assert (await client.answer()).size == 100


async def test_a_body_keeps_its_content_coding(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. E7. Nothing is decompressed on its way up."""
    one = await origin([whole_request, OK])
    client = await (await proxy(one)).connect()
    client.ask(b"POST", b"/", b"Content-Encoding: gzip", body=b"not even gzip")
    assert (await client.answer()).status == 200
    received = one.connections[0].request
    assert (received.body, received.get(b"content-encoding")) == (b"not even gzip", b"gzip")


async def test_a_refusal_for_size_comes_without_a_100(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. X3. The client need not send what nobody takes."""
    one = await origin([request, OK])
    proxied = await proxy(one, limits={"request_body": 10})
    client = await proxied.connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Expect: 100-continue", b"Content-Length: 11"))
    await refused_for_its_size(client, proxied)
    assert not one.connections


async def test_an_answer_that_comes_with_the_end_of_its_connection_is_relayed(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. S18. RFC 9112 section 9.5. An upstream that refuses a large upload often closes right behind it."""
    refused = head(b"HTTP/1.1 413 Content Too Large", b"Connection: close", b"Content-Length: 2") + b"no"
    one = await origin([request, body_bytes(1000), refused, half_close], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(counted_post(6_000_000) + bytes(100_000))
    response = await client.answer()
    assert (response.status, response.get(b"connection")) == (413, b"close")
    assert (await proxied.ended()).outcome == "complete"


async def test_a_body_in_crumbs_is_not_kept(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch):
    """MUST. S5. However little a read brings, no more is remembered of those before it; and the end is still found."""
    arrived, remembered = asyncio.Event(), []
    received = ClientConnection.data_received

    def watched(connection: ClientConnection, data: bytes) -> None:
        received(connection, data)
        remembered.append(len(connection._ending))
        arrived.set()

    monkeypatch.setattr(ClientConnection, "data_received", watched)
    one = await origin([whole_request, OK, whole_request, OK])
    client = await (await proxy(one)).connect()
    wire = CHUNKED_POST + chunk(b"body") * 50 + chunk(b"")
    for _ in range(2):
        client.methods.append(b"POST")
        for at in range(0, len(wire), 5):
            arrived.clear()
            client.send(wire[at : at + 5])
            await asyncio.wait_for(arrived.wait(), 5)
        assert (await client.answer()).status == 200
    assert max(remembered) <= len(b"\r\n0\r\n\r\n")
    assert [len(asked.body) for asked in one.connections[0].requests] == [200, 200]


@pytest.mark.usefixtures("looks_often")
async def test_an_upstream_that_takes_its_time_is_not_the_clients_silence(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. Nothing is read of the client then: `client_body` has nothing to say."""
    gate = asyncio.Event()
    one = await origin([request, stop_reading, gate, read_on, body_bytes(LARGE), OK], kept=False)
    client = await (await proxy(one, timeouts={"client_body": 0.2, "idle": 30.0})).connect()
    client.methods.append(b"POST")
    client.send(counted_post(LARGE) + bytes(LARGE))
    upstream = await one.asked()
    await stalls(lambda: client.transport.get_write_buffer_size())
    await client.stays_quiet(0.5)
    assert not upstream.request.complete
    gate.set()
    assert (await client.answer()).status == 200


@pytest.mark.usefixtures("looks_often")
async def test_an_upload_that_went_on_has_no_clock_any_more(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. An upstream that took a while for the body has `head` for its answer, and not `idle`."""
    gate, thought = asyncio.Event(), asyncio.Event()
    one = await origin([request, stop_reading, gate, read_on, body_bytes(LARGE), thought, OK], kept=False)
    client = await (await proxy(one, timeouts={"idle": 1.2, "head": 30.0})).connect()
    client.methods.append(b"POST")
    client.send(counted_post(LARGE) + bytes(LARGE))
    upstream = await one.asked()
    await stalls(lambda: client.transport.get_write_buffer_size())
    gate.set()
    await upstream.until(lambda: upstream.request.complete, "the whole body")
    await client.stays_quiet(1.6)
    thought.set()
    assert (await client.answer()).status == 200


async def test_damage_with_more_behind_it_does_not_cost_the_answer(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. RFC 9112 section 9.6. What is not read any more is dropped for a while: a reset would take our answer."""
    one = await origin([request, body_bytes(1000)])
    client = await (await proxy(one)).connect()
    client.methods.append(b"POST")
    client.send(CHUNKED_POST + chunk(b"good"))
    await one.asked()
    client.half_open = True
    client.send(b"zz\r\n" + bytes(1_000_000))
    assert_is_our_error(await client.answer(), 400, "http_request_error", "client")
    assert await client.wait_ended() == "fin"
    client.send(bytes(LARGE))
    assert await settles(lambda: not client.transport.get_write_buffer_size())
    assert not client.gone
    client.close()


async def test_a_route_that_closes_for_its_upstream_still_answers_for_itself(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. A3. `close_on_refuse` hides that an upstream is not there, and not what a client did wrong."""
    one = await origin([request])
    proxied = await proxy(one, close_on_refuse=True, limits={"request_body": 10})
    client = await proxied.connect()
    client.ask(b"POST", body=b"x" * 11)
    await refused_for_its_size(client, proxied)


async def test_an_upstream_that_took_a_part_sees_no_orderly_end(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M14. One that reads late must not find, behind what it has taken, the same end as behind a whole."""
    gate = asyncio.Event()
    one = await origin([request, stop_reading, gate, read_on], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(counted_post(LARGE) + bytes(LARGE))
    upstream = await one.asked()
    await stalls(lambda: client.transport.get_write_buffer_size())
    client.reset()
    await proxied.ended()
    gate.set()
    assert await upstream.wait_ended() == "reset"
