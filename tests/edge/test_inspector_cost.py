"""What a copy costs the relay, with room for a busy machine; `tests.bench --only observers` measures the whole."""

import time
from collections.abc import Callable

from proxy.core.exchange import Exchange
from proxy.edge.inspector.store import Store

EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word"}}]}\n\n'
EVENTS = 20_000
MOST_US = 10.0
SECRETS = [f"sk-secret-number-{number:010}" for number in range(5)]


def least_us(run: Callable[[], None], times: int) -> float:
    """CPU microseconds for each of `times`, the least of five runs."""
    found = []
    for _ in range(5):
        begun = time.thread_time()
        run()
        found.append(time.thread_time() - begun)
    return min(found) * 1e6 / times


def test_an_event_that_is_copied_costs_less_than_ten_microseconds_all_told() -> None:
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

    assert least_us(run, EVENTS) < MOST_US


def test_an_exchange_that_nobody_looks_at_is_kept_for_less_than_a_tenth_of_a_millisecond() -> None:
    store = Store(64 * 1024 * 1024, SECRETS, list)
    exchange = Exchange("id", time.time(), time.monotonic(), "POST", "/v1/chat/completions?a=b")

    def run() -> None:
        for _ in range(1000):
            assert store.capture(exchange) is None
            store.ended(exchange)

    assert least_us(run, 1000) < 100


def test_nothing_is_copied_unless_somebody_looks() -> None:
    """The relay then tests one attribute and calls nothing."""
    store = Store(64 * 1024 * 1024, SECRETS, list)
    exchange = Exchange("id", time.time(), time.monotonic())
    assert store.capture(exchange) is None
    assert exchange.capture is None
    assert not store.is_watched
