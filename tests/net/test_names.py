"""The names of a request over real sockets: to the upstream, back to the client, and into what observers are told."""

import re

import pytest

from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.tracing import is_traceparent

from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied
from .origin import Origin, fin, whole_request
from .responses import OK, counted
from .wire import Message, head

UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def echo(origin: MakeOrigin) -> Origin:
    """An origin that answers and shows what it was asked."""
    return await origin([step for _ in range(40) for step in (whole_request, OK)])


async def exchanged(proxied: Proxied, echo: Origin, *lines: bytes) -> tuple[Message, Message]:
    """The request as the upstream got it, and the answer as the client did."""
    client = await proxied.connect()
    answer = await client.ask_for_answer(b"/", *lines)
    return echo.connections[-1].request, answer


async def test_names_are_made_where_none_came_and_are_everywhere_the_same(echo: Origin, proxy: MakeProxy):
    """SHOULD. O13."""
    proxied = await proxy(echo)
    got, answer = await exchanged(proxied, echo)
    request_id = (got.get(b"x-request-id") or b"").decode()
    assert re.fullmatch("[0-9a-f]{32}", request_id)
    parent = (got.get(b"traceparent") or b"").decode()
    assert is_traceparent(parent)
    assert parent.split("-")[1] == request_id
    assert answer.get(b"x-request-id") == request_id.encode()
    assert answer.get(b"traceparent") is None
    assert (await proxied.ended()).request_id == request_id


async def test_every_request_has_names_of_its_own(echo: Origin, proxy: MakeProxy):
    """Also those with the same head, whose plan is known."""
    client = await (await proxy(echo)).connect()
    answers = [await client.ask_for_answer(b"/") for _ in range(10)]
    assert len({answer.get(b"x-request-id") for answer in answers}) == 10
    got = echo.connections[0].requests
    assert [message.get(b"x-request-id") for message in got] == [answer.get(b"x-request-id") for answer in answers]
    assert len({message.get(b"traceparent") for message in got}) == 10


async def test_names_that_came_pass_and_are_never_those_of_another_request(echo: Origin, proxy: MakeProxy):
    """SHOULD. O13, and H18: on one connection, with heads that differ in nothing else."""
    proxied = await proxy(echo)
    client = await proxied.connect()
    for number in range(1, 6):
        parent = PARENT.replace(b"0af7", b"%04d" % number)
        answer = await client.ask_for_answer(b"/", b"X-Request-Id: call-%d" % number, b"traceparent: " + parent)
        got = echo.connections[0].requests[-1]
        assert (got.get(b"x-request-id"), got.get(b"traceparent")) == (b"call-%d" % number, parent)
        assert answer.get(b"x-request-id") == b"call-%d" % number
        assert (await proxied.ended(number)).request_id == f"call-{number}"


@pytest.mark.parametrize("line", [b"X-Request-ID: a b", b"X-Request-ID: " + b"a" * 129, b'X-Request-ID: "'])
async def test_a_malformed_id_goes_nowhere(echo: Origin, proxy: MakeProxy, line: bytes):
    """SHOULD. O13, O9."""
    got, answer = await exchanged(await proxy(echo), echo, line)
    assert len(got.get(b"x-request-id") or b"") == 32
    assert answer.get(b"x-request-id") == got.get(b"x-request-id")


async def test_an_id_of_the_upstreams_stays_alone(origin: MakeOrigin, proxy: MakeProxy):
    """What an SDK shows as the id of a request is what the provider knows it by."""
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", b"x-request-id: req_theirs", b"Content-Length: 0")])
    answer = await (await (await proxy(one)).connect()).ask_for_answer(b"/", b"X-Request-ID: ours")
    assert answer.all(b"x-request-id") == [b"req_theirs"]


async def test_a_rule_that_renames_the_upstreams_id_makes_room_for_ours(origin: MakeOrigin, proxy: MakeProxy):
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", b"x-request-id: req_theirs", b"Content-Length: 0")])
    proxied = await proxy(one, response_rules=Rules(rename=((b"x-request-id", b"X-Upstream-ID"),)))
    answer = await (await proxied.connect()).ask_for_answer(b"/", b"X-Request-ID: ours")
    assert (answer.get(b"x-request-id"), answer.get(b"x-upstream-id")) == (b"ours", b"req_theirs")


async def test_rules_can_keep_the_names_to_themselves(echo: Origin, proxy: MakeProxy):
    """MUST. The rules of a route win."""
    without = Rules(remove=frozenset({b"x-request-id", b"traceparent"}))
    got, answer = await exchanged(await proxy(echo, request_rules=without, response_rules=without), echo)
    assert (got.naming, answer.naming) == ([], [])


async def test_a_rule_may_set_them(echo: Origin, proxy: MakeProxy):
    fixed = Rules(set=(field(b"X-Request-ID", b"fixed"),))
    got, answer = await exchanged(await proxy(echo, request_rules=fixed), echo, b"X-Request-ID: mine")
    assert got.all(b"x-request-id") == [b"fixed"]
    assert answer.get(b"x-request-id") == b"mine"


async def test_our_own_errors_carry_the_id(proxy: MakeProxy, unused_tcp_port: int):
    """Whoever reports one can be found in the log."""
    proxied = await proxy(unused_tcp_port)
    answer = await (await proxied.connect()).ask_for_answer(b"/", b"X-Request-ID: mine")
    assert (answer.status, answer.get(b"x-request-id")) == (502, b"mine")


async def test_what_could_not_be_read_has_an_id_too(echo: Origin, proxy: MakeProxy):
    proxied = await proxy(echo)
    client = await proxied.connect()
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n")
    answer = await client.answer()
    assert (answer.status, answer.get(b"x-request-id")) == (400, (await proxied.ended()).request_id.encode())


async def test_a_request_that_is_sent_again_keeps_its_names(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. H16: the second attempt is the same request."""
    one = await origin([whole_request, OK, whole_request, fin], [whole_request, counted(b"again")])
    proxied = await proxy(one)
    client = await proxied.connect()
    await client.ask_for_answer(b"/")
    client.get(b"/", b"X-Request-ID: twice")
    assert (await client.answer()).body == b"again"
    sent = [connection.requests[-1] for connection in one.connections]
    assert [message.get(b"x-request-id") for message in sent] == [b"twice", b"twice"]
    assert sent[0].get(b"traceparent") == sent[1].get(b"traceparent")


async def test_an_id_of_the_upstreams_stays_alone_on_a_101_too(origin: MakeOrigin, proxy: MakeProxy):
    switching = head(b"HTTP/1.1 101 Switching Protocols", *UPGRADE, b"X-Request-ID: req_theirs")
    one = await origin([whole_request, switching])
    client = await (await proxy(one)).connect()
    client.get(b"/", b"X-Request-ID: ours", *UPGRADE)
    assert (await client.next_head()).all(b"x-request-id") == [b"req_theirs"]
