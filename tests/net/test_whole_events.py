"""`deliver: events`: an event leaves with its last byte, whole and in a write of its own; bytes and order stay."""

import asyncio
import random
import zlib

import pytest

from .codings import COMPRESSORS, whole
from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied
from .origin import Connection, Step, fin, pushed, request, rst
from .responses import SSE
from .streams import cut, served, turns, unsent
from .wire import Message, chunk, head

WHOLE = {"whole": True}
NDJSON = head(b"HTTP/1.1 200 OK", b"Content-Type: application/x-ndjson", b"Transfer-Encoding: chunked")
TEXT = "data: naïve 流れ 👩‍🚀\n\n".encode()
LINE_ENDS = {
    "LF": [b": hello\n\n", b"id: 1\ndata: a\n\n", TEXT, b"\n", b"retry: 9\n\n"],
    "CRLF": [b": hello\r\n\r\n", b"id: 1\r\ndata: a\r\n\r\n", TEXT.replace(b"\n", b"\r\n"), b"\r\n"],
    "CR": [b": hello\r\r", b"id: 1\rdata: a\r\r", TEXT.replace(b"\n", b"\r"), b"\r"],
    "BOM": [b"\xef\xbb\xbfdata: first\n\n", b"data: second\n\n"],
}
LINES = [b'{"text": "a"}\n', b'{"text": "b"}\r\n', b"\n", '{"text": "流れ"}\n'.encode()]


async def asked(proxied: Proxied, origin_connections: int, one, **options):
    """A client whose answer has begun, the answer, and the upstream's end of it."""
    client = await proxied.connect(**options)
    client.get()
    response = await client.next_head()
    return client, response, one.connections[origin_connections]


async def byte_by_byte(client, response: Message, connection: Connection, frames: list[bytes]) -> None:
    """Sends frames so, and sees each with its last byte and nothing of it before."""
    size = 0
    for frame in frames:
        for at in range(len(frame) - 1):
            connection.send(chunk(frame[at : at + 1]))
            await turns()
            assert response.size == size, f"seen of {frame!r} after {at + 1} bytes: {response.body[size:]!r}"
        connection.send(chunk(frame[-1:]))
        size += len(frame)
        await turns()
        assert response.size == size, f"{frame!r} is held back"


@pytest.mark.parametrize("ends", LINE_ENDS)
async def test_an_event_leaves_with_its_last_byte_and_not_before(origin: MakeOrigin, proxy: MakeProxy, ends: str):
    """Byte by byte; the event is there before the upstream says another byte, and in a chunk of its own."""
    one = await origin([request, SSE])
    client, response, connection = await asked(await proxy(one, stream=WHOLE), 0, one)
    await byte_by_byte(client, response, connection, LINE_ENDS[ends])
    connection.send(chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert response.chunks == LINE_ENDS[ends]


async def test_a_line_of_json_leaves_with_its_last_byte_and_not_before(origin: MakeOrigin, proxy: MakeProxy):
    """The same for NDJSON."""
    one = await origin([request, NDJSON])
    client, response, connection = await asked(await proxy(one, stream=WHOLE), 0, one)
    await byte_by_byte(client, response, connection, LINES)
    connection.send(chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert response.chunks == LINES


async def test_without_it_half_an_event_is_seen_at_once(origin: MakeOrigin, proxy: MakeProxy):
    """The twin: `deliver: bytes` holds nothing."""
    one = await origin([request, SSE])
    client, response, connection = await asked(await proxy(one), 0, one)
    for at in range(len(TEXT)):
        connection.send(chunk(TEXT[at : at + 1]))
        assert await client.wait_body(response, at + 1) == TEXT[: at + 1]


async def test_events_of_one_read_leave_in_chunks_of_their_own(origin: MakeOrigin, proxy: MakeProxy):
    """A reader by chunks gets one event each, however many came together."""
    events = [b"data: %d\n\n" % number for number in range(200)]
    one = await origin([request, SSE + chunk(b"".join(events)) + chunk(b"")])
    response = await (await (await proxy(one, stream=WHOLE)).connect()).ask_for_answer()
    assert response.chunks == events


@pytest.mark.parametrize("seed", range(8))
async def test_the_bytes_are_the_same_however_they_are_cut(origin: MakeOrigin, proxy: MakeProxy, seed: int):
    """Also where the ends of lines are mixed, and where the last event has no end."""
    chance = random.Random(seed)
    pieces = [chance.choice([b"data: x", b"\n", b"\r", b"\r\n", b"\n\n", TEXT, b": c\n"]) for _ in range(120)]
    text = b"".join(pieces)
    places = sorted(chance.sample(range(1, len(text)), 40))
    one = await origin([request, SSE, *[chunk(piece) for piece in cut(text, *places)], chunk(b"")])
    response = await (await (await proxy(one, stream=WHOLE)).connect()).ask_for_answer()
    assert response.body == text


async def test_a_stalled_client_holds_the_upstream_and_then_gets_all(origin: MakeOrigin, proxy: MakeProxy):
    """Many small events of one read are held where they are: no more than the client's buffer is filled with them."""
    event = b"data: %s\n\n" % (b"x" * 56)
    times, each = 192, 1024  # 12 MiB: more than the kernel takes for both connections
    one = await origin([request, SSE, pushed(chunk(event * each), times), chunk(b"")], kept=False)
    proxied = await proxy(one, stream=WHOLE)
    client, response, connection = await asked(proxied, 0, one, kept=False, receive_buffer=8192)
    client.pause()
    await connection.until(lambda: connection.writing_paused, "back-pressure")
    (held_for,) = served(proxied)
    assert held_for.connection.writing_paused
    assert unsent(proxied) < 128 * 1024
    client.resume()
    assert await client.wait_body_end(response, 40) == "complete"
    assert (response.size, response.checksum) == (len(event) * each * times, zlib.crc32(event * each * times))
    assert (await proxied.ended()).events == each * times


@pytest.mark.parametrize("error_event", [False, True], ids=["abort", "error-event"])
@pytest.mark.parametrize("coded", [False, True], ids=["identity", "gzip"])
async def test_what_waited_only_for_the_client_survives_a_break(
    origin: MakeOrigin, proxy: MakeProxy, error_event: bool, coded: bool
):
    """A7. Events held because the client was behind are no unfinished tail: they leave before the event and the abort.

    The fault comes in the same read as the events: no later one is read for a client that is behind.
    """
    compressor = COMPRESSORS["gzip"][1]()
    filler = b"data: %s\n\n" % (b"f" * 16_000)
    last = b"".join([b"data: %d %s\n\n" % (number, b"x" * 100) for number in range(450)])
    start = SSE.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer", 1) if coded else SSE
    one = await origin([request, start])
    proxied = await proxy(one, stream={"whole": True, "error_event": error_event, "family": "openai"})
    client, response, connection = await asked(proxied, 0, one, receive_buffer=8192)
    client.pause()
    fillers = 0
    while unsent(proxied) < 32_000:
        connection.send(chunk(compressor.piece(filler) if coded else filler))
        fillers += 1
        await turns()
    (held_for,) = served(proxied)
    assert not held_for.connection.writing_paused
    connection.send(chunk(compressor.piece(last) if coded else last) + b"no size\r\n")
    await proxied.ended()
    client.resume()
    assert await client.wait_body_end(response) == "fin"
    sent = filler * fillers + last
    assert response.body[: len(sent)] == sent
    assert response.body[len(sent) :].startswith(b'data: {"error":') == error_event


async def test_an_event_over_the_limit_passes_unframed(origin: MakeOrigin, proxy: MakeProxy):
    """From the limit on its bytes leave as they come; those behind it are whole again. It is written down."""
    big, small = b"data: " + b"x" * 200 + b"\n\n", b"data: small\n\n"
    one = await origin([request, SSE])
    proxied = await proxy(one, stream=WHOLE, limits={"event": 100})
    client, response, connection = await asked(proxied, 0, one)
    connection.send(chunk(big[:100]))
    await turns()
    assert not response.size
    connection.send(chunk(big[100:101]))
    await client.wait_body(response, 101)
    connection.send(chunk(big[101:150]))
    await client.wait_body(response, 150)
    connection.send(chunk(big[150:] + small[:5]))
    await client.wait_body(response, len(big))
    assert response.size == len(big)
    connection.send(chunk(small[5:]) + chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert response.body == big + small
    assert response.chunks[-1] == small
    assert (await proxied.ended()).oversized


@pytest.mark.parametrize(
    ("ending", "ended"),
    [([chunk(b"")], "complete"), ([fin], "fin"), ([rst], "fin"), ([b"zz\r\n"], "fin")],
    ids=["a clean end", "FIN", "reset", "malformed chunk"],
)
async def test_what_never_became_an_event_leaves_at_the_end(
    origin: MakeOrigin, proxy: MakeProxy, ending: list[Step], ended: str
):
    """Nothing is dropped: a tail leaves with the end, and before an abort."""
    gate = asyncio.Event()
    one = await origin([request, SSE, chunk(b"data: 1\n\ndata: ha"), gate, *ending])
    proxied = await proxy(one, stream=WHOLE)
    client, response, _ = await asked(proxied, 0, one)
    await client.wait_body(response, 9)
    await turns()
    assert response.body == b"data: 1\n\n"
    gate.set()
    assert await client.wait_body_end(response) == ended
    assert response.body == b"data: 1\n\ndata: ha"
    assert (await proxied.ended()).bytes_out == len(response.body)


@pytest.mark.parametrize("name", COMPRESSORS)
async def test_what_was_decoded_leaves_in_whole_events(origin: MakeOrigin, proxy: MakeProxy, name: str):
    """Decoding comes first: an event of two compressed pieces leaves with the second, two of one each for itself."""
    coding, make = COMPRESSORS[name]
    compressor = make()
    start = SSE.replace(b"Transfer", b"Content-Encoding: " + coding + b"\r\nTransfer", 1)
    one = await origin([request, start])
    client, response, connection = await asked(await proxy(one, stream=WHOLE), 0, one)
    connection.send(chunk(compressor.piece(TEXT[:15])))
    await turns()
    assert not response.size
    connection.send(chunk(compressor.piece(TEXT[15:])))
    assert await client.wait_body(response, len(TEXT)) == TEXT
    connection.send(chunk(compressor.piece(TEXT + TEXT)) + chunk(compressor.end()) + chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert response.chunks == [TEXT] * 3


async def test_what_stays_compressed_is_not_held(origin: MakeOrigin, proxy: MakeProxy):
    """With `compression: pass` the bytes are no events to us, and leave as they come."""
    coded = whole("gzip", TEXT)
    start = SSE.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer", 1)
    one = await origin([request, start])
    client, response, connection = await asked(await proxy(one, stream={"whole": True, "decode": False}), 0, one)
    for at in range(len(coded)):
        connection.send(chunk(coded[at : at + 1]))
        assert await client.wait_body(response, at + 1) == coded[: at + 1]


@pytest.mark.parametrize("media_type", [b"application/json", b"text/html", b"application/octet-stream"])
async def test_what_is_no_stream_of_frames_is_not_held(origin: MakeOrigin, proxy: MakeProxy, media_type: bytes):
    """Half a JSON text leaves at once."""
    start = head(b"HTTP/1.1 200 OK", b"Content-Type: " + media_type, b"Transfer-Encoding: chunked")
    one = await origin([request, start, chunk(b'{"half": ')])
    client, response, _ = await asked(await proxy(one, stream=WHOLE), 0, one)
    assert await client.wait_body(response, 9) == b'{"half": '


async def test_a_counted_stream_is_whole_too_and_stays_counted(origin: MakeOrigin, proxy: MakeProxy):
    """The length is that of the bytes, which stay."""
    start = head(b"HTTP/1.1 200 OK", b"Content-Type: text/event-stream", b"Content-Length: %d" % (2 * len(TEXT)))
    one = await origin([request, start])
    client, response, connection = await asked(await proxy(one, stream=WHOLE), 0, one)
    connection.send(TEXT + TEXT[:4])
    await client.wait_body(response, len(TEXT))
    await turns()
    assert response.body == TEXT
    connection.send(TEXT[4:])
    assert await client.wait_body_end(response) == "complete"
    assert (response.framing, response.body) == ("length", TEXT + TEXT)
