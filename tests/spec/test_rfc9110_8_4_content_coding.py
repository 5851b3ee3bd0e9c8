"""RFC 9110 section 8.4: event streams are decoded as they flow, all other coded bodies are nobody's business."""

import asyncio

import brotli
import pytest

from proxy.core import answer
from tests.net import test_backpressure
from tests.net.client import Client
from tests.net.codings import COMPRESSORS, unfolding, whole, zstd
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import fin, pushed, request, whole_request
from tests.net.responses import OK, counted
from tests.net.wire import Message, chunk, head

serve = test_backpressure.serve
EVENTS = [b"data: %d %s\n\n" % (number, b"abc" * number) for number in range(6)]
TEXT = b"".join(EVENTS)
TYPED = b"Content-Type: text/event-stream"


def coded_head(coding: bytes, *lines: bytes, status: bytes = b"200 OK", typed: bytes = TYPED) -> bytes:
    label = b"Content-Encoding: " + coding
    return head(b"HTTP/1.1 " + status, typed, label, b"Transfer-Encoding: chunked", *lines)


@pytest.mark.parametrize("name", COMPRESSORS)
async def test_each_piece_is_decoded_when_it_comes(origin: MakeOrigin, proxy: MakeProxy, name: str):
    """E3: what a flushed piece holds is with the client before the next is compressed; the label goes."""
    coding, make = COMPRESSORS[name]
    compressor = make()
    gates = [asyncio.Event() for _ in EVENTS]
    pieces = [compressor.piece(event) for event in EVENTS]
    steps = [step for gate, piece in zip(gates, pieces, strict=True) for step in (gate, chunk(piece))]
    one = await origin([request, coded_head(coding.upper()), *steps, chunk(compressor.end()) + chunk(b"")])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    assert response.get(b"content-encoding") is None
    for number, gate in enumerate(gates):
        gate.set()
        expected = b"".join(EVENTS[: number + 1])
        assert await client.wait_body(response, len(expected)) == expected
    assert await client.wait_body_end(response) == "complete"


GZIPPED = whole("gzip", TEXT)
LABELS: dict[str, tuple[bytes, bytes]] = {
    "an unknown coding": (coded_head(b"unheard-of"), b"unheard-of"),
    "compress": (coded_head(b"compress"), b"compress"),
    "two codings": (coded_head(b"gzip, br"), b"gzip, br"),
    "twice the same": (coded_head(b"gzip, gzip"), b"gzip, gzip"),
    "two lines": (coded_head(b"gzip", b"Content-Encoding: br"), b"gzip|br"),
    "a 206": (coded_head(b"gzip", b"Content-Range: bytes 0-9/99", status=b"206 Partial Content"), b"gzip"),
    "a parameter": (coded_head(b"gzip;q=1"), b"gzip;q=1"),
    "a missing library": (coded_head(b"br"), b"br"),
}


@pytest.mark.parametrize("case", LABELS)
async def test_label_and_bytes_agree(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, case: str):
    """E5: what cannot be decoded for certain passes with its label, fields that describe it included."""
    start, label = LABELS[case]
    if case == "a missing library":
        monkeypatch.delitem(answer.CODINGS, b"br")
    start = start[:-2] + b'ETag: "strong"\r\n\r\n'
    one = await origin([request, start, chunk(GZIPPED) + chunk(b"")])
    response = await (await (await proxy(one)).connect()).ask_for_answer()
    assert (response.body, b"|".join(response.all(b"content-encoding"))) == (GZIPPED, label)
    assert response.get(b"etag") == b'"strong"'


DESCRIBING = [
    b"Accept-Ranges: bytes",
    b"Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==",
    b"Content-Digest: sha-256=:AA==:",
    b"Repr-Digest: sha-256=:AA==:",
]
ETAGS = {b'"strong"': b'W/"strong"', b'W/"weak"': b'W/"weak"'}


@pytest.mark.parametrize("etag", ETAGS)
@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_what_described_the_coded_bytes_goes(origin: MakeOrigin, proxy: MakeProxy, framing: str, etag: bytes):
    """E6: length, ranges and digests of the coded bytes are no more, and a strong ETag is weak; the rest stays."""
    lines = [TYPED, b"Content-Encoding: gzip", *DESCRIBING, b"ETag: " + etag, b"Last-Modified: then", b"Digest-Of: x"]
    answers = {
        "length": [counted(GZIPPED, *lines)],
        "chunked": [head(b"HTTP/1.1 200 OK", *lines, b"Transfer-Encoding: chunked") + chunk(GZIPPED) + chunk(b"")],
        "close": [head(b"HTTP/1.1 200 OK", *lines) + GZIPPED, fin],
    }
    one = await origin([request, *answers[framing]])
    response = await (await (await proxy(one)).connect()).ask_for_answer()
    assert (response.body, response.framing) == (TEXT, "chunked")
    assert response.get(b"etag") == ETAGS[etag]
    assert (response.get(b"last-modified"), response.get(b"digest-of")) == (b"then", b"x")
    gone = [b"content-length", b"content-encoding", *(line.partition(b":")[0].lower() for line in DESCRIBING)]
    assert not [name for name in response.names if name.lower() in gone]


OTHERS = {
    "JSON": b"application/json",
    "HTML": b"text/html",
    "NDJSON": b"application/x-ndjson",
    "Bedrock frames": b"application/vnd.amazon.eventstream",
    "a look-alike": b"text/event-streamfoo",
}


@pytest.mark.parametrize("case", [*OTHERS, "a request", "uncoded"])
async def test_all_else_is_left_as_it_is(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """E7: coded bodies of other types, streams and uploads too, pass byte for byte; nothing is ever compressed."""
    typed = b"Content-Type: " + OTHERS.get(case, b"text/plain")
    if case == "uncoded":
        one = await origin([whole_request, counted(b"a" * 5000, typed)])
    elif case == "a request":
        one = await origin([whole_request, OK])
    else:
        one = await origin(
            [whole_request, coded_head(b"gzip", b'ETag: "strong"', typed=typed), chunk(GZIPPED) + chunk(b"")]
        )
    client = await (await proxy(one)).connect()
    wish = b"Accept-Encoding: gzip, br, zstd"
    if case == "a request":
        client.ask(b"POST", b"/", b"Content-Encoding: gzip", TYPED, wish, body=GZIPPED)
        assert (await client.answer()).status == 200
        received = one.connections[0].request
        assert (received.body, received.get(b"content-encoding")) == (GZIPPED, b"gzip")
        return
    response = await client.ask_for_answer(b"/", wish)
    if case == "uncoded":
        assert (response.body, response.get(b"content-encoding")) == (b"a" * 5000, None)
    else:
        assert (response.body, response.get(b"content-encoding")) == (GZIPPED, b"gzip")
        assert response.get(b"etag") == b'"strong"'


FAULTS = [
    "corrupt",
    "ends inside, chunked",
    "ends inside, counted",
    "ends inside, closed",
    "more behind the end",
    "corrupt behind much",
]
MUCH = unfolding(4 * 1024 * 1024)


def damaged(name: str, fault: str, gate: asyncio.Event) -> list:
    """A script that sends one good event, and when the gate opens what is wrong with the rest."""
    coding, make = COMPRESSORS[name]
    compressor = make()
    good = compressor.piece(EVENTS[3])
    if fault == "ends inside, counted":
        short = head(b"HTTP/1.1 200 OK", TYPED, b"Content-Encoding: " + coding, b"Content-Length: %d" % (len(good) + 1))
        return [request, short + good, gate, b"\x00"]
    if fault == "ends inside, closed":
        return [request, head(b"HTTP/1.1 200 OK", TYPED, b"Content-Encoding: " + coding) + good, gate, fin]
    rest = {
        "corrupt": chunk(b"\xff\xfe" * 600),
        "corrupt behind much": chunk(compressor.piece(MUCH) + b"\xff\xfe" * 600),
        "ends inside, chunked": b"",
        "more behind the end": chunk(compressor.end() + b"garbage"),
    }
    return [request, coded_head(coding), chunk(good), gate, rest[fault] + chunk(b"")]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["gzip", "raw deflate", "br", "zstd"])
async def test_a_broken_coding_is_the_upstreams_failure(origin: MakeOrigin, proxy: MakeProxy, name: str, fault: str):
    """E8: a coding that is damaged or does not end is an abort with a code of its own, whatever the framing says."""
    gate = asyncio.Event()
    one = await origin(damaged(name, fault, gate))
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, len(EVENTS[3]))
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert response.body.startswith(EVENTS[3])
    if fault == "corrupt behind much":  # what a decoder had in hand when it met the fault is lost with it
        assert response.size > len(MUCH) - 256 * 1024
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("upstream_aborted", "http_response_content_coding")


BOMB_BYTES = 64 * 1024 * 1024
# What a decoder may look back at: RFC 1951 section 2, RFC 7932 section 9.1 as encoders use it, RFC 9659 section 3.
# brotli's buffer of 4 MiB grows out of one of 2, which an allocator may keep.
WINDOW_BYTES = {"gzip": 32 * 1024, "br": 6 * 1024 * 1024, "zstd": 8 * 1024 * 1024}
GROWTH_BYTES = test_backpressure.GROWTH_BYTES + test_backpressure.MARGIN_BYTES


def bomb(name: str) -> bytes:
    """Megabytes that unfold to sixty times as many; zstd's asks for a window of sixteen times what is allowed."""
    if name == "br":
        return brotli.compress(unfolding(3 * BOMB_BYTES), quality=2)
    if name == "gzip":
        return whole(name, unfolding(3 * BOMB_BYTES))
    return zstd.compress(unfolding(3 * BOMB_BYTES), options={zstd.CompressionParameter.window_log: 27})


@pytest.mark.parametrize("name", WINDOW_BYTES)
async def test_a_bomb_grows_no_buffer(origin: MakeOrigin, serve, name: str):
    """E9: what a few bytes unfold to waits outside our memory for a client that stops, and so does what follows."""
    start, warm = coded_head(name.encode()), whole(name, unfolding(4 * 1024 * 1024))
    times = 1 if name == "br" else 50_000  # brotli knows no second member
    bombs = pushed(chunk(bomb(name)), times)
    one = await origin([request, start, chunk(warm)], [request, start, bombs], kept=False)
    process = await serve(one.port)
    await unfolded(await process.connect(), 4 * 1024 * 1024)
    before = process.resident_bytes()
    client = await process.connect(receive_buffer=64 * 1024)
    client.get()
    response = await client.next_head()
    await client.until(lambda: response.size >= 2 * BOMB_BYTES or client.ending != "open", "what is read first", 20)
    client.pause()
    connection = await one.connection(1)
    await test_backpressure.stalls(lambda: connection.sent_bytes + client.received_bytes)
    assert connection.writing_paused or connection.gone or times == 1  # what asks for too much may be refused
    grown = process.resident_bytes() - before
    assert grown < GROWTH_BYTES + WINDOW_BYTES[name], f"grew by {grown} bytes"


async def unfolded(client: Client, size: int) -> None:
    """One exchange, so that what is allocated once is there."""
    client.get()
    await client.wait_body(await client.next_head(), size)
    client.reset()
    await client.wait_gone()


BODYLESS = {
    "HEAD": (b"HEAD", b"200 OK", [b"Content-Length: 1000"]),
    "HEAD, chunked": (b"HEAD", b"200 OK", [b"Transfer-Encoding: chunked"]),
    "HEAD, no framing": (b"HEAD", b"200 OK", []),
    "204": (b"GET", b"204 No Content", []),
    "304": (b"GET", b"304 Not Modified", []),
    "304 with a length": (b"GET", b"304 Not Modified", [b"Content-Length: 1000"]),
    "an empty body": (b"GET", b"200 OK", [b"Content-Length: 0"]),
    "an empty chunked body": (b"GET", b"200 OK", [b"Transfer-Encoding: chunked"]),
}


@pytest.mark.parametrize("coding", [b"gzip", b"br"])
@pytest.mark.parametrize("case", BODYLESS)
async def test_no_body_is_no_broken_one(origin: MakeOrigin, proxy: MakeProxy, case: str, coding: bytes):
    """E10: an answer without a body may name a coding; it is complete, and the connection serves on."""
    method, status, framing = BODYLESS[case]
    answered = head(b"HTTP/1.1 " + status, TYPED, b"Content-Encoding: " + coding, *framing)
    end = chunk(b"") if case == "an empty chunked body" else b""
    one = await origin([request, answered + end, request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.ask(method)
    response: Message = await client.answer()
    assert (response.status, response.body) == (int(status[:3]), b"")
    assert (await client.ask_for_answer()).body == b"ok"
    assert (len(one.connections), (await proxied.ended()).outcome) == (1, "complete")
