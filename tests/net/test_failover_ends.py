"""How failover ends: clients that leave, deadlines, stops, reloads, early answers, and all upstreams left out."""

import asyncio
import contextlib
import logging
import random
import time

import pytest

from proxy.core.streams import Heartbeat
from proxy.net import deadlines

from .conftest import CLOSED_AFTER, MakeOrigin, MakeProxy, Measured
from .failover import REFUSES, SERVES, STATUSES, asked, behind, listening, refusal, upstream
from .harness import route, settings_of, settles, shared
from .origin import Script, fin, pushed, request, rst, whole_request
from .responses import CHUNKED, OK, SSE, counted
from .streams import DONE, PING, token
from .test_backpressure import stalls
from .test_failures import assert_is_our_error
from .waiting import LOOP_CLOCK_S
from .wire import chunk, head


async def test_a_client_that_leaves_during_the_second_attempt_ends_it(
    origin: MakeOrigin, proxy: MakeProxy, measured: Measured
):
    """MUST. D1, D4. Its upstream is let go, a third is not asked, and nobody is blamed."""
    one, two, three = await origin(REFUSES), await origin([whole_request]), await origin(SERVES)
    proxied = await behind(
        proxy, one, two, three, retry={"attempts": 3, "statuses": STATUSES}, health={"unhealthy_after": 1}
    )
    client = await proxied.connect()
    client.get()
    connection = await two.connection()
    await connection.until(lambda: bool(connection.requests), "the second attempt")
    left_at = time.monotonic()
    client.reset()
    await connection.wait_ended()
    measured(CLOSED_AFTER, connection.ended_at - left_at)
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.outcome) == (2, "client_closed")
    assert [one.state for one in proxied.running.upstreams.seen()] == ["ejected", "up", "up"]
    assert [one.open_exchanges for one in proxied.running.upstreams.seen()] == [0, 0, 0]
    assert not three.connections


async def test_a_client_that_leaves_while_another_upstream_is_dialled_ends_that(
    origin: MakeOrigin, proxy: MakeProxy, deaf_port: int
):
    """MUST. D1. Also the connection whose answer was kept."""
    one = await origin([whole_request, CHUNKED.replace(b"200 OK", b"503 No") + chunk(b"part")])
    proxied = await behind(proxy, one, deaf_port)
    client = await proxied.connect()
    client.get()
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests), "the request")
    exchange = proxied.running.open()[0]
    assert await settles(lambda: exchange.attempts == 2)
    client.reset()
    await connection.wait_ended()
    assert (await proxied.ended()).outcome == "client_closed"


async def test_all_attempts_share_one_deadline(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch):
    """MUST. R8. The second gets what the first has left of it."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    gate = asyncio.Event()
    one, two = await origin([whole_request, gate, refusal()]), await origin([whole_request])
    proxied = await behind(proxy, one, two, timeouts={"head": 0.6})
    client = await proxied.connect()
    started = time.monotonic()
    client.get()
    asyncio.get_running_loop().call_later(0.4, gate.set)
    assert (await client.answer()).status == 503
    assert 0.6 <= time.monotonic() - started < 0.95  # each for itself would be a whole second
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.outcome, exchange.upstream) == (2, "complete", upstream(one))


@pytest.mark.parametrize(
    "ends", [[fin], [rst], [b"HTTP/1.1 200 OK\r\nA: ", fin], [b"SSH-2.0-x\r\n"]], ids=["fin", "rst", "cut", "no HTTP"]
)
async def test_an_upstream_that_breaks_leaves_the_answer_of_the_one_before(
    origin: MakeOrigin, proxy: MakeProxy, ends: Script
):
    """MUST. R7. The last answer, and not an error of ours; whose fault it was is remembered."""
    one, two = (
        await origin([whole_request, counted(b"busy", b"Retry-After: 7", status=b"503 No")]),
        await origin([whole_request, *ends]),
    )
    proxied = await behind(proxy, one, two, health={"unhealthy_after": 1})
    response = await (await proxied.connect()).ask_for_answer()
    assert (response.status, response.body, response.get(b"retry-after")) == (503, b"busy", b"7")
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.outcome, exchange.upstream) == (2, "complete", upstream(one))
    assert [each.state for each in proxied.running.upstreams.seen()][1] == "ejected"


async def test_no_answer_is_left_when_all_time_is_over(origin: MakeOrigin, proxy: MakeProxy, looks_often: None):
    """MUST. T5. `timeouts.total` ends the exchange, kept answers included."""
    one, two = await origin(REFUSES), await origin([whole_request])
    proxied = await behind(proxy, one, two, timeouts={"total": 0.3})
    assert_is_our_error(await (await proxied.connect()).ask_for_answer(), 504, "http_response_timeout", "upstream")
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.code, exchange.outcome) == (2, "total_timeout", "upstream_timeout")


async def test_connecting_again_is_within_that_deadline_too(origin: MakeOrigin, proxy: MakeProxy, deaf_port: int):
    """MUST. R8. What was answered before is relayed then."""
    one = await origin([whole_request, refusal()])
    proxied = await behind(proxy, one, deaf_port, timeouts={"head": 0.3, "connect": 20.0})
    client = await proxied.connect()
    started = time.monotonic()
    assert (await client.ask_for_answer()).status == 503
    assert 0.3 - LOOP_CLOCK_S <= time.monotonic() - started < 5  # and not the twenty of `connect`


async def test_after_that_deadline_nobody_else_is_tried(origin: MakeOrigin, proxy: MakeProxy, deaf_port: int):
    """MUST. R8."""
    two = await origin(SERVES)
    proxied = await behind(proxy, deaf_port, two, timeouts={"head": 0.2, "connect": 0.3})
    client = await proxied.connect()
    assert_is_our_error(await client.ask_for_answer(), 504, "connection_timeout", "upstream")
    assert not two.connections


async def test_where_all_are_left_out_that_is_said_at_once(proxy: MakeProxy, deaf_port: int, dead_port: int):
    """MUST. R12. Though a connection would take ten seconds to fail; and with the next step."""
    proxied = await behind(proxy, deaf_port, dead_port, retry={}, timeouts={"connect": 0.05})
    client = await proxied.connect()
    assert [(await client.ask_for_answer()).status for _ in range(4)] == [504, 502, 504, 502]
    await proxied.running.reload(settings_of(shared(deaf_port, dead_port), listen=listening(proxied)))
    patient = await proxied.connect()
    waited_s = []
    for _ in range(3):
        started = time.monotonic()
        response = await patient.ask_for_answer()
        waited_s.append(time.monotonic() - started)
    assert min(waited_s) < 0.1  # a busy machine may take longer for one
    assert_is_our_error(response, 503, "destination_unavailable", "upstream")
    assert b"Route 'test'" in response.body
    assert b"status page" in response.body
    assert 1 <= int(response.get(b"retry-after") or b"0") <= 30
    exchange = await proxied.ended(7)
    assert (exchange.attempts, exchange.upstream, exchange.outcome) == (0, "", "upstream_aborted")


async def test_a_handshake_finds_the_upstream_that_is_there(origin: MakeOrigin, proxy: MakeProxy, dead_port: int):
    """MUST. U1. Chosen like any request; then the bytes are the two ends' own, and the stream is counted."""
    upgrade = (b"Connection: upgrade", b"Upgrade: websocket")
    two = await origin([request, head(b"HTTP/1.1 101 Switching Protocols", *upgrade)], read=True, kept=True)
    proxied = await behind(proxy, dead_port, two)
    client = await proxied.connect()
    client.get(b"/", *upgrade)
    assert (await client.next_head()).status == 101
    assert [one.open_exchanges for one in proxied.running.upstreams.seen()] == [0, 1]
    client.reset()
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.outcome, exchange.upstream) == (2, "tunnel_closed", upstream(two))
    assert [one.open_exchanges for one in proxied.running.upstreams.seen()] == [0, 0]


async def test_a_stop_during_an_attempt_ends_it(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. The client can tell, the upstream is let go, nobody else is asked."""
    one, two, three = await origin(REFUSES), await origin([whole_request]), await origin(SERVES)
    proxied = await behind(proxy, one, two, three, retry={"attempts": 3, "statuses": STATUSES})
    client = await proxied.connect()
    client.get()
    connection = await two.connection()
    await connection.until(lambda: bool(connection.requests), "the second attempt")
    assert await proxied.stop(0) == 1
    assert await client.wait_ended() in ("fin", "reset")
    await connection.wait_ended()
    assert (await proxied.ended()).outcome == "drained"
    assert not three.connections


async def test_a_drain_waits_for_the_attempts_that_follow(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O2. What is under way may still go to another upstream."""
    gate = asyncio.Event()
    one, two = await origin([whole_request, gate, refusal()]), await origin(SERVES)
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    client.get()
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests), "the first attempt")
    stopping = asyncio.create_task(proxied.stop(10))
    await asyncio.sleep(0)
    gate.set()
    assert (await client.answer()).status == 200
    assert await asyncio.wait_for(stopping, 2) == 0


async def test_a_reload_during_an_attempt_changes_nothing_for_it(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1. It goes on among the upstreams it began with, and leaves nothing behind of those that are gone."""
    gate = asyncio.Event()
    one, two = await origin([whole_request, gate, refusal()]), await origin(SERVES)
    new = await origin([whole_request, counted(b"new")] * 3)
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    client.get()
    connection = await one.connection()
    await connection.until(lambda: bool(connection.requests), "the first attempt")
    await proxied.running.reload(settings_of(route(new.port), listen=listening(proxied)))
    gate.set()
    assert (await client.answer()).body == b"ok"
    await two.connections[0].wait_gone()
    assert (await (await proxied.connect()).ask_for_answer()).body == b"new"


async def test_after_an_early_answer_only_a_connection_may_still_be_found(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, deaf_port: int
):
    """S22, R5. Heartbeats have begun the answer while the first upstream did not connect; the second goes on."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    two = await origin([whole_request, SSE + chunk(token("a")) + chunk(DONE) + chunk(b"")])
    early = {"heartbeat": Heartbeat(0.02, early=True), "family": "openai"}
    proxied = await behind(proxy, deaf_port, two, stream=early, timeouts={"connect": 0.2})
    client = await proxied.connect()
    client.ask(b"POST", b"/v1/chat/completions", b"Accept: text/event-stream", body=b'{"stream": true}')
    response = await client.next_head()
    await client.wait_body(response, len(PING))
    assert not two.connections
    assert await client.wait_body_end(response) == "complete"
    assert response.body.replace(PING, b"") == token("a") + DONE
    assert (await proxied.ended()).attempts == 2


async def test_after_an_early_answer_a_status_is_not_tried_again(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """MUST. R5. The client has had bytes: it is told in the stream that there is none."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    gate = asyncio.Event()
    one, two = await origin([whole_request, gate, refusal()]), await origin(SERVES)
    early = {"heartbeat": Heartbeat(0.02, early=True), "family": "openai"}
    proxied = await behind(proxy, one, two, stream=early)
    client = await proxied.connect()
    client.ask(b"POST", b"/v1/chat/completions", body=b'{"stream": true}')
    response = await client.next_head()
    await client.wait_body(response, len(PING))
    gate.set()
    assert await client.wait_body_end(response) != "complete"
    exchange = await proxied.ended()
    assert (exchange.code, exchange.attempts) == ("stream_refused", 1)
    assert not two.connections


async def test_a_kept_connection_found_dead_is_still_repeated_once_where_it_was(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R1, R4. On a new connection to the same upstream, which is not blamed for it."""
    one, two = await origin([request, OK, request, fin], [request, OK] * 3), await origin(SERVES)
    proxied = await behind(proxy, one, two, weights=[9, 1], health={"unhealthy_after": 1})
    client = await proxied.connect()
    for _ in range(2):
        assert (await client.ask_for_answer()).status == 200
    assert (asked(one), asked(two)) == (3, 0)
    assert [one.state for one in proxied.running.upstreams.seen()] == ["up", "up"]


async def test_retries_and_ejections_are_logged_and_counted(
    origin: MakeOrigin, proxy: MakeProxy, dead_port: int, caplog: pytest.LogCaptureFixture
):
    """One line when it is left out, and one when it is back; names and fixed words only."""
    two = await origin(SERVES)
    proxied = await behind(proxy, dead_port, two)
    client = await proxied.connect()
    with caplog.at_level(logging.INFO, logger="proxy"):
        for _ in range(5):
            assert (await client.ask_for_answer()).status == 200
    told = [(entry.levelname, entry.getMessage()) for entry in caplog.records if "upstream" in entry.getMessage()]
    line = f"route test: upstream {upstream(dead_port)} is left out for 30 s (connection_refused)"
    assert told == [("WARNING", line)]
    figures = proxied.running.upstreams
    assert figures.retries == {("test", "connect"): 2}
    assert figures.ejections == {("test", upstream(dead_port)): 1}
    assert [one.state for one in figures.seen()] == ["ejected", "up"]


ODD: list[Script] = [
    *([whole_request, fin], [whole_request, rst], [request, rst], [fin], [rst]),
    *([whole_request, OK] * 3, [whole_request, OK, whole_request, fin], [request, OK] * 2),
    *([whole_request, refusal()] * 2, [whole_request, refusal(429, b"Retry-After: 0")] * 2),
    [whole_request, SSE + chunk(b"data: 1\n\n"), rst],
    [whole_request, SSE + chunk(b"data: 1\n\n") + chunk(b""), whole_request, OK],
    [whole_request, CHUNKED.replace(b"200 OK", b"503 No") + chunk(b"part"), fin],
    [whole_request, head(b"HTTP/1.1 100 Continue") + refusal()],
    [whole_request],
]


@pytest.mark.parametrize("balance", ["round_robin", "least_streams"])
@pytest.mark.parametrize("seed", range(2))
async def test_whatever_happens_every_exchange_ends_and_nothing_is_counted_on(
    origin: MakeOrigin, proxy: MakeProxy, dead_port: int, monkeypatch: pytest.MonkeyPatch, balance: str, seed: int
):
    """MUST. D1, K1. Upstreams and clients do what comes to their minds; at the end no stream is left open, no upstream
    has been forgotten in a trial, and all of them serve again."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    chance = random.Random(seed)
    origins = [await origin(*chance.choices(ODD, k=20), [whole_request, OK] * 99) for _ in range(3)]
    proxied = await behind(
        proxy,
        *[*origins, dead_port],
        balance=balance,
        retry={"attempts": 4, "statuses": STATUSES},
        health={"eject": 0.01},
        timeouts={"head": 0.1, "idle": 0.1},
    )

    async def visit() -> None:
        for _ in range(5):
            client = await proxied.connect()
            client.ask(b"POST", b"/", body=b"x" * chance.choice([0, 10, 100_000]))
            leaves = chance.random() < 0.3
            with contextlib.suppress(AssertionError):
                await client.until(
                    lambda client=client: bool(client.reader.messages), "an answer", 0.05 if leaves else 5
                )
            if leaves:
                client.reset()
            elif not client.gone:
                await client.wait_body_end(client.reader.messages[-1])
                client.close()

    await asyncio.gather(*[visit() for _ in range(8)])
    await proxied.exchanges.until(lambda: len(proxied.exchanges.ended_ones) == 40, "all exchanges to end")
    figures = proxied.running.upstreams
    assert await settles(lambda: [one.open_exchanges for one in figures.seen()] == [0, 0, 0, 0])
    client = await proxied.connect()
    async with asyncio.timeout(10):
        while [one.state for one in figures.seen()][:3] != ["up"] * 3:
            client.get()
            response = await client.next_head()
            if await client.wait_body_end(response) != "complete":
                client = await proxied.connect()


async def test_an_answer_that_is_kept_is_not_read_meanwhile(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R5. While another upstream is asked for a better answer nobody takes its body, which may be without end."""
    gate = asyncio.Event()
    endless = head(b"HTTP/1.1 503 Busy", b"Transfer-Encoding: chunked")
    one = await origin([whole_request, endless, pushed(chunk(bytes(65536)), 1024)], kept=False)
    two = await origin([whole_request, gate, OK])
    client = await (await behind(proxy, one, two)).connect()
    client.get()
    await two.asked()
    assert await stalls(lambda: one.connections[0].sent_bytes) < 32 * 1024 * 1024
    gate.set()
    assert (await client.answer()).body == b"ok"


async def test_the_answer_that_is_relayed_is_that_of_who_gave_it(origin: MakeOrigin, proxy: MakeProxy, dead_port: int):
    """MUST. Its rules look at the upstream that answered, not at the one that was tried last and is not there."""
    one = await origin([])
    moved = counted(b"", b"Location: http://127.0.0.1:%d/there" % one.port, status=b"302 Found")
    one._scripts[:] = [[whole_request, moved]]
    proxied = await behind(proxy, one, dead_port, retry={"attempts": 2, "statuses": frozenset({302})})
    answer = await (await proxied.connect()).ask_for_answer()
    assert (answer.status, answer.get(b"location")) == (302, b"http://localhost/there")
