"""The feed, as EventSource reads it."""

import json

import httpx_sse
import pytest

from proxy.demo.run import Demo

from .conftest import Receive


def ids(body: bytes) -> list[int]:
    return [int(line[4:]) for line in body.decode().split("\n") if line.startswith("id: ")]


async def test_every_event_has_an_id_and_the_client_is_told_when_to_return(demo: Demo, receive: Receive) -> None:
    received = await receive(f"{demo.upstream_url}/feed?pace=0&tokens=3")
    assert received.headers["Content-Type"] == "text/event-stream"
    assert received.body.startswith(b"retry: 1000\n\n")
    assert ids(received.body) == [1, 2, 3, 4]
    assert received.body.endswith(b'id: 4\nevent: done\ndata: {"tokens":3}\n\n')


async def test_a_client_that_returns_gets_what_it_has_not_seen(demo: Demo, receive: Receive) -> None:
    url = f"{demo.upstream_url}/feed?pace=0&tokens=6"
    whole = await receive(url)
    broken = await receive(url, headers={"x-demo-fail": "after=2"})
    rest = await receive(url, headers={"Last-Event-ID": "2"})
    assert not broken.is_whole
    assert ids(broken.body) == [1, 2]
    assert broken.body + rest.body.removeprefix(b"retry: 1000\n\n") == whole.body


async def test_a_client_that_saw_the_end_is_told_not_to_return(demo: Demo, receive: Receive) -> None:
    received = await receive(f"{demo.upstream_url}/feed?tokens=3", headers={"Last-Event-ID": "4"})
    assert (received.status, received.body) == (204, b"")


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 30, "²"])
async def test_an_id_that_is_not_of_the_feed_is_refused(demo: Demo, receive: Receive, last: str) -> None:
    received = await receive(f"{demo.upstream_url}/feed", headers={"Last-Event-ID": last})
    assert received.status == 400


async def test_httpx_sse_reads_the_feed_and_takes_it_up_again(demo: Demo) -> None:
    import httpx

    async with httpx.AsyncClient(base_url=demo.upstream_url, params={"pace": "0", "tokens": "5"}) as client:
        async with httpx_sse.aconnect_sse(client, "GET", "/feed") as source:
            events = [event async for event in source.aiter_sse()]
        last_seen = {"Last-Event-ID": events[3].id}
        async with httpx_sse.aconnect_sse(client, "GET", "/feed", headers=last_seen) as source:
            rest = [event async for event in source.aiter_sse()]
    # This reader makes an event of the block that has `retry` and no data; a browser does not.
    assert [(event.event, event.id) for event in events if event.data] == [
        *(("token", str(number)) for number in range(1, 6)),
        ("done", "6"),
    ]
    assert [(event.id, event.data) for event in rest[1:]] == [(event.id, event.data) for event in events[4:]]
    assert json.loads(events[-1].data) == {"tokens": 5}
