"""How many exchanges a route may have open at once."""

import asyncio
import json

import pytest

from proxy.core import routes
from tests.net.harness import route

from .conftest import MakeOrigin, MakeProxy
from .origin import fin, request, whole_request
from .responses import OK, SSE, UNTIL_CLOSE
from .wire import chunk, head

HANDSHAKE = (b"Connection: upgrade", b"Upgrade: websocket")
SWITCHED = head(b"HTTP/1.1 101 Switching Protocols", *HANDSHAKE)


@pytest.mark.parametrize("kind", ["stream", "waiting for a head", "upload", "tunnel"])
async def test_one_more_than_a_route_allows_is_503(origin: MakeOrigin, proxy: MakeProxy, kind: str):
    """MUST. RFC 9209 section 2.3.12: whatever an exchange is doing, it holds its place until it ends."""
    scripts = {"stream": [request, SSE, chunk(b"data: 1\n\n")], "tunnel": [request, SWITCHED], "upload": [request]}
    one = await origin(scripts.get(kind, [whole_request]), [whole_request, OK])
    proxied = await proxy(one, limits={"concurrent": 1})
    first, second = await proxied.connect(), await proxied.connect()
    if kind == "upload":
        first.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 5") + b"a")
    else:
        first.get(b"/", *(HANDSHAKE if kind == "tunnel" else ()))
    await (await one.connection()).until(lambda: bool(one.connections[0].requests), "the first request")
    answer = await second.ask_for_answer()
    said = json.loads(answer.body)["error"]
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
    assert (said["type"], said["code"]) == ("proxy", "connection_limit_reached")
    assert "limits.concurrent" in said["message"]
    assert answer.get(b"proxy-status") == b"streamsafe-under-test; error=connection_limit_reached"
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status, exchange.attempts) == ("refused", 503, 0)
    assert len(one.connections) == 1
    first.reset()
    await proxied.ended(2)
    assert (await second.ask_for_answer()).status == 200  # on the connection that was refused


@pytest.mark.parametrize("ending", ["complete", "cut", "refused", "unreachable"])
async def test_a_place_is_free_again_however_an_exchange_ended(origin: MakeOrigin, proxy: MakeProxy, ending: str):
    """MUST. A place that is not given back is lost until the next start."""
    endings = {"complete": [whole_request, OK] * 5, "cut": [request, UNTIL_CLOSE, fin], "refused": [request, fin]}
    one = await origin(endings.get(ending, []))
    if ending == "unreachable":
        await one.close()
    proxied = await proxy(one if ending != "unreachable" else one.port, limits={"concurrent": 2})
    for number in range(5):
        client = await proxied.connect()
        client.get()
        answer = await client.next_head()
        assert answer.status == (200 if ending in ("complete", "cut") else 502)
        await client.wait_body_end(answer)
        await proxied.ended(number + 1)


async def test_every_place_is_taken_before_anybody_is_refused(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. The limit is what it says, on each route for itself."""
    gate = asyncio.Event()
    one = await origin([whole_request, gate, OK, whole_request, OK])
    limited = route(one.port, name="limited", match=routes.Match(b"/limited"), limits={"concurrent": 3})
    other = route(one.port, name="other", match=routes.Match(b"/other"), limits={"concurrent": 1})
    free = route(one.port, name="free")
    proxied = await proxy(limited, other, free)
    waiting = [await proxied.connect() for _ in range(5)]
    for client, target in zip(waiting, [b"/limited", b"/limited", b"/limited", b"/other", b"/"], strict=True):
        client.get(target)
    await one.until(lambda: sum(len(each.requests) for each in one.connections) == 5, "all of them")
    late = await proxied.connect()
    assert [(await late.ask_for_answer(target)).status for target in (b"/limited", b"/other")] == [503, 503]
    gate.set()
    assert [(await client.answer()).status for client in waiting] == [200] * 5
    assert (await late.ask_for_answer(b"/limited")).status == 200
