"""What is added up of exchanges, and how late the loop is found to be."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.loop_lag import EVERY_S, LoopLag
from proxy.edge.tally import FIRST_BYTE_S, Histogram, Tally

from .figures import exchange


@given(st.lists(st.floats(0, 1000)))
def test_a_bucket_holds_what_is_at_most_its_bound(values: list[float]) -> None:
    histogram = Histogram(FIRST_BYTE_S)
    for value in values:
        histogram.observe(value)
    *bounded, (last, all_of_them) = histogram.buckets()
    assert (last, all_of_them) == ("+Inf", len(values))
    assert [(float(bound), count) for bound, count in bounded] == [
        (bound, sum(value <= bound for value in values)) for bound in FIRST_BYTE_S
    ]
    assert histogram.sum == pytest.approx(sum(values))


def test_routes_and_upstreams_begin_with_zero() -> None:
    tally = Tally({"a": ["http://u", "http://v"], "b": ["http://u"]})
    assert list(tally.routes) == ["a", "b"]
    assert [(name, one.ended, one.failed) for name, one in tally.upstreams.items()] == [
        ("http://u", 0, 0),
        ("http://v", 0, 0),
    ]
    assert tally.routes["a"].duration.buckets()[-1] == ("+Inf", 0)


def test_an_exchange_is_counted_where_it_belongs() -> None:
    tally = Tally({"llm": ["http://up:80"]})
    tally.ended(exchange())
    tally.ended(exchange(outcome="upstream_timeout", code="connection_read_timeout", attempts=2))
    tally.ended(exchange(outcome="client_closed", status=499, first_byte_at=None, stream=""))
    route = tally.routes["llm"]
    assert dict(route.outcomes) == {
        ("complete", "2xx"): 1,
        ("upstream_timeout", "2xx"): 1,
        ("client_closed", "4xx"): 1,
    }
    assert (dict(route.codes), dict(route.streams)) == ({"connection_read_timeout": 1}, {"type": 2})
    assert (route.bytes_in, route.bytes_out, route.attempts) == (30, 3000, 4)
    assert (route.first_byte.buckets()[-1][1], route.gap.buckets()[-1][1], route.duration.buckets()[-1][1]) == (2, 2, 3)
    assert (tally.upstreams["http://up:80"].ended, tally.upstreams["http://up:80"].failed) == (3, 1)


def test_what_a_stream_told_is_added_up() -> None:
    tally = Tally({"llm": ["http://up:80"]})
    tally.ended(exchange())
    tally.ended(exchange(verdict="truncated", usage=None, first_token_at=None, events=3, heartbeats=0))
    tally.ended(exchange(dialect="", verdict=None))
    route = tally.routes["llm"]
    assert dict(route.verdicts) == {("openai-chat", "complete"): 1, ("openai-chat", "truncated"): 1}
    assert dict(route.tokens) == {"input": 5, "output": 20, "cached": 0, "reasoning": 0}
    assert (route.events, route.heartbeats) == (15, 1)
    assert (route.first_event.buckets()[-1][1], route.first_token.buckets()[-1][1]) == (2, 1)
    assert route.first_token.sum == pytest.approx(0.4)


def test_what_reached_no_route_is_counted_under_no_name() -> None:
    tally = Tally({"llm": ["http://up:80"]})
    tally.ended(exchange(route="", upstream="", status=404, outcome="refused"))
    assert dict(tally.routes[""].outcomes) == {("refused", "4xx"): 1}
    assert tally.upstreams["http://up:80"].ended == 0


async def test_a_loop_that_is_held_up_is_late() -> None:
    seen: list[float] = []
    first = asyncio.Event()

    def observe(lag: float) -> None:
        seen.append(lag)
        first.set()

    sampler = LoopLag(observe)
    await asyncio.wait_for(first.wait(), 5)
    first.clear()
    time.sleep(EVERY_S + 0.3)  # noqa: ASYNC251  # the loop is to be held up
    await asyncio.wait_for(first.wait(), 5)
    sampler.close()
    assert seen[-1] > 0.25
