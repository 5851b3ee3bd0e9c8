"""RFC 9112 sections 9.5 and 9.6: connections that end while idle, and ends that lose nothing."""

import asyncio
import json
import os
import socket
import time

import pytest

from proxy.config.compile import Settings
from proxy.core.routes import Match
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import Step, body_bytes, fin, half_close, request, rst, whole_request
from tests.net.peer import Peer
from tests.net.responses import CHUNKED, OK, counted
from tests.net.wire import chunk, head

from .refusals import HIDDEN, HOST, POISON

WHILE_IDLE: dict[str, Step] = {
    "FIN": fin,
    "half of a FIN": half_close,
    "reset": rst,
    "a response": POISON,
    "a byte": b"H",
    "a last answer and FIN": head(b"HTTP/1.1 408 Request Timeout", b"Connection: close", b"X-Poison: 1"),
}


def of_same_turn(peer: Peer) -> socket.socket:
    """The peer's socket itself: what is done with it has reached the other side before the loop takes another turn."""
    return socket.socket(fileno=os.dup(peer.transport.get_extra_info("socket").fileno()))


@pytest.mark.parametrize("when", ["before the request", "in the request's turn"])
@pytest.mark.parametrize("case", WHILE_IDLE)
async def test_idle_connections_are_watched(origin: MakeOrigin, proxy: MakeProxy, case: str, when: str):
    """K2: What happens on an idle upstream connection ends it at once, and no request is risked on it. RFC 9112 9.5.

    Not even a POST that comes in the same moment, which could not be sent a second time.
    """
    step, gate = WHILE_IDLE[case], asyncio.Event()
    script = [gate, step] if when == "before the request" else []
    one = await origin([request, OK, *script], [whole_request, counted(b"mine")])
    proxied = await proxy(one)
    client = await proxied.connect()
    await client.ask_for_answer()
    await proxied.ended()
    connection = one.connections[0]
    if when == "before the request":
        gate.set()
        await connection.wait_gone(1)
        client.ask(b"POST", b"/next", body=b"{}")
    else:
        client.methods.append(b"POST")
        with of_same_turn(connection) as upstream, of_same_turn(client) as asking:
            if isinstance(step, bytes):
                upstream.send(step)
            elif step is rst:
                connection.reset()
            else:
                upstream.shutdown(socket.SHUT_WR)
            asking.send(head(b"POST /next HTTP/1.1", HOST, b"Content-Length: 2") + b"{}")
    assert (await client.answer()).body == b"mine"
    assert [[asked.target for asked in each.requests] for each in one.connections] == [[b"/"], [b"/next"]]
    assert (await proxied.ended(2)).attempts == 1
    assert b"oison" not in client.raw.lower()
    await connection.wait_ended(1)


SIZE = 6_000_000
UPLOAD = b"POST /a HTTP/1.1"
COUNTED = b"Content-Length: %d" % SIZE
UNREAD: dict[str, tuple[bytes, int]] = {
    "the upstream's refusal": (head(UPLOAD, HOST, COUNTED), 413),
    "the upstream's success": (head(UPLOAD, HOST, COUNTED), 200),
    "the upstream's refusal of chunks": (head(UPLOAD, HOST, b"Transfer-Encoding: chunked"), 413),
    "a foreign Host": (head(UPLOAD, b"Host: evil.example", COUNTED), 421),
    "no route": (head(b"POST /x HTTP/1.1", HOST, COUNTED), 404),
    "over the limit": (head(UPLOAD, HOST, b"Content-Length: %d" % (SIZE + 1)), 413),
    "an unknown coding": (head(UPLOAD, HOST, b"Transfer-Encoding: gzip, chunked"), 501),
}


@pytest.mark.parametrize(
    ("case", "reads"),
    [
        *((case, reads) for case in UNREAD for reads in ("at the end", "and leaves", "and resets")),
        ("the upstream's refusal", "and the proxy stops"),
    ],
)
async def test_an_answer_to_an_unread_body_is_not_lost(origin: MakeOrigin, proxy: MakeProxy, case: str, reads: str):
    """K9: An answer before the end of the body says close, and a client that sends it all still reads it. 9112 9.6.

    The end is no reset: that would take the answer with it. What follows the body is not served, and a client that
    leaves instead, or a stop in between, is nothing to speak of.
    """
    sent, status = UNREAD[case]
    answer = counted(b"a" * 1000, status=b"%d Says It" % status)
    one = await origin([request, body_bytes(90_000), answer, request], kept=False)
    proxied = await proxy(one, match=Match(b"/a"), limits={"request_body": SIZE})
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.pause()
    piece = chunk(bytes(99_992)) if b"chunked" in sent else bytes(100_000)
    client.send(sent + piece)
    await proxied.ended()
    if reads in ("at the end", "and the proxy stops"):
        for _ in range(59):
            client.send(piece)
        client.send(chunk(b"") + HIDDEN if b"chunked" in sent else HIDDEN)
    client.resume()
    response = await client.answer()
    assert (response.status, response.get(b"connection")) == (status, b"close")
    if case.startswith("the upstream's"):
        assert response.body == b"a" * 1000
    else:
        assert json.loads(response.body)["error"]["type"] == "client"
    if reads == "at the end":
        assert await client.wait_ended() == "fin"
    elif reads == "and the proxy stops":
        await asyncio.sleep(0)  # so that more of the body is on its way through the proxy
        assert await proxied.stop() == 0
        await client.wait_ended()
    else:
        client.close() if reads == "and leaves" else client.reset()
        await client.wait_gone()
    assert len(client.reader.messages) == 1
    for connection in one.connections:
        await connection.wait_ended(1)
        assert not any(asked.complete for asked in connection.requests)


CLOSES = {
    "close": (b"Connection: close",),
    "capitals": (b"CONNECTION: CLOSE",),
    "in a list": (b"Connection: X-A , close",),
    "beside keep-alive": (b"Connection: keep-alive, close",),
    "before keep-alive": (b"Connection: close, keep-alive",),
    "in a second line": (b"Connection: X-A", b"Connection: close"),
}


@pytest.mark.parametrize("case", [*CLOSES, "idle at first", "idle after an answer", "silent answer", "default"])
async def test_client_connections_end(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """K11: A client's close is obeyed and answered; its idle time is configurable, 75 s by default. RFC 9112 9.6."""
    gate = asyncio.Event()
    one = await origin(
        [request, *([gate] if case == "silent answer" else []), CHUNKED + chunk(b"ok") + chunk(b""), request]
    )
    proxied = await proxy(one, settings={} if case == "default" else {"keep_alive_s": 0.3})
    client = await proxied.connect()
    since = time.monotonic()
    if case in CLOSES:
        response = await client.ask_for_answer(b"/", *CLOSES[case])
        assert (response.get(b"connection"), response.body) == (b"close", b"ok")
        assert await client.wait_ended() == "fin"
        assert [asked.target for asked in one.connections[0].requests] == [b"/"]
    elif case == "default":
        assert Settings(()).keep_alive_s == 75
        await client.ask_for_answer()
        await client.stays_quiet(0.5)
        return
    elif case == "silent answer":
        client.get()
        await client.stays_quiet(0.6)
        gate.set()
        response = await client.answer()
        assert (response.body, response.get(b"connection")) == (b"ok", None)
        since = time.monotonic()
    elif case == "idle after an answer":
        await client.ask_for_answer()
        since = time.monotonic()
    assert await client.wait_ended() == "fin"
    assert case in CLOSES or 0.2 < client.ended_at - since < 1.5
    assert len(client.reader.messages) == (case != "idle at first")
