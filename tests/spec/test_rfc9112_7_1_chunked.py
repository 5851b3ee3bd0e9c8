"""RFC 9112 section 7.1: chunks that are none end an exchange, and what stands inside a chunk is only ever content."""

import asyncio

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import Proxied
from tests.net.origin import Origin, body_bytes, fin, request, whole_request
from tests.net.responses import CHUNKED, OK
from tests.net.streams import turns
from tests.net.test_failures import assert_is_our_error
from tests.net.wire import chunk, head

from .refusals import HIDDEN, HOST, POISON, POST, assert_blamed_on_upstream

CODED = b"Transfer-Encoding: chunked"
UPLOAD = head(POST, HOST, CODED)
LAST = chunk(b"")

BAD = {
    "no number": b"zz\r\nhello\r\n",
    "nothing": b"\r\nhello\r\n",
    "a plus": b"+5\r\nhello\r\n",
    "a minus": b"-5\r\nhello\r\n",
    "a prefix": b"0x5\r\nhello\r\n",
    "a blank before": b" 5\r\nhello\r\n",
    "a tab behind": b"5\t\r\nhello\r\n",
    "an underscore": b"1_0\r\nhello\r\n",
    "a comma": b"5,5\r\nhello\r\n",
    "a letter behind": b"5g\r\nhello\r\n",
    "17 digits": b"1" + b"0" * 16 + b"\r\nhello\r\n",
    "17 digits that wrap to 5": b"10000000000000005\r\nhello\r\n",
    "20 digits": b"f" * 20 + b"\r\nhello\r\n",
    "LF behind the size": b"5\nhello\r\n",
    "CR behind the size": b"5\rhello\r\n",
    "CR twice behind the size": b"5\r\r\nhello\r\n",
    "LF behind an extension": b"5;a=b\nhello\r\n",
    "CR inside an extension": b"5;a=\rb\r\nhello\r\n",
    "a NUL inside an extension": b"5;a=\x00\r\nhello\r\n",
    "an extension without semicolon": b"5 a=b\r\nhello\r\n",
    "an end too early": b"6\r\nhello\r\n" + LAST,
    "an end too late": b"4\r\nhello\r\n",
    "no CRLF behind the data": b"5\r\nhello5\r\nhello\r\n",
    "LF behind the data": b"5\r\nhello\n",
    "CR behind the data": b"5\r\nhello\r5\r\nhello\r\n",
    "LF behind the last size": b"0\n\r\n",
    "LF behind the last chunk": b"0\r\n\n",
    "a blank before a trailer's colon": b"0\r\nX-A : 1\r\n\r\n",
    "LF behind a trailer": b"0\r\nX-A: 1\n\r\n",
    "a request as trailer": b"0\r\n" + HIDDEN,
}


async def refused_upload(proxied: Proxied, one: Origin, bad: bytes, later: bool) -> None:
    """400, once; what went up of the request stays without end."""
    client = await proxied.connect()
    client.methods.append(b"POST")
    if later:
        client.send(UPLOAD + chunk(b"good"))
        connection = await one.connection()
        await connection.until(lambda: bool(connection.requests) and connection.request.size == 4, "the good part")
        client.send(bad + LAST + HIDDEN)
    else:
        client.send(UPLOAD + chunk(b"good") + bad + LAST + HIDDEN)
    assert_is_our_error(await client.answer(), 400, "http_request_error", "client")
    assert await client.wait_ended() == "fin"
    assert client.raw.count(b"HTTP/1.1 ") == 1
    for connection in one.connections:
        await connection.wait_ended(1)
        assert not any(received.complete for received in connection.requests)
        assert b"/hidden" not in connection.raw
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status, exchange.code) == ("refused", 400, "http_request_error")


async def fault_beside_the_answer(proxied: Proxied, one: Origin, bad: bytes) -> None:
    """Both come in one turn of the loop: whichever is seen first, one answer, two ends, and no trace in the log."""
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(UPLOAD + chunk(b"good"))
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests) and connection.request.size == 4, "the good part")
    connection.send(OK)
    client.send(bad + LAST + HIDDEN)
    assert (await client.answer()).status in (200, 400)
    assert await client.wait_ended() == "fin"
    await connection.wait_ended(1)
    assert len(client.reader.messages) == len(one.connections) == len(connection.requests) == 1
    assert not connection.request.complete


async def cut_answer(proxied: Proxied, one: Origin, gate: asyncio.Event) -> None:
    """What came before the fault, and a close instead of an end; the upstream is left."""
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, 4)
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert response.body[:4] == b"good"
    assert not client.raw.endswith(LAST)
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("upstream_aborted", "http_protocol_error")
    await one.connections[0].wait_ended(1)
    assert b"oison" not in client.raw.lower()
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"


@pytest.mark.parametrize(
    ("case", "side", "when"),
    [
        *((case, side, when) for case in BAD for side in ("client", "upstream") for when in ("at once", "later")),
        ("no number", "client", "beside the answer"),
    ],
)
async def test_a_bad_chunk(origin: MakeOrigin, proxy: MakeProxy, case: str, side: str, when: str):
    """M7: A malformed chunk of a client is 400 and its fault; of an upstream it is 502 or an abort. RFC 9112 7.1."""
    gate = asyncio.Event()
    if when == "beside the answer":
        one = await origin([request])
        await fault_beside_the_answer(await proxy(one), one, BAD[case])
    elif side == "client":
        one = await origin([request, body_bytes(1000), OK])
        await refused_upload(await proxy(one), one, BAD[case], when == "later")
    elif when == "later":
        one = await origin([request, CHUNKED + chunk(b"good"), gate, BAD[case] + LAST + POISON], [request, OK])
        await cut_answer(await proxy(one), one, gate)
    else:
        one = await origin([request, CHUNKED + chunk(b"good") + BAD[case] + LAST + POISON], [request, OK])
        await assert_blamed_on_upstream(await proxy(one), one)


EXTENSIONS = {
    "a value": b"4;name=value\r\nbody\r\n0;last\r\n\r\n",
    "names alone": b"4;a;b\r\nbody\r\n0\r\n\r\n",
    "a quoted value": b'4;a="b;c \\" d"\r\nbody\r\n0\r\n\r\n',
    "too long": b"4;" + b"a" * 1_000_000 + b"\r\nbody\r\n0\r\n\r\n",
    "too many small ones": b"".join(b"1;%b\r\nx\r\n" % (b"a" * 20_000) for _ in range(100)) + LAST,
}


@pytest.mark.parametrize(
    ("case", "side"),
    [*((case, "client") for case in EXTENSIONS), *((case, "upstream") for case in EXTENSIONS if "small" not in case)],
)
async def test_chunk_extensions(origin: MakeOrigin, proxy: MakeProxy, case: str, side: str):
    """M8: Chunk extensions are skipped, never passed on, and too long ones end the exchange. RFC 9112 7.1.1."""
    sent, fits = EXTENSIONS[case], not case.startswith("too")
    answer = CHUNKED + sent if side == "upstream" else OK
    one = await origin([whole_request if fits else request, answer, whole_request, OK], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(UPLOAD + (sent if side == "client" else LAST))
    response = await client.next_head()
    if fits:
        assert await client.wait_body_end(response) == "complete"
        closes = case == "a value" and side == "client"  # an extension of the last chunk could hide trailers
        assert response.get(b"connection") == (b"close" if closes else None)
        assert (await (await proxied.connect() if closes else client).ask_for_answer()).body == b"ok"
        message = one.connections[0].requests[0] if side == "client" else response
        assert (message.body, message.chunks) == (b"body", [b"body"])
    elif side == "client":
        assert response.status in (400, 413)
        assert not any(received.complete for connection in one.connections for received in connection.requests)
    else:
        assert response.status == 502 or await client.wait_body_end(response) == "fin"
        assert (await proxied.ended()).outcome == "upstream_aborted"


EVIL = head(b"GET /hidden HTTP/1.1", b"Host: evil.example")
DATA = chunk(EVIL) + LAST
HELLO = UPLOAD + chunk(b"hello")
# What the client sends, and the body its first request has for whoever reads it rightly.
SMUGGLED = {
    "a POST": (UPLOAD + DATA, EVIL),
    "hop-by-hop names": (head(POST, HOST, b"Connection: Transfer-Encoding, upgrade", CODED) + DATA, EVIL),
    "an upgrade": (head(POST, HOST, b"Connection: upgrade", b"Upgrade: h2c", CODED) + DATA, EVIL),
    "a DELETE": (head(b"DELETE / HTTP/1.1", HOST, CODED) + DATA, EVIL),
    "an OPTIONS": (head(b"OPTIONS / HTTP/1.1", HOST, b"Connection: close, Transfer-Encoding", CODED) + DATA, EVIL),
    "a GET with an Expect": (head(b"GET / HTTP/1.1", HOST, b"Expect: 100-continue", CODED) + DATA, EVIL),
    "an extension": (UPLOAD + b"5;a=b\r\nhello\r\n" + DATA, b"hello" + EVIL),
    "behind the end": (HELLO + LAST + EVIL, b"hello"),
    "behind trailers": (HELLO + b"0\r\nX-End: 3\r\n\r\n" + EVIL, b"hello"),
}


CLOSES = {"an upgrade", "behind the end", "behind trailers", "an OPTIONS"}


@pytest.mark.parametrize("replayed", [False, True])
@pytest.mark.parametrize("case", SMUGGLED)
async def test_a_request_inside_a_chunked_body(origin: MakeOrigin, proxy: MakeProxy, case: str, replayed: bool):
    """M13: A request hidden in or behind a chunked body reaches no upstream as one. GHSA-ggv3-7p47-pfv8.

    Neither when the body is sent again because a kept connection had died. Behind a chunked body that did not end a
    read, as behind a fault, nothing more is run, and after the fault the upstream's connection is not used again.
    """
    sent, body = SMUGGLED[case]
    if replayed:
        sent = b"PUT" + sent.removeprefix(sent.split(b" ")[0])
    turns = [whole_request, OK, request, OK, whole_request]
    one = await origin([request, OK, *([whole_request, fin] if replayed else turns)], turns, [request, OK])
    proxied = await proxy(one)
    await (await proxied.connect()).ask_for_answer(b"/first")
    client = await proxied.connect()
    client.send(sent)
    response = await client.answer()
    assert (response.status, response.get(b"connection")) == (200, b"close" if case in CLOSES else None)
    if case in CLOSES:
        assert await client.wait_ended() in ("fin", "reset")
        assert len(client.reader.messages) == 1
    used = one.connections[-1]
    assert (await (await proxied.connect()).ask_for_answer(b"/next")).body == b"ok"

    faulty = await proxied.connect()
    faulty.send(HELLO)
    await used.until(lambda: used.request.size == 5 and used.request.target == b"/", "the good part")
    faulty.send(b"0\n" + EVIL)
    assert (await faulty.answer()).status == 400
    await used.wait_ended(1)
    assert (await (await proxied.connect()).ask_for_answer(b"/last")).body == b"ok"
    assert [asked.target for asked in one.connections[-1].requests] == [b"/last"]

    received = [asked for connection in one.connections for asked in connection.requests]
    assert {asked.target for asked in received} == {b"/first", b"/", b"/next", b"/last"}
    hidden = [asked for asked in received if asked.target == b"/"]
    assert [(asked.body, asked.complete) for asked in hidden] == [(body, True)] * (1 + replayed) + [(b"hello", False)]


async def test_the_framing_of_a_long_stream_is_no_long_head(origin: MakeOrigin, proxy: MakeProxy):
    """`limits.response_head` is for what brings nothing: sizes that come alone are forgotten with the next data."""
    one = await origin([request, CHUNKED])
    client = await (await proxy(one, limits={"response_head": 200})).connect()
    client.get()
    response = await client.next_head()
    for number in range(100):
        for piece in (b"00004\r\n", b"data\r\n"):
            one.connections[0].send(piece)
            await turns()
        await client.wait_body(response, 4 * (number + 1))
    one.connections[0].send(chunk(b""))
    assert await client.wait_body_end(response) == "complete"
