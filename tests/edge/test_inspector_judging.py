"""What the doctor's rules say of captured exchanges: grammar while they run, timing when they are over."""

import asyncio
import gzip
import time
from typing import Any

import pytest

from proxy.core.exchange import Exchange
from proxy.core.message import Peer, field, request_head, response_head
from proxy.edge.inspector import judging
from proxy.edge.inspector.captured import Budget, Captured
from proxy.edge.inspector.masking import masker_of
from proxy.edge.inspector.reading import Reading
from proxy.edge.inspector.record import summarised
from tests.net.conftest import MakeOrigin
from tests.net.origin import Step, fin, request
from tests.net.responses import SSE, counted
from tests.net.wire import chunk, head

from .inspector_world import inspected


def pause(seconds: float) -> Step:
    """Waits: moments are what is judged here."""

    async def wait(connection: object) -> None:
        await asyncio.sleep(seconds)

    return wait


EVENTS = b"".join(b'data: {"n": %d}\n\n' % number for number in range(8))
ONE_BY_ONE = [step for number in range(4) for step in (chunk(b"data: %d\n\n" % number), pause(0.02))]
LONG_EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
CODED = head(
    b"HTTP/1.1 200 OK",
    b"Content-Type: text/event-stream",
    b"Content-Encoding: gzip",
    b"Cache-Control: no-transform",
    b"Transfer-Encoding: chunked",
)
PLAIN = head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain", b"Transfer-Encoding: chunked")
JSON = (b"Content-Type: application/json",)


@pytest.mark.parametrize(
    ("script", "kinds"),
    [
        ([SSE, chunk(b'data: {"a": 1}\ndata: {"a": 2}\n\n'), chunk(b"")], ["sse-single-newline"]),
        ([SSE, chunk(b"data: 1\n\ndata: 2\n"), chunk(b"")], ["sse-last-event-lost"]),
        ([SSE, chunk(b"\xef\xbb\xbfdata: 1\n\n"), chunk(b"")], ["sse-bom"]),
        ([pause(1.05), SSE, chunk(EVENTS), chunk(b"")], ["buffered", "head-held"]),
        ([CODED, chunk(gzip.compress(EVENTS)), chunk(b"")], ["compressed"]),
        ([SSE, chunk(b"data: 1\n\n"), fin], ["broken-off"]),
        ([PLAIN, *ONE_BY_ONE, chunk(b"")], ["wrong-media-type"]),
        ([SSE, *ONE_BY_ONE, chunk(b"")], []),
        ([counted(b'{"choices": []}', *JSON)], []),
        ([counted(b"<!doctype html><p>hello", b"Content-Type: text/html")], []),
        ([counted(b"{}", *JSON, status=b"500 Oops")], []),
    ],
)
async def test_an_answer_is_judged_by_what_came_and_when(
    origin: MakeOrigin, script: list[Any], kinds: list[str]
) -> None:
    """Failure twins: a stream that flows, and answers that nobody asked to be streams."""
    one = await origin([request, *script])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        await it.world.proxied.ended()
        found = (await it.get("/api/exchanges/1"))["faults"]
    assert [fault["kind"] for fault in found] == kinds
    assert all(fault["says"] and fault["severity"] in ("fault", "warning", "note") for fault in found)
    assert "--direct" not in str([fault["mend"] for fault in found])


async def test_while_a_stream_goes_on_only_what_cannot_be_taken_back_is_said(origin: MakeOrigin) -> None:
    gate = asyncio.Event()
    script = [request, SSE, chunk(b'data: {"a": 1}\ndata: {"a": 2}\n\n'), gate, chunk(b"data: 3\n"), chunk(b"")]
    one = await origin(script)
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        await listener.exchange(lambda one: one["pieces"] == 1, "the first piece")
        assert kinds_of(await it.get("/api/exchanges/1")) == ["sse-single-newline"]
        gate.set()
        await it.world.proxied.ended()
        assert kinds_of(await it.get("/api/exchanges/1")) == ["sse-single-newline", "sse-last-event-lost"]


def kinds_of(document: Any) -> list[str]:
    return [fault["kind"] for fault in document["faults"]]


def long_answer(size: int) -> tuple[Captured, dict[str, Any]]:
    """A whole stream of that many bytes, as it is captured."""
    exchange = Exchange("id", time.time(), time.monotonic())
    exchange.ended = time.monotonic()
    captured = Captured(Budget(64 * 1024 * 1024), *masker_of([]), late=False)
    captured.asked(request_head(b"GET", b"/", (1, 1), (), Peer("127.0.0.1", False)), b"GET / HTTP/1.1\r\n\r\n", None)
    captured.answered(response_head(200, b"OK", (1, 1), (field(b"Content-Type", b"text/event-stream"),)), b"")
    while size > 0:
        captured.passed(LONG_EVENT * 8, time.monotonic())
        size -= 8 * len(LONG_EVENT)
    captured.passed(b"data: lost\n", time.monotonic())
    captured.drain()
    return captured, summarised(exchange, masker_of([])[0])


def test_what_is_too_long_to_be_judged_in_a_moment_is_not_judged() -> None:
    captured, summary = long_answer(judging.JUDGED_BYTES // 2)
    assert judging.observed(captured, summary) is not None
    captured, summary = long_answer(2 * judging.JUDGED_BYTES)
    assert judging.observed(captured, summary) is None


async def test_what_is_relayed_goes_on_while_the_longest_is_judged() -> None:
    """A turn of the loop is late by a few times the five milliseconds after which threads take turns."""
    captured, summary = long_answer(judging.JUDGED_BYTES - 16 * len(LONG_EVENT))
    late = []

    async def tick() -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.001)
            late.append(time.monotonic() - begun)

    ticking = asyncio.create_task(tick())
    reading = Reading(captured)
    await reading.judge(summary)
    ticking.cancel()
    assert [fault["kind"] for fault in reading.faults] == ["sse-last-event-lost"]
    assert sorted(late)[len(late) // 2] < 0.02, late
    assert len(late) > 3


@pytest.mark.parametrize("lacks", ["response", "asked", "whole"])
def test_nothing_is_said_of_what_was_not_seen_from_its_beginning(lacks: str) -> None:
    captured, summary = long_answer(1000)
    match lacks:
        case "response":
            captured.response = None
        case "asked":
            captured.marks = captured.marks[1:]
        case _:
            captured.late = True
    assert judging.observed(captured, summary) is None
