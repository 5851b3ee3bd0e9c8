"""Early heartbeats: a 200 before the upstream's, for who asks to stream, once the upstream has kept it waiting.

What the upstream then says in its head is lost; what fails then is in test_early_failures.
"""

import asyncio
import time

import pytest

from proxy.config.load import ConfigError, load_text
from proxy.core.cors import Cors
from proxy.core.streams import Heartbeat

from .codings import whole
from .conftest import CLOSED_AFTER, MakeOrigin, MakeProxy, Measured
from .early import ASKS, EARLY, EVENT_STREAM, early
from .origin import request, set_event, whole_request
from .responses import OK, SSE, counted
from .streams import CHAT, DONE, OFTEN_S, PING, beats, served, token, turns
from .wire import chunk, head

pytestmark = pytest.mark.usefixtures("looks_often")


async def test_the_answer_begins_before_the_upstreams_and_goes_on(origin: MakeOrigin, proxy: MakeProxy):
    """S22. A head and heartbeats while nothing comes, then the upstream's events in the same body."""
    gate = asyncio.Event()
    one = await origin([whole_request, gate, SSE + chunk(token("a")) + chunk(DONE) + chunk(b"")])
    proxied = await proxy(one, stream=EARLY)
    client = await proxied.connect()
    asked_at = time.monotonic()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await early(client)
    assert response.at - asked_at >= OFTEN_S
    assert response.get(b"content-type") == b"text/event-stream"
    assert response.get(b"x-accel-buffering") == b"no"
    assert response.get(b"cache-control") == b"no-cache, no-transform"
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body.replace(PING, b"") == token("a") + DONE
    exchange = await proxied.ended()
    assert (exchange.status, exchange.outcome, exchange.verdict) == (200, "complete", "complete")
    assert (exchange.heartbeats, exchange.events) == (response.body.count(PING), 2)
    assert exchange.bytes_out == response.size


async def test_heartbeats_go_on_when_the_upstream_is_silent_again(origin: MakeOrigin, proxy: MakeProxy):
    """The same stream, now with its head and its events."""
    one = await origin([whole_request])
    client = await (await proxy(one, stream=EARLY)).connect()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await early(client)
    one.connections[0].send(SSE + chunk(token("a")))
    await client.until(lambda: token("a") in response.body, "the event")
    await beats(client, response, 2)


async def test_a_client_that_takes_no_more_gets_no_more(origin: MakeOrigin, proxy: MakeProxy):
    """S14. Heartbeats that nobody reads would grow a buffer; the control beside it has five meanwhile."""
    one = await origin([whole_request], [whole_request])
    proxied = await proxy(one, stream=EARLY)
    client, control = await proxied.connect(), await proxied.connect()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await early(client)
    (full,) = served(proxied)
    full.connection.pause_writing()
    before = full.exchange.heartbeats
    control.ask(b"POST", CHAT, body=ASKS)
    beating = await early(control)
    await beats(control, beating, 5)
    assert full.exchange.heartbeats == before
    full.connection.resume_writing()
    await beats(client, response, 1)


async def test_the_next_request_may_follow_on_the_connection(origin: MakeOrigin, proxy: MakeProxy):
    """An early answer that ends well is like any other."""
    gate = asyncio.Event()
    one = await origin([whole_request, gate, SSE + chunk(DONE) + chunk(b""), whole_request, OK])
    client = await (await proxy(one, stream=EARLY)).connect()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await early(client)
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert (await client.ask_for_answer()).body == b"ok"


@pytest.mark.parametrize("whole_events", [False, True], ids=["bytes", "events"])
async def test_stages_work_behind_an_early_head(origin: MakeOrigin, proxy: MakeProxy, whole_events: bool):
    """Decoding, whole events: what leaves is what the early head said."""
    gate = asyncio.Event()
    start = SSE.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer")
    one = await origin([whole_request, gate, start + chunk(whole("gzip", token("a") + DONE)) + chunk(b"")])
    client = await (await proxy(one, stream={**EARLY, "whole": whole_events})).connect()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await early(client)
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body.replace(PING, b"") == token("a") + DONE
    assert response.get(b"content-encoding") is None


async def test_a_fast_refusal_passes_as_it_is(origin: MakeOrigin, proxy: MakeProxy):
    """Before the first silence is over nothing has been said, and a 429 keeps its status and its fields."""
    refusal = counted(b'{"error": {}}', b"Retry-After: 7", status=b"429 Slow Down")
    one = await origin([whole_request, refusal])
    proxied = await proxy(one, stream={**EARLY, "heartbeat": Heartbeat(30, early=True)})
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await client.answer()
    assert (response.status, response.get(b"retry-after"), response.body) == (429, b"7", b'{"error": {}}')


ASKING = {
    "accept": (b"GET", [EVENT_STREAM], None),
    "body": (b"POST", [b"Content-Type: application/json"], ASKS),
    "body without blanks": (b"POST", [], b'{"stream":true}'),
    "body with blanks": (b"POST", [], b'{"stream" \n:\r\n  true}'),
}
NOT_ASKING = {
    "nothing": (b"GET", [], None),
    "any type": (b"GET", [b"Accept: */*"], None),
    "stream: false": (b"POST", [EVENT_STREAM.replace(b"event-stream", b"plain")], b'{"stream": false}'),
    "inside a text": (b"POST", [], rb'{"text": "\"stream\": true"}'),
    "another key": (b"POST", [], b'{"stream_options": true, "upstream": true}'),
    "HEAD": (b"HEAD", [EVENT_STREAM], None),
    "an upgrade": (b"GET", [EVENT_STREAM, b"Connection: upgrade", b"Upgrade: websocket"], None),
}


@pytest.mark.parametrize("case", ASKING)
async def test_whoever_asks_to_stream_gets_it(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """By Accept, or by what every LLM API is asked with."""
    method, lines, body = ASKING[case]
    one = await origin([whole_request])
    client = await (await proxy(one, stream=EARLY)).connect()
    client.ask(method, CHAT, *lines, body=body)
    await early(client)


@pytest.mark.parametrize("case", NOT_ASKING)
async def test_nobody_else_does(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """The upstream's answer is theirs, however late; the control beside it has had five heartbeats by then."""
    method, lines, body = NOT_ASKING[case]
    gate = asyncio.Event()
    one = await origin([whole_request], [whole_request, gate, OK])
    proxied = await proxy(one, stream=EARLY)
    control = await proxied.connect()
    control.ask(b"POST", CHAT, body=ASKS)
    beating = await early(control)
    client = await proxied.connect()
    client.ask(method, CHAT, *lines, body=body)
    await one.asked(1)
    await beats(control, beating, 5)
    assert not client.received_bytes
    gate.set()
    response = await client.answer()
    assert response.get(b"content-length") == b"2"
    assert (response.status, response.body) == (200, b"" if method == b"HEAD" else b"ok")


@pytest.mark.parametrize("place", range(1, len(b'"stream": true')))
async def test_the_body_may_be_cut_anywhere(origin: MakeOrigin, proxy: MakeProxy, place: int):
    """What asks to stream may come in two reads, behind more than is looked back at."""
    at = ASKS.index(b'"stream"') + place
    before = b'{"padding": "%s", ' % (b"x" * 100) + ASKS[1:at]
    body = before + ASKS[at:]
    one = await origin([whole_request])
    client = await (await proxy(one, stream=EARLY)).connect()
    client.methods.append(b"POST")
    client.send(head(b"POST /x HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % len(body)) + before)
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests) and connection.request.size == len(before), "its half")
    client.send(ASKS[at:])
    await early(client)
    assert connection.request.body == body


async def test_the_fields_of_cors_are_on_the_early_head(origin: MakeOrigin, proxy: MakeProxy):
    """Else a page could not read what comes."""
    cors = Cors(frozenset({b"http://page.test"}))
    one = await origin([whole_request])
    client = await (await proxy(one, stream=EARLY, cors=cors)).connect()
    client.ask(b"POST", CHAT, b"Origin: http://page.test", body=ASKS)
    response = await early(client)
    assert response.get(b"access-control-allow-origin") == b"http://page.test"
    assert response.get(b"vary") == b"Origin"


async def test_an_http_1_0_client_reads_a_good_answer_to_its_end(origin: MakeOrigin, proxy: MakeProxy):
    """The twin: the close is the end."""
    gate = asyncio.Event()
    one = await origin([request, gate, SSE + chunk(token("a")) + chunk(b"")])
    client = await (await proxy(one, stream=EARLY)).connect()
    client.send(head(b"GET /v1/chat/completions HTTP/1.0", b"Host: localhost", EVENT_STREAM))
    response = await early(client)
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body.replace(PING, b"") == token("a")


async def test_the_upstream_is_left_when_the_client_leaves_meanwhile(
    origin: MakeOrigin, proxy: MakeProxy, measured: Measured
):
    """D1. As without heartbeats."""
    one = await origin([whole_request])
    proxied = await proxy(one, stream=EARLY)
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=ASKS)
    await early(client)
    left_at = time.monotonic()
    client.close()
    connection = one.connections[0]
    await connection.wait_ended()
    measured(CLOSED_AFTER, connection.ended_at - left_at)
    assert connection.ended_at - left_at < 1  # the rule says 100 ms; the rest is for busy machines
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status) == ("client_closed", 200)
    assert not len(proxied.running._upstreams.sweeper)


async def test_a_103_is_not_passed_on_behind_an_early_head(origin: MakeOrigin, proxy: MakeProxy):
    """It would stand in the middle of a body."""
    interim, gate, passed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    hint = head(b"HTTP/1.1 103 Early Hints", b"Link: </x>")
    one = await origin([whole_request, interim, hint, set_event(passed), gate, SSE + chunk(DONE) + chunk(b"")])
    client = await (await proxy(one, stream=EARLY)).connect()
    client.ask(b"POST", CHAT, body=ASKS)
    response = await early(client)
    interim.set()
    await passed.wait()
    await turns()
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body.replace(PING, b"") == DONE
    assert b"103" not in client.raw


async def test_without_early_a_late_answer_is_the_upstreams(origin: MakeOrigin, proxy: MakeProxy):
    """The twin: heartbeats alone say nothing before the upstream does."""
    gate = asyncio.Event()
    one = await origin([whole_request], [whole_request, gate, counted(b"{}", status=b"429 Slow Down")])
    control_of = await proxy(one, stream=EARLY)
    control = await control_of.connect()
    control.ask(b"POST", CHAT, body=ASKS)
    beating = await early(control)
    client = await (await proxy(one, stream={**EARLY, "heartbeat": Heartbeat(OFTEN_S)})).connect()
    client.ask(b"POST", CHAT, body=ASKS)
    await beats(control, beating, 4)
    assert not client.received_bytes
    gate.set()
    assert (await client.answer()).status == 429


@pytest.mark.parametrize(
    ("preset", "found"),
    [("", "found true"), ("preset: gemini, ", "found true with the preset gemini")],
    ids=["no preset", "gemini"],
)
def test_a_configuration_refuses_it_where_clients_bear_no_comments(preset: str, found: str):
    """With the place in the file, and the reason."""
    text = f"routes: [{{{preset}path: /, upstream: 'http://a', stream: {{heartbeat: {{every: 15s, early: true}}}}}}]"
    with pytest.raises(ConfigError) as caught:
        load_text(text, "proxy.yaml", {})
    (problem,) = [str(message) for message in caught.value.messages]
    assert "stream.heartbeat.early: expected false, as early heartbeats need a `preset`" in problem
    assert found in problem


def test_a_configuration_takes_it_with_a_preset():
    """The twin."""
    text = "routes: [{preset: openai, path: /, stream: {heartbeat: {every: 15s, early: true}}}]"
    (route,) = load_text(text, "proxy.yaml", {}).routes
    assert route.stream.heartbeat is not None
    assert route.stream.heartbeat.early
