"""RFC 9110 section 10.1.1: who waits for a 100 gets the upstream's, and nobody sends a body in vain."""

import asyncio

import pytest

from proxy.core.message import field
from proxy.core.routes import Credential, Match
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import Connection, body_bytes, request, whole_request
from tests.net.responses import OK, counted
from tests.net.test_failures import assert_is_our_error
from tests.net.wire import chunk, head

from .refusals import HIDDEN, HOST, POST

CONTINUE = head(b"HTTP/1.1 100 Continue", b"X-From: upstream")
EXPECT = b"Expect: 100-continue"
LENGTH = b"Content-Length: 4"
CODED = b"Transfer-Encoding: chunked"


async def rest(connection: Connection) -> None:
    """Waits for the end of the request whose head is here."""
    await connection.until(lambda: connection.gone or connection.request.complete, "the rest of the request", 60)


KEYED = Credential(field(b"Authorization", b"Bearer secret"))


@pytest.mark.parametrize("expect", [EXPECT, b"expect: 100-Continue"])
@pytest.mark.parametrize("framing", [LENGTH, CODED])
@pytest.mark.parametrize("waits", ["for the 100", "for the upstream only", "not at all"])
async def test_an_expectation_is_the_upstreams(
    origin: MakeOrigin, proxy: MakeProxy, waits: str, framing: bytes, expect: bytes
):
    """X3: Expect goes up and the upstream's 100 comes down; a body is relayed when it comes, with a 100 or without.

    What we refuse ourselves is refused without a 100 (X6 has the table).
    """
    told = asyncio.Event()
    one = await origin([request, told, *([CONTINUE] if waits == "for the 100" else []), rest, OK])
    client = await (await proxy(one)).connect()
    body = b"body" if framing is LENGTH else chunk(b"body") + chunk(b"")
    client.methods.append(b"POST")
    client.send(head(POST, HOST, expect, framing) + (body if waits == "not at all" else b""))
    connection = await one.asked()
    assert connection.request.all(b"expect") == [expect[8:]]
    assert not client.reads
    told.set()
    if waits == "for the 100":
        interim = await client.answer()
        assert (interim.start, interim.fields) == (b"HTTP/1.1 100 Continue", [(b"X-From", b"upstream")])
        assert not connection.request.size
    if waits != "not at all":
        client.send(body)
    assert (await client.answer()).body == b"ok"
    assert len(client.reader.messages) == 1 + (waits == "for the 100")
    assert (connection.request.body, connection.request.complete) == (b"body", True)


@pytest.mark.parametrize("earlier", [0, 1])
@pytest.mark.parametrize("framing", [LENGTH, CODED])
async def test_we_promise_nothing_for_an_upstream(origin: MakeOrigin, proxy: MakeProxy, framing: bytes, earlier: int):
    """X4: No 100 is made up for an upstream that may still refuse, be it new to us or known to be HTTP/1.1. 10.1.1.

    Routes that buffer are not offered, and for a known HTTP/1.0 upstream the standard leaves a 100 of ours to us.
    """
    one = await origin([*[request, OK] * earlier, request, body_bytes(4), OK])
    client = await (await proxy(one)).connect()
    for _ in range(earlier):
        await client.ask_for_answer()
    client.methods.append(b"POST")
    client.send(head(POST, HOST, EXPECT, framing))
    connection = await one.connection()
    await connection.until(lambda: len(connection.requests) > earlier, "the head")
    await client.stays_quiet(0.2)
    client.send(b"body" if framing is LENGTH else chunk(b"body") + chunk(b""))
    assert (await client.answer()).body == b"ok"
    assert [message.status for message in client.reader.messages] == [200] * (1 + earlier)


V10 = b"POST / HTTP/1.0"
EXPECTED = {
    "100-continue in 1.0": (V10, [EXPECT], 200),
    "another in 1.0": (V10, [b"Expect: magic"], 200),
    "two in 1.0": (V10, [b"Expect: magic", EXPECT], 200),
    "another": (POST, [b"Expect: magic"], 417),
    "another, with a value": (POST, [b"Expect: magic=1"], 417),
    "another beside 100-continue": (POST, [b"Expect: 100-continue, magic"], 417),
    "another before 100-continue": (POST, [b"Expect: magic, 100-continue"], 417),
    "another in a second line": (POST, [EXPECT, b"Expect: magic"], 417),
    "a look-alike": (POST, [b"Expect: 100-continued"], 417),
    "a number": (POST, [b"Expect: 100"], 417),
}


@pytest.mark.parametrize("case", EXPECTED)
async def test_other_expectations(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """X5: Expect of an HTTP/1.0 client is ignored and goes no further; an expectation we do not know is 417. 10.1.1."""
    start, lines, status = EXPECTED[case]
    one = await origin([whole_request, OK])
    client = await (await proxy(one)).connect()
    client.methods.append(b"POST")
    client.send(head(start, HOST, *lines, LENGTH) + b"body")
    response = await client.answer()
    assert len(client.reader.messages) == 1
    if status == 200:
        received = one.connections[0].request
        assert (response.body, received.body, received.all(b"expect")) == (b"ok", b"body", [])
    else:
        assert_is_our_error(response, 417, "http_request_error", "client")
        assert not one.connections


REFUSED = {
    "the upstream's 413": ([EXPECT, LENGTH], b"Host: localhost", 413),
    "the upstream's 200": ([EXPECT, CODED], b"Host: localhost", 200),
    "no route": ([EXPECT, LENGTH], b"Host: localhost", 404),
    "a foreign Host": ([EXPECT, LENGTH], b"Host: evil.example", 421),
    "a foreign Origin": ([EXPECT, LENGTH, b"Origin: http://evil.example"], b"Host: localhost", 403),
    "a body over the limit": ([EXPECT, b"Content-Length: 11"], b"Host: localhost", 413),
    "another expectation": ([b"Expect: magic", LENGTH], b"Host: localhost", 417),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_final_answer_to_a_body_that_was_not_sent(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """X6: A final answer while the expected body is unread comes alone, says close and closes. RFC 9112 9.3.

    Whether the client's next bytes are that body or a request, nobody could tell: neither is served.
    """
    lines, host, status = REFUSED[case]
    upstreams = case.startswith("the upstream's")
    one = await origin([request, counted(b"no", status=b"%d Says It" % status)], [request, OK])
    match = Match(b"/p/") if case == "no route" else Match()
    credential = KEYED if "Origin" in case else None
    proxied = await proxy(one, match=match, credential=credential, limits={"request_body": 10})
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(head(POST, host, *lines))
    response = await client.answer()
    assert (response.status, response.get(b"connection")) == (status, b"close")
    client.send((chunk(b"body") + chunk(b"") if CODED in lines else b"") + HIDDEN)
    assert await client.wait_ended() == "fin"
    assert [message.status for message in client.reader.messages] == [status]
    received = [asked for connection in one.connections for asked in connection.requests]
    assert [(asked.method, asked.complete) for asked in received] == [(b"POST", False)] * upstreams
    for connection in one.connections:
        await connection.wait_ended(1)
