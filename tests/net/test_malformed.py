"""Requests that are none: answered in our form or closed, never forwarded, and one short line in the log."""

import asyncio
import json

import pytest

from .conftest import MakeOrigin, MakeProxy
from .harness import INSTANCE
from .origin import request
from .responses import OK
from .wire import chunk, head

HOST = b"Host: localhost"
POST = b"POST / HTTP/1.1"
GET = b"GET / HTTP/1.1"
BODY = chunk(b"x") + chunk(b"")

BAD_REQUESTS: dict[str, tuple[bytes, int]] = {
    "length and chunked": (head(POST, HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked") + BODY, 400),
    "chunked and length": (head(POST, HOST, b"Transfer-Encoding: chunked", b"Content-Length: 1") + BODY, 400),
    "two lengths": (head(POST, HOST, b"Content-Length: 1", b"Content-Length: 2") + b"x", 400),
    "two equal lengths": (head(POST, HOST, b"Content-Length: 1", b"Content-Length: 1") + b"x", 400),
    "a list of lengths": (head(POST, HOST, b"Content-Length: 1, 1") + b"x", 400),
    "a length with a sign": (head(POST, HOST, b"Content-Length: +1") + b"x", 400),
    "a negative length": (head(POST, HOST, b"Content-Length: -1"), 400),
    "an empty length": (head(POST, HOST, b"Content-Length:"), 400),
    "a hexadecimal length": (head(POST, HOST, b"Content-Length: 0x1") + b"x", 400),
    "a length without end": (head(POST, HOST, b"Content-Length: " + b"9" * 40) + b"x", 400),
    "chunked twice": (head(POST, HOST, b"Transfer-Encoding: chunked, chunked") + BODY, 400),
    "chunked in two lines": (
        head(POST, HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + BODY,
        400,
    ),
    "chunked not last": (head(POST, HOST, b"Transfer-Encoding: chunked, gzip") + BODY, 400),
    "identity": (head(POST, HOST, b"Transfer-Encoding: identity"), 400),
    "a look-alike of chunked": (head(POST, HOST, b"Transfer-Encoding: xchunked") + BODY, 400),
    "gzip, chunked": (head(POST, HOST, b"Transfer-Encoding: gzip, chunked") + BODY, 501),
    "chunked in HTTP/1.0": (head(b"POST / HTTP/1.0", HOST, b"Transfer-Encoding: chunked") + BODY, 400),
    "a bare LF": (b"GET / HTTP/1.1\nHost: localhost\n\n", 400),
    "a bare CR": (b"GET / HTTP/1.1\r\nHost: localhost\rX-A: 1\r\n\r\n", 400),
    "a folded line": (head(GET, HOST, b"X-A: 1", b" 2"), 400),
    "a blank before the colon": (head(GET, HOST, b"X-A : 1"), 400),
    "a blank before the first field": (head(GET, b" X-A: 1", HOST), 400),
    "a blank in a name": (head(GET, HOST, b"X A: 1"), 400),
    "an empty name": (head(GET, HOST, b": 1"), 400),
    "no colon": (head(GET, HOST, b"nothing"), 400),
    "a NUL in a value": (head(GET, HOST, b"X-A: a\x00b"), 400),
    "a control character in a value": (head(GET, HOST, b"X-A: a\x01b"), 400),
    "no Host": (head(GET, b"X-A: 1"), 400),
    "an empty Host": (head(GET, b"Host:"), 400),
    "two Hosts": (head(GET, HOST, b"Host: localhost"), 400),
    "a Host with a user": (head(GET, b"Host: evil@localhost"), 400),
    "a Host with a path": (head(GET, b"Host: localhost/x"), 400),
    "a foreign Host": (head(GET, b"Host: evil.example"), 421),
    "a Host that begins like ours": (head(GET, b"Host: localhost.evil.example"), 421),
    "a fragment": (head(b"GET /a#b HTTP/1.1", HOST), 400),
    "a byte above ASCII in the target": (head(b"GET /\xc3\xa9 HTTP/1.1", HOST), 400),
    "a control character in the target": (head(b"GET /\x01 HTTP/1.1", HOST), 400),
    "a blank in the target": (head(b"GET /a b HTTP/1.1", HOST), 400),
    "a target without slash": (head(b"GET a HTTP/1.1", HOST), 400),
    "no target": (b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no version": (b"GET /\r\nHost: localhost\r\n\r\n", 505),
    "version 0.9": (head(b"GET / HTTP/0.9", HOST), 505),
    "version 2.0": (head(b"GET / HTTP/2.0", HOST), 505),
    "version 1.2": (head(b"GET / HTTP/1.2", HOST), 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100), 400),
    "random bytes": (bytes(range(128, 256)) + b"\r\n\r\n", 400),
    "an unknown method": (head(b"BREW / HTTP/1.1", HOST), 501),
    "a lower-case method": (head(b"get / HTTP/1.1", HOST), 501),
    "a target that is too long": (head(b"GET /" + b"a" * 40_000 + b" HTTP/1.1", HOST), 414),
    "a field that is too long": (head(GET, HOST, b"X-A: " + b"a" * 40_000), 431),
    "too many bytes of fields": (head(GET, HOST, *[b"X-A: " + b"a" * 1000] * 40), 431),
    "too many fields": (head(GET, HOST, *[b"X-A: 1"] * 200), 431),
    "another expectation": (head(POST, HOST, b"Expect: magic", b"Content-Length: 0"), 417),
    "a path that climbs out": (head(b"GET /../../etc HTTP/1.1", HOST), 400),
    "a path that climbs out in disguise": (head(b"GET /%2e%2e/etc HTTP/1.1", HOST), 400),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
async def test_it_is_answered_in_our_form_and_never_forwarded(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """MUST. H9, H10, M1 to M6, M17, P6, P7, P10, X5, X12, Z1, Z5. RFC 9112 sections 2, 3, 5, 6."""
    sent, status = BAD_REQUESTS[case]
    one = await origin([request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(sent)
    response = await client.answer()
    error = json.loads(response.body)["error"]
    assert response.status == status
    assert error["type"] == "client"
    assert response.get(b"proxy-status") == INSTANCE + b"; error=" + error["code"].encode()
    assert not one.connections
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status, exchange.code) == ("refused", status, error["code"])
    if status in (400, 413, 414, 431, 501, 505):
        assert response.get(b"connection") == b"close"
        assert await client.wait_ended() == "fin"
    assert len(client.reader.messages) == 1


@pytest.mark.parametrize("method", [b"CONNECT", b"TRACE", b"TRACK"])
async def test_what_is_never_forwarded_is_405(origin: MakeOrigin, proxy: MakeProxy, method: bytes):
    """MUST. H21. RFC 9110 section 15.5.6 asks for Allow."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.ask(method, b"localhost:80" if method == b"CONNECT" else b"/")
    response = await client.answer()
    assert response.status == (501 if method == b"TRACK" else 405)  # the parser does not know TRACK
    if response.status == 405:
        assert b"GET" in (response.get(b"allow") or b"")
    assert not one.connections


async def test_options_of_the_server_is_answered_here(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. P11. RFC 9112 section 3.2.4."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.ask(b"OPTIONS", b"*")
    response = await client.answer()
    assert (response.status, response.body) == (204, b"")
    assert (await client.ask_for_answer()).status == 200


async def test_an_empty_line_before_a_request_is_ignored(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. M19. RFC 9112 section 2.2."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(b"\r\n" + head(GET, HOST))
    assert (await client.answer()).status == 200


async def test_a_request_smuggled_behind_a_chunked_body_is_never_run(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M13. GHSA-ggv3-7p47-pfv8: nothing that follows a chunked body on its connection is."""
    hidden = head(b"GET /admin HTTP/1.1", b"Host: evil.example")
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    hop = b"Connection: Transfer-Encoding, upgrade"
    client.send(head(POST, HOST, hop, b"Transfer-Encoding: chunked") + chunk(b"x") + chunk(b"") + hidden)
    response = await client.answer()
    assert (response.status, response.get(b"connection")) == (200, b"close")
    assert await client.wait_ended() == "fin"
    assert len(client.reader.messages) == 1
    assert b"/admin" not in one.connections[0].raw


async def test_after_a_framing_error_nothing_more_is_served(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M18. Whatever stands behind a message without a certain end."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    bad = head(POST, HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked")
    client.send(bad + BODY + head(GET, HOST))
    assert (await client.answer()).status == 400
    assert await client.wait_ended() == "fin"
    assert len(client.reader.messages) == 1
    assert not one.connections


async def test_garbage_behind_a_good_request_does_not_harm_its_answer(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. Z5, M18. The request was whole: it is answered first, and then the garbage."""
    gate = asyncio.Event()
    one = await origin([request, gate, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    await one.asked()
    client.send(b"\x00\x01garbage\r\n\r\n")
    await client.stays_quiet(0.1)
    gate.set()
    assert [(await client.answer()).status for _ in range(2)] == [200, 400]
    assert await client.wait_ended() == "fin"


async def test_a_head_of_exactly_8000_bytes_of_target_passes(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. Z1. RFC 9112 section 3 asks for at least 8000 bytes."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    target = b"/" + b"a" * 7999
    assert (await client.ask_for_answer(target)).status == 200
    assert one.connections[0].request.target == target


async def test_the_client_of_a_refusal_may_ask_again(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. A refusal that leaves no doubt about framing costs no connection."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.methods.append(b"GET")
    client.send(head(GET, b"Host: evil.example"))
    assert (await client.answer()).status == 421
    assert (await client.ask_for_answer()).status == 200


async def test_an_http_1_0_request_without_host_takes_the_route(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. P10."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(b"GET / HTTP/1.0\r\n\r\n")
    assert (await client.answer()).status == 200


@pytest.mark.parametrize("behind", [b"\r\nzz\r\n", b"\r\nzz\r\n\r\n", b"\r\nPOST / HTTP/1.1\r\n", b"\r\nzz", b"X"])
async def test_a_chunk_that_ends_with_what_is_none_is_refused_at_once(
    origin: MakeOrigin, proxy: MakeProxy, behind: bytes
):
    """MUST. M17, A15. Whoever waits for the body is told, also when the end of the chunk has just woken it."""
    one = await origin(*[[request]] * 3)
    proxied = await proxy(one)
    for number in range(3):
        client = await proxied.connect()
        client.methods.append(b"POST")
        client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Transfer-Encoding: chunked") + b"3\r\nabc")
        connection = await one.connection(number)
        await connection.until(lambda connection=connection: connection.raw.endswith(b"3\r\nabc\r\n"), "the chunk")
        client.send(behind)
        assert (await client.answer()).status == 400
        assert await client.wait_ended() in ("fin", "reset")
        await connection.wait_ended()


async def test_what_could_not_be_read_is_not_made_up(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. O9. Who looks at the log must not find a method and a target that nobody sent."""
    one = await origin([request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"GET")
    client.send(head(GET, HOST, b"nothing"))
    assert (await client.answer()).status == 400
    exchange = await proxied.ended()
    assert (exchange.method, exchange.target, exchange.status, exchange.outcome) == ("", "", 400, "refused")
