"""A body that the upstream did not finish never looks finished to the client."""

import asyncio
import time

import pytest

from proxy.net import downstream

from .conftest import MakeOrigin, MakeProxy
from .harness import INSTANCE, Proxied
from .origin import Script, Step, fin, pushed, request, rst
from .responses import CHUNKED, OK, SSE, UNTIL_CLOSE, counted
from .wire import chunk, head

CUT_CHUNK = b"a\r\nhalf"
COUNTED = head(b"HTTP/1.1 200 OK", b"Content-Length: 100")
CUT_BODIES = {
    "between chunks": (SSE + chunk(b"data: 1\n\n"), b"data: 1\n\n"),
    "inside a chunk": (SSE + chunk(b"data: 1\n\n") + CUT_CHUNK, b"data: 1\n\nhalf"),
    "before the last chunk's end": (CHUNKED + chunk(b"whole") + b"0\r\n", b"whole"),
    "inside a counted body": (COUNTED + b"x" * 99, b"x" * 99),
    "before any byte of the body": (COUNTED, b""),
}


async def next_request_works(proxied: Proxied) -> None:
    """The proxy serves on, over a fresh connection."""
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"


@pytest.mark.parametrize("ending", [fin, rst])
@pytest.mark.parametrize("case", CUT_BODIES)
async def test_a_cut_body_is_an_abort_after_all_its_bytes(
    origin: MakeOrigin, proxy: MakeProxy, case: str, ending: Step
):
    """MUST. A6, A7. RFC 9112 section 8. Every byte that came, then a close without an end, within a second."""
    sent, body = CUT_BODIES[case]
    gate = asyncio.Event()
    one = await origin([request, sent, gate, ending], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, len(body))
    cut_at = time.monotonic()
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert client.ended_at - cut_at < 1
    assert response.body == body
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code, exchange.status) == ("upstream_aborted", "connection_terminated", 200)
    await next_request_works(proxied)


@pytest.mark.parametrize("ending", [fin, rst])
async def test_bytes_and_cut_at_once_still_deliver_the_bytes(origin: MakeOrigin, proxy: MakeProxy, ending: Step):
    """MUST. A7. A burst of 300 kB with the end of the connection right behind it.

    A reset may overtake what the upstream's kernel has not sent, so that only FIN guarantees all of it.
    """
    body = b"y" * 300_000
    one = await origin([request, SSE + chunk(body) + CUT_CHUNK, ending])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head() if ending is fin else None
    if response is not None:
        assert await client.wait_body_end(response) == "fin"
        assert response.body == body + b"half"
    assert await client.wait_ended() == "fin"
    assert (await proxied.ended()).outcome == "upstream_aborted"


@pytest.mark.parametrize("start", [UNTIL_CLOSE, SSE])
async def test_a_client_that_knows_only_the_close_sees_a_reset(origin: MakeOrigin, proxy: MakeProxy, start: bytes):
    """MUST. A8. RFC 9112 section 8. For HTTP/1.0 a close is the clean end of such a body."""
    gate = asyncio.Event()
    body = b"all of it"
    one = await origin([request, start + (chunk(body) if start is SSE else body), gate, rst])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.send(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    response = await client.next_head()
    await client.wait_body(response, len(body))
    gate.set()
    assert await client.wait_body_end(response) == "reset"
    assert (response.body, response.framing) == (body, "close")


async def test_a_body_ended_by_fin_is_complete_where_nothing_else_says_its_end(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A9. RFC 9112 section 6.3."""
    one = await origin([request, UNTIL_CLOSE + b"text", fin])
    proxied = await proxy(one)
    assert (await (await proxied.connect()).ask_for_answer()).body == b"text"
    assert (await proxied.ended()).outcome == "complete"


async def test_a_reset_of_a_close_delimited_body_is_an_abort(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A9."""
    gate = asyncio.Event()
    one = await origin([request, UNTIL_CLOSE + b"text", gate, rst])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, 4)
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert (await proxied.ended()).outcome == "upstream_aborted"


@pytest.mark.parametrize("ending", [fin, rst])
async def test_what_happens_after_a_complete_answer_harms_it_no_more(
    origin: MakeOrigin, proxy: MakeProxy, ending: Step
):
    """MUST. A9. Reset or garbage behind the end only keeps the connection out of the pool."""
    one = await origin([request, OK + b"garbage", ending], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    assert (await client.ask_for_answer()).body == b"ok"
    assert (await client.ask_for_answer()).body == b"ok"
    assert [entry.outcome for entry in proxied.exchanges.ended_ones] == ["complete"] * 2


@pytest.mark.parametrize(
    "bad",
    [
        b"zz\r\nx\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello5\r\nhello\r\n",
        b"fffffffffffffffff\r\n",
        b"-1\r\n",
        b"5\r\nhello\n",
        b" 5\r\nhello\r\n",
    ],
)
async def test_a_malformed_chunk_of_the_upstream_is_an_abort(origin: MakeOrigin, proxy: MakeProxy, bad: bytes):
    """MUST. M7. What came before the fault still reaches the client, and no end is made up."""
    gate = asyncio.Event()
    one = await origin([request, CHUNKED, gate, chunk(b"good") + bad], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert response.body.startswith(b"good")
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("upstream_aborted", "http_protocol_error")
    await next_request_works(proxied)


async def test_a_fault_that_came_with_the_head_is_answered(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M7. Where nothing has gone out yet, an error says more than an abort."""
    one = await origin([request, CHUNKED + chunk(b"good") + b"zz\r\n"])
    proxied = await proxy(one)
    response = await (await proxied.connect()).ask_for_answer()
    assert (response.status, response.get(b"proxy-status")) == (502, INSTANCE + b"; error=http_protocol_error")
    assert (await proxied.ended()).outcome == "upstream_aborted"


async def test_nothing_of_an_error_is_written_into_a_body(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A10. A counted body that breaks is not filled up with our JSON."""
    one = await origin([request, COUNTED + b"x", fin])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    assert await client.wait_body_end(response) == "fin"
    assert client.raw.endswith(b"\r\n\r\nx")


async def test_trailers_without_end_are_no_way_to_fill_our_memory(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. Z3. A trailer section over the head's limit is an abort."""
    trailers: Script = [b"X-Trailer: %s\r\n" % (b"t" * 1000)] * 300
    one = await origin([request, CHUNKED + chunk(b"body") + b"0\r\n", *trailers])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    assert await client.wait_body_end(response) == "fin"
    assert (await proxied.ended()).outcome == "upstream_aborted"


async def test_a_pipelined_request_is_not_served_after_an_abort(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M18. RFC 9112 section 9.3.2. The client must not take a later answer for the rest of the cut one."""
    gate = asyncio.Event()
    one = await origin([request, counted(b"x" * 10)[:-5], gate, fin], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    client.get(b"/second")
    response = await client.next_head()
    await client.wait_body(response, 5)
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    await client.wait_gone()
    assert len(one.connections) == 1


async def test_a_client_that_takes_what_is_left_after_a_cut_is_left_in_peace(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """MUST. A7. What was received is flushed, at the latest after FLUSH_S; nothing happens when that time comes."""
    monkeypatch.setattr(downstream, "FLUSH_S", 0.3)
    gate = asyncio.Event()
    body = bytes(50_000)
    one = await origin([request, COUNTED.replace(b"100", b"90000000"), pushed(body, 400), gate, fin], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    response = await client.next_head()
    client.pause()
    await one.connections[0].until(lambda: one.connections[0].writing_paused, "back-pressure")
    client.resume()
    await client.wait_body(response, 400 * len(body) - 1_000_000)
    client.pause()
    gate.set()
    await asyncio.sleep(0.05)
    client.resume()
    assert await client.wait_body_end(response) == "fin"
    assert response.size == 400 * len(body)
    assert (await proxied.ended()).outcome == "upstream_aborted"
    await asyncio.sleep(0.4)
