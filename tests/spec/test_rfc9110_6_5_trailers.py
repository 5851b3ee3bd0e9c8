"""RFC 9110 section 6.5: trailers come behind a body and stay there."""

import asyncio

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import request, whole_request
from tests.net.responses import CHUNKED, OK, SSE
from tests.net.wire import chunk, head

from .refusals import HOST, POST

DIGEST = b"Repr-Digest: sha-256=:x:\r\n"
FORBIDDEN = b"".join(
    line + b"\r\n"
    for line in (
        *(b"Trailer: X-End", b"Connection: X-End", b"TE: trailers", b"Upgrade: h2c", b"Keep-Alive: timeout=5"),
        *(b"Host: evil.example", b"Max-Forwards: 1", b"Set-Cookie: a=1", b"Cookie: a=1"),
        *(b"Authorization: Basic x", b"WWW-Authenticate: Basic", b"Proxy-Authenticate: Basic"),
        *(
            b"Proxy-Authorization: x",
            b"Content-Type: text/html",
            b"Content-Encoding: gzip",
            b"Content-Range: bytes 0-1/2",
        ),
    )
)
ANNOUNCED = CHUNKED[:-2] + b"Trailer: X-End, Repr-Digest\r\n\r\n"
# The head, the body's chunks, the trailers that came, and those that go on.
TRAILERS = {
    "announced": (ANNOUNCED, [b"body"], b"X-End: 1\r\n" + DIGEST, b"X-End: 1\r\n" + DIGEST),
    "not announced": (CHUNKED, [b"body"], b"X-End: 1\r\n", b"X-End: 1\r\n"),
    "others than announced": (ANNOUNCED, [b"body"], b"X-Other: 1\r\n", b"X-Other: 1\r\n"),
    "announced and missing": (ANNOUNCED, [b"body"], b"", b""),
    "behind an empty body": (ANNOUNCED, [], b"X-End: 1\r\n", b"X-End: 1\r\n"),
    "behind events": (SSE, [b"data: 1\n\n", b"data: 2\n\n"], b"x-end: \xff\r\n", b"x-end: \xff\r\n"),
    "two of one name": (
        CHUNKED,
        [b"body"],
        b"X-End: 1\r\nX-A: 2\r\nX-End: 3\r\n",
        b"X-End: 1\r\nX-A: 2\r\nX-End: 3\r\n",
    ),
    "forbidden ones": (CHUNKED, [b"body"], FORBIDDEN, b""),
    "forbidden ones among others": (CHUNKED, [], b"X-A: 1\r\n" + FORBIDDEN + b"X-B: 2\r\n", b"X-A: 1\r\nX-B: 2\r\n"),
    "a coding": (CHUNKED, [b"body"], b"X-A: 1\r\nTransfer-Encoding: chunked\r\nX-B: 2\r\n", b"X-A: 1\r\nX-B: 2\r\n"),
    "to HTTP/1.0": (CHUNKED, [b"body"], b"X-End: 1\r\n", None),
}


@pytest.mark.parametrize("case", TRAILERS)
async def test_response_trailers(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """X7: Trailers reach an HTTP/1.1 client behind the last chunk, but for those that frame, route or admit. 6.5.

    They come after the body, which does not wait for them, and none is merged into the head. RFC 9112 7.1.2.
    """
    start, chunks, trailers, passed = TRAILERS[case]
    gate = asyncio.Event()
    sent = start + b"".join(map(chunk, chunks))
    one = await origin([request, sent, gate, b"0\r\n" + trailers + b"\r\n", request, OK], [request, OK])
    client = await (await proxy(one)).connect()
    client.send(head(b"GET / HTTP/1.0" if passed is None else b"GET / HTTP/1.1", HOST, b"TE: trailers"))
    response = await client.next_head()
    assert await client.wait_body(response, len(b"".join(chunks))) == b"".join(chunks)
    assert not response.complete
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body == b"".join(chunks)
    assert client.raw.endswith(b"\r\n\r\nbody" if passed is None else b"\r\n0\r\n" + passed + b"\r\n")
    assert not {b"x-end", b"x-other", b"x-a", b"repr-digest"} & {name.lower() for name in response.names}
    if passed is not None:
        assert (await client.ask_for_answer()).body == b"ok"
        assert len(one.connections) == 1


async def test_a_length_behind_the_body_aborts_it(origin: MakeOrigin, proxy: MakeProxy):
    """The parser takes it for a second framing, which is as safe: docs/limits.md."""
    gate = asyncio.Event()
    one = await origin([request, CHUNKED + chunk(b"body"), gate, b"0\r\nContent-Length: 4\r\n\r\n"])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert response.body == b"body"


ENDS = {
    "announced": (b"Trailer: X-End", b"X-End: 1\r\n"),
    "not announced": (b"X-A: 1", b"X-End: 1\r\n"),
    "announced and missing": (b"Trailer: X-End", b""),
    "named by Connection": (b"Connection: trailer\r\nTrailer: X-End", b"X-End: 1\r\n"),
    "with TE": (b"TE: trailers\r\nTrailer: X-End, X-More", b"X-End: 1\r\nX-More: 2\r\n"),
    "names of the head": (b"Trailer: X-A", b"Cookie: a=1\r\nX-A: 2\r\nAuthorization: x\r\n"),
    "a length announced": (b"Trailer: Content-Length", b"X-End: 1\r\n"),
    "many": (b"Trailer: X-End", b"X-End: 1\r\n" * 50),
}


@pytest.mark.parametrize("body", [b"body", b""])
@pytest.mark.parametrize("case", ENDS)
async def test_request_trailers(origin: MakeOrigin, proxy: MakeProxy, case: str, body: bytes):
    """X8: Trailers of a request, and a Trailer field with or without them, stop here and hold nothing up. 6.5.1.

    The connection closes behind them, as aiohttp's parser would add the last one to the next request.
    """
    line, trailers = ENDS[case]
    one = await origin([whole_request, OK] * 2)
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(
        head(POST, HOST, line, b"Transfer-Encoding: chunked") + (chunk(body) if body else b"") + b"0\r\n" + trailers
    )
    client.send(b"\r\n")
    response = await client.answer()
    assert (response.body, response.get(b"connection")) == (b"ok", b"close" if trailers else None)
    if trailers:
        assert await client.wait_ended() == "fin"
        client = await proxied.connect()
    assert (await client.ask_for_answer(b"/next")).body == b"ok"
    (connection,) = one.connections
    received = connection.requests[0]
    assert (received.body, received.framing) == (body, "chunked")
    assert not received.all(b"trailer") + received.all(b"x-end") + received.all(b"authorization")
    assert connection.raw.partition(b"\r\n\r\n")[2].partition(b"GET /next")[0] == (
        chunk(body) if body else b""
    ) + chunk(b"")


async def test_trailers_end_with_their_answer(origin: MakeOrigin, proxy: MakeProxy):
    """What stood behind one body must not come behind the next on that connection, which is somebody else's."""
    first = CHUNKED + chunk(b"one") + b"0\r\nX-End: secret\r\n\r\n"
    one = await origin([request, first, request, CHUNKED + chunk(b"two") + chunk(b"")])
    proxied = await proxy(one)
    for body, trailers in ((b"one", 1), (b"two", 0)):
        client = await proxied.connect()
        assert (await client.ask_for_answer()).body == body
        assert client.raw.count(b"X-End: secret") == trailers
    assert len(one.connections) == 1
