"""Failures before the head of an answer: each has its status, its code and its outcome, and harms nobody else."""

import asyncio
import json
import socket

import pytest

from .conftest import MakeOrigin, MakeProxy
from .harness import INSTANCE, Proxied, route
from .origin import Script, body_bytes, fin, read_on, request, rst, stop_reading, whole_request
from .responses import OK, SSE, UNTIL_CLOSE, counted
from .wire import Message, chunk, head


def assert_is_our_error(response: Message, status: int, code: str, side: str) -> None:
    """The form of every answer of ours. Source: RFC 9209 section 2; A2, A3."""
    assert (response.status, response.get(b"content-type")) == (status, b"application/json")
    assert response.get(b"cache-control") == b"no-store"
    assert response.get(b"x-content-type-options") == b"nosniff"
    assert response.get(b"content-length") == b"%d" % len(response.body)
    assert response.get(b"proxy-status") == INSTANCE + b"; error=" + code.encode()
    error = json.loads(response.body)["error"]
    assert set(error) == {"type", "code", "message"}
    assert (error["type"], error["code"]) == (side, code)
    assert error["message"]
    assert not any(hidden in error["message"] for hidden in ("127.0.0.1", "Traceback", " /", "Errno"))


async def fails_with(proxied: Proxied, status: int, code: str, outcome: str, logged: str = "") -> Message:
    """One GET that fails in this way, in the answer and in the exchange, whose code may say more."""
    response = await (await proxied.connect()).ask_for_answer()
    assert_is_our_error(response, status, code, "upstream")
    exchange = await proxied.ended()
    assert (exchange.status, exchange.code, exchange.outcome) == (status, logged or code, outcome)
    assert exchange.route == "test"
    return response


BROKEN_HEADS: dict[str, tuple[Script, str]] = {
    "closed without a byte": ([fin], "connection_terminated"),
    "reset without a byte": ([rst], "connection_terminated"),
    "closed inside the head": ([b"HTTP/1.1 200 OK\r\nContent-", fin], "http_response_incomplete"),
    "closed inside the status line": ([b"HTTP/1.1 20", fin], "http_response_incomplete"),
    "garbage": ([b"\x00\x01\x02 hello\r\n\r\n"], "http_protocol_error"),
    "another protocol": ([b"SSH-2.0-OpenSSH_9.2\r\n"], "http_protocol_error"),
    "HTTP/2 settings": ([b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)], "http_protocol_error"),
    "version 2.0": ([b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"], "http_protocol_error"),
    "two lengths": ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok"], "http_protocol_error"),
    "length and chunked": (
        [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
        "http_protocol_error",
    ),
    "a length with a sign": ([b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok"], "http_protocol_error"),
    "an endless length": ([b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n"], "http_protocol_error"),
    "a bare LF": ([b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"], "http_protocol_error"),
    "a folded line": ([b"HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok"], "http_protocol_error"),
    "a blank before the colon": ([b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 2\r\n\r\nok"], "http_protocol_error"),
    "a control character": ([b"HTTP/1.1 200 OK\r\nX-A: a\x01b\r\nContent-Length: 2\r\n\r\nok"], "http_protocol_error"),
    "an empty name": ([b"HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 2\r\n\r\nok"], "http_protocol_error"),
    "another transfer coding": (
        [head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip, chunked") + chunk(b"")],
        "http_response_transfer_coding",
    ),
    "chunked twice": (
        [head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked, chunked") + chunk(b"")],
        "http_response_transfer_coding",
    ),
    "chunked and identity": (
        [head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked, identity") + chunk(b"")],
        "http_response_transfer_coding",
    ),
    "chunked in HTTP/1.0": (
        [head(b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked") + chunk(b"")],
        "http_response_transfer_coding",
    ),
    "one field too big": (
        [head(b"HTTP/1.1 200 OK", b"X-A: " + b"a" * 70_000, b"Content-Length: 0")],
        "http_response_header_section_size",
    ),
    "a head without end": (
        [b"HTTP/1.1 200 OK\r\n", *[b"X-A: " + b"a" * 900 + b"\r\n"] * 100],
        "http_response_header_section_size",
    ),
    "a 101 nobody asked for": (
        [head(b"HTTP/1.1 101 Switching Protocols", b"Connection: upgrade", b"Upgrade: websocket")],
        "http_upgrade_failed",
    ),
    "interim answers without end": ([b"HTTP/1.1 102 Processing\r\n\r\n"] * 40, "http_protocol_error"),
}


@pytest.mark.parametrize("case", BROKEN_HEADS)
async def test_a_head_that_is_none_is_502_with_its_code(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """MUST. A4, A5, M2, M6, M16, M17, H9, Z3. Each kind has a code of its own, and the next request works."""
    script, code = BROKEN_HEADS[case]
    # The first connection is fresh: a failure on it is no reason to try again.
    one = await origin([request, *script], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.answer()
    while response.status < 200:
        response = await client.answer()
    assert_is_our_error(response, 502, code, "upstream")
    exchange = await proxied.ended()
    assert (exchange.status, exchange.code, exchange.outcome) == (502, code, "upstream_aborted")
    assert len(one.connections) == 1
    assert (await client.ask_for_answer()).body == b"ok"  # an upstream's failure costs the client no connection
    await one.connections[0].wait_gone()


async def test_our_error_to_head_has_no_body(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A2. The head is that of the error, the body is left out."""
    one = await origin([request, fin], [request, OK])
    client = await (await proxy(one)).connect()
    client.ask(b"HEAD")
    response = await client.answer()
    assert (response.status, response.body) == (502, b"")
    assert int(response.get(b"content-length") or 0) > 0
    assert (await client.ask_for_answer()).body == b"ok"


async def test_no_head_in_time_is_http_response_timeout(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1, T6. timeouts.head; the connection is destroyed."""
    one = await origin([request], [request, OK])
    proxied = await proxy(one, timeouts={"head": 0.2})
    await fails_with(proxied, 504, "http_response_timeout", "upstream_timeout")
    await one.connections[0].wait_gone()
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"


async def test_a_head_that_comes_too_slowly_is_http_response_timeout(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. Half a head is no head."""
    one = await origin([request, b"HTTP/1.1 200 OK\r\n"])
    await fails_with(await proxy(one, timeouts={"head": 0.2}), 504, "http_response_timeout", "upstream_timeout")


async def test_the_total_covers_the_wait_for_the_head(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T5."""
    one = await origin([request])
    proxied = await proxy(one, timeouts={"total": 0.2})
    await fails_with(proxied, 504, "http_response_timeout", "upstream_timeout", logged="total_timeout")


async def test_a_route_may_close_instead_of_answering(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. A19. HTML section 9.2.3: EventSource reconnects after a broken connection only."""
    one = await origin([request, fin])
    proxied = await proxy(one, close_on_refuse=True)
    client = await proxied.connect()
    client.get()
    assert await client.wait_ended() == "fin"
    assert client.raw == b""
    assert (await proxied.ended()).code == "connection_terminated"


@pytest.mark.parametrize("start", [SSE, UNTIL_CLOSE, counted(b"x" * 100)[:-100]])
async def test_silence_inside_a_body_is_cut_after_idle(origin: MakeOrigin, proxy: MakeProxy, start: bytes):
    """MUST. T1, T6. timeouts.idle; after the head only an abort tells."""
    part = chunk(b"part") if start is SSE else b"part"
    one = await origin([request, start + part], [request, OK])
    proxied = await proxy(one, timeouts={"idle": 0.2})
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    assert await client.wait_body_end(response) == "fin"
    assert response.body == b"part"
    exchange = await proxied.ended()
    assert (exchange.status, exchange.code, exchange.outcome) == (200, "connection_read_timeout", "upstream_timeout")
    await one.connections[0].wait_gone()
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"


async def test_a_stream_that_goes_on_is_not_cut_by_idle(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T2, T3, T5. Any byte is a sign of life, a comment too; four times idle goes by."""

    async def pause(connection: object) -> None:
        await asyncio.sleep(0.15)

    steps = [step for _ in range(8) for step in (pause, chunk(b":\n"))]
    one = await origin([request, SSE, *steps, chunk(b"")])
    proxied = await proxy(one, timeouts={"idle": 0.3})
    assert (await (await proxied.connect()).ask_for_answer()).body == b":\n" * 8


async def test_no_first_byte_in_time_is_cut(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. timeouts.first_byte runs from the head to the first byte of the body."""
    one = await origin([request, SSE])
    proxied = await proxy(one, timeouts={"first_byte": 0.2})
    client = await proxied.connect()
    client.get()
    assert await client.wait_body_end(await client.next_head()) == "fin"
    exchange = await proxied.ended()
    assert (exchange.code, exchange.outcome) == ("first_byte_timeout", "upstream_timeout")


async def test_the_first_byte_ends_its_own_clock(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. After it only idle counts."""
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(b"1"), gate, chunk(b"2") + chunk(b"")])
    client = await (await proxy(one, timeouts={"first_byte": 0.2})).connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, 1)
    await client.stays_quiet(0.5)
    gate.set()
    assert await client.wait_body_end(response) == "complete"


async def test_the_total_caps_a_busy_stream(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T5. timeouts.total."""

    async def pause(connection: object) -> None:
        await asyncio.sleep(0.02)

    steps = [step for _ in range(200) for step in (pause, chunk(b":\n"))]
    one = await origin([request, SSE, *steps])
    proxied = await proxy(one, timeouts={"total": 0.4})
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    assert await client.wait_body_end(response) == "fin"
    exchange = await proxied.ended()
    assert (exchange.code, exchange.outcome) == ("total_timeout", "upstream_timeout")
    assert 0.4 <= exchange.ended - exchange.started < 1.5


async def test_a_client_that_stops_sending_its_body_is_408(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T7. timeouts.client_body; the upstream is not blamed and never gets an end."""
    one = await origin([request, body_bytes(4)])
    proxied = await proxy(one, timeouts={"client_body": 0.2})
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 10") + b"part")
    response = await client.answer()
    assert_is_our_error(response, 408, "http_request_error", "client")
    assert response.get(b"connection") == b"close"
    exchange = await proxied.ended()
    assert (exchange.status, exchange.outcome) == (408, "refused")
    await one.connections[0].wait_gone()
    assert not one.connections[0].request.complete


async def test_a_slow_body_that_moves_is_not_cut(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T5. Three times client_body goes by."""
    one = await origin([whole_request, OK])
    client = await (await proxy(one, timeouts={"client_body": 0.3})).connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 6"))
    for _ in range(6):
        await asyncio.sleep(0.15)
        client.send(b"x")
    assert (await client.answer()).body == b"ok"


async def test_an_upstream_that_stops_reading_the_upload_is_504(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. connection_write_timeout, after timeouts.idle."""
    gate = asyncio.Event()
    one = await origin([request, stop_reading, gate, read_on], receive_buffer=4096, kept=False)
    proxied = await proxy(one, timeouts={"idle": 0.3, "client_body": None})
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 20000000") + bytes(20_000_000))
    response = await client.next_head()
    await client.wait_body(response, response.length or 0)
    assert_is_our_error(response, 504, "connection_write_timeout", "upstream")
    assert (await proxied.ended()).outcome == "upstream_timeout"
    gate.set()
    client.transport.abort()


async def test_a_head_that_does_not_arrive_is_closed_after_the_idle_time(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T7. A connection that sends half a head holds a place for no longer than an idle one."""
    one = await origin([request, OK])
    client = await (await proxy(one, settings={"keep_alive_s": 0.3})).connect()
    client.send(b"GET / HTTP/1.1\r\nHost: local")
    assert await client.wait_ended(3) == "fin"


async def test_a_connection_that_says_nothing_is_closed_after_the_idle_time(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K11. As much for the first request as for a later one."""
    one = await origin([request, OK])
    client = await (await proxy(one, settings={"keep_alive_s": 0.3})).connect()
    assert await client.wait_ended(3) == "fin"


async def test_a_kept_client_connection_is_closed_after_the_idle_time(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K11."""
    one = await origin([request, OK])
    client = await (await proxy(one, settings={"keep_alive_s": 0.3})).connect()
    await client.ask_for_answer()
    assert await client.wait_ended(3) == "fin"


async def test_a_stalled_client_is_cut(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. timeouts.client_write; the upstream is not blamed, and is let go."""
    body = bytes(8 * 1024 * 1024)
    one = await origin([request, counted(body)])
    proxied = await proxy(one, timeouts={"client_write": 0.3})
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    await client.next_head()
    client.pause()
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("client_stalled", "client_stalled")
    await one.connections[0].wait_gone()
    client.resume()
    await client.wait_ended()
    assert not client.reader.messages[-1].complete


async def test_a_slow_client_that_moves_is_not_cut(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T5. 320 kB a second, for three times client_write: it never stops reading, so it is not stalled."""
    loop = asyncio.get_running_loop()
    one = await origin([request, counted(bytes(16_000_000))], kept=False)
    proxied = await proxy(one, timeouts={"client_write": 1.0})
    with socket.create_connection(("127.0.0.1", proxied.port)) as made:
        made.setblocking(False)
        await loop.sock_sendall(made, head(b"GET / HTTP/1.1", b"Host: localhost"))
        until = loop.time() + 3
        while loop.time() < until:
            assert await asyncio.wait_for(loop.sock_recv(made, 16384), 1), "cut"
            await asyncio.sleep(0.05)
            assert not proxied.exchanges.ended_ones, "cut"


async def test_one_failing_upstream_harms_no_other_route(origin: MakeOrigin, proxy: MakeProxy, dead_port: int):
    """MUST. A4."""
    from proxy.core.routes import Match

    one = await origin([request, OK])
    good = route(one.port, name="good", match=Match(b"/good/"))
    bad = route(dead_port, name="bad", match=Match(b"/bad/"))
    client = await (await proxy(good, bad)).connect()
    assert (await client.ask_for_answer(b"/bad/")).status == 502
    assert (await client.ask_for_answer(b"/good/")).status == 200


async def test_the_total_covers_the_connection_too(proxy: MakeProxy, deaf_port: int):
    """MUST. T5. Where less is left of it than `timeouts.connect`, the total is what has passed."""
    proxied = await proxy(deaf_port, timeouts={"connect": 30.0, "total": 0.2})
    client = await proxied.connect()
    assert (await client.ask_for_answer()).status == 504
    assert (await proxied.ended()).code == "total_timeout"
