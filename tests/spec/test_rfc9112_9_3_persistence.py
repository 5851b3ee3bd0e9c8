"""RFC 9112 section 9.3: a connection goes on only after a message that both sides saw end in the same place."""

import asyncio

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import Connection, Step, fin, request, rst, whole_request
from tests.net.responses import CHUNKED, OK, SSE, UNTIL_CLOSE, counted
from tests.net.wire import chunk, head

from .refusals import HOST, POISON, POST

LAST = chunk(b"")
NO_CONTENT = head(b"HTTP/1.1 204 No Content")
LEFT_OVER = {
    "a response": (OK, POISON, b"GET"),
    "half a status line": (OK, b"HTTP/1.1 2", b"GET"),
    "half a head": (OK, b"HTTP/1.1 200 OK\r\nX-Poison: 1\r\nX-B: ", b"GET"),
    "an interim response": (OK, head(b"HTTP/1.1 103 Early Hints", b"X-Poison: 1"), b"GET"),
    "garbage": (OK, b"\x00poison", b"GET"),
    "a response behind the last chunk": (CHUNKED + chunk(b"ok") + LAST, POISON, b"GET"),
    "a second last chunk": (CHUNKED + chunk(b"ok") + LAST, LAST, b"GET"),
    "a response behind a 204": (NO_CONTENT, POISON, b"GET"),
    "a response behind a 304": (head(b"HTTP/1.1 304 Not Modified", b"Content-Length: 2"), POISON, b"GET"),
    "a response behind HEAD": (head(b"HTTP/1.1 200 OK", b"Content-Length: 2"), POISON, b"HEAD"),
    "a body longer than its length": (counted(b"ok"), b"poison", b"GET"),
}


@pytest.mark.parametrize("when", ["at once", "in the next write", "while idle"])
@pytest.mark.parametrize("case", LEFT_OVER)
async def test_bytes_that_nobody_asked_for(origin: MakeOrigin, proxy: MakeProxy, case: str, when: str):
    """M15: Bytes behind a whole response are no answer to anybody, and their connection ends. RFC 9112 6.3 and 9.2."""
    answer, rest, method = LEFT_OVER[case]
    gate = asyncio.Event()
    steps: dict[str, list[Step]] = {"at once": [answer + rest], "in the next write": [answer, rest]}
    one = await origin([request, *steps.get(when, [answer, gate, rest]), request, OK], [request, counted(b"mine")])
    client = await (await proxy(one)).connect()
    client.ask(method)
    assert (await client.answer()).status in (200, 204, 304)
    gate.set()
    await one.connections[0].wait_ended(1)
    assert (await client.ask_for_answer(b"/next")).body == b"mine"
    assert [[asked.target for asked in connection.requests] for connection in one.connections] == [[b"/"], [b"/next"]]
    assert b"oison" not in client.raw.lower()
    assert len(client.reader.messages) == 2


def get(target: bytes, *lines: bytes) -> bytes:
    return head(b"GET " + target + b" HTTP/1.1", HOST, *lines)


async def alone(connection: Connection) -> None:
    """The next request, with nothing behind it while it is not answered."""
    await request(connection)
    await connection.stays_quiet(0.05)
    assert len(connection.requests) == connection.asked


ANSWERS = [step for number in range(3) for step in (alone, counted(b"%d" % number))]
BOTH = (b"Content-Length: 3", b"Transfer-Encoding: chunked")
LATER, HELD = b"(once the first is served)", "until the client has sent it all"
# What the client sends, in one write up to LATER; what the origin plays; the statuses that come, the targets that went.
PIPELINES: dict[str, tuple[bytes, list[Step | str], list[int], list[bytes]]] = {
    "all is well": (get(b"/1") + get(b"/2") + get(b"/3"), ANSWERS, [200] * 3, [b"/1", b"/2", b"/3"]),
    "bodies between": (
        head(b"POST /1 HTTP/1.1", HOST, b"Content-Length: 2")
        + b"ab"
        + head(b"PUT /2 HTTP/1.1", HOST, BOTH[0])
        + b"abc"
        + get(b"/3"),
        ANSWERS,
        [200] * 3,
        [b"/1", b"/2", b"/3"],
    ),
    "behind a chunked body": (head(POST, HOST, BOTH[1]) + chunk(b"ab") + LAST + get(b"/2"), ANSWERS, [200], [b"/"]),
    "the second refused": (
        get(b"/1") + head(b"GET /2 HTTP/1.1", b"Host: evil.example") + get(b"/3"),
        ANSWERS,
        [200, 421, 200],
        [b"/1", b"/3"],
    ),
    "the first closes": (get(b"/1", b"Connection: close") + get(b"/2"), ANSWERS, [200], [b"/1"]),
    "the second malformed": (get(b"/1") + get(b"/2", b"X A: 1") + get(b"/3"), ANSWERS, [200, 400], [b"/1"]),
    "the second no HTTP": (get(b"/1") + b"\x16\x03\x01\x02\x00\r\n\r\n" + get(b"/3"), ANSWERS, [200, 400], [b"/1"]),
    "the second ambiguous": (get(b"/1") + get(b"/2", *BOTH) + LAST + get(b"/3"), ANSWERS, [200, 400], [b"/1"]),
    "the second of another version": (
        get(b"/1") + get(b"/2").replace(b"/1.1", b"/2.0") + get(b"/3"),
        ANSWERS,
        [200, 505],
        [b"/1"],
    ),
    "the second with a bad chunk": (
        get(b"/1") + head(POST, HOST, BOTH[1]) + b"zz\r\n" + get(b"/3"),
        [*ANSWERS[:2], whole_request],
        [200, 400],
        [b"/1"],
    ),
    "a second with a bad chunk, while the first is served": (
        LATER.join([get(b"/1"), head(POST, HOST, BOTH[1]), b"zz\r\n" + get(b"/3")]),
        [alone, HELD, OK, whole_request],
        [200, 400],
        [b"/1"],
    ),
    "a second malformed, while the first is served": (
        LATER.join([get(b"/1"), get(b"/2", b"X A: 1") + get(b"/3")]),
        [alone, HELD, OK, *ANSWERS],
        [200, 400],
        [b"/1"],
    ),
    "the first malformed": (get(b"/1", b" X: 1") + get(b"/2"), ANSWERS, [400], []),
    "the first answer cut": (get(b"/1") + get(b"/2"), [request, counted(b"body")[:-1], fin], [200], [b"/1"]),
    "the first answer reset": (get(b"/1") + get(b"/2"), [request, SSE + chunk(b"body"), rst], [], [b"/1"]),
    "1.0 first": (head(b"GET /1 HTTP/1.0", HOST) + get(b"/2"), ANSWERS, [200], [b"/1"]),
    "1.0 with keep-alive first": (
        head(b"GET /1 HTTP/1.0", HOST, b"Connection: keep-alive") + get(b"/2"),
        ANSWERS,
        [200],
        [b"/1"],
    ),
}
GO_ON = {"all is well", "bodies between", "the second refused"}


@pytest.mark.parametrize("case", PIPELINES)
async def test_pipelined_requests(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """M18: Pipelined requests are served in order and one by one, none behind a cut answer or a fault. RFC 9112 9.3.2.

    The client could take a later answer for the rest of the cut one.
    """
    sent, script, statuses, targets = PIPELINES[case]
    sent_all = asyncio.Event()
    one = await origin([*[sent_all if step is HELD else step for step in script], request])
    proxied = await proxy(one)
    client = await proxied.connect()
    first, *later = sent.split(LATER)
    client.send(first)
    for part in later:
        await one.asked()
        client.send(part)
        await client.stays_quiet(0.05)
    sent_all.set()
    for status in statuses:
        response = await client.next_head()
        assert response.status == status
        assert await client.wait_body_end(response) == ("fin" if "answer" in case else "complete")
    if case in GO_ON:
        assert [message.body for message in client.reader.messages if message.status == 200] == [
            b"%d" % number for number in range(statuses.count(200))
        ]
        client.get(b"/last", b"Connection: close")
        targets = [*targets, b"/last"]
        await one.until(lambda: len(one.connections[0].requests) == len(targets), "the last one")
    else:
        assert await client.wait_ended() == "fin"
        await client.wait_gone()
    received = [asked for connection in one.connections for asked in connection.requests]
    assert [asked.target for asked in received if asked.complete] == targets
    assert [message.status for message in client.reader.messages] == statuses or case == "the first answer reset"
    assert len(client.reader.messages) <= max(len(statuses), 1)


REUSED = {
    "counted": (OK, b"GET"),
    "empty": (counted(b""), b"GET"),
    "chunked": (CHUNKED + chunk(b"ok") + LAST, b"GET"),
    "a stream": (SSE + chunk(b"data: 1\n\n") + LAST, b"GET"),
    "HEAD": (head(b"HTTP/1.1 200 OK", b"Content-Length: 9"), b"HEAD"),
    "204": (NO_CONTENT, b"DELETE"),
    "an error": (counted(b"no", status=b"500 No"), b"POST"),
    "keep-alive": (counted(b"ok", b"Connection: keep-alive"), b"GET"),
    "HTTP/1.0 with keep-alive": (counted(b"ok", b"Connection: Keep-Alive").replace(b"/1.1", b"/1.0", 1), b"GET"),
    "another hop option": (counted(b"ok", b"Connection: X-Close", b"X-Close: close"), b"GET"),
}
NOT_REUSED: dict[str, tuple[list[Step], bytes]] = {
    "close": ([request, counted(b"ok", b"Connection: close")], b"GET / HTTP/1.1"),
    "CLOSE in a list": ([request, counted(b"ok", b"Connection: X-A, CLOSE")], b"GET / HTTP/1.1"),
    "close in a second line": ([request, counted(b"ok", b"Connection: X-A", b"Connection: close")], b"GET / HTTP/1.1"),
    "close beside keep-alive": ([request, counted(b"ok", b"Connection: keep-alive, close")], b"GET / HTTP/1.1"),
    "close on a 204": ([request, head(b"HTTP/1.1 204 No", b"Connection: close")], b"GET / HTTP/1.1"),
    "close on HEAD": ([request, head(b"HTTP/1.1 200 OK", b"Connection: close")], b"HEAD / HTTP/1.1"),
    "close on chunks": ([request, SSE[:-2] + b"Connection: close\r\n\r\n" + LAST], b"GET / HTTP/1.1"),
    "HTTP/1.0": ([request, OK.replace(b"/1.1", b"/1.0")], b"GET / HTTP/1.1"),
    "until the close": ([request, UNTIL_CLOSE + b"ok", fin], b"GET / HTTP/1.1"),
    "a byte too many": ([request, OK + b"H"], b"GET / HTTP/1.1"),
    "an unread body": ([request, OK], b"POST / HTTP/1.1\r\nContent-Length: 9"),
    "an unread chunk": ([request, OK], b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked"),
    "an answer that was cut": ([request, OK[:-1], rst], b"GET / HTTP/1.1"),
}


@pytest.mark.parametrize("case", [*REUSED, *NOT_REUSED])
async def test_upstream_connections_that_are_used_again(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """K1: An upstream connection serves again after a whole exchange to which neither said close. RFC 9112 9.3, 9.6.

    What the client said of its own connection has no part in that.
    """
    answer, method = REUSED.get(case, (b"", b""))
    steps, start = NOT_REUSED.get(case, ([whole_request, answer], method + b" / HTTP/1.1"))
    one = await origin([*steps, request, OK], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(start.partition(b" ")[0])
    client.send(head(start, HOST, *([b"Connection: close"] if case in REUSED else [])))
    response = await client.next_head()
    await client.wait_body_end(response)
    if case in NOT_REUSED:
        await one.connections[0].wait_ended(1)
    await proxied.ended()
    assert (await (await proxied.connect()).ask_for_answer(b"/next")).body == b"ok"
    targets = [[asked.target for asked in connection.requests] for connection in one.connections]
    assert targets == ([[b"/", b"/next"]] if case in REUSED else [[b"/"], [b"/next"]])


EVENT = b"data: 1\n\n"
TO_HTTP_1_0: dict[str, tuple[list[Step], bytes, str]] = {
    "counted": ([request, OK], b"ok", "length"),
    "chunked": ([request, CHUNKED, chunk(b"o"), chunk(b"k") + LAST], b"ok", "close"),
    "a stream": ([request, SSE, chunk(EVENT), chunk(EVENT), LAST], EVENT * 2, "close"),
    "until the close": ([request, UNTIL_CLOSE, b"ok", fin], b"ok", "close"),
    "no content": ([request, NO_CONTENT], b"", "none"),
    "an empty chunked body": ([request, CHUNKED + LAST], b"", "close"),
}


@pytest.mark.parametrize(
    "lines", [(), (b"Connection: keep-alive",), (b"Proxy-Connection: keep-alive",), (b"TE: chunked, trailers",)]
)
@pytest.mark.parametrize("case", [*TO_HTTP_1_0, "our error", "our answer"])
async def test_http_1_0_clients(origin: MakeOrigin, proxy: MakeProxy, case: str, lines: tuple[bytes, ...]):
    """X11: HTTP/1.0 never gets chunks, and its connection ends with the answer, asked or not. RFC 9112 6.1, 9.3."""
    script, body, framing = TO_HTTP_1_0.get(case, ([request, b"no HTTP", fin], b"", "none"))
    one = await origin(script)
    client = await (await proxy(one)).connect()
    start = b"OPTIONS * HTTP/1.0" if case == "our answer" else b"GET /x HTTP/1.0"
    client.send(head(start, HOST, *lines))
    response = await client.answer()
    assert response.start.startswith(b"HTTP/1.1 502" if case == "our error" else b"HTTP/1.1 20")
    assert (response.framing, response.get(b"connection")) == ("length" if case == "our error" else framing, b"close")
    assert case == "our error" or response.body == body
    assert not response.all(b"transfer-encoding") + response.all(b"keep-alive") + response.all(b"trailer")
    assert await client.wait_ended() == "fin"
    assert len(client.reader.messages) == 1
    assert [asked.target for connection in one.connections for asked in connection.requests] == (
        [] if case == "our answer" else [b"/x"]
    )
