"""Heartbeats: in a silent event stream, between its events and never in one, and never in what is no event stream.

What must not come is looked for beside a control: another client of the same proxy whose heart beats several times
meanwhile, so that nothing is taken for quiet because nobody waited.
"""

import asyncio
import itertools
import time

import pytest

from proxy.core.framers.sse import BOM
from proxy.core.streams import Heartbeat
from proxy.net import deadlines

from .client import Client
from .codings import COMPRESSORS, whole
from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied, settles
from .origin import Origin, pushed, request, set_event
from .responses import CHUNKED, SSE
from .streams import ANTHROPIC_PING, CHAT, DONE, OFTEN, OFTEN_S, PING, beats, ollama, served, token, turns
from .wire import Message, chunk, head

LINE = b": ping\n"
BEATING = {"heartbeat": OFTEN}
MESSAGES = b"/v1/messages"
GEMINI = b"/v1beta/models/demo:streamGenerateContent"

pytestmark = pytest.mark.usefixtures("looks_often")


async def begun(proxied: Proxied, target: bytes = CHAT, *lines: bytes) -> tuple[Client, Message]:
    """A client whose answer has begun."""
    client = await proxied.connect()
    client.ask(b"POST", target, *lines, body=b"{}")
    return client, await client.next_head()


async def test_a_silent_stream_is_kept_alive_and_goes_on(origin: MakeOrigin, proxy: MakeProxy):
    """S20. From the head on, before, between and after events; the upstream's bytes stay, and pings are counted."""
    one = await origin([request, SSE])
    proxied = await proxy(one, stream=BEATING)
    client, response = await begun(proxied)
    connection = one.connections[0]
    await beats(client, response, 2)
    for text in ("a", "b"):
        size = response.size
        connection.send(chunk(token(text)))
        body = await client.wait_body(response, size + len(token(text)))
        assert token(text) in body[size - len(PING) :]
        await beats(client, response, 2)
    connection.send(chunk(DONE) + chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert response.body.replace(PING, b"") == token("a") + token("b") + DONE
    assert all(one in (PING, token("a"), token("b"), DONE) for one in response.chunks)
    exchange = await proxied.ended()
    pings = response.body.count(PING)
    assert (exchange.heartbeats, exchange.events, exchange.bytes_out) == (pings, 3, response.size)


async def test_the_cadence_is_that_of_the_route(origin: MakeOrigin, proxy: MakeProxy):
    """The first one after that much silence, never sooner, and then one each time."""
    every_s = 0.1
    one = await origin([request, SSE])
    proxied = await proxy(one, stream={"heartbeat": Heartbeat(every_s)})
    client, response = await begun(proxied)
    sent_at = time.monotonic()
    one.connections[0].send(chunk(token("a")))
    await client.wait_body(response, len(token("a")) + 4 * len(PING))
    moments = [at for at, piece in response.pieces if piece == PING]
    assert len(moments) >= 4
    assert moments[0] - sent_at >= every_s
    gaps = [later - sooner for sooner, later in itertools.pairwise(moments)]
    assert min(gaps) > every_s * 0.8  # of the sender's clock it is the whole; a reader may be late with the first
    assert sorted(gaps)[len(gaps) // 2] < every_s * 3


async def test_a_stream_that_talks_gets_none(origin: MakeOrigin, proxy: MakeProxy):
    """Any byte of the upstream is a sign of life, a comment of its own too."""
    one = await origin([request, SSE])
    proxied = await proxy(one, stream={"heartbeat": Heartbeat(1.0)})
    client, response = await begun(proxied)
    sent = 0
    started = time.monotonic()
    while time.monotonic() - started < 1.5:
        one.connections[0].send(chunk(b": mine\n\n"))
        sent += len(b": mine\n\n")
        await client.wait_body(response, sent)
        await asyncio.sleep(0.02)
    assert response.body == b": mine\n\n" * (sent // len(b": mine\n\n"))


NO_PLACE = {
    "inside a line": b"data: {",
    "inside an event": b"data: {}\n",
    "inside a field's name": b"da",
    "inside a comment": b": com",
    "behind a lone CR": b"data: {}\r",
    "behind CRLF and a lone CR": b"data: {}\r\n\r",
    "behind an event of lone CRs": b"data: {}\r\r",
    "inside a character": "data: 流".encode()[:-1],
    "inside a byte order mark": b"\xef\xbb",
}
REST = {
    "inside a line": b"}\n\n",
    "inside an event": b"\n",
    "inside a field's name": b"ta: {}\n\n",
    "inside a comment": b"ment\n\n",
    "behind a lone CR": b"\n\r\n",
    "behind CRLF and a lone CR": b"\n",
    "behind an event of lone CRs": b"data: {}\n\n",
    "inside a character": "data: 流\n\n".encode()[8:],
    "inside a byte order mark": b"\xbfdata: {}\n\n",
}


async def with_control(
    one: Origin, proxied: Proxied, target: bytes, *lines: bytes
) -> tuple[Client, Message, Client, Message]:
    """A client of the origin's second connection, and the control, which is on the first."""
    control, beating = await begun(proxied)
    client, response = await begun(proxied, target, *lines)
    return client, response, control, beating


@pytest.mark.parametrize("place", NO_PLACE)
async def test_none_comes_where_an_event_is_open(origin: MakeOrigin, proxy: MakeProxy, place: str):
    """S20, S21. However long the upstream is silent there; and again as soon as the event is over."""
    one = await origin([request, SSE], [request, SSE])
    client, response, control, beating = await with_control(one, await proxy(one, stream=BEATING), CHAT)
    one.connections[1].send(chunk(NO_PLACE[place]))
    await client.until(lambda: response.body.endswith(NO_PLACE[place]), "the half")
    half = response.body
    await beats(control, beating, 5)
    assert response.body == half
    one.connections[1].send(chunk(REST[place]))
    await client.wait_body(response, len(half) + len(REST[place]))
    await beats(client, response, 2)
    assert response.body.startswith(half + REST[place])


async def test_an_event_that_is_held_back_leaves_a_place(origin: MakeOrigin, proxy: MakeProxy):
    """With `deliver: events` the half of an event is with us, and the client's stream is at a boundary."""
    one = await origin([request, SSE])
    client, response = await begun(await proxy(one, stream={**BEATING, "whole": True}))
    one.connections[0].send(chunk(token("a")[:9]))
    await turns()
    await beats(client, response, 3)
    one.connections[0].send(chunk(token("a")[9:]))
    await client.until(lambda: token("a") in response.body, "the event, whole")
    assert response.body.replace(PING, b"") == token("a")


NEVER: dict[str, tuple[bytes, bytes, bytes, dict[str, object]]] = {
    "NDJSON": (b"/api/chat", CHUNKED.replace(b"json", b"x-ndjson"), ollama("a"), {}),
    "JSON": (CHAT, CHUNKED, b"{}", {}),
    "a growing array": (GEMINI, CHUNKED, b'[{"candidates": []}\n', {"family": "gemini"}),
    "Gemini's events": (GEMINI, SSE, b'data: {"candidates": []}\n\n', {"family": "gemini"}),
    "AWS messages": (CHAT, CHUNKED.replace(b"json", b"vnd.amazon.eventstream"), b"", {}),
    "a counted stream": (CHAT, SSE.replace(b"Transfer-Encoding: chunked", b"Content-Length: 999"), token("a"), {}),
    "no-transform": (CHAT, SSE.replace(b"Transfer", b"Cache-Control: no-transform\r\nTransfer"), token("a"), {}),
    "a digest": (CHAT, SSE.replace(b"Transfer", b"Content-Digest: sha-256=:x:\r\nTransfer"), token("a"), {}),
    "another coding": (CHAT, SSE.replace(b"Transfer", b"Content-Encoding: compress\r\nTransfer"), b"xx", {}),
    "passed as gzip": (CHAT, SSE.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer"), b"", {"decode": False}),
    "an error": (CHAT, SSE.replace(b"200 OK", b"429 Slow Down"), token("a"), {}),
    "a part": (CHAT, SSE.replace(b"200 OK", b"206 Partial Content"), token("a"), {}),
    "classify: never": (CHAT, SSE, token("a"), {"classify": "never"}),
    "after [DONE]": (CHAT, SSE, token("a") + DONE, {}),
    "after message_stop": (MESSAGES, SSE, b'event: message_stop\ndata: {"type":"message_stop"}\n\n', {}),
    "after an error": (CHAT, SSE, b'data: {"error": {"message": "no"}}\n\n', {}),
}


@pytest.mark.parametrize("case", NEVER)
async def test_none_comes_in_what_bears_none(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """S20. Not one beside the five of the control, with the same setting."""
    target, start, body, policy = NEVER[case]
    if case == "passed as gzip":
        body = whole("gzip", token("a"))
    counted = b"Content-Length" in start
    one = await origin([request, SSE], [request, start + (body if counted else chunk(body) if body else b"")])
    control_of = await proxy(one, stream=BEATING)
    control, beating = await begun(control_of)
    await beats(control, beating, 1)
    client, response = await begun(await proxy(one, stream={**BEATING, **policy}), target)
    await client.wait_body(response, len(body))
    await beats(control, beating, 5)
    assert response.body == body


async def test_what_is_decoded_beats(origin: MakeOrigin, proxy: MakeProxy):
    """The twin of what passes as gzip: what leaves is an event stream."""
    coding, make = COMPRESSORS["gzip"]
    compressor = make()
    start = SSE.replace(b"Transfer", b"Content-Encoding: " + coding + b"\r\nTransfer")
    one = await origin([request, start])
    client, response = await begun(await proxy(one, stream=BEATING))
    await beats(client, response, 1)
    one.connections[0].send(chunk(compressor.piece(token("a"))))
    await client.until(lambda: token("a") in response.body, "the event")
    await beats(client, response, 2)


ID = b"id: 1\ndata: {}\n\n"
FORMS = {
    "auto": ("auto", token("a"), PING),
    "auto, with an id": ("auto", ID, LINE),
    "auto, with a word like id": ("auto", b"data: id: 1\n\n", PING),
    "block": ("block", ID, PING),
    "line": ("line", token("a"), LINE),
}


@pytest.mark.parametrize("case", FORMS)
async def test_the_form_of_a_comment(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """`auto` is a block until an event had an id: then some SDKs take an empty line for an event."""
    form, event, beat = FORMS[case]
    one = await origin([request, SSE + chunk(event)])
    client, response = await begun(await proxy(one, stream={"heartbeat": Heartbeat(OFTEN_S, form)}), b"/events")
    await client.wait_body(response, len(event))
    await client.wait_body(response, len(event) + 3 * len(beat))
    assert response.body[len(event) :][: 3 * len(beat)] == beat * 3


@pytest.mark.parametrize("by", ["preset", "path"])
async def test_anthropic_has_a_ping_of_its_own(origin: MakeOrigin, proxy: MakeProxy, by: str):
    """S20. Also before the first event, where its SDKs know it; the form of comments does not matter then."""
    one = await origin([request, SSE])
    family = "anthropic" if by == "preset" else None
    target = b"/proxied" if by == "preset" else MESSAGES
    client, response = await begun(await proxy(one, stream={**BEATING, "family": family}), target)
    await beats(client, response, 2, ANTHROPIC_PING)


async def test_none_comes_while_the_client_is_stalled(origin: MakeOrigin, proxy: MakeProxy):
    """What it does not take is not made more; it goes on when all was taken."""
    event = b"data: %s\n\n" % (b"x" * 60_000)
    sent = asyncio.Event()
    one = await origin([request, SSE], [request, SSE, pushed(chunk(event), 300), set_event(sent)], kept=False)
    proxied = await proxy(one, stream=BEATING)
    control, beating = await begun(proxied)
    client = await proxied.connect(receive_buffer=8192)
    client.get(CHAT)
    response = await client.next_head()
    client.pause()
    await one.connections[1].until(lambda: one.connections[1].writing_paused, "back-pressure")
    (stalled,) = [one for one in served(proxied) if one.connection.writing_paused]
    transport = stalled.connection.transport
    assert transport is not None
    held = transport.get_write_buffer_size()
    await beats(control, beating, 5)
    assert transport.get_write_buffer_size() == held
    client.resume()
    async with asyncio.timeout(20):
        await sent.wait()
    await client.wait_body(response, 300 * len(event) + len(PING), 20)
    assert response.body.replace(PING, b"") == event * 300
    assert response.body.startswith(event * 200)  # none where it was behind


async def test_heartbeats_are_no_sign_of_the_upstreams_life(origin: MakeOrigin, proxy: MakeProxy):
    """`timeouts.idle` passes as if there were none."""
    one = await origin([request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=BEATING, timeouts={"idle": 0.4})
    client, response = await begun(proxied)
    assert await client.wait_body_end(response) == "fin"
    assert response.body.startswith(token("a") + PING)
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("upstream_timeout", "connection_read_timeout")
    assert exchange.heartbeats >= 3
    assert exchange.max_gap >= 0.4


async def test_a_route_without_them_has_nobody_who_looks(origin: MakeOrigin, proxy: MakeProxy):
    """They cost nothing where there are none, and nothing after their stream."""
    one = await origin([request, SSE], [request, SSE])
    plain, beating = await proxy(one), await proxy(one, stream=BEATING)
    watched = []
    for proxied in (plain, beating):
        client, _ = await begun(proxied)
        await turns()
        sweeper = proxied.running._upstreams.sweeper
        watched.append(len(sweeper))
        client.close()
        await proxied.ended()
        assert not len(sweeper)
    assert watched == [1, 2]  # the deadlines, and with heartbeats a pulse


async def test_an_http_1_0_client_gets_them(origin: MakeOrigin, proxy: MakeProxy):
    """Its answer ends with the connection; the bytes between are the same."""
    one = await origin([request, SSE + chunk(token("a"))])
    client = await (await proxy(one, stream=BEATING)).connect()
    client.send(head(b"GET /v1/chat/completions HTTP/1.0", b"Host: localhost"))
    response = await client.next_head()
    await client.wait_body(response, len(token("a")))
    await beats(client, response, 2)
    assert response.framing == "close"


@pytest.mark.parametrize("alone", [False, True])
async def test_a_byte_order_mark_behind_a_heartbeat_is_left_out(origin: MakeOrigin, proxy: MakeProxy, alone: bool):
    """S20. There it would be a part of the first field's name; alone in its chunk it must not become an empty one."""
    one = await origin([request, SSE])
    client, response = await begun(await proxy(one, stream=BEATING))
    await beats(client, response, 1)
    connection = one.connections[0]
    if alone:
        size = response.size
        connection.send(chunk(BOM))
        await beats(client, response, 1)
        assert response.body[size:].replace(PING, b"") == b""
        connection.send(chunk(token("a")))
    else:
        connection.send(chunk(BOM + token("a")))
    connection.send(chunk(DONE) + chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert response.body.replace(PING, b"") == token("a") + DONE
    assert client.fault is None


async def test_hearts_go_on_beating_when_many_leave_at_once(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """S20, D1. A client can be gone already when its heart would beat: it costs the others nothing, not even a line."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.001)
    one = await origin([request, SSE])
    proxied = await proxy(one, stream={"heartbeat": Heartbeat(0.001)})
    staying, stays = await begun(proxied)
    for _ in range(3):
        leaving = [await begun(proxied) for _ in range(100)]
        for client, response in leaving:
            await client.wait_body(response, len(PING))
        for client, _ in leaving:
            client.reset()
        await beats(staying, stays, 3)
    assert await settles(lambda: proxied.running.open_exchanges == 1)
