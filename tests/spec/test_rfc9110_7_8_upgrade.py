"""RFC 9110 section 7.8: what a request to switch protocols becomes, and which answers to it are one."""

import asyncio
import json

import pytest

from proxy.core.headers import Rules
from proxy.core.message import field
from tests.net.client import Client
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import Proxied
from tests.net.origin import Origin, fin, request, whole_request
from tests.net.responses import OK, SSE, counted
from tests.net.wire import Message, chunk, head

from .tunnels import ACCEPT, ASKS, BARE, SOCKET_FIELDS, End, Tunnel, asks, cases, handshake, lines, opened, switch

START = b"HTTP/1.1 101 Switching Protocols"
UPGRADE = [b"Connection: upgrade", b"Upgrade: websocket"]
NOISE = (
    b"Connection: X-Hop, keep-alive , Upgrade",
    b"X-Hop: 1",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authenticate: Basic",
    b"TE: gzip",
    b"Trailer: X-Sum",
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    b"Alt-Svc: h3",
    b"CONNECTION: x-other",
    b"x-other: 2",
)


@pytest.mark.parametrize("noise", [(), NOISE], ids=["plain", "with fields of one hop"])
@pytest.mark.parametrize("ruled", [False, True], ids=["no rules", "rules"])
async def test_a_101_is_cleaned_like_any_answer(origin: MakeOrigin, proxy: MakeProxy, noise, ruled):
    """H8: of a 101 only Upgrade survives the cleaning; Connection says `upgrade` and no more, and rules have run."""
    told = [b"X-Kept: 1", b"Server: theirs", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"Sec-WebSocket-Accept: " + ACCEPT]
    connection = noise or (b"connection: UPGRADE",)
    answer = head(START, *told, *connection, b"upgrade: WebSocket")
    rules = Rules(remove=frozenset({b"server"}), set=(field(b"X-Kept", b"2"),), add=(field(b"X-Rule", b"1"),))
    given = {"response_rules": rules} if ruled else {}
    tunnel = await opened(origin, proxy, request, switch(answer), **given)
    got = sorted(lines(tunnel.client.heads[0]))
    if ruled:
        told = [b"X-Kept: 2", *told[2:], b"X-Rule: 1"]
    assert got == sorted([b"Connection: upgrade", b"Upgrade: WebSocket", *told])
    await tunnel.carries()
    await tunnel.close()


async def _as_announced(client: Client, answer: Message) -> None:
    """The connection ends if the answer said so, and serves the next request otherwise."""
    if answer.get(b"connection") == b"close":
        assert await client.wait_ended() == "fin"
    else:
        assert (await client.ask_for_answer()).body == b"ok"


async def _goes_on_as_plain_http(proxied: Proxied, one: Origin, sent: bytes, body: bytes = b"", then: bytes = b""):
    """The request arrives without a word of upgrading, its answer comes back whole, and ends the connection or not."""
    client = await proxied.connect()
    client.methods.append(sent.split(b" ")[0])
    client.send(sent)
    if then:
        await one.asked()
        client.send(then)
    answer = await client.answer()
    assert (answer.status, answer.body) == (200, b"ok")
    got = one.connections[0].request
    assert not {name.lower() for name in got.names} & {b"connection", b"upgrade", b"http2-settings"}
    assert (got.body, got.complete) == (body, True)
    assert (await proxied.ended()).outcome == "complete"
    await _as_announced(client, answer)


H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
LENGTH = b"Content-Length: 4"


@pytest.mark.parametrize(
    ("sent", "body", "then"),
    [
        (handshake(asks=H2C), b"", b""),
        (handshake(asks=(b"Connection: upgrade", b"Upgrade: TLS/1.3, foo/2")), b"", b""),
        (handshake(asks=(b"Connection: upgrade", b"Upgrade: websockets")), b"", b""),
        (handshake(asks=(b"Connection: upgrade", b"Upgrade:")), b"", b""),
        (handshake(asks=(b"Upgrade: websocket",)), b"", b""),
        (handshake(asks=(b"Connection: keep-alive", b"Upgrade: websocket")), b"", b""),
        (handshake(LENGTH, start=b"POST / HTTP/1.1") + b"body", b"body", b""),
        (handshake(LENGTH, start=b"POST / HTTP/1.1"), b"body", b"body"),
        (handshake(b"Transfer-Encoding: chunked", start=b"POST / HTTP/1.1"), b"body", chunk(b"body") + chunk(b"")),
        (handshake(LENGTH, start=b"POST / HTTP/1.1", asks=H2C), b"body", b"body"),
        (handshake(start=b"HEAD / HTTP/1.1"), b"", b""),
        (handshake(start=b"OPTIONS / HTTP/1.1"), b"", b""),
    ],
    ids=[
        *("h2c", "other protocols", "a longer name", "empty", "no Connection", "not in Connection"),
        *("POST at once", "POST, body later", "POST, chunked", "POST for h2c", "HEAD", "OPTIONS"),
    ],
)
async def test_anything_but_a_get_for_websocket_goes_on_without_it(
    origin: MakeOrigin, proxy: MakeProxy, sent: bytes, body: bytes, then: bytes
):
    """U2: whatever else wants to upgrade, `h2c` above all, has that wish removed and is served as plain HTTP."""
    answer = OK if sent[:4] != b"HEAD" else OK.removesuffix(b"ok")
    one = await origin([whole_request, answer, whole_request, OK])
    proxied = await proxy(one)
    if sent[:4] == b"HEAD":
        client = await proxied.connect()
        client.methods.append(b"HEAD")
        client.send(sent)
        assert (await client.answer()).status == 200
        assert b"upgrade" not in [name.lower() for name in one.connections[0].request.names]
    else:
        await _goes_on_as_plain_http(proxied, one, sent, body, then)


WRONG = {
    "another": (b"Connection: Upgrade", b"Upgrade: h2c"),
    "two": (b"Connection: Upgrade", b"Upgrade: websocket, h2c"),
    "two lines": (b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: h2c"),
    "empty": (b"Connection: Upgrade", b"Upgrade:"),
    "no Upgrade": (b"Connection: Upgrade",),
    "no Connection": (b"Upgrade: websocket",),
    "nothing": (),
    "with a length": (*ASKS, b"Content-Length: 2"),
    "chunked": (*ASKS, b"Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("behind", [b"", b"\x81\x02hi", OK], ids=["", "with frames", "with a response"])
@pytest.mark.parametrize(
    ("sent", "answered"),
    [
        *((handshake(), WRONG[name]) for name in WRONG),
        (head(b"GET / HTTP/1.1", b"Host: localhost"), ASKS),
        (handshake(asks=H2C), (b"Connection: Upgrade", b"Upgrade: h2c")),
        (handshake(asks=H2C), ASKS),
    ],
    ids=[*WRONG, "not asked", "dropped h2c", "asked h2c"],
)
async def test_a_101_that_answers_something_else_is_refused(
    origin: MakeOrigin, proxy: MakeProxy, sent: bytes, answered: tuple[bytes, ...], behind: bytes
):
    """U3: a 101 to nothing, for no protocol or for another one becomes 502, and not a byte behind it goes anywhere."""
    one = await origin([request, head(START, *answered) + behind])
    proxied = await proxy(one)
    client = await asks(proxied, sent)
    answer = await client.head()
    assert (answer.status, answer.get(b"upgrade")) == (502, None)
    assert b"http_upgrade_failed" in (answer.get(b"proxy-status") or b"")
    if b"close" not in (answer.get(b"connection") or b""):
        client.peer.close()
    else:
        await client.peer.wait_ended()
    assert json.loads(client.left)["error"]["code"] == "http_upgrade_failed"
    await one.connections[0].wait_ended(1)
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code, exchange.status) == ("upstream_aborted", "http_upgrade_failed", 502)


UNPRINTABLE = {"not ASCII": b"web\xe9socket", "UTF-8": "wéb".encode(), "a tab": b"websocket,\th\t2"}
REFUSED_BY_PARSERS = {"DEL": b"web\x7fsocket", "a control": b"web\x01socket"}


@pytest.mark.parametrize("value", [*UNPRINTABLE.values(), *REFUSED_BY_PARSERS.values()], ids=repr)
@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_an_upgrade_that_cannot_be_printed_is_refused(
    origin: MakeOrigin, proxy: MakeProxy, value: bytes, side: str
):
    """U4: an Upgrade with a byte outside printable ASCII is 400 from a client, 502 from an upstream, passed to none."""
    wrong = (b"Connection: upgrade", b"Upgrade: " + value)
    one = await origin([request, head(START, *wrong)])
    client = await asks(await proxy(one), handshake(asks=wrong if side == "client" else ASKS))
    answer = await client.head()
    assert answer.status == (400 if side == "client" else 502)
    assert value not in client.peer.raw
    if side == "client":
        assert not one.connections
        assert await client.peer.wait_ended() == "fin"
    else:
        codes = {"http_upgrade_failed"} if value in UNPRINTABLE.values() else {"http_protocol_error"}
        await one.connections[0].wait_ended(1)
        assert json.loads(client.left)["error"]["code"] in codes


async def _is_pooled(origin: MakeOrigin, proxy: MakeProxy) -> None:
    refusal = counted(b"no", b"Connection: keep-alive", b"Upgrade: websocket", status=b"403 Forbidden")
    one = await origin([request, refusal, request, OK, request, switch()])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"GET")
    client.send(handshake() + b"\x81\x85early")  # these are the client's risk: they are nobody's request
    answer = await client.answer()
    assert (answer.status, answer.body, answer.get(b"connection")) == (403, b"no", b"close")
    assert b"upgrade" not in [name.lower() for name in answer.names]
    assert await client.wait_ended() == "fin"
    assert len(client.reader.messages) == 1
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.status) == ("complete", 403)
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"
    again = await asks(proxied)  # for which a kept connection is as good as a new one
    assert (await again.head()).status == 101
    assert len(one.connections) == 1
    tunnel = Tunnel(proxied, again, End(one.connections[0]))
    assert [(await tunnel.upstream.head()).target for _ in range(3)] == [b"/chat", b"/", b"/chat"]
    await tunnel.carries()
    await tunnel.close()


async def _is_streamed(origin: MakeOrigin, proxy: MakeProxy) -> None:
    gates = [asyncio.Event() for _ in range(3)]
    steps = [step for gate in gates for step in (gate, chunk(b"data: 1\n\n"))]
    one = await origin([request, SSE, *steps, chunk(b""), request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.methods.append(b"GET")
    client.send(handshake())
    answer = await client.next_head()
    for number, gate in enumerate(gates):
        gate.set()
        await client.wait_body(answer, 9 * (number + 1))
    assert await client.wait_body_end(answer) == "complete"
    assert await client.wait_ended() == "fin"
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"
    assert len(one.connections) == 1


async def _has_interim_ones_before(origin: MakeOrigin, proxy: MakeProxy) -> None:
    one = await origin([request, head(b"HTTP/1.1 103 Early Hints", b"Link: </a>") + counted(b"", status=b"426 No")])
    client = await (await proxy(one)).connect()
    client.methods.append(b"GET")
    client.send(handshake())
    assert [(await client.next_head()).status for _ in range(2)] == [103, 426]
    assert await client.wait_ended() == "fin"


async def _wakes_no_dead_connection(origin: MakeOrigin, proxy: MakeProxy) -> None:
    one = await origin([request, OK, request, fin], [request, switch()])
    proxied = await proxy(one)
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"
    client = await asks(proxied)  # goes out on the kept connection, which ends: once more on a new one
    assert (await client.head()).status == 101
    upstream = End(await one.connection(1))
    await upstream.head()
    client.peer.send(b"once")
    await upstream.gets(b"once")
    client.peer.close()
    await upstream.ends()


@cases(_is_pooled, _is_streamed, _has_interim_ones_before, _wakes_no_dead_connection)
async def test_any_other_answer_is_an_ordinary_one(origin: MakeOrigin, proxy: MakeProxy, case):
    """U5: an answer that is no 101 is relayed as it flows, its connection is kept, and the client's is closed."""
    await case(origin, proxy)


async def _in_1_0_it_is_ignored(origin: MakeOrigin, proxy: MakeProxy) -> None:
    one = await origin([whole_request, OK])
    client = await (await proxy(one, forwarding=BARE)).connect()
    client.methods.append(b"GET")
    client.send(handshake(start=b"GET / HTTP/1.0"))
    assert (await client.answer()).body == b"ok"
    assert lines(one.connections[0].request, b"host") == [*SOCKET_FIELDS]
    assert await client.wait_ended() == "fin"


async def _a_100_comes_before_the_101(origin: MakeOrigin, proxy: MakeProxy) -> None:
    gate = asyncio.Event()
    one = await origin([request, head(b"HTTP/1.1 100 Continue"), gate, switch(head(START, *ASKS) + b"first")])
    client = await asks(await proxy(one), handshake(b"Expect: 100-continue"))
    assert (await client.head()).status == 100
    assert not client.left
    gate.set()
    assert (await client.head()).status == 101
    await client.gets(b"first")
    upstream = End(one.connections[0])
    assert (await upstream.head()).get(b"expect") == b"100-continue"
    client.peer.send(b"second")
    await upstream.gets(b"second")
    client.peer.close()
    await upstream.ends()


async def _in_one_write_too(origin: MakeOrigin, proxy: MakeProxy) -> None:
    interim = head(b"HTTP/1.1 100 Continue") + head(b"HTTP/1.1 103 Early Hints", b"Link: </a>")
    one = await origin([request, switch(interim + head(START, *ASKS) + b"first")])
    client = await asks(await proxy(one), handshake(b"Expect: 100-continue") + b"early")
    assert [(await client.head()).status for _ in range(3)] == [100, 103, 101]
    await client.gets(b"first")
    upstream = End(one.connections[0])
    await upstream.head()
    await upstream.gets(b"early")
    client.peer.close()
    await upstream.ends()


@cases(_in_1_0_it_is_ignored, _a_100_comes_before_the_101, _in_one_write_too)
async def test_expectations_are_met_first(origin: MakeOrigin, proxy: MakeProxy, case):
    """U13: HTTP/1.0 has no Upgrade, so it is not heeded there; where 100-continue is asked for, it precedes the 101."""
    await case(origin, proxy)
