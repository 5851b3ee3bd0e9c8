"""The project's own rules of when bytes leave: at once, whatever they are, and nobody has to wait for somebody else."""

import asyncio
import itertools
import os
import socket
import statistics
import sys
import time
import zlib

import pytest

from tests.net import client as clients
from tests.net.codings import COMPRESSORS, unfolding
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import Connection, request, whole_request
from tests.net.responses import SSE, UNTIL_CLOSE, counted
from tests.net.test_sockets import connected_sockets
from tests.net.test_streaming import gated
from tests.net.wire import chunk, head

from .turns import turns_of_end, turns_of_pieces

EVENTS = [b"data: %d\n\n" % number for number in range(12)]
TYPES = [b"text/event-stream", b"application/json", b"image/png"]
FRAMINGS = {
    "chunked": [b"Transfer-Encoding: chunked"],
    "length": [b"Content-Length: 100000"],
    "close": [],
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("media_type", [*TYPES, None])
async def test_a_piece_leaves_in_the_turn_in_which_it_was_read(
    origin: MakeOrigin, proxy: MakeProxy, media_type: bytes | None, framing: str
):
    """S1: one turn of the loop more than without us, for every type and framing, a slowly filling length included."""
    typed = [b"Content-Type: " + media_type] if media_type else []
    one = await origin([request, head(b"HTTP/1.1 200 OK", *typed, *FRAMINGS[framing])])
    pieces = [(chunk(event) if framing == "chunked" else event, len(event)) for event in EVENTS]
    taken = {}
    proxied = await proxy(one)
    for way, port in (("direct", one.port), ("proxied", proxied.port)):
        client = await clients.connect(port)
        client.get()
        response = await client.next_head()
        taken[way] = await turns_of_pieces(client, response, one.connections[-1], pieces)
        assert response.body == b"".join(EVENTS)
        client.reset()
        await client.wait_gone()
    assert taken["proxied"] <= taken["direct"] + 1


HEADS = {
    "event stream": SSE,
    "counted": head(b"HTTP/1.1 200 OK", b"Content-Length: 10"),
    "until close": UNTIL_CLOSE,
    "coded": SSE[:-2] + b"Content-Encoding: gzip\r\n\r\n",
}
AT_ONCE = {
    "chunked": (SSE + chunk(EVENTS[0]), EVENTS[0]),
    "whole": (SSE + chunk(EVENTS[0]) + chunk(EVENTS[1]) + chunk(b""), EVENTS[0] + EVENTS[1]),
    "counted": (counted(b"body")[:-1], b"bod"),
    "until close": (UNTIL_CLOSE + b"text", b"text"),
}


@pytest.mark.parametrize("case", [*HEADS, *(f"{name}, with a body" for name in AT_ONCE)])
async def test_the_head_waits_for_nothing(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """S4: the head leaves while the upstream is silent behind its own; what came with it leaves in the same write."""
    answer, body = (HEADS[case], b"") if case in HEADS else AT_ONCE[case.removesuffix(", with a body")]
    one = await origin([request, answer])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head(1)
    assert (response.body, len(client.reads)) == (body, 1)
    assert response.complete == (case == "whole, with a body")


async def test_the_rhythm_of_the_upstream_is_that_of_the_client(origin: MakeOrigin, proxy: MakeProxy):
    """S5: events sent half a second apart are as many reads, 450 ms or more apart, with nothing in them changed."""

    async def half_a_second(connection: Connection) -> None:
        await asyncio.sleep(0.5)

    steps = [step for event in EVENTS[:3] for step in (half_a_second, chunk(event))]
    one = await origin([request, SSE, *steps, chunk(b"")])
    client = await (await proxy(one)).connect()
    response = await client.ask_for_answer()
    assert [data for _, data in response.pieces] == EVENTS[:3]
    moments = [at for at, _ in response.pieces]
    assert all(later - earlier >= 0.45 for earlier, later in itertools.pairwise(moments))


FRAME = (
    b"\x00\x00\x00\x24\x00\x00\x00\x10\x05\xc3\x64\x8d\x0b:event-type\x07\x00\x01x\xff\xfe{}\x00\r\n\x00\x9c\x11\x22"
)
BODIES = {
    "event stream": (b"text/event-stream", EVENTS),
    "NDJSON": (b"application/x-ndjson", [b'{"n":%d}\n' % number for number in range(5)]),
    "Bedrock frames": (b"application/vnd.amazon.eventstream", [FRAME, FRAME[:7], FRAME[7:], FRAME]),
    "a growing JSON array": (b"application/json", [b'[{"a":1}', b',\r\n{"a":2}', b",", b'{"a":3}', b"]"]),
    "JSON in pieces": (b"application/json; charset=utf-8", [b'{"text":"', b"h", b"\xc3", b"\xa9", b'"}']),
}


@pytest.mark.parametrize("name", BODIES)
async def test_what_an_sdk_asks_for_streams_too(origin: MakeOrigin, proxy: MakeProxy, name: str):
    """S6: a POST that accepts anything sees each piece before the next is sent, whatever format streams."""
    media_type, parts = BODIES[name]
    gates = [asyncio.Event() for _ in parts]
    start = head(b"HTTP/1.1 200 OK", b"Content-Type: " + media_type, b"Transfer-Encoding: chunked")
    one = await origin([whole_request, *gated(start, [chunk(part) for part in parts], gates, chunk(b""))[1:]])
    client = await (await proxy(one)).connect()
    client.ask(b"POST", b"/v1", b"Accept: */*", b"Content-Type: application/json", body=b'{"stream":true}')
    response = await client.next_head()
    for number, gate in enumerate(gates):
        gate.set()
        expected = b"".join(parts[: number + 1])
        assert await client.wait_body(response, len(expected)) == expected
    assert await client.wait_body_end(response) == "complete"
    assert response.chunks == parts


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="sockets are found through /proc")
async def test_no_timer_holds_bytes(origin: MakeOrigin, proxy: MakeProxy):
    """S9: both sockets have Nagle's algorithm off, and of two writes in a row the second takes no 20 ms."""
    gates = [asyncio.Event() for _ in range(40)]
    steps = [step for gate in gates for step in (gate, chunk(b"a"), chunk(b"b"))]
    one = await origin([request, SSE, *steps, chunk(b"")])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    with connected_sockets() as found:
        tcp = [made for made in found if made.family == socket.AF_INET]
        ours = {
            "client": [made for made in tcp if made.getsockname()[1] == proxied.port],
            "upstream": [made for made in tcp if made.getpeername()[1] == one.port],
        }
        no_delay = {
            side: [made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for made in sockets]
            for side, sockets in ours.items()
        }
    assert no_delay == {"client": [1], "upstream": [1]}
    waits = []
    for number, gate in enumerate(gates):
        before = time.monotonic()
        gate.set()
        await client.wait_body(response, 2 * number + 2)
        waits.append(time.monotonic() - before)
    assert await client.wait_body_end(response) == "complete"
    assert statistics.median(waits) < 0.02


ENDS = {
    "chunked": (SSE + chunk(b"x"), lambda connection: connection.send(chunk(b""))),
    "close": (UNTIL_CLOSE + b"x", lambda connection: connection.finish_writing()),
}


@pytest.mark.parametrize("framing", ENDS)
async def test_the_end_leaves_in_the_turn_in_which_it_was_read(origin: MakeOrigin, proxy: MakeProxy, framing: str):
    """S10: an end takes one turn more than without us, and the connections can then be used again."""
    start, end = ENDS[framing]
    one = await origin([request, start])
    proxied = await proxy(one)
    taken = []
    for port in (one.port, proxied.port):
        client = await clients.connect(port)
        client.get()
        response = await client.next_head()
        await client.wait_body(response, 1)
        connection = one.connections[-1]
        taken.append(await turns_of_end(client, response, lambda connection=connection: end(connection)))
        if port == proxied.port:
            client.get(b"/again")
            kept = connection if framing == "chunked" else await one.connection(len(one.connections))
            await kept.until(lambda kept=kept: bool(kept.requests), "a request")
            await kept.until(lambda kept=kept: kept.request.target == b"/again", "the next request")
        client.reset()
        await client.wait_gone()
    assert taken[1] <= taken[0] + 1


READER = """
import socket, sys
made = socket.create_connection(("127.0.0.1", int(sys.argv[1])), 10)
made.sendall(b"GET /busy HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n")
room, came = bytearray(1 << 20), 0
while got := made.recv_into(room):
    came += got
print(came)
"""


async def test_a_busy_stream_lets_others_have_their_turn(origin: MakeOrigin, proxy: MakeProxy):
    """S23: while one stream unfolds as fast as its client reads, another's events still pass, without long waits."""
    size = 128 * 1024 * 1024
    compressor = COMPRESSORS["gzip"][1]()
    bomb = compressor.piece(zlib.compress(bytes(100))) + compressor.piece(unfolding(size))
    busy = [request, SSE[:-2] + b"Content-Encoding: gzip\r\n\r\n", chunk(bomb + compressor.end()) + chunk(b"")]
    one = await origin([request, SSE], busy)
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    reader = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READER, str(proxied.port), stdout=asyncio.subprocess.PIPE
    )
    reading = asyncio.create_task(reader.communicate())
    waits = []
    while not reading.done():
        before = time.monotonic()
        one.connections[0].send(chunk(b"x"))
        await client.wait_body(response, len(waits) + 1)
        waits.append(time.monotonic() - before)
    assert int((await reading)[0]) > size
    # One turn in which nobody else was served would take as long as all of it: a few hundred milliseconds.
    assert max(waits) < 0.1, f"one event waited {max(waits):.3f} s among {len(waits)}"
