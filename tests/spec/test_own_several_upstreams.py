"""Several upstreams of a route, the checklist's own rules: failover, its bounds, and who is left out."""

import asyncio
import time

import pytest

from proxy.core import health
from proxy.core.retry import BUDGET_FLOOR, BUDGET_SHARE
from proxy.net import deadlines
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.failover import SERVES, asked, behind, listening, refusal, upstream
from tests.net.harness import settings_of, settles, shared
from tests.net.origin import Script, fin, request, rst, whole_request
from tests.net.responses import OK, SSE
from tests.net.test_balance import states
from tests.net.test_failures import assert_is_our_error
from tests.net.wire import chunk

STATUSES = [429, 502, 503, 504, 529]


@pytest.mark.parametrize("status", STATUSES)
async def test_failover_on_status_is_asked_for(origin: MakeOrigin, proxy: MakeProxy, status: int):
    """R7: only a status that the route names goes on, a POST too; Retry-After is kept to; the last answer is relayed;
    429 says nothing of health."""
    busy: Script = [whole_request, refusal(status, b"Retry-After: 60", body=b"one")] * 9
    for named in (False, True):
        one, two = await origin(busy), await origin([whole_request, OK, whole_request, refusal(status, body=b"two")])
        retry = {"attempts": 2, "statuses": frozenset({status})} if named else {}
        proxied = await behind(proxy, one, two, retry=retry, health={"unhealthy_after": 1, "eject": 0.001})
        client = await proxied.connect()
        client.ask(b"POST", b"/", body=b"{}")
        answer = await client.answer()
        if not named:
            assert (answer.status, answer.body, asked(two)) == (status, b"one", 0)
            assert states(proxied) == ["up", "up"]
            continue
        assert (answer.status, one.connections[0].request.body, two.connections[0].request.body) == (200, b"{}", b"{}")
        assert states(proxied)[0] in (("up",) if status == 429 else ("ejected", "trial"))
        if status in (429, 503):  # those that are defined to say when to come again: RFC 9110 section 10.2.3, RFC 6585
            client.ask(b"POST", b"/", body=b"{}")
            assert (await client.answer()).body == b"two"
            assert (asked(one), asked(two)) == (1, 2)


async def test_attempts_are_bounded_in_time_and_number(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """R8: three attempts have one head deadline; and of many requests at once only the budget's may go on."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    gates = [asyncio.Event() for _ in range(2)]
    slow = [await origin([whole_request, gate, refusal()]) for gate in gates]
    silent = await origin([whole_request])
    retry = {"attempts": 9, "statuses": frozenset({503})}
    proxied = await behind(proxy, *slow, silent, retry=retry, timeouts={"head": 0.5})
    client = await proxied.connect()
    started = time.monotonic()
    client.get()
    for number, gate in enumerate(gates, 1):
        asyncio.get_running_loop().call_later(0.2 * number, gate.set)
    assert (await client.answer()).status == 503  # the last answer
    assert 0.5 <= time.monotonic() - started < 0.85  # each with its own would end at 0.9
    assert (await proxied.ended()).attempts == 3

    busy = [await origin([whole_request, refusal()] * 99) for _ in range(2)]
    many = await behind(proxy, *busy, retry=retry, health={"eject": None})
    client = await many.connect()
    for _ in range(40):
        assert (await client.ask_for_answer()).status == 503
    assert BUDGET_FLOOR <= asked(busy[0]) + asked(busy[1]) - 40 <= BUDGET_FLOOR + 40 * BUDGET_SHARE + 1


COUNTED: dict[str, Script] = {
    "no connection": [],
    "closed": [whole_request, fin],
    "reset inside the body": [whole_request, SSE + chunk(b"data: 1\n\n"), rst],
    "no head in time": [whole_request],
    "a 5xx that is named": [whole_request, refusal(503)] * 2,
}
NOT_COUNTED: dict[str, Script] = {
    "another 5xx": [whole_request, refusal(500)] * 2,
    "404": [whole_request, refusal(404)] * 2,
    "429": [whole_request, refusal(429)] * 2,
}


@pytest.mark.parametrize("kind", [*COUNTED, *NOT_COUNTED])
async def test_what_counts_against_an_upstream(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, dead_port: int, kind: str
):
    """R10: connect failures, timeouts, resets and named 5xx leave it out, nothing else does, and a reload forgets
    none of it."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    script = {**COUNTED, **NOT_COUNTED}[kind]
    bad = dead_port if kind == "no connection" else (await origin(script)).port
    good = await origin(SERVES)
    retry = {"attempts": 1, "statuses": frozenset({429, 503})}
    proxied = await behind(proxy, bad, good, retry=retry, timeouts={"head": 0.1})
    for number in range(4):
        client = await proxied.connect()
        client.get()
        await client.wait_body_end(await client.next_head())
        await proxied.ended(number + 1)
    expected = "ejected" if kind in COUNTED else "up"
    assert states(proxied) == [expected, "up"]
    new = await origin(SERVES)
    again = shared(new.port, good.port, bad, retry=retry)
    await proxied.running.reload(settings_of(again, listen=listening(proxied)))
    assert states(proxied) == ["up", "up", expected]


async def test_checks_and_trials(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch):
    """R11: a check that hangs holds up no request and has a connection of its own; one trial request reopens."""
    monkeypatch.setattr(health, "FIRST_CHECK_S", 0.0)
    one, two = await origin([request], [whole_request, fin], [whole_request, OK] * 3), await origin([request], SERVES)
    checks = {"path": b"/up", "every": 60.0, "timeout": 60.0, "unhealthy_after": 1, "eject": 0.05}
    proxied = await proxy(shared(one.port, two.port, health=checks))
    assert await settles(lambda: asked(one) == asked(two) == 1)
    client = await proxied.connect()
    started = time.monotonic()
    assert [(await client.ask_for_answer()).status for _ in range(3)] == [502, 200, 200]
    assert time.monotonic() - started < 0.5
    assert [one.connections[0].request.target, two.connections[0].request.target] == [b"/up", b"/up"]
    assert (asked(one), states(proxied)[0]) in ((2, "ejected"), (2, "trial"))
    assert await settles(lambda: states(proxied) == ["trial", "up"])
    while asked(one) == 2:
        assert (await client.ask_for_answer()).status == 200
    assert states(proxied) == ["up", "up"]


async def test_no_upstream_is_said_at_once(origin: MakeOrigin, proxy: MakeProxy, dead_port: int):
    """R12: 503 within a tenth of a second, though connecting may take ten; nobody is asked."""
    one = await origin([whole_request, fin])
    proxied = await behind(proxy, one, dead_port, retry={}, health={"unhealthy_after": 1})
    client = await proxied.connect()
    assert [(await client.ask_for_answer()).status for _ in range(2)] == [502, 502]
    waited_s = []
    for _ in range(3):
        started = time.monotonic()
        response = await client.ask_for_answer()
        waited_s.append(time.monotonic() - started)
    assert min(waited_s) < 0.1
    assert_is_our_error(response, 503, "destination_unavailable", "upstream")
    assert int(response.get(b"retry-after") or b"0") in (29, 30)
    assert (asked(one), (await proxied.ended(3)).attempts) == (1, 0)
    assert {exchange.upstream for exchange in proxied.exchanges.ended_ones} == {
        upstream(one),
        upstream(dead_port),
        "",
    }
