"""What fails behind an early head: its 200 is out, so that a failure can only be an event and an abort."""

import asyncio

import pytest

from proxy.core.streams import Heartbeat

from .codings import whole
from .conftest import MakeOrigin, MakeProxy
from .early import ASKS, EARLY, EVENT_STREAM, early
from .origin import Step, fin, request, rst, whole_request
from .responses import OK, SSE, UNTIL_CLOSE, counted
from .streams import ANTHROPIC_PING, CHAT, PING
from .wire import chunk, head

pytestmark = pytest.mark.usefixtures("looks_often")
ERROR = b'data: {"error":{"message":"upstream closed the stream before it was complete"'
ANTHROPIC_ERROR = b'event: error\ndata: {"type":"error","error":{"type":"api_error"'

LATE: dict[str, list[Step]] = {
    "429": [counted(b"{}", status=b"429 Slow Down")],
    "500": [counted(b"{}", status=b"500 Oh")],
    "a stream under 500": [SSE.replace(b"200 OK", b"500 Oh") + chunk(b"data: no\n\n") + chunk(b"")],
    "a stream under 500 that is decoded": [
        SSE.replace(b"200 OK", b"500 Oh").replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer")
        + chunk(whole("gzip", b"data: no\n\n"))
        + chunk(b"")
    ],
    "a counted 200 of another type": [counted(b"{}", b"Content-Type: application/json")],
    "a body of no type": [UNTIL_CLOSE + b"text", fin],
    "204": [head(b"HTTP/1.1 204 No Content")],
    "304": [head(b"HTTP/1.1 304 Not Modified")],
    "another coding": [SSE.replace(b"Transfer", b"Content-Encoding: compress\r\nTransfer") + chunk(b"xx")],
    "FIN": [fin],
    "reset": [rst],
    "no HTTP": [b"hello\r\n\r\n"],
    "half a head": [b"HTTP/1.1 200 OK\r\nX: y\r\n", fin],
}


@pytest.mark.parametrize("case", LATE)
async def test_a_late_failure_is_an_event_and_an_abort(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """A10, A11. Never a clean end, and no byte of what the upstream answered instead."""
    gate = asyncio.Event()
    one = await origin([whole_request, gate, *LATE[case]])
    proxied = await proxy(one, stream=EARLY)
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await early(client)
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    said = response.body.replace(PING, b"")
    assert said.startswith(ERROR)
    assert said.count(b"\n\n") == 1
    assert said.endswith(b"}}\n\n")
    exchange = await proxied.ended()
    assert (exchange.status, exchange.outcome) == (200, "upstream_aborted")
    assert exchange.bytes_out == response.size


async def test_a_late_failure_in_the_words_of_anthropic(origin: MakeOrigin, proxy: MakeProxy):
    """Its own ping, its own error."""
    gate = asyncio.Event()
    one = await origin([whole_request, gate, fin])
    client = await (await proxy(one, stream={**EARLY, "family": "anthropic"})).connect()
    client.ask(b"POST", b"/v1/messages", body=ASKS)
    response = await client.next_head()
    await client.wait_body(response, 2 * len(ANTHROPIC_PING))
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert response.body.replace(ANTHROPIC_PING, b"").startswith(ANTHROPIC_ERROR)


@pytest.mark.parametrize(("limit", "code"), [("head", "http_response_timeout"), ("total", "total_timeout")])
async def test_a_deadline_that_passes_is_an_event_and_an_abort(
    origin: MakeOrigin, proxy: MakeProxy, limit: str, code: str
):
    """Heartbeats are no sign of the upstream's life."""
    one = await origin([whole_request])
    proxied = await proxy(one, stream=EARLY, timeouts={limit: 0.3})
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await early(client)
    assert await client.wait_body_end(response) == "fin"
    assert response.body.replace(PING, b"").startswith(ERROR)
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code, exchange.status) == ("upstream_timeout", code, 200)


async def test_a_connect_that_takes_too_long_is_an_event_and_an_abort(proxy: MakeProxy, deaf_port: int):
    """Accept tells before a byte of the body was sent: also while there is no connection."""
    proxied = await proxy(deaf_port, stream=EARLY, timeouts={"connect": 0.4})
    client = await proxied.connect()
    client.get(CHAT, EVENT_STREAM)
    response = await early(client)
    assert await client.wait_body_end(response) == "fin"
    assert response.body.replace(PING, b"").startswith(ERROR)
    assert (await proxied.ended()).code == "connection_timeout"


async def test_a_late_refusal_is_an_event_and_an_abort(origin: MakeOrigin, proxy: MakeProxy):
    """The kept connection ends before the upstream answered, and the one that is tried instead is refused."""
    gate = asyncio.Event()
    one = await origin([whole_request, OK, whole_request, gate, fin])
    proxied = await proxy(one, stream=EARLY)
    client = await proxied.connect()
    assert (await client.ask_for_answer()).body == b"ok"
    assert one._server is not None
    one._server.close()
    client.get(CHAT, EVENT_STREAM)
    response = await early(client)
    gate.set()
    assert await client.wait_body_end(response) == "fin"
    assert response.body.replace(PING, b"").startswith(ERROR)
    exchange = await proxied.ended(2)
    assert (exchange.outcome, exchange.code, exchange.attempts) == ("upstream_aborted", "connection_refused", 2)


async def test_a_refused_connection_is_fast_enough_to_be_an_answer(origin: MakeOrigin, proxy: MakeProxy):
    """A refusal comes before the first silence is over: 502, as ever."""
    one = await origin([request])
    port = one.port
    await one.close()
    client = await (await proxy(port, stream={**EARLY, "heartbeat": Heartbeat(30, early=True)})).connect()
    client.get(CHAT, EVENT_STREAM)
    response = await client.answer()
    assert response.status == 502


async def test_a_fault_of_the_client_gets_no_event(origin: MakeOrigin, proxy: MakeProxy):
    """What it sent badly it is not told in the name of the upstream: the connection just ends."""
    one = await origin([request])
    proxied = await proxy(one, stream=EARLY)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(head(b"POST /x HTTP/1.1", b"Host: localhost", EVENT_STREAM, b"Transfer-Encoding: chunked"))
    response = await early(client)
    client.send(b"no size\r\n")
    await client.wait_ended()
    assert not response.complete
    assert response.body == PING * response.body.count(PING)
    assert (await proxied.ended()).outcome == "refused"


async def test_an_http_1_0_client_gets_it_too_and_a_failure_as_a_reset(origin: MakeOrigin, proxy: MakeProxy):
    """A8. Where a close is the end, only a reset tells that there is none."""
    gate = asyncio.Event()
    one = await origin([request, gate, fin])
    client = await (await proxy(one, stream=EARLY)).connect()
    client.send(head(b"GET /v1/chat/completions HTTP/1.0", b"Host: localhost", EVENT_STREAM))
    response = await early(client)
    assert response.framing == "close"
    gate.set()
    assert await client.wait_body_end(response) == "reset"
    assert response.body.replace(PING, b"").startswith(ERROR)
