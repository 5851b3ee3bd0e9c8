"""Several upstreams of a route: who gets which request, who is left out, and who comes back."""

import asyncio
import logging
from collections import Counter
from typing import Any

import pytest

from proxy.core import health
from proxy.net import deadlines

from .client import Client
from .conftest import MakeOrigin, MakeProxy
from .failover import SERVES, asked, behind, listening, refusal, upstream
from .harness import Proxied, settings_of, settles, shared
from .origin import Origin, Script, fin, request, rst, whole_request
from .responses import OK, SSE, counted
from .wire import chunk, head

EVENT = b"data: {}\n\n"


def states(proxied: Proxied) -> list[str]:
    return [one.state for one in proxied.running.upstreams.seen()]


def opens(proxied: Proxied) -> list[int]:
    return [one.open_exchanges for one in proxied.running.upstreams.seen()]


async def named(origin: MakeOrigin, count: int) -> list[Origin]:
    """Origins that answer with their number."""
    return [await origin([whole_request, counted(b"%d" % number)] * 99) for number in range(count)]


async def answers(client: Client, times: int, *lines: bytes) -> list[bytes]:
    return [(await client.ask_for_answer(b"/", *lines)).body for _ in range(times)]


async def streaming(proxied: Proxied) -> tuple[Client, bytes]:
    """A client whose stream has begun, and what it began with."""
    client = await proxied.connect()
    client.get()
    return client, await client.wait_body(await client.next_head(), 9)


async def test_requests_go_round_by_weight_whatever_their_heads(origin: MakeOrigin, proxy: MakeProxy):
    """What is known of a head that comes again is not who had it last."""
    proxied = await behind(proxy, *await named(origin, 3), weights=[2, 1, 1])
    client = await proxied.connect()
    assert Counter(await answers(client, 8)) == {b"0": 4, b"1": 2, b"2": 2}
    assert Counter(await answers(client, 8, b"X-Other: head")) == {b"0": 4, b"1": 2, b"2": 2}
    names = Counter(exchange.upstream for exchange in proxied.exchanges.ended_ones)
    assert sorted(names.values()) == [4, 4, 8]


async def test_bodies_and_names_of_a_head_that_is_known_go_round_with_it(origin: MakeOrigin, proxy: MakeProxy):
    """Only the length and the names of the request differ: the plan is kept, the turn is not."""
    one, two = await named(origin, 2)
    client = await (await behind(proxy, one, two)).connect()
    for number in range(6):
        client.ask(b"POST", b"/", b"X-Request-ID: id-%d" % number, body=b"x" * (number + 1))
        assert (await client.answer()).body == b"%d" % (number % 2)
    seen = [(message.get(b"x-request-id"), message.size) for message in two.connections[0].requests]
    assert seen == [(b"id-1", 2), (b"id-3", 4), (b"id-5", 6)]


async def test_each_upstream_has_its_own_path_and_host(origin: MakeOrigin, proxy: MakeProxy):
    one, two = await named(origin, 2)
    proxied = await behind(proxy, one, two, base_path=b"/base")
    await answers(await proxied.connect(), 2, b"X-Same: 1")
    for each in (one, two):
        message = each.connections[0].request
        assert (message.target, message.get(b"host")) == (b"/base/", b"127.0.0.1:%d" % each.port)


@pytest.mark.parametrize("number", [0, 1])
async def test_a_redirect_to_whoever_answered_is_turned_to_us(origin: MakeOrigin, proxy: MakeProxy, number: int):
    def redirect(to: bytes) -> Script:
        return [request, head(b"HTTP/1.1 302 Found", b"Location: " + to, b"Content-Length: 0")]

    scripts: list[Any] = []
    origins = [await origin(scripts) for _ in range(2)]
    for one in origins:
        one._scripts = [redirect(upstream(one).encode() + b"/there")]
    client = await (await behind(proxy, *origins)).connect()
    for _ in range(number + 1):
        response = await client.ask_for_answer()
    assert response.get(b"location") == b"http://localhost/there"


async def test_streams_go_to_who_has_the_fewest(origin: MakeOrigin, proxy: MakeProxy):
    """Those that are open count, not those that were."""
    one, two = [await origin([request, SSE + chunk(b"data: %d\n\n" % number)]) for number in range(2)]
    proxied = await behind(proxy, one, two, balance="least_streams")
    streams = [await streaming(proxied) for _ in range(4)]
    assert opens(proxied) == [2, 2]
    for client, home in streams:
        if home == b"data: 0\n\n":
            client.reset()
    assert await settles(lambda: opens(proxied) == [0, 2])
    assert [(await streaming(proxied))[1] for _ in range(2)] == [b"data: 0\n\n"] * 2
    assert opens(proxied) == [2, 2]


async def test_a_stream_that_is_read_on_after_its_client_counts_until_it_ends(origin: MakeOrigin, proxy: MakeProxy):
    gate = asyncio.Event()
    piece = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n'
    one = await origin([whole_request, SSE + chunk(piece), gate, chunk(b"data: [DONE]\n\n") + chunk(b"")])
    two = await origin([whole_request, SSE + chunk(piece)])
    proxied = await behind(proxy, one, two, balance="least_streams", stream={"reads_on": True, "family": "openai"})
    client = await proxied.connect()
    client.get()
    await client.wait_body(await client.next_head(), len(piece))
    client.reset()
    assert await settles(lambda: not proxied.running.open_exchanges)
    assert opens(proxied) == [1, 0]
    gate.set()
    assert await settles(lambda: opens(proxied) == [0, 0])
    assert (await proxied.ended()).read_on


async def test_a_header_keeps_its_clients_where_they_are(origin: MakeOrigin, proxy: MakeProxy):
    """A loss moves only those that were there."""
    origins = await named(origin, 3)
    proxied = await behind(proxy, *origins, balance="hash", hash_by=b"x-user")
    client = await proxied.connect()
    users = [b"X-User: %d" % number for number in range(12)]
    before = {user: (await answers(client, 2, user)) for user in users}
    assert all(len(set(homes)) == 1 for homes in before.values())
    assert len({homes[0] for homes in before.values()}) == 3
    lost = origins[1]
    lost._server.close()
    for connection in lost.connections:
        connection.reset()
        await connection.wait_gone()
    after = {user: (await answers(client, 1, user))[0] for user in users}
    assert {user for user in users if after[user] != before[user][0]} == {
        user for user in users if before[user][0] == b"1"
    }
    assert b"1" not in after.values()


FAILURES: dict[str, Script] = {
    "refuses": [],
    "closes": [whole_request, fin],
    "resets": [whole_request, rst],
    "ends inside the head": [whole_request, b"HTTP/1.1 200 OK\r\nContent-", fin],
    "breaks off": [whole_request, SSE + chunk(EVENT), rst],
    "is silent": [whole_request],
    "is silent inside the body": [whole_request, SSE + chunk(EVENT)],
    "says 503": [whole_request, refusal(503)],
}


@pytest.mark.parametrize("kind", FAILURES)
async def test_what_fails_again_and_again_is_left_out(
    origin: MakeOrigin, proxy: MakeProxy, dead_port: int, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """MUST. R10. And the others have all requests from then on."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    one = dead_port if kind == "refuses" else await origin(FAILURES[kind])
    two = await origin(SERVES * 2)
    quick = {"head": 0.1, "idle": 0.1}
    retry = {"attempts": 1, "statuses": frozenset({503})}
    proxied = await behind(proxy, one, two, retry=retry, timeouts=quick)
    failed = 0
    for number in range(6):
        client = await proxied.connect()
        client.get()
        response = await client.next_head()
        ended = await client.wait_body_end(response)
        failed += response.status != 200 or ended != "complete"
        await proxied.ended(number + 1)
    assert (failed, states(proxied)) == (2, ["ejected", "up"])


HARMLESS: dict[str, Script] = {
    "says 500": [whole_request, refusal(500)] * 4,
    "says 404": [whole_request, refusal(404)] * 4,
    "says 429": [whole_request, refusal(429)] * 4,
    "has its client leave": [whole_request, SSE + chunk(EVENT)],
    "has its client leave early": [whole_request],
    "has a client that sends no body": [request],
}


@pytest.mark.parametrize("kind", HARMLESS)
async def test_what_is_not_its_doing_leaves_it_where_it_is(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, kind: str
):
    """MUST. R10, D4. Not 4xx, not 429, not a 5xx that is not named, and nothing that a client brought about."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    one, two = await origin(HARMLESS[kind]), await origin(HARMLESS[kind])
    retry = {"attempts": 1, "statuses": frozenset({429, 503})}
    proxied = await behind(proxy, one, two, retry=retry, timeouts={"client_body": 0.05}, health={"unhealthy_after": 1})
    for number in range(4):
        client = await proxied.connect()
        if kind == "has a client that sends no body":
            client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 5") + b"a")
            await client.next_head()
        else:
            client.get()
            asking = [one, two][number % 2]
            await asking.until(lambda asking=asking, number=number: asked(asking) == number // 2 + 1, "the request")
            if not kind.startswith("has its client"):
                await client.answer()
            elif kind == "has its client leave":
                await client.next_head()
        client.reset()
        await proxied.ended(number + 1)
    assert states(proxied) == ["up", "up"]


async def test_the_only_upstream_is_never_left_out(proxy: MakeProxy, dead_port: int):
    """Its client learns what happened, each time."""
    proxied = await proxy(shared(dead_port, health={"unhealthy_after": 1}))
    client = await proxied.connect()
    for _ in range(5):
        assert (await client.ask_for_answer()).status == 502


async def test_one_request_tries_what_was_left_out_and_brings_it_back(
    origin: MakeOrigin, proxy: MakeProxy, caplog: pytest.LogCaptureFixture
):
    """SHOULD. R11. While that one waits for its answer all others go elsewhere."""
    gate = asyncio.Event()
    one = await origin(*[[whole_request, fin]] * 2, [whole_request, gate, OK, *SERVES])
    two = await origin(SERVES * 2)
    proxied = await behind(proxy, one, two, retry={}, health={"eject": 0.05})
    client = await proxied.connect()
    assert [(await client.ask_for_answer()).status for _ in range(4)] == [502, 200, 502, 200]
    assert states(proxied) == ["ejected", "up"]
    assert await settles(lambda: states(proxied) == ["trial", "up"])
    pair = [await proxied.connect() for _ in range(2)]
    for each in pair:
        each.get()
    await (await one.connection(2)).until(lambda: asked(one) == 3, "the trial")
    assert await settles(lambda: any(each.reader.messages for each in pair))
    (trial,) = [each for each in pair if not each.reader.messages]
    assert [(await client.ask_for_answer()).status for _ in range(4)] == [200] * 4
    assert (asked(one), states(proxied)) == (3, ["trial", "up"])
    with caplog.at_level(logging.INFO, logger="proxy"):
        gate.set()
        assert (await trial.answer()).status == 200
    assert states(proxied) == ["up", "up"]
    assert f"route test: upstream {upstream(one)} is back" in caplog.messages
    assert [(await client.ask_for_answer()).status for _ in range(4)] == [200] * 4
    assert asked(one) == 5


async def test_a_trial_that_fails_leaves_it_out_again(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. R11."""
    one, two = await origin([whole_request, fin]), await origin(SERVES * 2)
    proxied = await behind(proxy, one, two, retry={}, health={"eject": 0.05, "unhealthy_after": 1})
    client = await proxied.connect()
    assert (await client.ask_for_answer()).status == 502
    for number in range(2, 4):
        assert await settles(lambda: states(proxied) == ["trial", "up"])
        while asked(one) < number:
            await client.ask_for_answer()
        assert states(proxied) == ["ejected", "up"]
    assert proxied.running.upstreams.ejections == {("test", upstream(one)): 1}


async def test_what_is_known_of_an_upstream_that_stays_survives_a_reload(
    origin: MakeOrigin, proxy: MakeProxy, dead_port: int
):
    """MUST. R10, O1. One that is new begins anew."""
    two, three = await origin(SERVES * 2), await origin(SERVES * 2)
    proxied = await behind(proxy, dead_port, two, retry={}, health={"unhealthy_after": 1})
    client = await proxied.connect()
    assert (await client.ask_for_answer()).status == 502
    await proxied.running.reload(settings_of(shared(three.port, dead_port, two.port), listen=listening(proxied)))
    assert states(proxied) == ["up", "ejected", "up"]
    assert [(await client.ask_for_answer()).status for _ in range(4)] == [200] * 4
    assert (asked(two), asked(three)) == (2, 2)


async def test_two_routes_see_the_same_upstream_each_for_itself(origin: MakeOrigin, proxy: MakeProxy, dead_port: int):
    """What one of them does with it may not be what the other does."""
    one = await origin(SERVES * 2)
    first = shared(dead_port, one.port, name="first", health={"unhealthy_after": 1})
    second = shared(one.port, dead_port, name="second")
    proxied = await proxy(first, second)
    client = await proxied.connect()
    assert (await client.ask_for_answer()).status == 502
    assert {(seen.route, seen.state) for seen in proxied.running.upstreams.seen()} == {
        ("first", "ejected"),
        ("first", "up"),
        ("second", "up"),
    }


def test_a_pause_is_long_enough_to_count_two_failures() -> None:
    """What the documentation says: some ten seconds."""
    assert health.HALF_LIFE_S == 10
