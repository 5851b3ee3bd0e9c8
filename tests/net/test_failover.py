"""Failover: another upstream of the route has the request, where the route asks for it and nothing is lost by it."""

import asyncio
import contextlib
import logging
import random
import time
from email.utils import formatdate
from typing import Any

import pytest

from proxy.config.addresses import Address
from proxy.core.retry import BUDGET_FLOOR
from proxy.core.streams import Heartbeat
from proxy.net import deadlines
from proxy.net.upload import REPLAY_BYTES

from .conftest import CLOSED_AFTER, MakeOrigin, MakeProxy, Measured
from .harness import Proxied, route, settles, shared
from .origin import Origin, Script, body_bytes, fin, request, rst, whole_request
from .responses import CHUNKED, OK, SSE, counted
from .streams import DONE, PING, token
from .test_failures import assert_is_our_error
from .test_reload import settings
from .wire import chunk, head

STATUSES = frozenset({429, 502, 503, 504, 529})
RETRY = {"attempts": 2, "statuses": STATUSES}
NO_EJECTION = {"eject": None}


def refusal(status: int = 503, *lines: bytes, body: bytes = b"busy") -> bytes:
    return counted(body, *lines, status=b"%d Busy" % status)


REFUSES: Script = [whole_request, refusal()] * 5
SERVES: Script = [whole_request, OK] * 5


def upstream(one: Origin | int) -> str:
    return f"http://127.0.0.1:{one if isinstance(one, int) else one.port}"


def asked(one: Origin) -> int:
    return sum(len(connection.requests) for connection in one.connections)


async def behind(proxy: MakeProxy, *origins: Origin | int, **overrides: Any) -> Proxied:
    """A proxy in front of several upstreams, the first of which has the first turn."""
    ports = [one if isinstance(one, int) else one.port for one in origins]
    return await proxy(shared(*ports, **{"retry": RETRY, **overrides}))


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
async def test_who_refuses_the_connection_is_passed_over(
    origin: MakeOrigin, proxy: MakeProxy, dead_port: int, method: bytes
):
    """MUST. R2, R7. Nothing was sent, whatever the method."""
    two = await origin(SERVES)
    proxied = await behind(proxy, dead_port, two)
    client = await proxied.connect()
    client.ask(method, body=b"{}" if method == b"POST" else None)
    response = await client.answer()
    assert (response.status, response.body) == (200, b"" if method == b"HEAD" else b"ok")
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.upstream, exchange.outcome) == (2, upstream(two), "complete")
    assert two.connections[0].request.get(b"host") == b"127.0.0.1:%d" % two.port


async def test_without_attempts_who_refuses_is_not_passed_over(proxy: MakeProxy, origin: MakeOrigin, dead_port: int):
    """Failover is asked for; the default is that the client hears what happened."""
    proxied = await behind(proxy, dead_port, await origin(SERVES), retry={})
    client = await proxied.connect()
    assert_is_our_error(await client.ask_for_answer(), 502, "connection_refused", "upstream")
    assert (await proxied.ended()).attempts == 1


@pytest.mark.parametrize("status", sorted(STATUSES))
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
async def test_an_answer_that_is_asked_for_goes_to_another(
    origin: MakeOrigin, proxy: MakeProxy, status: int, method: bytes
):
    """MUST. R7. The body is sent again, with a head for the one that gets it."""
    one, two = await origin([whole_request, refusal(status, body=b"" if method == b"HEAD" else b"busy")]), None
    two = await origin(SERVES)
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    client.ask(method, b"/x?y", body=b'{"a": 1}' if method == b"POST" else None)
    assert (await client.answer()).status == 200
    seen = [origin_.connections[0].request for origin_ in (one, two)]
    assert seen[0].body == seen[1].body == (b'{"a": 1}' if method == b"POST" else b"")
    assert [message.get(b"host") for message in seen] == [b"127.0.0.1:%d" % port for port in (one.port, two.port)]
    assert [value for name, value in seen[0].fields if name != b"Host"] == [
        value for name, value in seen[1].fields if name != b"Host"
    ]
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.status, exchange.upstream) == (2, 200, upstream(two))


async def test_a_status_that_is_not_asked_for_is_relayed(origin: MakeOrigin, proxy: MakeProxy):
    one, two = await origin([whole_request, refusal(500)]), await origin(SERVES)
    client = await (await behind(proxy, one, two)).connect()
    assert (await client.ask_for_answer()).status == 500
    assert not two.connections


async def test_the_other_may_stream(origin: MakeOrigin, proxy: MakeProxy):
    """503 from one, then each event of the other as it comes."""
    gate = asyncio.Event()
    one = await origin(REFUSES)
    two = await origin([whole_request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"data: 2\n\n") + chunk(b"")])
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    client.ask(b"POST", body=b"{}")
    response = await client.next_head()
    assert await client.wait_body(response, 9) == b"data: 1\n\n"
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body == b"data: 1\n\ndata: 2\n\n"
    assert (await proxied.ended()).stream == "type"


async def test_when_all_refuse_the_last_answer_is_relayed(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R7. Not an error of ours."""
    one, two = await origin([whole_request, refusal(429, body=b"one")]), await origin([whole_request, refusal(503)])
    proxied = await behind(proxy, one, two, retry={"attempts": 5, "statuses": STATUSES})
    client = await proxied.connect()
    response = await client.ask_for_answer()
    assert (response.status, response.body) == (503, b"busy")
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.outcome, exchange.upstream) == (2, "complete", upstream(two))


async def test_an_answer_is_worth_more_than_an_error_of_ours(origin: MakeOrigin, proxy: MakeProxy, dead_port: int):
    """One is busy, the other is not there: the client hears what the first said, and when to come again."""
    one = await origin([whole_request, refusal(429, b"Retry-After: 7", body=b"b" * 20_000), *SERVES])
    proxied = await behind(proxy, one, dead_port)
    client = await proxied.connect()
    response = await client.ask_for_answer()
    assert (response.status, response.get(b"retry-after"), response.size) == (429, b"7", 20_000)
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.upstream, exchange.outcome, exchange.code) == (2, upstream(one), "complete", "")


async def test_no_more_are_tried_than_attempts_say(origin: MakeOrigin, proxy: MakeProxy):
    origins = [await origin(REFUSES) for _ in range(3)]
    client = await (await behind(proxy, *origins)).connect()
    assert (await client.ask_for_answer()).status == 503
    assert [asked(one) for one in origins] == [1, 1, 0]


async def test_no_more_are_tried_than_the_budget_allows(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R8. An outage of one does not double what the other has to bear."""
    requests = BUDGET_FLOOR + 10
    one, two = await origin([whole_request, refusal()] * 50), await origin([whole_request, refusal()] * 50)
    proxied = await behind(proxy, one, two, health=NO_EJECTION)
    client = await proxied.connect()
    for _ in range(requests):
        assert (await client.ask_for_answer()).status == 503
    retried = asked(one) + asked(two) - requests
    assert BUDGET_FLOOR <= retried < BUDGET_FLOOR + 0.2 * requests + 1


async def test_what_the_client_has_had_a_byte_of_stays_where_it_is(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R5. A 1xx is one."""
    one = await origin([whole_request, head(b"HTTP/1.1 103 Early Hints", b"Link: </a>") + refusal()])
    two = await origin(SERVES)
    client = await (await behind(proxy, one, two)).connect()
    client.get()
    assert (await client.next_head()).status == 103
    assert (await client.answer()).status == 503
    assert not two.connections


@pytest.mark.parametrize("ending", [fin, rst])
async def test_a_stream_that_breaks_off_is_never_tried_again(origin: MakeOrigin, proxy: MakeProxy, ending):
    """MUST. R5. The client can tell, and nobody else is asked."""
    gate = asyncio.Event()
    one, two = await origin([whole_request, SSE + chunk(b"data: 1\n\n"), gate, ending]), await origin(SERVES)
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, 9)
    gate.set()
    assert await client.wait_body_end(response) != "complete"
    exchange = await proxied.ended()
    assert (exchange.attempts, exchange.outcome, exchange.upstream) == (1, "upstream_aborted", upstream(one))
    assert not two.connections


async def test_a_post_that_was_sent_and_then_closed_on_stays_where_it_is(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R6. It may have been acted upon; statuses are declared repeatable, this is none."""
    one, two = await origin([whole_request, fin]), await origin(SERVES)
    client = await (await behind(proxy, one, two)).connect()
    client.ask(b"POST", body=b"{}")
    assert_is_our_error(await client.answer(), 502, "connection_terminated", "upstream")
    assert not two.connections


@pytest.mark.parametrize(("size", "again"), [(REPLAY_BYTES // 2, True), (REPLAY_BYTES + 1, False)])
async def test_a_body_is_sent_again_if_it_was_whole_and_small(
    origin: MakeOrigin, proxy: MakeProxy, size: int, again: bool
):
    """MUST. R4. More than 64 KiB are kept for nobody."""
    one, two = await origin([whole_request, refusal()]), await origin(SERVES)
    client = await (await behind(proxy, one, two)).connect()
    body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    client.ask(b"POST", body=body)
    assert (await client.answer()).status == (200 if again else 503)
    assert one.connections[0].request.body == body
    assert [connection.request.body for connection in two.connections] == ([body] if again else [])


async def test_a_body_that_is_still_arriving_is_not_sent_again(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R4. The early answer is what the client gets."""
    one, two = await origin([request, body_bytes(4), refusal()]), await origin(SERVES)
    client = await (await behind(proxy, one, two)).connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 10") + b"part")
    assert (await client.answer()).status == 503
    assert not two.connections


async def test_a_body_that_is_still_arriving_may_find_another_connection(
    origin: MakeOrigin, proxy: MakeProxy, dead_port: int
):
    """MUST. R2. Not one byte of it was sent; nor does its size matter."""
    two = await origin(SERVES)
    proxied = await behind(proxy, dead_port, two)
    client = await proxied.connect()
    rest = b"y" * (3 * REPLAY_BYTES)
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: %d" % (4 + len(rest))) + b"part")
    connection = await two.connection()
    await connection.until(lambda: bool(connection.requests) and connection.request.size == 4, "the first part")
    client.send(rest)
    assert (await client.answer()).status == 200
    assert connection.request.body == b"part" + rest
    assert (await proxied.ended()).bytes_in == 4 + len(rest)


@pytest.mark.parametrize("form", ["seconds", "date"])
async def test_who_says_when_to_come_again_is_left_alone_until_then(origin: MakeOrigin, proxy: MakeProxy, form: str):
    """MUST. R7. Others have its turns; its own answers meanwhile cost nobody time."""
    value = b"60" if form == "seconds" else formatdate(time.time() + 60, usegmt=True).encode()
    one, two = await origin([whole_request, refusal(429, b"Retry-After: " + value)] * 9), await origin(SERVES)
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    for _ in range(5):
        assert (await client.ask_for_answer()).status == 200
    assert (asked(one), asked(two)) == (1, 5)
    assert [exchange.attempts for exchange in proxied.exchanges.ended_ones] == [2, 1, 1, 1, 1]
    assert [one.state for one in proxied.running.upstreams.seen()] == ["up", "up"]


async def test_where_all_asked_to_be_left_alone_one_of_them_answers_for_itself(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R7. All are over their limits: the client gets a 429 with when to come again, at once, from one attempt."""
    limited = [whole_request, refusal(429, b"Retry-After: 60")] * 9
    one, two = await origin(limited), await origin(limited)
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    for _ in range(3):
        response = await client.ask_for_answer()
        assert (response.status, response.get(b"retry-after")) == (429, b"60")
    assert [exchange.attempts for exchange in proxied.exchanges.ended_ones] == [2, 1, 1]


@pytest.mark.parametrize("answer", ["whole", "cut off", "never ends", "to the close"])
async def test_an_answer_that_is_thrown_away_is_nobody_elses(origin: MakeOrigin, proxy: MakeProxy, answer: str):
    """MUST. K1. Read to its end its connection is used again, else it is closed."""
    thrown = {
        "whole": refusal(),
        "cut off": head(b"HTTP/1.1 503 Busy", b"Content-Length: 10") + b"part",
        "never ends": head(b"HTTP/1.1 503 Busy", b"Transfer-Encoding: chunked") + chunk(b"x" * 100_000),
        "to the close": head(b"HTTP/1.1 503 Busy") + b"what",
    }
    one = await origin([whole_request, thrown[answer], whole_request, OK], [whole_request, OK])
    two = await origin([whole_request, counted(b"two")] * 9)
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    assert (await client.ask_for_answer(b"/1")).body == b"two"
    if answer != "whole":
        await one.connections[0].wait_gone()
    assert (await client.ask_for_answer(b"/2")).body == b"two"
    assert (await client.ask_for_answer(b"/3")).body == b"ok"
    assert len(one.connections) == (1 if answer == "whole" else 2)


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
    assert_is_our_error(await client.answer(), 504, "http_response_timeout", "upstream")
    assert 0.6 <= time.monotonic() - started < 0.95  # each for itself would be a whole second
    assert (await proxied.ended()).attempts == 2


async def test_connecting_again_is_within_that_deadline_too(origin: MakeOrigin, proxy: MakeProxy, deaf_port: int):
    """MUST. R8. What was answered before is relayed then."""
    one = await origin([whole_request, refusal()])
    proxied = await behind(proxy, one, deaf_port, timeouts={"head": 0.3, "connect": 20.0})
    client = await proxied.connect()
    started = time.monotonic()
    assert (await client.ask_for_answer()).status == 503
    assert 0.3 <= time.monotonic() - started < 5  # and not the twenty of `connect`


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
    await proxied.running.reload(settings(shared(deaf_port, dead_port), listen=listening(proxied)))  # which waits 10 s
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


def listening(proxied: Proxied) -> tuple[Address, ...]:
    """Where it listens, for settings that leave it there."""
    return tuple(site.where for site in proxied.running._settings.sites)


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
    await proxied.running.reload(settings(route(new.port), listen=listening(proxied)))
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
