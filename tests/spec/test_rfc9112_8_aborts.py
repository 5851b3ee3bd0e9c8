"""RFC 9112 section 8: a message that an upstream did not finish looks unfinished to the client, in every framing."""

import asyncio
import time

import pytest

from proxy.core.routes import Tls
from tests.net.certificates import serving
from tests.net.client import Client
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import Connection, Step, fin, pushed, request, rst
from tests.net.responses import CHUNKED, OK, SSE, UNTIL_CLOSE
from tests.net.test_failures import assert_is_our_error
from tests.net.test_tls import cut_without_goodbye
from tests.net.wire import chunk, head

COUNTED = head(b"HTTP/1.1 200 OK", b"Content-Length: 100")
ENDINGS = {"FIN": fin, "RST": rst}

HEADS = {
    "inside the status line": b"HTTP/1.1 20",
    "before the first field": b"HTTP/1.1 200 OK\r\n",
    "inside a name": b"HTTP/1.1 200 OK\r\nX-Shown: yes\r\nConte",
    "inside a value": b"HTTP/1.1 200 OK\r\nX-Shown: yes\r\nContent-Length: 1",
    "before the last line end": b"HTTP/1.1 200 OK\r\nX-Shown: yes\r\nContent-Length: 0\r\n",
    "inside a head behind a 1xx": head(b"HTTP/1.1 103 Early Hints") + b"HTTP/1.1 200 OK\r\nX-Shown: yes\r\n",
}


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", HEADS)
async def test_half_a_head_is_none(origin: MakeOrigin, proxy: MakeProxy, case: str, ending: str):
    """A5: an upstream that goes inside its head is a 502 of ours, and nothing of that head is in it."""
    one = await origin([request, HEADS[case], ENDINGS[ending]])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.answer()
    if response.status == 103:
        response = await client.answer()
    assert_is_our_error(response, 502, "http_response_incomplete", "upstream")
    assert b"X-Shown" not in client.raw
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code, len(one.connections)) == (
        "upstream_aborted",
        "http_response_incomplete",
        1,
    )


CUT = {
    "between chunks": (SSE + chunk(b"data: 1\n\n"), b"data: 1\n\n"),
    "inside a chunk": (SSE + chunk(b"data: 1\n\n") + b"a\r\nhalf", b"data: 1\n\nhalf"),
    "inside a chunk's size": (SSE + chunk(b"whole") + b"1", b"whole"),
    "before the line end of a chunk": (CHUNKED + chunk(b"whole")[:-2], b"whole"),
    "inside the last chunk": (CHUNKED + chunk(b"whole") + b"0\r\n", b"whole"),
    "inside the trailers": (CHUNKED + chunk(b"whole") + b"0\r\nX-End: 1\r\n", b"whole"),
    "one byte short": (COUNTED + b"x" * 99, b"x" * 99),
    "before any byte": (COUNTED, b""),
    "chunked, before any byte": (SSE, b""),
}


async def cut(origin: MakeOrigin, proxy: MakeProxy, sent: bytes, body: bytes, *ending: Step):
    """A body that is read as far as it goes, and then is ended so; what became of it, and the proxy."""
    gate = asyncio.Event()
    one = await origin([request, sent, gate, *ending], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get(b"/", b"TE: trailers")
    response = await client.next_head()
    await client.wait_body(response, len(body))
    gate.set()
    return client, response, proxied


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("case", CUT)
async def test_a_cut_body_is_seen_to_be_cut(origin: MakeOrigin, proxy: MakeProxy, case: str, ending: str):
    """A6: within a second the client sees an end that is none; no missing byte and no last chunk is made up."""
    sent, body = CUT[case]
    client, response, proxied = await cut(origin, proxy, sent, body, ENDINGS[ending])
    cut_at = time.monotonic()
    assert await client.wait_body_end(response) == "fin"
    assert client.ended_at - cut_at < 1
    assert (response.body, response.complete) == (body, False)
    assert not client.raw.endswith(b"0\r\n\r\n")
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("upstream_aborted", "connection_terminated")
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"


@pytest.mark.parametrize("framing", ["chunked", "length"])
@pytest.mark.parametrize("behind", [False, True], ids=["quick client", "client behind"])
async def test_what_came_before_is_delivered(origin: MakeOrigin, proxy: MakeProxy, framing: str, behind: bool):
    """A7: every byte that came reaches the client before the connection closes, though it reads late; and soon."""
    piece, times = bytes(50_000), 800 if behind else 100  # more than the kernel's buffers take, or less
    start = SSE if framing == "chunked" else COUNTED.replace(b"100", b"90000000")
    gate = asyncio.Event()
    flood = pushed(chunk(piece) if framing == "chunked" else piece, times)
    one = await origin([request, start, flood, *([] if behind else [gate]), fin], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    response = await client.next_head()
    if behind:
        client.pause()
        await one.connections[0].until(lambda: one.connections[0].writing_paused, "back-pressure")
        client.resume()
    else:
        await client.wait_body(response, times * len(piece), 10)
        gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert response.size == times * len(piece)
    exchange = await proxied.ended()
    assert exchange.outcome == "upstream_aborted"
    assert client.ended_at - exchange.ended < 5


@pytest.mark.parametrize("start", [UNTIL_CLOSE, SSE, COUNTED], ids=["until close", "chunked", "length"])
async def test_http_1_0_gets_a_reset(origin: MakeOrigin, proxy: MakeProxy, start: bytes):
    """A8: where a close would be a clean end the abort is a reset, behind all the bytes that came."""
    gate, body = asyncio.Event(), b"all that came"
    one = await origin([request, start + (chunk(body) if start is SSE else body), gate, rst])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(head(b"GET / HTTP/1.0", b"Host: localhost"))
    response = await client.next_head()
    await client.wait_body(response, len(body))
    gate.set()
    ending = await client.wait_body_end(response)
    assert (ending, response.body) == ("fin" if start is COUNTED else "reset", body)
    assert not response.complete
    assert (await proxied.ended()).outcome == "upstream_aborted"


CLOSES: dict[str, tuple[list[Step], bool]] = {
    "FIN": ([fin], True),
    "RST": ([rst], False),
    "close_notify": ([fin], True),
    "FIN without close_notify": ([cut_without_goodbye], False),
    "RST under TLS": ([rst], False),
}
AFTER: dict[str, list[Step]] = {
    "garbage": [OK + b"garbage"],
    "RST behind it": [OK, rst],
    "garbage and RST": [OK + b"x", rst],
}


@pytest.mark.parametrize("case", [*CLOSES, *AFTER])
async def test_what_a_close_says(origin: MakeOrigin, proxy: MakeProxy, authority, authority_file: str, case: str):
    """A9: FIN ends a body that nothing else ends, anything rougher cuts it; behind a whole message it harms nothing."""
    if case in AFTER:
        one = await origin([request, *AFTER[case]], [request, OK])
        proxied = await proxy(one)
        client = await proxied.connect()
        assert [(await client.ask_for_answer()).body for _ in range(2)] == [b"ok", b"ok"]
        assert [entry.outcome for entry in proxied.exchanges.ended_ones] == ["complete", "complete"]
        assert len(one.connections) == 2
        return
    steps, whole = CLOSES[case]
    secure = case not in ("FIN", "RST")
    gate = asyncio.Event()
    tls = serving(authority) if secure else None
    one = await origin([request, UNTIL_CLOSE + b"text", gate, *steps], tls=tls)
    proxied = await proxy(one, tls=Tls(ca=authority_file) if secure else None)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, 4)
    gate.set()
    assert await client.wait_body_end(response) == ("complete" if whole else "fin")
    assert response.body == b"text"
    assert (await proxied.ended()).outcome == ("complete" if whole else "upstream_aborted")


BROKEN: dict[str, tuple[bytes, bytes, list[Step]]] = {
    "cut, counted": (COUNTED + b"x", b"x", [fin]),
    "reset, counted": (COUNTED + b"x", b"x", [rst]),
    "cut, chunked": (SSE + chunk(b"data: 1\n\n"), b"data: 1\n\n", [fin]),
    "a bad chunk": (SSE + chunk(b"data: 1\n\n"), b"data: 1\n\n", [b"zz\r\n"]),
    "silence": (SSE + chunk(b"data: 1\n\n"), b"data: 1\n\n", []),
    "reset, until close": (UNTIL_CLOSE + b"text", b"text", [rst]),
    "a bad coding": (SSE[:-2] + b"Content-Encoding: gzip\r\n\r\n", b"", [chunk(b"no gzip at all")]),
}


async def broken(origin: MakeOrigin, proxy: MakeProxy, case: str, *asked: bytes) -> tuple[Client, bytes]:
    """A stream that breaks so; the client, and the bytes of the body as they have to stand on its wire."""
    sent, body, steps = BROKEN[case]
    gate = asyncio.Event()
    one = await origin([request, sent, gate, *steps])
    client = await (await proxy(one, timeouts={"idle": 0.2} if case == "silence" else {})).connect()
    client.get(b"/", *asked)
    response = await client.next_head()
    await client.wait_body(response, len(body))
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    return client, body if response.framing == "length" else chunk(body) if body else b""


@pytest.mark.parametrize("case", BROKEN)
async def test_no_error_stands_in_a_body(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """A10: behind our head there are the upstream's bytes and the close; not one byte of ours."""
    client, body = await broken(origin, proxy, case)
    assert client.raw.partition(b"\r\n\r\n")[2] == body


@pytest.mark.parametrize("case", ["cut, chunked", "a bad chunk", "silence", "a bad coding"])
async def test_no_trailer_tells_of_it(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """A13: a broken stream has no trailers, though the client takes them: its message would then have an end."""
    client, body = await broken(origin, proxy, case, b"TE: trailers", b"Connection: TE")
    assert client.raw.partition(b"\r\n\r\n")[2] == body
    assert b"proxy-status" not in client.raw.lower()
    assert b"trailer" not in client.raw.lower()


async def upstream_resets(client: Client, connection: Connection) -> None:
    connection.reset()
    await client.wait_ended()


async def client_resets(client: Client, connection: Connection) -> None:
    client.reset()
    await connection.wait_ended()


SIDES = {"upstream": (upstream_resets, "upstream_aborted"), "client": (client_resets, "client_closed")}


@pytest.mark.parametrize("phase", ["upload", "head", "body"])
@pytest.mark.parametrize("side", SIDES)
async def test_one_reset_has_one_side(
    origin: MakeOrigin, proxy: MakeProxy, caplog: pytest.LogCaptureFixture, side: str, phase: str
):
    """A14: whoever resets is whom it is booked on, in one line, and nothing else is logged of it."""
    one = await origin([request, *([SSE] if phase == "body" else [])])
    proxied = await proxy(one)
    client = await proxied.connect()
    if phase == "upload":
        client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 10") + b"part")
    else:
        client.get()
    connection = await one.asked()
    if phase == "body":
        await client.next_head()
    resets, outcome = SIDES[side]
    if side == "upstream" and phase != "body":
        connection.reset()
        assert (await client.answer()).status == 502
    else:
        await resets(client, connection)
    assert (await proxied.ended()).outcome == outcome
    if not client.gone:
        client.reset()
    await client.wait_gone()
    await proxied.stop()
    assert len(proxied.exchanges.ended_ones) == 1
    assert not [entry.getMessage() for entry in caplog.records if entry.name.startswith(("proxy", "aiohttp"))]
    assert not [entry.getMessage() for entry in caplog.records if entry.levelname != "DEBUG"]


BAD_CHUNKS = [b"zz\r\nx\r\n", b"4\nbody\r\n", b"4\r\nbodybody\r\n", b"f" * 20 + b"\r\n", b"-4\r\nbody\r\n"]


WHEN = [*(("later", bad) for bad in BAD_CHUNKS), ("with the head", BAD_CHUNKS[0]), ("behind our head", BAD_CHUNKS[0])]


@pytest.mark.parametrize(("when", "bad"), WHEN)
async def test_a_malformed_upload_is_the_clients(origin: MakeOrigin, proxy: MakeProxy, when: str, bad: bytes):
    """A15: a fault in the client's body is a 400, or an abort behind our head; the upstream never sees an end."""
    one = await origin([request, *([SSE, chunk(b"data: 1\n\n")] if when == "behind our head" else [])])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"POST")
    post = head(b"POST / HTTP/1.1", b"Host: localhost", b"Transfer-Encoding: chunked") + chunk(b"good")
    if when == "with the head":
        client.send(post + bad)
    else:
        client.send(post)
        connection = await one.connection()
        await connection.until(lambda: bool(connection.requests) and connection.request.size == 4, "the good part")
        if when == "behind our head":
            await client.wait_body(await client.next_head(), 9)
        client.send(bad)
    if when != "behind our head":
        assert_is_our_error(await client.answer(), 400, "http_request_error", "client")
    assert await client.wait_ended() == "fin"
    assert client.raw.count(b"HTTP/1.1 ") == 1
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("refused", "http_request_error")
    for connection in one.connections:
        await connection.wait_ended()
        assert not any(received.complete for received in connection.requests)


def at_fault(*_: object) -> None:
    raise RuntimeError("a fault of ours")


FAULTS = {
    "plan": ("proxy.net.planner.plan", 500),
    "answer": ("proxy.net.handler.answer", 500),
    "decoding, with the head": ("proxy.core.stages.decode.Decode.feed", 500),
    "decoding, later": ("proxy.core.stages.decode.Decode.feed", 200),
    "writing": ("proxy.net.downstream.ChunkedSink.write", 200),
    "answer, client gone": ("proxy.net.handler.answer", 0),
}


@pytest.mark.logs_errors
@pytest.mark.parametrize("case", FAULTS)
async def test_a_fault_of_ours_stays_ours(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, case: str
):
    """A16: our own exception is a 500 before our head and an abort behind it, logged once, and by nobody but us."""
    where, status = FAULTS[case]
    gate = asyncio.Event()
    coded = SSE[:-2] + b"Content-Encoding: gzip\r\n\r\n" if "decoding" in case else SSE
    event = chunk(b"data: 1\n\n")
    one = await origin([request, coded + event] if case.endswith("with the head") else [request, coded, gate, event])
    proxied = await proxy(one)
    client = await proxied.connect()

    def leaves_and_fails(*_: object) -> None:
        client.reset()
        at_fault()

    monkeypatch.setattr(where, leaves_and_fails if case.endswith("gone") else at_fault)
    client.get()
    if status == 500:
        assert_is_our_error(await client.answer(), 500, "proxy_internal_error", "proxy")
    elif status == 200:
        response = await client.next_head()
        gate.set()
        assert await client.wait_body_end(response) == "fin"
        assert not response.size
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("refused", "proxy_internal_error")
    for connection in one.connections:
        await connection.wait_ended()
    faults = [entry for entry in caplog.records if entry.levelname in ("ERROR", "CRITICAL")]
    assert [(entry.name, entry.exc_info[0]) for entry in faults if entry.exc_info] == [("proxy", RuntimeError)]
    assert len(faults) == 1
