"""When tokens arrive, and what happens when the connection ends early."""

import asyncio
import contextlib
from itertools import pairwise
from statistics import median

import aiohttp
import pytest
from aiohttp import web

from proxy.demo import upstream
from proxy.demo.run import Demo

from .conftest import WAIT_LIMIT_S, Receive, Received, WaitState

CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


def gaps(received: Received) -> list[float]:
    """The seconds between one arrival and the next; a busy machine may change some of them."""
    return [later - earlier for earlier, later in pairwise(received.times)]


async def test_tokens_arrive_evenly_at_the_pace_that_was_asked_for(demo: Demo, receive: Receive) -> None:
    url = f"{demo.upstream_url}/api/generate?tokens=31"
    received = await receive(url, {"prompt": "hello"}, {"x-demo-pace": "20"})
    duration = received.times[-1]
    assert len(received.arrivals) >= 28  # two may come together on a busy machine, most must not
    assert 0.04 < median(gaps(received)) < 0.06
    assert 1.45 < duration < 2.5
    assert duration - received.times[0] >= 0.6 * duration


async def test_the_pace_is_twenty_tokens_a_second_unless_told(demo: Demo, receive: Receive) -> None:
    received = await receive(f"{demo.upstream_url}/feed?tokens=31")
    assert received.times[-1] > 1.45
    assert 0.04 < median(gaps(received)) < 0.06


async def test_pace_nought_does_not_wait(demo: Demo, receive: Receive) -> None:
    received = await receive(f"{demo.upstream_url}/feed?pace=0&tokens=2000")
    assert received.body.count(b"event: token") == 2000
    assert received.times[-1] < 5


async def test_the_query_wins_over_the_header(demo: Demo, receive: Receive) -> None:
    received = await receive(f"{demo.upstream_url}/feed?tokens=2", headers={"x-demo-tokens": "9", "x-demo-pace": "0"})
    assert received.body.count(b"event: token") == 2


async def test_the_head_does_not_wait_for_the_first_token(demo: Demo, receive: Receive) -> None:
    url = f"{demo.upstream_url}/api/generate?tokens=2&pace=0"
    received = await receive(url, {"prompt": "hello"}, {"x-demo-first": "0.4"})
    assert received.head_at < 0.3
    assert received.times[0] >= 0.39


async def test_a_whole_answer_takes_the_time_of_its_tokens(demo: Demo, receive: Receive) -> None:
    url = f"{demo.upstream_url}/v1/chat/completions?pace=50&tokens=21"
    received = await receive(url, {**CHAT, "stream": False})
    assert received.head_at >= 0.39


async def test_a_failing_answer_breaks_off_after_its_tokens_without_an_end(
    demo: Demo, receive: Receive, wait_state: WaitState
) -> None:
    url = f"{demo.upstream_url}/v1/chat/completions?pace=100"
    received = await receive(url, CHAT, {"x-demo-fail": "after=5"})
    assert received.status == 200
    assert not received.is_whole
    assert sum(1 for document in received.documents() if document["choices"][0]["delta"].get("content")) == 5
    assert b"[DONE]" not in received.body
    assert await wait_state(lambda state: state["generating"] == 0) == {"generating": 0, "cancelled": 1, "completed": 0}


async def test_a_failing_whole_answer_is_no_answer(demo: Demo, receive: Receive) -> None:
    url = f"{demo.upstream_url}/v1/chat/completions?pace=0&fail=after=1"
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await receive(url, {**CHAT, "stream": False})


async def test_an_answer_shorter_than_its_failure_ends_well(demo: Demo, receive: Receive) -> None:
    received = await receive(f"{demo.upstream_url}/feed?pace=0&tokens=3&fail=after=3")
    assert received.is_whole


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_the_model_stops_at_once_when_its_client_leaves(
    demo: Demo, session: aiohttp.ClientSession, wait_state: WaitState, stream: bool
) -> None:
    """At one token in 100 seconds only the loss of the connection can end it in time."""
    request = asyncio.create_task(
        session.post(f"{demo.upstream_url}/v1/chat/completions?pace=0.01", json={**CHAT, "stream": stream})
    )
    assert (await wait_state(lambda state: state["generating"] == 1))["cancelled"] == 0
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        (await request).close()
    assert await wait_state(lambda state: state["generating"] == 0) == {"generating": 0, "cancelled": 1, "completed": 0}


async def test_the_model_stops_at_its_next_token_where_its_server_does_not_cancel(
    session: aiohttp.ClientSession,
) -> None:
    """aiohttp cancels no handler unless told: there the failed write has to end the generation."""
    runner = web.AppRunner(upstream.application(), access_log=None, handler_cancellation=False)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        async with session.get(f"{url}/feed?pace=20&tokens=1000") as response:
            await response.content.readany()
            response.close()
        state: dict[str, int] = {}
        async with asyncio.timeout(WAIT_LIMIT_S):
            while state.get("generating") != 0:
                await asyncio.sleep(0.01)
                async with session.get(f"{url}/demo/state") as response:
                    state = await response.json()
    finally:
        await runner.cleanup()
    assert state == {"generating": 0, "cancelled": 1, "completed": 0}


async def test_the_state_counts_what_was_completed(demo: Demo, receive: Receive, wait_state: WaitState) -> None:
    for _ in range(3):
        await receive(f"{demo.upstream_url}/feed?pace=0")
    assert await wait_state(lambda state: state["generating"] == 0) == {"generating": 0, "cancelled": 0, "completed": 3}
