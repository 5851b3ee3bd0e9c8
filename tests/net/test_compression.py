"""Compressed event streams are decoded as they flow; every other coded body passes untouched.

That each piece is, as soon as it was flushed, is in tests/spec/test_rfc9110_8_4_content_coding.
"""

import asyncio

import pytest

from proxy.net.client_connection import HIGH_WATER_BYTES

from .codings import COMPRESSORS, unfolding, whole
from .conftest import MakeOrigin, MakeProxy
from .harness import settles
from .origin import fin, pushed, request
from .responses import counted
from .streams import turns, unsent
from .wire import chunk, head

EVENTS = [b"data: %d %s\n\n" % (number, b"abc" * number) for number in range(6)]


def stream_head(coding: bytes, *lines: bytes, media_type: bytes = b"text/event-stream") -> bytes:
    return head(
        b"HTTP/1.1 200 OK",
        b"Content-Type: " + media_type,
        b"Content-Encoding: " + coding,
        b"Transfer-Encoding: chunked",
        *lines,
    )


@pytest.mark.parametrize("name", COMPRESSORS)
async def test_byte_by_byte_is_byte_exact(origin: MakeOrigin, proxy: MakeProxy, name: str):
    """MUST. S7, E3."""
    coded = whole(name, b"".join(EVENTS))
    pieces = [chunk(coded[at : at + 1]) for at in range(len(coded))]
    one = await origin([request, stream_head(COMPRESSORS[name][0]), *pieces, chunk(b"")])
    client = await (await proxy(one)).connect()
    assert (await client.ask_for_answer()).body == b"".join(EVENTS)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
async def test_several_members_are_one_stream(origin: MakeOrigin, proxy: MakeProxy, name: str):
    """MUST. RFC 1952 section 2.2, RFC 8878 section 3.1. Each member complete in itself, in one read and in several."""
    together = chunk(whole(name, EVENTS[0]) + whole(name, EVENTS[1]))
    gate = asyncio.Event()
    one = await origin(
        [request, stream_head(name.encode()), together, gate, chunk(whole(name, EVENTS[2])) + chunk(b"")]
    )
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, len(EVENTS[0] + EVENTS[1]))
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body == b"".join(EVENTS[:3])


@pytest.mark.parametrize("framing", ["length", "close"])
async def test_a_counted_or_close_delimited_stream_becomes_chunked(origin: MakeOrigin, proxy: MakeProxy, framing: str):
    """MUST. E6, M9. The length was that of the coded bytes, and so were these fields."""
    coded = whole("gzip", EVENTS[0])
    lines = [
        b"Content-Type: text/event-stream",
        b"Content-Encoding: gzip",
        b"Accept-Ranges: bytes",
        b"Content-MD5: x",
        b"Repr-Digest: x",
        b'ETag: "strong"',
    ]
    answer = counted(coded, *lines) if framing == "length" else head(b"HTTP/1.1 200 OK", *lines) + coded
    one = await origin([request, answer, *([fin] if framing == "close" else [])])
    response = await (await (await proxy(one)).connect()).ask_for_answer()
    assert (response.body, response.framing) == (EVENTS[0], "chunked")
    assert response.get(b"etag") == b'W/"strong"'
    gone = (b"accept-ranges", b"content-md5", b"repr-digest", b"content-encoding", b"content-length")
    assert not [name for name in gone if response.get(name)]


@pytest.mark.parametrize("name", COMPRESSORS)
@pytest.mark.parametrize("fault", ["corrupt", "truncated"])
async def test_a_damaged_stream_is_an_abort(origin: MakeOrigin, proxy: MakeProxy, name: str, fault: str):
    """MUST. E8. RFC 9209 section 2.3.25. The end of the framing is not the end of the coding."""
    coding, make = COMPRESSORS[name]
    compressor = make()
    good = compressor.piece(EVENTS[3])
    gate = asyncio.Event()
    rest = chunk(b"\xff\xfe" * 600) if fault == "corrupt" else b""
    one = await origin([request, stream_head(coding), chunk(good), gate, rest + chunk(b"")])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, len(EVENTS[3]))
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert response.body.startswith(EVENTS[3])
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("upstream_aborted", "http_response_content_coding")


async def test_bytes_behind_the_end_of_a_coding_are_damage(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. E8. Brotli knows one member only."""
    one = await origin([request, stream_head(b"br"), chunk(whole("br", EVENTS[0])), chunk(b"more") + chunk(b"")])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    assert await client.wait_body_end(await client.next_head()) == "fin"
    assert (await proxied.ended()).code == "http_response_content_coding"


async def test_an_empty_coded_stream_is_empty(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. E10."""
    one = await origin([request, stream_head(b"gzip"), chunk(b"")])
    assert (await (await (await proxy(one)).connect()).ask_for_answer()).body == b""


CODED = whole("gzip", b"".join(EVENTS))
UNTOUCHED: dict[str, tuple[bytes, list[bytes]]] = {
    "no-transform": (stream_head(b"gzip", b"Cache-Control: private, No-Transform"), []),
    "an unknown coding": (stream_head(b"unheard-of"), []),
    "two codings": (stream_head(b"gzip, br"), []),
    "a 206": (stream_head(b"gzip").replace(b"200 OK", b"206 Partial Content"), []),
    "a client without identity": (stream_head(b"gzip"), [b"Accept-Encoding: gzip, identity;q=0"]),
    "JSON": (stream_head(b"gzip", media_type=b"application/json"), []),
    "NDJSON": (stream_head(b"gzip", media_type=b"application/x-ndjson"), []),
}


@pytest.mark.parametrize("case", UNTOUCHED)
async def test_what_is_not_ours_to_decode_passes_byte_for_byte(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """MUST. E2, E4, E5, E7. Label and bytes always agree."""
    start, lines = UNTOUCHED[case]
    one = await origin([request, start, chunk(CODED) + chunk(b"")])
    response = await (await (await proxy(one)).connect()).ask_for_answer(b"/", *lines)
    assert response.body == CODED
    assert b"Content-Encoding: %b\r\n" % (response.get(b"content-encoding") or b"none") in start


async def test_compression_pass_leaves_everything_alone(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. E1. `compression: pass` of a route."""
    one = await origin([request, stream_head(b"gzip"), chunk(CODED) + chunk(b"")])
    client = await (await proxy(one, stream={"decode": False})).connect()
    response = await client.ask_for_answer(b"/", b"Accept: text/event-stream", b"Accept-Encoding: gzip")
    assert (response.body, response.get(b"content-encoding")) == (CODED, b"gzip")
    assert one.connections[0].request.get(b"accept-encoding") == b"gzip"


async def test_a_slow_client_gets_all_of_a_stream_that_unfolds(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. E9, S14. 16 MiB out of 300 KiB, through a stall: everything arrives, and the end too."""
    size = 16 * 1024 * 1024
    one = await origin([request, stream_head(b"gzip"), chunk(whole("gzip", unfolding(size))) + chunk(b"")])
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    response = await client.next_head()
    client.pause()
    assert await settles(lambda: unsent(proxied) > HIGH_WATER_BYTES)
    await turns()
    assert unsent(proxied) < 1024 * 1024
    client.resume()
    assert await client.wait_body_end(response, 20) == "complete"
    assert response.size == size


async def test_a_client_that_leaves_a_stream_that_unfolds_is_let_go(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. D1, E9."""
    one = await origin([request, stream_head(b"gzip"), pushed(chunk(whole("gzip", unfolding(4_000_000))), 100)])
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    await client.next_head()
    client.pause()
    assert await settles(lambda: unsent(proxied) > HIGH_WATER_BYTES)
    client.reset()
    assert (await proxied.ended()).outcome == "client_closed"
    await one.connections[0].wait_ended()


async def test_a_slow_client_gets_what_came_before_a_cut(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A7, E8. What was received unfolds to the end, then comes the abort."""
    size = 4 * 1024 * 1024
    compressor = COMPRESSORS["gzip"][1]()
    one = await origin([request, stream_head(b"gzip"), chunk(compressor.piece(unfolding(size))), fin])
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    response = await client.next_head()
    client.pause()
    assert await settles(lambda: unsent(proxied) > HIGH_WATER_BYTES)
    client.resume()
    assert await client.wait_body_end(response, 10) == "fin"
    assert response.size == size
    assert (await proxied.ended()).outcome == "upstream_aborted"
