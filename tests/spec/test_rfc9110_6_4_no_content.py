"""RFC 9110 section 6.4.1: what has no content is a head and nothing else, whatever an upstream adds to it."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import request
from tests.net.responses import OK, counted
from tests.net.wire import chunk, head

from .refusals import HOST, POISON

TYPED = b"Content-Type: text/event-stream"
CODED = b"Transfer-Encoding: chunked"
HEADS = {
    "a length": (head(b"HTTP/1.1 200 OK", b"Content-Length: 1000"), b""),
    "a length of 0": (head(b"HTTP/1.1 200 OK", b"Content-Length: 0"), b""),
    "chunked": (head(b"HTTP/1.1 200 OK", CODED), b""),
    "no framing": (head(b"HTTP/1.1 200 OK", TYPED), b""),
    "an error": (head(b"HTTP/1.1 404 Not Found", b"Content-Length: 9"), b""),
    "a coded event stream": (head(b"HTTP/1.1 200 OK", TYPED, b"Content-Encoding: gzip", b"Content-Length: 30"), b""),
    "a 304": (head(b"HTTP/1.1 304 Not Modified", b"ETag: x", b"Content-Length: 7"), b""),
    "a 204": (head(b"HTTP/1.1 204 No Content"), b""),
    "a counted body": (head(b"HTTP/1.1 200 OK", b"Content-Length: 6"), b"poison"),
    "a chunked body": (head(b"HTTP/1.1 200 OK", CODED), chunk(b"poison") + chunk(b"")),
    "a response as body": (head(b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(POISON)), POISON),
    "a response as chunk": (head(b"HTTP/1.1 200 OK", CODED), chunk(POISON) + chunk(b"")),
    "a faulty body": (head(b"HTTP/1.1 200 OK", CODED), b"zz\r\npoison"),
}


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("case", HEADS)
async def test_head(origin: MakeOrigin, proxy: MakeProxy, case: str, later: bool):
    """X9: An answer to HEAD keeps its Content-Length and has no body, and its connection serves on. RFC 9110 9.3.2.

    A body that an upstream sends all the same is nobody's, and ends that connection.
    """
    answer, body = HEADS[case]
    steps = [answer, body] if later else [answer + body]
    one = await origin([request, *steps, request, OK], [request, OK])
    client = await (await proxy(one)).connect()
    client.ask(b"HEAD")
    response = await client.answer()
    assert response.start == answer.partition(b"\r\n")[0]
    length = [line[16:] for line in answer.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    assert response.all(b"content-length") == length
    assert client.raw.endswith(b"\r\n\r\n")
    if body:
        await one.connections[0].wait_ended(1)
    assert (await client.ask_for_answer(b"/next")).body == b"ok"
    assert client.raw.count(b"\r\n\r\n") == 2
    assert b"oison" not in client.raw.lower()
    targets = [[asked.target for asked in connection.requests] for connection in one.connections]
    assert targets == ([[b"/"], [b"/next"]] if body else [[b"/", b"/next"]])


# Start line, what frames it, and a body that must not be there.
EMPTY = {
    "204": (b"204 No Content", [], b""),
    "204 with a length of 0": (b"204 No Content", [b"Content-Length: 0"], b""),
    "204 with a length": (b"204 No Content", [b"Content-Length: 6"], b"poison"),
    "204 with a length and no body": (b"204 No Content", [b"Content-Length: 6"], b""),
    "204 with chunks": (b"204 No Content", [CODED], chunk(b"poison") + chunk(b"")),
    "204 with a response": (b"204 No Content", [], POISON),
    "304": (b"304 Not Modified", [], b""),
    "304 with a length": (b"304 Not Modified", [b"Content-Length: 6"], b""),
    "304 with a body": (b"304 Not Modified", [b"Content-Length: 6"], b"poison"),
    "304 with chunks": (b"304 Not Modified", [CODED], chunk(b"poison") + chunk(b"")),
    "304 with a last chunk": (b"304 Not Modified", [CODED], chunk(b"")),
    "304 coded, of events": (b"304 Not Modified", [TYPED, b"Content-Encoding: gzip"], b""),
    "103 with a length of 0": (b"103 Early Hints", [b"Content-Length: 0"], b""),
    "103 with a length": (b"103 Early Hints", [b"Content-Length: 6"], b""),
    "103 with a coding": (b"103 Early Hints", [CODED], b""),
    "100 with a length": (b"100 Continue", [b"Content-Length: 6"], b""),
}


@pytest.mark.parametrize("version", [b"HTTP/1.1", b"HTTP/1.0"])
@pytest.mark.parametrize("case", EMPTY)
async def test_answers_without_content(origin: MakeOrigin, proxy: MakeProxy, case: str, version: bytes):
    """X10: 1xx, 204 and 304 go out without body and coding, 1xx and 204 without length, and nothing behind. 9112 6.3.

    An upstream's body behind one is dropped with its connection; otherwise that is used again.
    """
    start, lines, body = EMPTY[case]
    interim = start.startswith(b"1")
    answer = head(b"HTTP/1.1 " + start, b"X-A: 1", *lines) + (OK if interim else body)
    one = await origin([request, answer, request, counted(b"next")], [request, counted(b"next")])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(head(b"GET / " + version, HOST))
    if not interim or version == b"HTTP/1.1":
        response = await client.answer()
        assert (response.start, response.get(b"x-a")) == (b"HTTP/1.1 " + start, b"1")
        assert not response.all(b"transfer-encoding")
        assert response.all(b"content-length") in ([], [b"6"] if start.startswith(b"304") else [])
        assert client.raw.partition(b"\r\n\r\n")[2].startswith(b"HTTP/1.1 200" if interim else b"")
    if interim:
        assert (await client.answer()).body == b"ok"
    else:
        assert client.raw.endswith(b"\r\n\r\n")
    if version == b"HTTP/1.0":
        assert await client.wait_ended() == "fin"
        client = await proxied.connect()
    if body:
        await one.connections[0].wait_ended(1)
    assert (await client.ask_for_answer()).body == b"next"
    assert all(b"oison" not in asking.raw.lower() for asking in proxied.clients)
    assert len(one.connections) == (2 if body else 1)
