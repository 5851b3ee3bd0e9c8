"""Bytes reach the client when the upstream sends them, and they are the same bytes."""

import asyncio
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .conftest import MakeOrigin, MakeProxy
from .origin import Connection, Script, fin, request
from .responses import CHUNKED, OK, SSE, UNTIL_CLOSE, counted
from .wire import chunk, head

STREAM_TYPES = [
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/json",
    b"application/vnd.amazon.eventstream",
]
SIZES = [0, 1, 65535, 65536, 65537, 1024 * 1024]


def gated(start: bytes, parts: list[bytes], gates: list[asyncio.Event], *after: bytes) -> Script:
    """A script that sends each part when its gate opens."""
    pairs = [step for pair in zip(gates, parts, strict=True) for step in pair]
    return [request, start, *pairs, *after]


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("media_type", STREAM_TYPES)
async def test_each_event_arrives_before_the_next_one_is_sent(origin: MakeOrigin, proxy: MakeProxy, media_type: bytes):
    """MUST. S1, S5, S6. Whatever its type, a piece is written in the turn in which it was read."""
    events = [b"data: %d\n\n" % number for number in range(20)]
    gates = [asyncio.Event() for _ in events]
    start = head(b"HTTP/1.1 200 OK", b"Content-Type: " + media_type, b"Transfer-Encoding: chunked")
    one = await origin(gated(start, [chunk(event) for event in events], gates, chunk(b"")))
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    assert not response.size
    for number, gate in enumerate(gates):
        gate.set()
        expected = b"".join(events[: number + 1])
        assert await client.wait_body(response, len(expected)) == expected
    assert await client.wait_body_end(response) == "complete"
    assert response.chunks == events


async def test_each_event_of_a_post_arrives_before_the_next_one_is_sent(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S6. The request of an SDK: POST, JSON, Accept of anything."""
    events = [b"data: %d\n\n" % number for number in range(5)]
    gates = [asyncio.Event() for _ in events]
    one = await origin(gated(SSE, [chunk(event) for event in events], gates, chunk(b"")))
    client = await (await proxy(one)).connect()
    client.ask(b"POST", b"/v1/chat", b"Accept: */*", b"Content-Type: application/json", body=b"{}")
    response = await client.next_head()
    for number, gate in enumerate(gates):
        gate.set()
        await client.wait_body(response, len(b"".join(events[: number + 1])))
    assert (await client.wait_body_end(response), response.chunks) == ("complete", events)


@pytest.mark.parametrize("start", [SSE, UNTIL_CLOSE, head(b"HTTP/1.1 200 OK", b"Content-Length: 10")])
async def test_the_head_arrives_before_any_byte_of_the_body_exists(origin: MakeOrigin, proxy: MakeProxy, start: bytes):
    """MUST. S4. A silent upstream does not hold its own head back."""
    one = await origin([request, start])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    assert (response.status, response.size, response.complete) == (200, 0, False)
    client.close()


@pytest.mark.parametrize(
    "answer",
    [SSE + chunk(b"data: 1\n\n"), UNTIL_CLOSE + b"text", counted(b"body")[:-1]],
    ids=["chunked", "close", "length"],
)
async def test_head_and_body_of_one_read_leave_in_one_write(origin: MakeOrigin, proxy: MakeProxy, answer: bytes):
    """MUST. S4. What is already at hand does not make the client wait for a second packet."""
    one = await origin([request, answer])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    assert response.size
    assert len(client.reads) == 1
    client.close()


async def test_a_whole_answer_of_one_read_leaves_in_one_write(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S4, S10. The end belongs to what is at hand."""
    one = await origin([request, SSE + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + chunk(b"")])
    client = await (await proxy(one)).connect()
    response = await client.ask_for_answer()
    assert response.body == b"data: 1\n\ndata: 2\n\n"
    assert len(client.reads) == 1


async def test_chunks_of_one_read_leave_as_one_chunk(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. S1. Fifty events that came together cost one write, and keep their order."""
    gate = asyncio.Event()
    events = [b"data: %d\n\n" % number for number in range(50)]
    one = await origin([request, SSE, gate, b"".join(map(chunk, events)), chunk(b"")])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body == b"".join(events)
    assert len(response.chunks) <= 2  # a read of the loop may have split them once


async def test_the_end_leaves_with_the_last_event(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S10. The last event and the end that came in one read arrive in one read."""
    gate = asyncio.Event()
    one = await origin([request, SSE, gate, chunk(b"data: [DONE]\n\n") + chunk(b"")])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    before = len(client.reads)
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert len(client.reads) == before + 1


async def test_a_counted_body_that_fills_slowly_arrives_as_it_fills(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S1. Content-Length is no reason to wait for the whole."""
    gates = [asyncio.Event() for _ in range(10)]
    one = await origin(gated(head(b"HTTP/1.1 200 OK", b"Content-Length: 10"), [b"x"] * 10, gates))
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    for number, gate in enumerate(gates):
        gate.set()
        await client.wait_body(response, number + 1)
    assert await client.wait_body_end(response) == "complete"
    assert response.framing == "length"


async def test_a_body_of_unknown_length_becomes_chunked(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. RFC 9112 section 6.3; M9. A close-delimited body can be told from a cut one only when chunked."""
    gates = [asyncio.Event() for _ in range(3)]
    one = await origin(gated(UNTIL_CLOSE, [b"a", b"b", b"c"], gates, fin))
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    for number, gate in enumerate(gates):
        gate.set()
        await client.wait_body(response, number + 1)
    assert await client.wait_body_end(response) == "complete"
    assert (response.framing, response.body) == ("chunked", b"abc")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_response_body_arrives_exactly(origin: MakeOrigin, proxy: MakeProxy, size: int, framing: str):
    """MUST. S15. Sizes around the buffers, in each framing."""
    body = noise(size)
    scripts = {
        "length": [request, counted(body)],
        "chunked": [request, CHUNKED, *(chunk(body[at : at + 10_000]) for at in range(0, size, 10_000)), chunk(b"")],
        "close": [request, UNTIL_CLOSE, body, fin],
    }
    one = await origin(scripts[framing])
    proxied = await proxy(one)
    response = await (await proxied.connect()).ask_for_answer()
    assert response.body == body
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status, exchange.bytes_out) == ("complete", 200, size)


@pytest.mark.parametrize(
    "text", [b"data: a\r\rdata: b\n\n: ping\r\n\r\n", b"\xef\xbb\xbfdata:x\n\n", "data: é€😀\n\n".encode()]
)
async def test_byte_by_byte_is_byte_exact(origin: MakeOrigin, proxy: MakeProxy, text: bytes):
    """MUST. S7, S8. Cut inside CRLF, inside UTF-8 sequences, with a BOM: no parser stands in the path."""
    one = await origin([request, SSE, *(chunk(text[at : at + 1]) for at in range(len(text))), chunk(b"")])
    client = await (await proxy(one)).connect()
    assert (await client.ask_for_answer()).body == text


async def test_a_line_of_a_mebibyte_passes(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S8."""
    line = b"data: " + b"x" * 1024 * 1024 + b"\n\n"
    one = await origin([request, SSE + chunk(line) + chunk(b"")])
    client = await (await proxy(one)).connect()
    assert (await client.ask_for_answer()).body == line


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.binary(min_size=1, max_size=300), max_size=8), cuts=st.lists(st.integers(1, 40), max_size=30))
async def test_any_cutting_gives_the_same_bytes(
    origin: MakeOrigin, proxy: MakeProxy, parts: list[bytes], cuts: list[int]
):
    """MUST. S7. Chunks of any size, cut into reads anywhere, chunk lines included."""
    wire = SSE + b"".join(map(chunk, parts)) + chunk(b"")
    steps, at = [], 0
    for cut in cuts:
        steps.append(wire[at : at + cut])
        at += cut
    one = await origin([request, *(step for step in steps if step), wire[at:]])
    client = await (await proxy(one)).connect()
    assert (await client.ask_for_answer()).body == b"".join(parts)


async def test_two_streams_do_not_wait_for_each_other(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S1. A silent stream holds up nobody."""
    one = await origin([request, SSE], [request, OK])
    proxied = await proxy(one)
    first, second = await proxied.connect(), await proxied.connect()
    first.get()
    await first.next_head()
    assert (await second.ask_for_answer()).body == b"ok"
    first.close()


async def test_forty_small_events_are_not_held_back_by_the_kernel(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S9. Without TCP_NODELAY on both sides a write that follows another waits for an acknowledgement, ~40 ms."""
    loop = asyncio.get_running_loop()
    gates = [asyncio.Event() for _ in range(40)]
    steps = [step for gate in gates for step in (gate, chunk(b"a"), chunk(b"b"))]
    one = await origin([request, SSE, *steps, chunk(b"")])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    started = loop.time()
    for number, gate in enumerate(gates):
        gate.set()
        await client.wait_body(response, 2 * number + 2)
    assert loop.time() - started < 40 * 0.02
    assert await client.wait_body_end(response) == "complete"


async def test_a_head_that_comes_byte_by_byte_is_a_head(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S7. In both directions, names and values cut anywhere."""
    answer = head(b"HTTP/1.1 200 Fine", b"X-Long-Name: a long value", b"Content-Length: 2") + b"ok"

    async def by_bytes(connection: Connection) -> None:
        for at in range(len(answer)):
            connection.send(answer[at : at + 1])
            await asyncio.sleep(0)

    one = await origin([request, by_bytes])
    client = await (await proxy(one)).connect()
    question = head(b"GET /a/long/path?query HTTP/1.1", b"Host: localhost", b"X-Name: value")
    for at in range(len(question)):
        client.send(question[at : at + 1])
        await asyncio.sleep(0)
    response = await client.answer()
    assert (response.reason, response.get(b"x-long-name"), response.body) == (b"Fine", b"a long value", b"ok")
    assert one.connections[0].request.target == b"/a/long/path?query"
    assert one.connections[0].request.get(b"x-name") == b"value"
