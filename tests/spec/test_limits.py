"""The project's own rules of size: heads, bodies and interim answers end somewhere, and nothing else does."""

import asyncio
import random
from collections.abc import Coroutine

import pytest

from proxy.core.routes import Limits
from proxy.edge import access_log
from tests.net.client import Client
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import settles
from tests.net.origin import Connection, Script, body_bytes, request, whole_request
from tests.net.responses import CHUNKED, OK, SSE, counted
from tests.net.test_failures import assert_is_our_error
from tests.net.wire import Malformed, chunk, head

HOST = b"Host: localhost"
GET = b"GET / HTTP/1.1"
KIB = 1024


def of_size(size: int) -> bytes:
    """A request head of exactly so many bytes, the empty line included, in fields of a kilobyte."""
    start, line = head(GET, HOST), b"X-A: " + b"a" * (KIB - 7)
    lines = [line] * ((size - len(start)) // KIB - 1)
    rest = size - len(head(GET, HOST, *lines))
    return head(GET, HOST, *lines, b"X-B: " + b"b" * (rest - 7))


HEADS: dict[str, tuple[bytes, int]] = {
    "a line of 8000 bytes": (head(b"GET /" + b"a" * (8000 - 14) + b" HTTP/1.1", HOST), 200),
    "a line of 30 KiB": (head(b"GET /" + b"a" * 30 * KIB + b" HTTP/1.1", HOST), 200),
    "a line of 33 KiB": (head(b"GET /" + b"a" * 33 * KIB + b" HTTP/1.1", HOST), 414),
    "a line without end": (b"GET /" + b"a" * 100 * KIB, 414),
    "a field of 30 KiB": (head(GET, HOST, b"Cookie: " + b"a" * 30 * KIB), 200),
    "a field of 33 KiB": (head(GET, HOST, b"Cookie: " + b"a" * 33 * KIB), 431),
    "a field without end": (GET + b"\r\nHost: localhost\r\nX-A: " + b"a" * 100 * KIB, 431),
    "32 KiB": (of_size(32 * KIB), 200),
    "a little more": (of_size(32 * KIB + 16), 431),
    "100 fields": (head(GET, HOST, *[b"X-A: 1"] * 100), 200),
    "5000 fields": (head(GET, HOST, *[b"X-A: 1"] * 5000), 431),
    "fields without end": (GET + b"\r\nHost: localhost\r\n" + b"X-A: 1\r\n" * 20_000, 431),
}
SET: dict[str, tuple[int, bytes, int]] = {
    "1 KiB of 1 KiB": (KIB, head(b"GET /" + b"a" * 900 + b" HTTP/1.1", HOST), 200),
    "a line over 1 KiB": (KIB, head(b"GET /" + b"a" * 1100 + b" HTTP/1.1", HOST), 414),
    "fields over 1 KiB": (KIB, head(GET, HOST, *[b"X-A: " + b"a" * 90] * 12), 431),
    "200 KiB of 256 KiB": (256 * KIB, head(GET, HOST, b"X-A: " + b"a" * 200 * KIB), 200),
    "a line of 200 KiB of 256 KiB": (256 * KIB, head(b"GET /" + b"a" * 200 * KIB + b" HTTP/1.1", HOST), 200),
    "300 KiB of 256 KiB": (256 * KIB, head(GET, HOST, b"X-A: " + b"a" * 300 * KIB), 431),
}
ANSWERS = {60 * KIB: 200, 70 * KIB: 502}


@pytest.mark.parametrize("case", [*HEADS, *SET, *ANSWERS])
async def test_heads_end_somewhere(origin: MakeOrigin, proxy: MakeProxy, case: str | int):
    """Z1: a request head of 32 KiB passes by default and an answer's of 64 KiB; more is 414, 431 or 502."""
    if isinstance(case, int):
        one = await origin([request, counted(b"ok", b"X-A: " + b"a" * (case - 100))])
        response = await (await (await proxy(one)).connect()).ask_for_answer()
        assert response.status == ANSWERS[case]
        return
    limit, sent, status = (32 * KIB, *HEADS[case]) if case in HEADS else SET[case]
    one = await origin([request, OK])
    changes = {} if case in HEADS else {"limits": {"request_head": limit}, "settings": {"head_bytes": limit}}
    proxied = await proxy(one, **changes)
    client = await proxied.connect()
    client.send(sent)
    response = await client.answer()
    assert response.status == status
    if status == 200:
        assert one.connections[0].request.target == sent.split(b" ")[1]
    else:
        assert_is_our_error(response, status, "http_request_error", "client")
        assert await client.wait_ended() == "fin"
        assert not one.connections


LIMIT = 100_000
POST = head(b"POST / HTTP/1.1", HOST, b"Transfer-Encoding: chunked")


def counted_post(size: int) -> bytes:
    return head(b"POST / HTTP/1.1", HOST, b"Content-Length: %d" % size)


@pytest.mark.parametrize("case", ["declared", "expected", "counted", "at the limit", "chunked, at the limit", "none"])
async def test_bodies_end_where_a_route_says(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """Z2: a declared length over the limit is 413 before anybody hears of it, a chunked one when it is counted."""
    one = await origin(
        [request, body_bytes(LIMIT + 1)] if case == "counted" else [whole_request, counted(bytes(3 * LIMIT))]
    )
    proxied = await proxy(one, limits={} if case == "none" else {"request_body": LIMIT})
    assert Limits().request_body is None
    client = await proxied.connect()
    client.methods.append(b"POST")
    if case in ("declared", "expected"):
        expects = b"Expect: 100-continue\r\n\r\n" if case == "expected" else b"\r\n"
        client.send(counted_post(LIMIT + 1)[:-2] + expects)
    elif case == "counted":
        client.send(POST + chunk(bytes(LIMIT)))
        connection = await one.connection()
        await connection.until(lambda: bool(connection.requests) and connection.request.size == LIMIT, "what may pass")
        client.send(chunk(b"x"))
    else:
        size = 20 * LIMIT if case == "none" else LIMIT
        client.send(POST + chunk(bytes(size)) + chunk(b"") if "chunked" in case else counted_post(size) + bytes(size))
        response = await client.answer()
        assert (response.status, response.size, one.connections[0].request.size) == (200, 3 * LIMIT, size)
        return
    response = await client.answer()
    assert_is_our_error(response, 413, "http_request_error", "client")
    assert response.get(b"connection") == b"close"
    assert len(client.reader.messages) == 1
    if case == "counted":
        await one.connections[0].wait_ended()
        assert not one.connections[0].request.complete
    else:
        assert not one.connections


TOO_LARGE = "http_response_header_section_size"
EARLY = head(b"HTTP/1.1 103 Early Hints", b"Link: </a>")
UPSTREAMS: dict[str, tuple[Script, int, str]] = {
    "a field over the limit": ([counted(b"", b"X-A: " + b"a" * 66_000)], 502, TOO_LARGE),
    "fields over the limit": ([counted(b"", *[b"X-A: " + b"a" * 900] * 80)], 502, TOO_LARGE),
    "a head without end": ([b"HTTP/1.1 200 OK\r\n", *[b"X: " + b"a" * 900 + b"\r\n"] * 100], 502, TOO_LARGE),
    "a line without end": ([b"HTTP/1.1 200 " + b"a" * 100_000], 502, TOO_LARGE),
    "an interim head over the limit": (
        [head(b"HTTP/1.1 103 Early Hints", b"X-A: " + b"a" * 66_000), OK], 502, TOO_LARGE,
    ),
    "trailers over the limit": ([CHUNKED + chunk(b"ok") + b"0\r\n", *[b"X: " + b"t" * 1000 + b"\r\n"] * 200], 200, ""),
    "one trailer without end": ([CHUNKED + chunk(b"ok") + b"0\r\nX: ", *[b"t" * 1000] * 200], 200, ""),
    "a chunk extension without end": ([CHUNKED + chunk(b"ok") + b"2;x=", *[b"e" * 1000] * 200], 200, ""),
    "32 interim answers": ([EARLY * 32 + OK], 0, ""),
    "33 interim answers": ([EARLY * 33 + OK], 502, "http_protocol_error"),
    "33 of them one by one": ([*[EARLY] * 33, OK], 502, "http_protocol_error"),
}  # fmt: skip


@pytest.mark.parametrize("case", UPSTREAMS)
async def test_an_upstream_ends_somewhere(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """Z3: heads and trailers over the limit are a 502 or an abort, and so is an interim answer too many."""
    script, status, code = UPSTREAMS[case]
    one = await origin([request, *script])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    interims = 0
    while response.status == 103:
        interims += 1
        response = await client.next_head()
    ending = await client.wait_body_end(response)
    exchange = await proxied.ended()
    if status == 0:
        assert (interims, response.status, response.body, exchange.outcome) == (32, 200, b"ok", "complete")
        return
    assert exchange.outcome == "upstream_aborted"
    await one.connections[0].wait_ended()
    if status == 502:
        assert interims <= 32
        assert_is_our_error(response, 502, code, "upstream")
    else:
        assert (ending, response.body) == ("fin", b"ok")


TABLE = {400, 403, 404, 405, 408, 413, 414, 417, 421, 431, 501, 505, 200}
VALID = [
    head(b"GET /a?b=c HTTP/1.1", HOST, b"Accept: */*", b"X-A: b"),
    head(b"POST /a HTTP/1.1", HOST, b"Content-Length: 5") + b"hello",
    head(b"POST /a HTTP/1.1", HOST, b"Transfer-Encoding: chunked") + chunk(b"hello") + chunk(b"") + head(GET, HOST),
]
TLS_HELLO = b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(range(189))
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)
SPLICES = [b"\r\n", b"\n", b"\r", b"\x00", b" ", b":", b"\xff", b"Transfer-Encoding: chunked\r\n", b"-1", b"f" * 17]


def fuzzed(good: list[bytes], number: int) -> bytes:
    """A message in which a few bytes were changed, lost or put in; the same for the same number."""
    chance = random.Random(number)
    if number % 10 == 0:
        return chance.randbytes(chance.randrange(1, 3000))
    made = bytearray(chance.choice(good))
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(made))
        match chance.randrange(4):
            case 0:
                made[at] = chance.randrange(256)
            case 1:
                del made[at : at + chance.randrange(1, 9)]
            case 2:
                made[at:at] = chance.choice(SPLICES)
            case _:
                made[at:at] = made[chance.randrange(len(made)) :][:20]
    return bytes(made) or b"\x00"


async def all_of(*running: Coroutine[None, None, None]) -> None:
    """Lets all of them end, and raises what the first failed with."""
    for failed in [one for one in await asyncio.gather(*running, return_exceptions=True) if one is not None]:
        raise failed


async def sent_by_client(origin: MakeOrigin, proxy: MakeProxy, messages: list[bytes]) -> None:
    """Each ends in answers of the table or a close, in good time, and is one line each that is not long."""
    one = await origin([step for _ in range(len(messages)) for step in (whole_request, OK)])
    proxied = await proxy(one, settings={"keep_alive_s": 0.4}, timeouts={"client_body": 0.4})

    async def send(message: bytes) -> None:
        client = await proxied.connect()
        client.reader = None  # what is asked is not always what is answered: HEAD may have come of GET
        client.send(message)
        await client.until(lambda: client.received_bytes > 0 or client.ending != "open", "an answer or a close")
        if not client.gone:
            client.close()
            await client.wait_gone()
        statuses = [int(line[9:12]) for line in client.raw.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        assert set(statuses) <= TABLE, (message, statuses)

    await all_of(*map(send, messages))
    assert await settles(lambda: not proxied.running.open_exchanges)
    for exchange in proxied.exchanges.ended_ones:
        line = access_log.text_line(exchange)
        assert "\n" not in line
        assert len(line) < 1000 + 2 * len(exchange.target)


async def sent_by_upstream(origin: MakeOrigin, proxy: MakeProxy, messages: list[bytes]) -> None:
    """Each ends in a well-formed message, of theirs or ours, or in a close; and never in two answers for one."""

    async def play(connection: Connection) -> None:
        connection.send(messages[one.connections.index(connection)])
        connection.close()

    one = await origin([request, play])
    proxied = await proxy(one)

    async def ask() -> None:
        client: Client = await proxied.connect()
        try:
            await read(client)
        except Malformed:
            client.fault = None  # it has been told
            client.reset()
            raise

    async def read(client: Client) -> None:
        client.get()
        response = await client.next_head()
        while response.status < 200:
            response = await client.next_head()
        await client.wait_body_end(response)
        if response.get(b"proxy-status"):
            assert response.status == 502
        assert client.reader.messages[-1] is response

    await all_of(*(ask() for _ in messages))
    assert {exchange.outcome for exchange in proxied.exchanges.ended_ones} <= {"complete", "upstream_aborted"}


GOOD_ANSWERS = [
    counted(b"hello", b"X-A: b", b"Set-Cookie: a=b"),
    SSE + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + chunk(b""),
    head(b"HTTP/1.1 103 Early Hints", b"Link: <a>") + counted(b"hello"),
]


async def plain_on_the_tls_port(origin: MakeOrigin, proxy: MakeProxy, certificate: str) -> None:
    """Nothing but a close, or an alert before it."""
    proxied = await proxy(await origin([request, OK]), settings={"tls_cert": certificate, "tls_key": certificate})
    for message in (head(GET, HOST), PREFACE, b"\x00", TLS_HELLO[:20]):
        client = await proxied.connect()
        client.reader = None
        client.send(message)
        if len(message) < 21:
            client.finish_writing()
        assert await client.wait_ended() in ("fin", "reset")
        assert client.raw[:1] in (b"", b"\x15")
    assert not proxied.exchanges.ended_ones


@pytest.mark.parametrize("case", ["client", "upstream", "TLS and HTTP/2 on the plain port", "plain on the TLS port"])
async def test_whatever_comes_is_answered_or_closed(
    origin: MakeOrigin, proxy: MakeProxy, caplog: pytest.LogCaptureFixture, certificate_file: str, case: str
):
    """Z5: random bytes, other protocols and damaged messages, from either side, end in an answer of ours or a close."""
    if case == "client":
        await sent_by_client(origin, proxy, [fuzzed(VALID, number) for number in range(300)])
    elif case == "upstream":
        await sent_by_upstream(origin, proxy, [fuzzed(GOOD_ANSWERS, number) for number in range(300)])
    elif case == "plain on the TLS port":
        await plain_on_the_tls_port(origin, proxy, certificate_file)
    else:
        await sent_by_client(origin, proxy, [TLS_HELLO, PREFACE, PREFACE[:24], b"\x16\x03", b"SSH-2.0-x\r\n"])
    said = [entry for entry in caplog.records if entry.levelname not in ("DEBUG", "INFO") or entry.exc_info]
    assert not [entry.getMessage() for entry in said]
