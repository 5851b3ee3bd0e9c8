"""Failover: another upstream of the route has the request, where the route asks for it and nothing is lost by it."""

import asyncio
import time
from email.utils import formatdate

import pytest

from proxy.core.retry import BUDGET_FLOOR
from proxy.net.upload import REPLAY_BYTES

from .conftest import MakeOrigin, MakeProxy
from .failover import NO_EJECTION, REFUSES, SERVES, STATUSES, asked, behind, refusal, upstream
from .origin import body_bytes, fin, request, rst, whole_request
from .responses import OK, SSE, counted
from .test_failures import assert_is_our_error
from .wire import chunk, head


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


async def test_who_is_gone_since_the_last_request_is_passed_over(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. R1. A kept connection that was found dead, and then no new one: nobody is at work on the request."""
    one, two = await origin([whole_request, OK, whole_request, fin]), await origin(SERVES)
    proxied = await behind(proxy, one, two)
    client = await proxied.connect()
    for _ in range(2):
        await client.ask_for_answer()
    assert (asked(one), asked(two)) == (1, 1)
    assert one._server is not None
    one._server.close()
    assert (await client.ask_for_answer()).status == 200
    exchange = await proxied.ended(3)
    assert (exchange.upstream, exchange.attempts, asked(one)) == (upstream(two), 3, 2)
