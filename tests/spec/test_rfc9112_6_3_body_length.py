"""RFC 9112 sections 6.2 and 6.3, RFC 9110 section 8.6: one length that all agree on, and framing that is our own."""

import gzip

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import body_bytes, fin, request, whole_request
from tests.net.responses import OK, UNTIL_CLOSE, counted
from tests.net.wire import chunk, head

from .refusals import HIDDEN, HOST, POISON, POST, assert_blamed_on_upstream, assert_refused

LENGTHS = {
    "plus": (b"+5",),
    "minus": (b"-5",),
    "minus zero": (b"-0",),
    "hexadecimal": (b"0x5",),
    "hexadecimal digits": (b"5a",),
    "a list of equals": (b"5,5",),
    "a list of equals with a blank": (b"5, 5",),
    "a list of others": (b"5, 6",),
    "a comma behind": (b"5,",),
    "a comma before": (b",5",),
    "a blank inside": (b"5 5",),
    "a tab inside": (b"5\t0",),
    "a point": (b"5.0",),
    "an exponent": (b"5e0",),
    "an underscore": (b"1_0",),
    "quotes": (b'"5"',),
    "a word": (b"five",),
    "a semicolon": (b"5;",),
    "nothing": (b"",),
    "superscript": (b"\xb2",),
    "Arabic digits": ("\u0665".encode(),),
    "a vertical tab before": (b"\x0b5",),
    "20 digits": (b"0" * 19 + b"5",),
    "2 to the 64 and 5": (b"18446744073709551621",),
    "40 digits": (b"9" * 40,),
    "two equal lines": (b"5", b"5"),
    "two other lines": (b"5", b"0"),
    "two lines, the first bad": (b"+5", b"5"),
}


@pytest.mark.parametrize("side", ["client", "upstream"])
@pytest.mark.parametrize("case", LENGTHS)
async def test_a_length_is_one_plain_number(origin: MakeOrigin, proxy: MakeProxy, case: str, side: str):
    """M2: Content-Length that is no single decimal number is 400 of a client, 502 of an upstream. RFC 9112 6.3."""
    lines = [b"Content-Length: " + length for length in LENGTHS[case]]
    if side == "client":
        one = await origin([request, OK])
        client = await (await proxy(one)).connect()
        client.send(head(POST, HOST, *lines) + b"12345" + HIDDEN)
        await assert_refused(client, one, 400)
    else:
        answer = head(b"HTTP/1.1 200 OK", b"X-Poison: 1", *lines) + b"12345" + POISON
        one = await origin([request, answer], [request, OK])
        await assert_blamed_on_upstream(await proxy(one), one)


@pytest.mark.parametrize(
    ("lines", "body", "expected"),
    [
        ((b"Content-Length: 5",), b"12345", [(b"Content-Length", b"5")]),
        ((b"content-length: \t 5 \t",), b"12345", [(b"Content-Length", b"5")]),
        ((b"Transfer-Encoding: Chunked",), chunk(b"12345") + chunk(b""), [(b"Transfer-Encoding", b"chunked")]),
        ((b"TRANSFER-ENCODING:chunked ",), chunk(b"12345") + chunk(b""), [(b"Transfer-Encoding", b"chunked")]),
        ((b"Connection: Content-Length", b"Content-Length: 5"), b"12345", [(b"Content-Length", b"5")]),
        (
            (b"Connection: Transfer-Encoding", b"Transfer-Encoding: chunked"),
            chunk(b"12345") + chunk(b""),
            [(b"Transfer-Encoding", b"chunked")],
        ),
    ],
)
@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_framing_is_computed(
    origin: MakeOrigin, proxy: MakeProxy, lines: tuple[bytes, ...], body: bytes, expected: list, side: str
):
    """M9: Each side is sent one framing of ours: a length where it is known, else chunked. RFC 9112 6.2.

    A body that ends with its connection, or that we change on its way, has no length any more.
    """
    answer = head(b"HTTP/1.1 200 OK", *lines) + body if side == "upstream" else OK
    coded = gzip.compress(b"data: 1\n\n")
    event = counted(coded, b"Content-Type: text/event-stream", b"Content-Encoding: gzip")
    one = await origin([whole_request, answer, whole_request, event, whole_request, UNTIL_CLOSE + b"text", fin])
    client = await (await proxy(one)).connect()
    client.methods.append(b"POST")
    client.send(head(POST, HOST, *lines) + body if side == "client" else head(POST, HOST, b"Content-Length: 0"))
    message = await client.answer()
    if side == "client":
        message = one.connections[0].request
    framing = [entry for entry in message.fields if entry[0].lower() in (b"content-length", b"transfer-encoding")]
    assert ([(name.title(), value) for name, value in framing], message.body) == (expected, b"12345")
    for plain in (b"data: 1\n\n", b"text"):
        changed = await client.ask_for_answer()
        assert (changed.all(b"transfer-encoding"), changed.all(b"content-length")) == ([b"chunked"], [])
        assert changed.body == plain


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"QUERY", b"POST", b"PUT", b"PATCH"])
async def test_no_body_stays_none(origin: MakeOrigin, proxy: MakeProxy, method: bytes):
    """M10: Without a body no coding and no byte goes up; POST, PUT and PATCH alone say a length of 0. RFC 9110 8.6."""
    one = await origin([whole_request, head(b"HTTP/1.1 204 No Content")] * 2)
    client = await (await proxy(one)).connect()
    for _ in range(2):
        client.ask(method)
        assert (await client.answer()).status == 204
    length = [b"0"] if method in (b"POST", b"PUT", b"PATCH") else []
    (connection,) = one.connections
    for received in connection.requests:
        assert (received.all(b"content-length"), received.all(b"transfer-encoding")) == (length, [])
    assert connection.raw.endswith(b"\r\n\r\n")
    assert connection.raw.count(b"\r\n\r\n") == 2


METHODS = [b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"QUERY", b"PROPFIND", b"SEARCH"]


@pytest.mark.parametrize("framing", ["length", "chunked", "chunked, empty"])
@pytest.mark.parametrize("method", METHODS)
async def test_every_method_may_have_a_body(origin: MakeOrigin, proxy: MakeProxy, method: bytes, framing: str):
    """M11: A framed body goes up whatever the method, so that it is never read as a request. RFC 9112 6.3."""
    body = b"" if framing == "chunked, empty" else HIDDEN
    one = await origin([whole_request, OK if method != b"HEAD" else head(b"HTTP/1.1 200 OK"), request, OK])
    client = await (await proxy(one)).connect()
    if framing == "length":
        client.ask(method, body=body)
    else:
        client.ask(method, b"/", b"Transfer-Encoding: chunked")
        client.send((chunk(body) if body else b"") + chunk(b""))
    assert (await client.answer()).status == 200
    assert (await client.ask_for_answer(b"/next")).body == b"ok"
    (connection,) = one.connections
    received = connection.requests[0]
    assert (received.method, received.body, received.framing) == (method, body, framing.partition(",")[0])
    assert [asked.target for asked in connection.requests] == [b"/", b"/next"]


@pytest.mark.parametrize("status", [b"200 OK", b"411 Length Required"])
async def test_a_chunked_upload_stays_chunked(origin: MakeOrigin, proxy: MakeProxy, status: bytes):
    """M12: A chunked upload goes up as chunks while it arrives, and a 411 to it comes back as it is. RFC 9112 6.3."""
    answer = counted(b"says the upstream", b"X-From: upstream", status=status)
    one = await origin([request, body_bytes(8), answer] if status.startswith(b"411") else [whole_request, answer])
    client = await (await proxy(one)).connect()
    client.ask(b"POST", b"/", b"Transfer-Encoding: chunked")
    connection = await one.connection()
    for number in (1, 2):
        client.send(chunk(b"part"))
        size = 4 * number
        await connection.until(lambda size=size: bool(connection.requests) and connection.request.size == size, "it")
        assert not connection.request.complete
    if status.startswith(b"200"):
        client.send(chunk(b""))
    response = await client.answer()
    assert response.start == b"HTTP/1.1 " + status
    assert (response.get(b"x-from"), response.body) == (b"upstream", b"says the upstream")
    assert (connection.request.framing, connection.request.all(b"content-length")) == ("chunked", [])
    assert connection.request.chunks == [b"part"] * 2
    assert connection.request.complete == status.startswith(b"200")
    assert len(one.connections) == 1
