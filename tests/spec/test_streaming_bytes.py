"""The project's own rules of what arrives: exactly the bytes that were sent, in both directions, and no more held."""

import array
import asyncio
import fcntl
import socket
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import settles
from tests.net.origin import Connection, body_bytes, fin, pushed, read_on, request, stop_reading, whole_request
from tests.net.responses import CHUNKED, OK, SSE, UNTIL_CLOSE, counted
from tests.net.test_sockets import connected_sockets
from tests.net.test_streaming import SIZES, noise
from tests.net.wire import chunk, head

CHUNKED_POST = head(b"POST / HTTP/1.1", b"Host: localhost", b"Transfer-Encoding: chunked")


def counted_post(size: int) -> bytes:
    return head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % size)


ANYTHING = st.lists(st.one_of(st.binary(min_size=1, max_size=200), st.text(min_size=1).map(str.encode)), max_size=8)
CUTS = st.lists(st.integers(1, 40), max_size=30)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=ANYTHING, cuts=CUTS, by_byte=st.booleans())
async def test_no_cut_changes_a_byte(
    origin: MakeOrigin, proxy: MakeProxy, parts: list[bytes], cuts: list[int], by_byte: bool
):
    """S7: chunks of any size, cut into reads anywhere, are the same bytes at the client; and so on the way up."""
    parts = ["é€😀\r\n".encode(), *parts]
    framed = b"".join(map(chunk, parts)) + chunk(b"")
    cuts = [1] * len(framed) if by_byte else cuts

    async def send_cut(peer, wire: bytes) -> None:
        at = 0
        for cut in [*cuts, len(wire)]:
            if at < len(wire):
                peer.send(wire[at : at + cut])
                await asyncio.sleep(0)
            at += cut

    async def answer(connection: Connection) -> None:
        await send_cut(connection, SSE + framed)

    one = await origin([whole_request, answer])
    client = await (await proxy(one)).connect()
    client.methods.append(b"POST")
    await send_cut(client, CHUNKED_POST + framed)
    assert (await client.answer()).body == b"".join(parts)
    assert one.connections[0].request.body == b"".join(parts)


TEXTS = {
    "LF": b"data: a\n\ndata: b\n\n",
    "CRLF": b"data: a\r\n\r\ndata: b\r\n\r\n",
    "CR": b"data: a\r\rdata: b\r\r",
    "all three in one event": b"data: a\rdata: b\ndata: c\r\n\r\n\n\r",
    "a BOM": b"\xef\xbb\xbfdata: a\n\n",
    "a BOM later": b"data: a\n\n\xef\xbb\xbfdata: b\n\n",
    "comments only": b": ping\n\n:\n\n::\r\r",
    "no blank behind the colon": b"data:a\n\nevent:x\ndata\n\n",
    "separators of other standards": "data: a\u2028b\u2029c\x85d\x0be\x0cf\n\n".encode(),
    "no text at all": b"data: \x00\xff\xfe\xc3\x28\n\n",
    "never a whole event": b"id: 7\nretry: 10\ndata: unfinished",
    "a line of 1 MiB": b"data: " + b"x" * 1024 * 1024 + b"\n\n",
}


@pytest.mark.parametrize("name", TEXTS)
async def test_no_parser_reads_along(origin: MakeOrigin, proxy: MakeProxy, name: str):
    """S8: whatever an event stream holds passes as it is, and none of it waits for what a parser would wait for."""
    text, gate = TEXTS[name], asyncio.Event()
    one = await origin([request, SSE, chunk(text[:-1]), gate, chunk(text[-1:]), chunk(b"")])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    assert await client.wait_body(response, len(text) - 1) == text[:-1]
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body == text


HELD_BYTES = 256 * 1024
# What the kernel may take for both our sockets: without socket options loopback was seen to take 4 MiB.
KERNEL_BYTES = 2 * 1024 * 1024
SIOCINQ, SIOCOUTQNSD = 0x541B, 0x894B


def queued(made: socket.socket, which: int) -> int:
    """Bytes in the kernel of one socket: received and not read, or written and not yet sent."""
    answer = array.array("i", [0])
    fcntl.ioctl(made.fileno(), which, answer)
    return answer[0]


async def stands_still(*progress) -> None:
    """Returns when nothing has moved for a while: there is no event for what no longer happens."""
    before = None
    while before != (now := [moved() for moved in progress]):
        before = now
        await asyncio.sleep(0.2)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's queues are asked for as Linux answers")
@pytest.mark.parametrize("read_before", [0, 16 * 1024 * 1024])
async def test_a_stalled_reader_stops_the_upstream(origin: MakeOrigin, proxy: MakeProxy, read_before: int):
    """S14: what is neither in a kernel nor with the client is in our memory, and that is no more than 256 KiB."""
    start = head(b"HTTP/1.1 200 OK", b"Content-Length: 4000000000")
    one = await origin([request, start, pushed(bytes(65536), 5000)], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=32 * 1024, kept=False)
    client.get()
    await client.wait_body(await client.next_head(), read_before, 20)
    client.pause()
    connection = one.connections[0]
    await connection.until(lambda: connection.writing_paused, "back-pressure")
    await stands_still(lambda: connection.sent_bytes, lambda: connection.transport.get_write_buffer_size())
    sent = len(start) + connection.sent_bytes - connection.transport.get_write_buffer_size()
    with connected_sockets() as found:
        tcp = [made for made in found if made.family == socket.AF_INET]

        ends = {
            "origin": next(made for made in tcp if made.getsockname()[1] == one.port),
            "upstream": next(made for made in tcp if made.getpeername()[1] == one.port),
            "downstream": next(made for made in tcp if made.getsockname()[1] == proxied.port),
            "client": next(made for made in tcp if made.getpeername()[1] == proxied.port),
        }
        unsent_by_origin, unread_by_us = queued(ends["origin"], SIOCOUTQNSD), queued(ends["upstream"], SIOCINQ)
        unsent_by_us, unread_by_client = queued(ends["downstream"], SIOCOUTQNSD), queued(ends["client"], SIOCINQ)
    held = sent - unsent_by_origin - unread_by_us - unsent_by_us - unread_by_client - client.received_bytes
    assert held <= HELD_BYTES
    assert unread_by_us + unsent_by_us <= KERNEL_BYTES
    moved = connection.sent_bytes
    client.resume()
    await connection.until(lambda: connection.sent_bytes > moved, "the upstream to go on")
    client.reset()


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", SIZES)
async def test_bodies_around_every_buffer_arrive(origin: MakeOrigin, proxy: MakeProxy, size: int, framing: str):
    """S15: sizes just below, at and above our buffers pass in both directions at once, in each framing."""
    up, down = noise(size), noise(size)[::-1]
    parts = [down[at : at + 10_000] for at in range(0, size, 10_000)]
    answers = {
        "length": [counted(down)],
        "chunked": [CHUNKED, *map(chunk, parts), chunk(b"")],
        "close": [UNTIL_CLOSE, down, fin],
    }
    one = await origin([whole_request, *answers[framing]])
    proxied = await proxy(one)
    client = await proxied.connect()
    if framing == "chunked":
        sent = [up[at : at + 10_000] for at in range(0, size, 10_000)]
        client.send(CHUNKED_POST + b"".join(map(chunk, sent)) + chunk(b""))
    else:
        client.send(counted_post(size) + up)
    assert (await client.answer()).body == down
    assert one.connections[0].request.body == up
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.bytes_in, exchange.bytes_out) == ("complete", size, size)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_upload_flows(origin: MakeOrigin, proxy: MakeProxy, framing: str):
    """S16: the upstream has the head before any of the body, and each part of it before the client sends the next."""
    one = await origin([whole_request, OK])
    client = await (await proxy(one)).connect()
    client.send(CHUNKED_POST if framing == "chunked" else counted_post(32))
    connection = await one.asked()
    for number in range(8):
        client.send(chunk(b"part") if framing == "chunked" else b"part")
        await connection.until(lambda size=4 * number + 4: connection.request.size == size, "the part")
    if framing == "chunked":
        assert not connection.request.complete
        client.send(chunk(b""))
    assert (await client.answer()).body == b"ok"
    assert (connection.request.body, connection.request.framing) == (b"part" * 8, framing)


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_an_answer_may_overtake_its_request(origin: MakeOrigin, proxy: MakeProxy, framing: str):
    """S17: an answer that begins during the upload is relayed at once; each side goes on in answer to the other."""
    steps = [step for size in (4, 8, 12) for step in (body_bytes(size), chunk(b"data: %d\n\n" % size))]
    one = await origin([request, SSE, *steps, whole_request_of_this, chunk(b"")])
    client = await (await proxy(one)).connect()
    client.send(CHUNKED_POST if framing == "chunked" else counted_post(12))
    response = await client.next_head()
    for number in range(3):
        assert len(response.chunks) == number
        client.send(chunk(b"part") if framing == "chunked" else b"part")
        await client.until(lambda count=number + 1: len(response.chunks) == count, "the event")
    if framing == "chunked":
        assert not one.connections[0].request.complete
        client.send(chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert one.connections[0].request.body == b"part" * 3


async def whole_request_of_this(connection: Connection) -> None:
    """Waits for the end of the request that is being answered."""
    await connection.until(lambda: connection.request.complete, "the end of the upload")


UPLOAD_BYTES = 6 * 1024 * 1024
REFUSED = head(b"HTTP/1.1 413 Content Too Large", b"Content-Length: 8") + b"too much"


@pytest.mark.parametrize("after", [0, 1000, UPLOAD_BYTES // 2, "stuck, and everybody leaves"])
@pytest.mark.parametrize("closes", [False, True], ids=["keeps", "closes"])
async def test_a_final_answer_ends_an_upload(origin: MakeOrigin, proxy: MakeProxy, after: int | str, closes: bool):
    """S18: the answer is with the client before the upload ends; then an orderly close, and nothing hangs or breaks."""
    if isinstance(after, str):
        return await leaves_a_stuck_upload(origin, proxy)
    answer = REFUSED.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n", 1) if closes else REFUSED
    one = await origin([request, body_bytes(after), answer, *([fin] if closes else [])], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(counted_post(UPLOAD_BYTES) + bytes(after))
    response = await client.answer()
    assert (response.status, response.body, response.get(b"connection")) == (413, b"too much", b"close")
    rest = UPLOAD_BYTES - after
    while rest and client.ending == "open":
        client.send(bytes(min(rest, 256 * 1024)))
        rest -= min(rest, 256 * 1024)
        await client.until(lambda: not client.writing_paused or client.ending != "open", "room to write")
    assert await client.wait_ended() == "fin"
    await one.connections[0].wait_ended()
    assert (await proxied.ended()).outcome == "complete"
    assert await settles(lambda: not proxied.running.open_exchanges)
    assert not [made for made in one.connections if made.request.complete]
    return None


async def leaves_a_stuck_upload(origin: MakeOrigin, proxy: MakeProxy) -> None:
    """A client that was not read from gets its answer and goes, and so do we: nothing is left, and nothing logged."""
    gate = asyncio.Event()
    one = await origin([request, stop_reading, gate, REFUSED, read_on], receive_buffer=4096, kept=False)
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(counted_post(20_000_000) + bytes(20_000_000))
    connection = await one.asked()
    await stands_still(client.transport.get_write_buffer_size)
    gate.set()
    assert (await client.answer()).status == 413
    left = client.transport.get_write_buffer_size()
    await settles(lambda: client.transport.get_write_buffer_size() < left)  # it is read on, and thrown away
    client.transport.abort()
    await proxied.stop()
    assert [exchange.outcome for exchange in proxied.exchanges.ended_ones] == ["complete"]
    assert not connection.request.complete
