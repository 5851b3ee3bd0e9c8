"""The bad middleman: bad at timing, honest in everything else."""

import asyncio
import contextlib
import gzip

import aiohttp
import pytest
from aiohttp import web

from proxy.demo import middleman
from proxy.demo.run import Demo

from .conftest import Receive, WaitState

GZIP = {"Accept-Encoding": "gzip"}


@pytest.mark.parametrize("headers", [GZIP, {"Accept-Encoding": "identity"}], ids=["gzip", "identity"])
async def test_a_stream_arrives_in_few_bursts_at_its_end(demo: Demo, receive: Receive, headers: dict) -> None:
    path = "/feed?pace=50&tokens=40"
    direct, held = await asyncio.gather(
        receive(demo.upstream_url + path), receive(demo.middleman_url + path, headers=headers)
    )
    assert len(direct.arrivals) > 30
    assert direct.times[0] < 0.3
    assert len(held.arrivals) <= 2
    assert held.times[0] > 0.75
    assert held.head_at > 0.75


async def test_what_it_sends_decompresses_to_what_it_got(demo: Demo, receive: Receive) -> None:
    path = "/feed?pace=0&tokens=4000"
    direct = await receive(demo.upstream_url + path)
    held = await receive(demo.middleman_url + path, headers=GZIP)
    assert held.headers["Content-Encoding"] == "gzip"
    assert held.headers["Content-Type"] == direct.headers["Content-Type"]
    assert gzip.decompress(held.body) == direct.body


async def test_it_compresses_only_for_a_client_that_takes_gzip(demo: Demo, receive: Receive) -> None:
    path = "/feed?pace=0&tokens=40"
    held = await receive(demo.middleman_url + path, headers={"Accept-Encoding": "br"})
    assert "Content-Encoding" not in held.headers
    assert held.body == (await receive(demo.upstream_url + path)).body


async def test_a_full_block_leaves_before_the_end() -> None:
    block = middleman.Block(gzip=False, block_bytes=8)
    assert [block.feed(b"1234"), block.feed(b"56789"), block.feed(b"abc"), block.flush()] == [
        b"",
        b"123456789",
        b"",
        b"abc",
    ]


async def test_it_passes_method_body_and_status(demo: Demo, receive: Receive) -> None:
    document = {"model": "m", "messages": [], "max_tokens": 5}
    direct = await receive(f"{demo.upstream_url}/v1/messages", document)
    held = await receive(f"{demo.middleman_url}/v1/messages", document, {"Accept-Encoding": "identity"})
    assert (held.status, held.body) == (direct.status, direct.body) == (400, direct.body)


async def test_any_origin_may_call_it(demo: Demo, session: aiohttp.ClientSession, receive: Receive) -> None:
    preflight = {
        "Origin": "http://127.0.0.1:1",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,authorization",
    }
    async with session.options(f"{demo.middleman_url}/v1/messages", headers=preflight) as response:
        assert response.status == 204
        assert response.headers["Access-Control-Allow-Origin"] == "*"
        assert response.headers["Access-Control-Allow-Headers"] == "content-type,authorization"
    received = await receive(f"{demo.middleman_url}/feed?pace=0")
    assert received.headers["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize("headers", [GZIP, {"Accept-Encoding": "identity"}], ids=["gzip", "identity"])
async def test_a_broken_stream_stays_broken(demo: Demo, receive: Receive, headers: dict) -> None:
    received = await receive(f"{demo.middleman_url}/feed?pace=0&fail=after=5", headers=headers)
    assert not received.is_whole
    body = gzip.decompress(received.body) if headers is GZIP else received.body
    assert body.count(b"event: token") == 5


async def test_it_lets_go_of_the_upstream_when_its_client_leaves(
    demo: Demo, session: aiohttp.ClientSession, wait_state: WaitState
) -> None:
    request = asyncio.create_task(session.get(f"{demo.middleman_url}/feed?pace=0.01"))
    await wait_state(lambda state: state["generating"] == 1)
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        (await request).close()
    assert (await wait_state(lambda state: state["generating"] == 0))["cancelled"] == 1


async def test_an_upstream_that_is_not_there_is_a_502(receive: Receive, unused_tcp_port: int) -> None:
    runner = web.AppRunner(middleman.application(f"http://127.0.0.1:{unused_tcp_port}"), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        received = await receive(f"http://127.0.0.1:{runner.addresses[0][1]}/feed")
    finally:
        await runner.cleanup()
    assert received.status == 502
