"""What the inspector costs: calls for each event, counted, and time beside that of plain calls.

`python -m tests.bench --only observers` measures the whole.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest

from proxy.core.exchange import Exchange
from proxy.edge.inspector import store as stores
from proxy.edge.inspector.store import Store
from tests.net.conftest import MakeOrigin
from tests.net.origin import Connection, whole_request
from tests.net.responses import OK, SSE
from tests.net.wire import chunk

from .inspector_world import inspected

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
EVENTS = 20_000
MOST_PLAIN_CALLS = 100
"""What copying, keeping and looking at an event may take at most, in plain calls: 15 to 30 when this was written."""
MOST_CALLS = 20.0
"""Calls into the inspector for each event that is copied, kept and looked at: 17 when this was written."""
FEW, MANY = 50, 250
SECRETS = [f"sk-secret-number-{number:010}" for number in range(5)]


class Calls:
    """How often code of the inspector, or of the tap, was entered."""

    def __init__(self) -> None:
        self.count = 0

    def see(self, frame: FrameType, event: str, argument: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and ("/edge/inspector/" in name or name.endswith("/net/tap.py")):
            self.count += 1


@contextmanager
def counted_calls() -> Iterator[Calls]:
    calls = Calls()
    sys.setprofile(calls.see)
    try:
        yield calls
    finally:
        sys.setprofile(None)


async def calls_of_a_stream(origin: MakeOrigin, events: int, is_open: bool) -> int:
    """Calls for one stream of so many events, each sent when the client has the one before."""
    got = asyncio.Event()

    async def stream(connection: Connection) -> None:
        for _ in range(events):
            got.clear()
            connection.send(chunk(EVENT))
            await got.wait()

    one = await origin([whole_request, SSE, stream, chunk(b"")])
    async with inspected(one) as it:
        store = it.world.proxied.running._store
        assert store is not None
        client = await it.world.proxied.connect()
        watching = store.watch() if is_open else None
        if watching is not None:
            watching.__enter__()
        with counted_calls() as calls:
            client.get(b"/n/x")
            message = await client.next_head()
            for number in range(1, events + 1):
                await client.wait_body(message, number * len(EVENT))
                if is_open and number % 2 == 0:
                    store.look()  # as twenty times a second with forty events
                got.set()
            await it.world.proxied.ended()
        if watching is not None:
            watching.__exit__(None, None, None)
        return calls.count


async def test_a_closed_page_costs_an_event_nothing(origin: MakeOrigin) -> None:
    """Not one call: a stream of many events makes as many as one of few."""
    assert await calls_of_a_stream(origin, MANY, is_open=False) == await calls_of_a_stream(origin, FEW, is_open=False)


async def test_an_open_page_costs_an_event_a_few_calls(origin: MakeOrigin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted, as clocks of busy machines are no gate: what the relay calls, and what is done with it later."""
    monkeypatch.setattr(stores, "TICK_S", 3600)
    many = await calls_of_a_stream(origin, MANY, is_open=True)
    few = await calls_of_a_stream(origin, FEW, is_open=True)
    for_each = (many - few) / (MANY - FEW)
    assert 1 < for_each <= MOST_CALLS


async def test_an_exchange_that_nobody_looks_at_costs_a_few_calls(origin: MakeOrigin) -> None:
    one = await origin([step for _ in range(3) for step in (whole_request, OK)])
    async with inspected(one) as it:
        client = await it.world.proxied.connect()
        await client.ask_for_answer(b"/n/x")
        await it.world.proxied.ended(1)
        with counted_calls() as calls:
            await client.ask_for_answer(b"/n/x")
            await it.world.proxied.ended(2)
    assert 1 < calls.count <= 40


def least_s(run: Callable[[], None]) -> float:
    """CPU seconds, the least of five runs."""
    found = []
    for _ in range(5):
        begun = time.thread_time()
        run()
        found.append(time.thread_time() - begun)
    return min(found)


def plain_calls(run: Callable[[], None]) -> float:
    """How many calls that do nothing take as long: a slow or busy machine is slow at these too."""

    def nothing(event: bytes, at: float) -> None:
        pass

    def calls() -> None:
        for _ in range(EVENTS):
            nothing(EVENT, time.monotonic())

    return least_s(run) / least_s(calls) * EVENTS


def test_an_event_that_is_copied_costs_no_more_than_some_plain_calls_all_told() -> None:
    """What the relay calls and what the store does with it later, at twenty looks a second and forty events."""
    store = Store(64 * 1024 * 1024, SECRETS, list)

    def run() -> None:
        exchange = Exchange("id", time.time(), time.monotonic())
        captured = store._copied(store._add(exchange), late=False)
        for number in range(EVENTS):
            captured.passed(EVENT, time.monotonic())
            if number % 2:
                captured.drain()
        store.ended(exchange)

    assert plain_calls(run) / EVENTS < MOST_PLAIN_CALLS


def test_an_exchange_that_nobody_looks_at_is_kept_for_no_more_than_some_plain_calls() -> None:
    store = Store(64 * 1024 * 1024, SECRETS, list)
    exchange = Exchange("id", time.time(), time.monotonic(), "POST", "/v1/chat/completions?a=b")

    def run() -> None:
        for _ in range(1000):
            assert store.capture(exchange) is None
            store.ended(exchange)

    assert plain_calls(run) / 1000 < 10 * MOST_PLAIN_CALLS


def test_nothing_is_copied_unless_somebody_looks() -> None:
    """The relay then tests one attribute and calls nothing."""
    store = Store(64 * 1024 * 1024, SECRETS, list)
    exchange = Exchange("id", time.time(), time.monotonic())
    assert store.capture(exchange) is None
    assert exchange.capture is None
    assert not store.is_watched
