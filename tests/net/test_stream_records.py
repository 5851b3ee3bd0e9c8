"""What an exchange knows of its stream at its end: moments, counts, who was waited for, what it cost."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from proxy.core import exchange as exchanges
from tests.cli.command import Command

from .conftest import MakeOrigin, MakeProxy
from .origin import Origin, fin, pushed, request, whole_request
from .responses import CHUNKED, SSE
from .streams import CHAT, DONE, data, served, token, turns, usage
from .waiting import LOOP_CLOCK_S
from .wire import chunk

ROLE = data({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant"}}]})
OPENAI = {"family": "openai"}


async def test_each_moment_is_its_own(origin: MakeOrigin, proxy: MakeProxy):
    """Head, first byte, first event, first token, last byte: in that order, with gates between them."""
    one = await origin([whole_request, SSE])
    proxied = await proxy(one, stream=OPENAI)
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=b"{}")
    response = await client.next_head()
    connection = one.connections[0]
    moments = [time.monotonic()]
    for sent in (b": hello\n\n", ROLE, token("a"), token("b"), usage(10, 30) + DONE):
        size = response.size
        connection.send(chunk(sent))
        await client.wait_body(response, size + len(sent))
        moments.append(time.monotonic())
        await asyncio.sleep(0.02)  # apart, so that none can be taken for another
    connection.send(chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    ended = await proxied.ended()
    assert ended.head_at is not None
    assert ended.last_byte_at is not None
    assert ended.head_at <= moments[0]
    seen = [ended.first_byte_at, ended.first_event_at, ended.first_token_at]
    for at, before, after in zip(seen, moments, moments[1:], strict=False):
        assert at is not None
        assert before <= at <= after
    assert (ended.dialect, ended.verdict, ended.events) == ("openai-chat", "complete", 5)
    assert ended.usage is not None
    assert (ended.usage.input, ended.usage.output, ended.usage.total) == (10, 30, 40)
    assert ended.tokens_per_s == pytest.approx(30 / (ended.last_byte_at - (ended.first_token_at or 0)))
    assert 0.02 - LOOP_CLOCK_S <= ended.max_gap < 1
    assert (ended.stalled_on, ended.limited, ended.oversized, ended.heartbeats) == (None, False, False, 0)


async def test_what_is_no_stream_has_none_of_it(origin: MakeOrigin, proxy: MakeProxy):
    """The twin: unknown is None, and not nought."""
    one = await origin([request, CHUNKED + chunk(b"{}") + chunk(b"")])
    proxied = await proxy(one, stream=OPENAI)
    await (await proxied.connect()).ask_for_answer()
    ended = await proxied.ended()
    assert (ended.dialect, ended.verdict, ended.usage, ended.tokens_per_s) == ("", None, None, None)
    assert (ended.first_event_at, ended.first_token_at, ended.events) == (None, None, 0)
    assert ended.first_byte_at is not None


@pytest.mark.parametrize("policy", [{}, {"whole": True}, {"error_event": True}], ids=["plain", "events", "exact"])
async def test_thousands_of_events_are_counted_however_they_come(
    origin: MakeOrigin, proxy: MakeProxy, policy: dict[str, object]
):
    """Also where the watch gathers before it reads, and where events are cut between reads."""
    text = b"".join([token(f"{number}") for number in range(3000)]) + usage(1, 3000) + DONE
    pieces = [text[at : at + 1237] for at in range(0, len(text), 1237)]
    one = await origin([request, SSE + chunk(pieces[0]), *[chunk(piece) for piece in pieces[1:]], chunk(b"")])
    proxied = await proxy(one, stream={**OPENAI, **policy})
    response = await (await proxied.connect()).ask_for_answer(CHAT)
    assert response.body == text
    ended = await proxied.ended()
    assert (ended.events, ended.verdict) == (3002, "complete")
    assert ended.usage is not None
    assert ended.usage.output == 3000


async def test_a_silent_upstream_is_whom_one_waited_for(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """Between two events."""
    monkeypatch.setattr(exchanges, "STALL_S", 0.1)
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(token("a")), gate, chunk(DONE) + chunk(b"")])
    proxied = await proxy(one, stream=OPENAI)
    client = await proxied.connect()
    client.get(CHAT)
    response = await client.next_head()
    await client.stays_quiet(0.2)
    gate.set()
    await client.wait_body_end(response)
    ended = await proxied.ended()
    assert (ended.stalled_on, ended.max_stall) == ("upstream", 0)
    assert ended.max_gap >= 0.15


@pytest.mark.parametrize("leaves", [False, True], ids=["reads on", "leaves"])
async def test_a_client_that_reads_nothing_is_whom_one_waited_for(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, leaves: bool
):
    """The upstream's silence meanwhile is not its own; also where the client leaves in the middle of it."""
    monkeypatch.setattr(exchanges, "STALL_S", 0.1)
    event = token("x" * 60_000)
    one = await origin([request, SSE, pushed(chunk(event), 400), chunk(DONE) + chunk(b"")], kept=False)
    proxied = await proxy(one, stream=OPENAI)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get(CHAT)
    response = await client.next_head()
    client.pause()
    connection = one.connections[0]
    await connection.until(lambda: connection.writing_paused, "back-pressure")
    (held_for,) = served(proxied)
    assert held_for.connection.writing_paused
    await asyncio.sleep(0.3)
    if leaves:
        client.reset()
    else:
        client.resume()
        assert await client.wait_body_end(response, 20) == "complete"
    ended = await proxied.ended()
    assert ended.stalled_on == "client"
    assert ended.max_stall > 0.25
    assert ended.max_gap < 0.25


async def test_a_client_that_stalls_to_the_deadline(origin: MakeOrigin, proxy: MakeProxy):
    """Its outcome says it, however short the wait."""
    one = await origin([request, SSE, pushed(chunk(token("x" * 60_000)), 400)], kept=False)
    proxied = await proxy(one, stream=OPENAI, timeouts={"client_write": 0.2})
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get(CHAT)
    await client.next_head()
    client.pause()
    ended = await proxied.ended()
    assert (ended.outcome, ended.stalled_on, ended.verdict) == ("client_stalled", "client", "unknown")
    assert ended.max_stall > 0.15


VERDICTS = {
    "complete": (token("a") + DONE, chunk(b""), "complete", "complete"),
    "failed": (data({"error": {"message": "no"}}), chunk(b""), "complete", "failed"),
    "truncated": (token("a"), chunk(b""), "complete", "truncated"),
    "cut": (token("a"), fin, "upstream_aborted", "truncated"),
    "cut behind its end": (token("a") + DONE, fin, "upstream_aborted", "complete"),
}


@pytest.mark.parametrize("case", VERDICTS)
async def test_the_verdict_is_the_dialects_and_the_outcome_is_the_wires(
    origin: MakeOrigin, proxy: MakeProxy, case: str
):
    """O12. Neither says the other."""
    sent, ending, outcome, verdict = VERDICTS[case]
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(sent), gate, ending])
    proxied = await proxy(one, stream=OPENAI)
    client = await proxied.connect()
    client.get(CHAT)
    response = await client.next_head()
    await client.wait_body(response, len(sent))
    gate.set()
    await client.wait_body_end(response)
    ended = await proxied.ended()
    assert (ended.outcome, ended.verdict) == (outcome, verdict)


async def test_a_client_that_leaves_tells_nothing_of_the_answer(origin: MakeOrigin, proxy: MakeProxy):
    """`unknown`, though no end was seen: nobody waited for it."""
    one = await origin([request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=OPENAI)
    client = await proxied.connect()
    client.get(CHAT)
    await client.wait_body(await client.next_head(), len(token("a")))
    client.close()
    ended = await proxied.ended()
    assert (ended.outcome, ended.verdict, ended.events) == ("client_closed", "unknown", 1)


async def test_the_log_of_a_running_program_says_all_of_it(origin: MakeOrigin, tmp_path: Path):
    """With heartbeats, whole events and lines of JSON: one line, read as a collector would."""
    one = await origin([whole_request, SSE])
    config = tmp_path / "proxy.yaml"
    config.write_text(
        "listen: 127.0.0.1:0\n"
        "routes:\n"
        "  - name: chat\n"
        "    path: /\n"
        f"    upstream: http://127.0.0.1:{one.port}\n"
        "    preset: openai\n"
        "    stream: {deliver: events, heartbeat: 200ms}\n"
    )
    command = Command(tmp_path, ("serve", "-c", str(config), "--log", "json", "--admin", "off"), {})
    try:
        port = int((await command.wait_url()).rpartition(":")[2])
        await _streamed_with_a_silence(one, port)
        (line,) = await command.wait_lines("outcome", 1)
    finally:
        command.end()
    told = json.loads(line)
    expected = {
        "route": "chat",
        "outcome": "complete",
        "status": 200,
        "stream": "type",
        "dialect": "openai-chat",
        "verdict": "complete",
        "events": 3,
        "input_tokens": 10,
        "output_tokens": 30,
        "read_on": None,
        "oversized": None,
        "limited": None,
        "stalled_on": None,
    }
    assert {name: told[name] for name in expected} == expected
    assert told["heartbeats"] >= 1
    assert told["tokens_per_s"] > 0
    assert 0 < told["head_ms"] < told["ttfb_ms"] <= told["first_event_ms"] <= told["first_token_ms"]
    assert told["first_token_ms"] <= told["duration_ms"]


async def _streamed_with_a_silence(one: Origin, port: int) -> None:
    """A stream through the program on that port: a heartbeat, a token, the usage and the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
    async with asyncio.timeout(20):
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b": ping\n\n")
        connection = one.connections[0]
        connection.send(chunk(token("a")))
        await reader.readuntil(token("a"))
        await turns()
        connection.send(chunk(usage(10, 30) + DONE) + chunk(b""))
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        await writer.wait_closed()
