"""RFC 9112 sections 2 and 5: lines that different readers end or join differently are no HTTP, on either side."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import fin, request, whole_request
from tests.net.responses import OK
from tests.net.wire import chunk, head

from .refusals import GET, HIDDEN, HOST, POISON, POST, assert_blamed_on_upstream, assert_refused

LENGTH = b"Content-Length: 2\r\n\r\nok"
CODED = b"\r\n\r\n" + chunk(b"ok") + chunk(b"")
# What follows the start line, in a request and in a response alike.
LINES = {
    "a blank before the colon": b"\r\nHost: localhost\r\nX-A : 1\r\n" + LENGTH,
    "a tab before the colon": b"\r\nHost: localhost\r\nX-A\t: 1\r\n" + LENGTH,
    "a blank before the colon of the coding": b"\r\nHost: localhost\r\nTransfer-Encoding : chunked" + CODED,
    "a blank before the colon of the length": b"\r\nHost: localhost\r\nContent-Length : 2\r\n\r\nok",
    "a folded line": b"\r\nHost: localhost\r\nX-A: 1\r\n 2\r\n" + LENGTH,
    "a line folded by a tab": b"\r\nHost: localhost\r\nX-A: 1\r\n\t2\r\n" + LENGTH,
    "a folded coding": b"\r\nHost: localhost\r\nTransfer-Encoding:\r\n chunked" + CODED,
    "a length folded into another field": b"\r\nHost: localhost\r\nX-A: 1\r\n " + LENGTH,
    "a fold of blanks": b"\r\nHost: localhost\r\nX-A: 1\r\n \r\n" + LENGTH,
    "a blank before the first field": b"\r\n Host: localhost\r\n" + LENGTH,
    "a tab before the first field": b"\r\n\tHost: localhost\r\n" + LENGTH,
    "a blank line of blanks": b"\r\nHost: localhost\r\n \r\n" + LENGTH,
    "LF behind the start line": b"\nHost: localhost\r\n" + LENGTH,
    "LF behind a field": b"\r\nHost: localhost\nX-A: 1\r\n" + LENGTH,
    "LF hides the coding": b"\r\nHost: localhost\r\nX-A: 1\nTransfer-Encoding: chunked" + CODED,
    "LF ends the head": b"\r\nHost: localhost\r\nContent-Length: 2\r\n\nok",
    "LF everywhere": b"\nHost: localhost\nContent-Length: 2\n\nok",
    "CR behind the start line": b"\rHost: localhost\r\n" + LENGTH,
    "CR behind a field": b"\r\nHost: localhost\rX-A: 1\r\n" + LENGTH,
    "CR hides the coding": b"\r\nHost: localhost\r\nX-A: 1\rTransfer-Encoding: chunked" + CODED,
    "CR before CRLF": b"\r\nHost: localhost\r\nX-A: 1\r\r\n" + LENGTH,
    "CR everywhere": b"\rHost: localhost\rContent-Length: 2\r\rok\r\n\r\n",
    "xchunked": b"\r\nHost: localhost\r\nTransfer-Encoding: xchunked" + CODED,
    "chunkedx": b"\r\nHost: localhost\r\nTransfer-Encoding: chunkedx" + CODED,
    "chun ked": b"\r\nHost: localhost\r\nTransfer-Encoding: chun ked" + CODED,
    "quoted chunked": b'\r\nHost: localhost\r\nTransfer-Encoding: "chunked"' + CODED,
    "a vertical tab before chunked": b"\r\nHost: localhost\r\nTransfer-Encoding: \x0bchunked" + CODED,
    "a form feed behind chunked": b"\r\nHost: localhost\r\nTransfer-Encoding: chunked\x0c" + CODED,
    "a NUL behind chunked": b"\r\nHost: localhost\r\nTransfer-Encoding: chunked\x00" + CODED,
    "a hard blank before chunked": b"\r\nHost: localhost\r\nTransfer-Encoding: \xa0chunked" + CODED,
    "chunked with a parameter": b"\r\nHost: localhost\r\nTransfer-Encoding: chunked;q=1" + CODED,
    "chunked behind a semicolon": b"\r\nHost: localhost\r\nTransfer-Encoding: ;chunked" + CODED,
    "a NUL in the name of the coding": b"\r\nHost: localhost\r\nTransfer-Encoding\x00: chunked" + CODED,
    "a field without colon": b"\r\nHost: localhost\r\nTransfer-Encoding chunked\r\n" + LENGTH,
}
# An unknown coding, spelt as one may be, is told by a code of its own: RFC 9209 section 2.3.
UNKNOWN_CODING = {"xchunked", "chunkedx", "chun ked", "quoted chunked", "a hard blank before chunked"} | {
    "chunked with a parameter",
    "chunked behind a semicolon",
}


@pytest.mark.parametrize("side", ["client", "upstream"])
@pytest.mark.parametrize("case", LINES)
async def test_lines_are_strict(origin: MakeOrigin, proxy: MakeProxy, case: str, side: str):
    """M6: Loose line ends, folding, blanks in the wrong place and look-alike codings are 400, or 502. RFC 9112 2.2, 5.

    Each is read in one way by one server and in another by the next.
    """
    if side == "client":
        one = await origin([request, OK])
        client = await (await proxy(one)).connect()
        client.send(POST + LINES[case] + HIDDEN)
        await assert_refused(client, one, 400)
    else:
        answer = b"HTTP/1.1 200 OK" + LINES[case].replace(b"Host: localhost", b"X-Poison: 1") + POISON
        one = await origin([request, answer], [request, OK])
        code = "http_response_transfer_coding" if case in UNKNOWN_CODING else "http_protocol_error"
        await assert_blamed_on_upstream(await proxy(one), one, code)


SPOKEN = b"HTTP/1.1 200 OK"
VERSIONS: dict[str, tuple[bytes, bytes, set[int]]] = {
    "1.1 on both sides": (GET, SPOKEN, {200}),
    "a client of 1.0": (b"GET / HTTP/1.0", SPOKEN, {200}),
    "an upstream of 1.0": (GET, b"HTTP/1.0 200 OK", {200}),
    "1.0 on both sides": (b"GET / HTTP/1.0", b"HTTP/1.0 200 OK", {200}),
    **{
        f"a client of {version!r}": (b"GET / " + version, SPOKEN, {400, 505})
        for version in (
            *(b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9", b"HTTP/11.1", b"HTTP/1.10"),
            *(b"HTTP/1.01", b"HTTP/1", b"HTTP/2", b"HTTP/", b"HTTP", b"http/1.1", b"HTTPS/1.1", b"HTTP/1.1 HTTP/1.1"),
            *(b"HTTP 1.1", b"HTTP/-1.1", b"HTTP/1,1", b"ICE/1.0"),
        )
    },
    "a client without version": (b"GET /", SPOKEN, {400, 505}),
    **{
        f"an upstream of {start!r}": (GET, start, {502})
        for start in (
            *(b"HTTP/0.9 200 OK", b"HTTP/1.2 200 OK", b"HTTP/2.0 200 OK", b"HTTP/2 200 OK", b"HTTP/3.0 200 OK"),
            *(b"HTTP/1.10 200 OK", b"HTTP/11 200 OK", b"HTTP 200 OK", b"http/1.1 200 OK", b"ICY 200 OK", b"200 OK"),
            *(b"RTSP/1.0 200 OK", b"HTTP/1.1  200 OK", b"<html>"),
        )
    },
}


@pytest.mark.parametrize("case", VERSIONS)
async def test_versions(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """M17: Only 1.0 and 1.1 are understood, 505 or 400 to a client, 502 for an upstream; we say 1.1. RFC 9112 2.3."""
    asked, answered, statuses = VERSIONS[case]
    one = await origin([request, head(answered, b"Content-Length: 2") + b"ok", fin])
    client = await (await proxy(one)).connect()
    client.send(head(asked, HOST))
    response = await client.answer()
    assert response.status in statuses
    assert response.start.startswith(b"HTTP/1.1 ")
    if response.status in (400, 505):
        assert await client.wait_ended() == "fin"
        assert not one.connections
    else:
        assert [received.start for received in one.connections[0].requests] == [b"GET / HTTP/1.1"]
    assert len(client.reader.messages) == 1


@pytest.mark.parametrize("first", [b"", b"\r\n"])
@pytest.mark.parametrize("between", [b"", b"\r\n"])
async def test_an_empty_line_is_ignored(origin: MakeOrigin, proxy: MakeProxy, first: bytes, between: bytes):
    """M19: An empty line before a request line, as old clients send one behind a POST, is ignored. RFC 9112 2.2."""
    one = await origin([whole_request, OK] * 2)
    client = await (await proxy(one)).connect()
    client.send(first + head(POST, HOST, b"Content-Length: 4") + b"body" + between + head(b"GET /next HTTP/1.1", HOST))
    assert [(await client.answer()).body for _ in range(2)] == [b"ok", b"ok"]
    (connection,) = one.connections
    assert [(asked.method, asked.body) for asked in connection.requests] == [(b"POST", b"body"), (b"GET", b"")]
