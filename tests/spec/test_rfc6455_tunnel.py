"""RFC 6455: what a WebSocket sees of us, which is nothing: bytes both ways, and how they begin and end."""

import asyncio
import ssl
import time

import pytest

from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.routes import Tls
from tests.net.certificates import serving
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import Connection, fin, request, rst
from tests.net.peer import Peer
from tests.net.test_backpressure import serve
from tests.net.wire import head

from .tunnels import (
    ASKS,
    BARE,
    PIECE,
    SOCKET_FIELDS,
    SWITCH,
    SWITCHING,
    End,
    Tunnel,
    asks,
    case,
    cases,
    half_open,
    handshake,
    lines,
    opened,
    stands,
    switch,
)

__all__ = ["serve"]

MEBIBYTES = PIECE * 64
CLOSED_WITHIN_S = 0.1


async def _heads_are_made_anew(origin: MakeOrigin, proxy: MakeProxy) -> None:
    rules = Rules(set=(field(b"X-Rule", b"1"),))
    asked = (b"connection: x-hop, UPGRADE", b"X-Hop: 1", b"UPGRADE: WebSocket")
    one = await origin([request, switch(head(b"HTTP/1.1 101 So Be It", b"X-Their: 1", *ASKS))])
    through = await stands(await proxy(one, forwarding=BARE, response_rules=rules), one, handshake(asks=asked))
    assert lines(through.upstream.heads[0], b"host") == [*SOCKET_FIELDS, b"Connection: upgrade", b"Upgrade: websocket"]
    answer = through.client.heads[0]
    assert answer.start == b"HTTP/1.1 101 So Be It"
    assert lines(answer) == [b"Connection: upgrade", b"Upgrade: websocket", b"X-Their: 1", b"X-Rule: 1"]
    await through.carries()
    await through.close()


async def _bytes_are_nobodys_but_the_ends(origin: MakeOrigin, proxy: MakeProxy) -> None:
    through = await opened(origin, proxy)
    for data in (b"\0", b"\x88\x02\x03\xe8", b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", SWITCH, handshake(), PIECE):
        through.client.peer.send(data)
        await through.upstream.gets(data)
        through.upstream.peer.send(data)
        await through.client.gets(data)
    await through.close()


async def _mebibytes_pass_both_ways_at_once(origin: MakeOrigin, proxy: MakeProxy) -> None:
    through = await opened(origin, proxy)
    up, down = MEBIBYTES, MEBIBYTES[::-1]
    through.client.peer.send(up)
    through.upstream.peer.send(down)
    await asyncio.gather(through.upstream.gets(up, 20), through.client.gets(down, 20))
    await through.carries()
    await through.close()
    exchange = await through.proxied.ended()
    told = sum(len(b"up %d" % number) for number in range(3))
    answered = sum(len(b"\x81\x04down\r\n\r\n%d" % number) for number in range(3))
    assert (exchange.status, exchange.outcome, exchange.code) == (101, "tunnel_closed", "")
    assert (exchange.bytes_in, exchange.bytes_out) == (len(up) + told, len(down) + answered)


@cases(_heads_are_made_anew, _bytes_are_nobodys_but_the_ends, _mebibytes_pass_both_ways_at_once)
@pytest.mark.parametrize("tls", ["", "upstream", "listener", "both"])
async def test_behind_the_101_bytes_are_untouched(
    origin: MakeOrigin, proxy: MakeProxy, authority, authority_file, certificate_file, caplog, case, tls: str
):
    """U1: the two fields are made anew on the way up; behind the 101, bytes pass as they are, over TLS as well."""

    async def make(*scripts):
        return await origin(*scripts, tls=serving(authority) if tls in ("upstream", "both") else None)

    async def before(*one, **overrides):
        if tls in ("upstream", "both"):
            overrides["tls"] = Tls(ca=authority_file)
        if tls in ("listener", "both"):
            overrides["settings"] = {"tls_cert": certificate_file, "tls_key": certificate_file}
        proxied = await proxy(*one, **overrides)
        if tls in ("listener", "both"):
            context = ssl.create_default_context(cafile=authority_file)
            connect = proxied.connect
            proxied.connect = lambda **given: connect(tls=context, **given)
        return proxied

    await case(make, before)
    assert not [
        entry.getMessage() for entry in caplog.records if entry.name == "asyncio" and entry.levelname != "DEBUG"
    ]


EARLY = [b"\x81\x85\1\2\3\4early", handshake(), MEBIBYTES[: 600 * 1024]]


@pytest.mark.parametrize("early", EARLY, ids=["a frame", "what looks like a request", "more than is buffered"])
@pytest.mark.parametrize(
    "asked",
    [ASKS, (b"Connection: keep-alive, upgrade", b"Upgrade: WebSocket")],
    ids=["plain", "letter case"],
)
@pytest.mark.parametrize("when", ["in one write", "before the 101", "behind it"])
async def test_early_bytes_arrive(
    origin: MakeOrigin, proxy: MakeProxy, early: bytes, asked: tuple[bytes, ...], when: str
):
    """U6: what either side sends in one write with its head, or before it has read the other's, is all delivered."""
    gate = asyncio.Event()
    one = await origin([request, gate, switch(SWITCH + early)])
    sent = handshake(asks=asked)
    client = await asks(await proxy(one), sent + early if when == "in one write" else sent)
    connection = await one.asked()
    if when == "before the 101":
        client.peer.send(early)
        await asyncio.sleep(0.02)  # so that it lies with the proxy; if it does not yet, the test is merely easier
    gate.set()
    assert (await client.head()).status == 101
    await client.gets(early)
    upstream = End(connection)
    await upstream.head()
    if when == "behind it":
        client.peer.send(early)
    await upstream.gets(early)
    through = Tunnel(None, client, upstream)
    await through.carries()
    await through.close()


OFFERS = [
    (
        b"sec-websocket-protocol: graphql-ws, chat",
        b"Sec-WebSocket-Protocol: superchat",
        b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame",
    ),
    (b"Sec-WebSocket-Protocol: v4.channel.k8s.io", b"Sec-WebSocket-Extensions: permessage-deflate"),
]
CHOICES = [
    (
        b"Sec-WebSocket-Protocol: chat",
        b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_max_window_bits=12",
    ),
    (b"SEC-WEBSOCKET-PROTOCOL: not-offered", b"Sec-WebSocket-Version: 13, 8"),
    (),
]


@pytest.mark.parametrize("offered", OFFERS)
@pytest.mark.parametrize("chosen", CHOICES)
async def test_negotiation_is_the_two_ends_own(origin: MakeOrigin, proxy: MakeProxy, offered, chosen):
    """U7: sub-protocols and extensions are offered and chosen past us, every Sec-WebSocket field as it was written."""
    one = await origin([request, switch(head(b"HTTP/1.1 101 Switching Protocols", *ASKS, *chosen))])
    through = await stands(await proxy(one, forwarding=BARE), one, handshake(*offered))
    assert lines(through.upstream.heads[0], b"host", b"connection", b"upgrade") == [*SOCKET_FIELDS, *offered]
    assert lines(through.client.heads[0], b"connection", b"upgrade") == [*chosen]
    await through.carries()
    await through.close()


async def _of_the_upstream(through: Tunnel) -> tuple[End, End]:
    return through.upstream, through.client


async def _of_the_client(through: Tunnel) -> tuple[End, End]:
    return through.client, through.upstream


@cases(_of_the_upstream, _of_the_client)
@pytest.mark.parametrize("pending", [0, len(MEBIBYTES)], ids=["alone", "behind a backlog"])
async def test_an_end_of_one_direction_passes_and_the_other_goes_on(
    origin: MakeOrigin, proxy: MakeProxy, case, pending: int
):
    """U8: one side's FIN arrives as one, behind all its bytes; the other direction lives until it too has ended."""
    through = await opened(origin, proxy)
    first, second = await case(through)
    half_open(first.peer)
    half_open(second.peer)
    if pending:
        second.peer.pause()
        first.peer.send(MEBIBYTES)
    first.peer.finish_writing()
    if pending:
        await asyncio.sleep(0.05)  # the end waits behind what is not taken
        assert second.peer.ending == "open"
        second.peer.resume()
        await second.gets(MEBIBYTES, 20)
    assert await second.ends() == "fin"
    for data in (b"still here", MEBIBYTES, b"bye"):
        assert not first.peer.gone
        second.peer.send(data)
        await first.gets(data, 20)
    assert through.proxied.running.open_exchanges == 1
    second.peer.finish_writing()
    assert await first.ends() == "fin"
    first.peer.close()
    second.peer.close()
    exchange = await through.proxied.ended()
    assert (exchange.outcome, exchange.code) == ("tunnel_closed", "")


async def _closes(peer: Peer) -> None:
    peer.close()


async def _resets(peer: Peer) -> None:
    peer.reset()


async def _closes_behind_bytes(peer: Peer) -> None:
    peer.send(b"last words")
    peer.close()


async def _resets_in_a_flood(peer: Peer) -> None:
    peer.send(MEBIBYTES)
    peer.reset()


@pytest.mark.parametrize(
    ("case", "other"),
    [(each, "reads") for each in (_closes, _resets, _closes_behind_bytes, _resets_in_a_flood)]
    + [(_resets, "does not read")],  # an end may be one of one direction only, until the other side has answered it
    ids=lambda of: case(of),
)
@pytest.mark.parametrize("side", ["client", "upstream"])
async def test_the_end_of_one_side_is_soon_that_of_the_other(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, case, side: str, other: str
):
    """U9: within 100 ms of a close or reset the proxy has let go of both sides, and the exchange is over."""
    took = []
    one = await origin(SWITCHING)
    proxied = await proxy(one)
    for number in (1, 2, 3):  # the best of three: another program may have had the processor
        through = await stands(proxied, one)
        here, there = (through.client, through.upstream) if side == "client" else (through.upstream, through.client)
        if other == "does not read":
            there.peer.pause()
        left_at = time.monotonic()
        await case(here.peer)
        if other == "reads":
            await there.peer.wait_ended()
            took.append(there.peer.ended_at - left_at)
        exchange = await proxied.ended(number)
        if other == "does not read":
            took.append(exchange.ended - left_at)
            there.peer.reset()
        if case is _closes_behind_bytes:
            assert there.left == b"last words"
        assert (exchange.outcome, exchange.code, exchange.status) == ("tunnel_closed", "", 101)
        await there.peer.wait_gone()
    assert min(took) < CLOSED_WITHIN_S, took


async def _client_gone_before_the_101(origin: MakeOrigin, proxy: MakeProxy) -> None:
    for leaving in (Peer.close, Peer.reset, Peer.finish_writing):
        gate = asyncio.Event()
        one = await origin([request, gate, switch(SWITCH + b"first")])
        proxied = await proxy(one)
        client = await asks(proxied)
        connection = await one.connection()
        await connection.until(lambda connection=connection: bool(connection.requests), "the handshake")
        left_at = time.monotonic()
        leaving(client.peer)
        await connection.wait_ended()
        assert connection.ended_at - left_at < 1
        exchange = await proxied.ended()
        assert (exchange.outcome, exchange.status) == ("client_closed", 499)
        assert not client.peer.raw


async def _client_gone_as_the_101_comes(origin: MakeOrigin, proxy: MakeProxy) -> None:
    one = await origin([request, switch(SWITCH + b"first")])
    proxied = await proxy(one)
    for number in range(20):
        client = await asks(proxied)
        connection = await one.connection(number)
        await connection.until(lambda connection=connection: connection.received_bytes > 0, "the handshake")
        client.peer.reset()
        await connection.wait_ended()
        assert (await proxied.ended(number + 1)).outcome in ("client_closed", "tunnel_closed")


async def _upstream_gone_before_the_101(origin: MakeOrigin, proxy: MakeProxy) -> None:
    codes = []
    for script in ([request, fin], [request, rst], [request, SWITCH[:40], fin]):
        one = await origin(script)
        proxied = await proxy(one)
        client = await asks(proxied)
        assert (await client.head()).status == 502
        codes.append((await proxied.ended()).code)
        assert b"HTTP/1.1 101" not in client.peer.raw
        assert client.peer.raw.count(b"HTTP/1.1 ") == 1
    assert codes == ["connection_terminated", "connection_terminated", "http_response_incomplete"]


async def _upstream_gone_right_behind_the_101(origin: MakeOrigin, proxy: MakeProxy) -> None:
    one = await origin([request, switch(SWITCH + b"last words"), fin])
    proxied = await proxy(one)
    for number in range(20):
        client = await asks(proxied)
        assert (await client.head()).status == 101
        await client.gets(b"last words")
        assert await client.ends() == "fin"
        client.peer.close()
        assert (await proxied.ended(number + 1)).outcome == "tunnel_closed"


async def _upstream_half_closed_right_behind_the_101(origin: MakeOrigin, proxy: MakeProxy) -> None:
    def last_words(connection: Connection) -> None:
        half_open(connection)
        connection.finish_writing()

    one = await origin([request, switch(SWITCH + b"last words"), last_words])
    through = await stands(await proxy(one), one)
    half_open(through.client.peer)
    await through.client.gets(b"last words")
    assert await through.client.ends() == "fin"
    through.client.peer.send(b"an answer")
    await through.upstream.gets(b"an answer")
    through.client.peer.close()
    assert await through.upstream.ends() == "fin"
    through.upstream.peer.close()


async def _upstream_reset_in_the_middle(origin: MakeOrigin, proxy: MakeProxy) -> None:
    through = await opened(origin, proxy)
    through.client.peer.send(MEBIBYTES)
    through.upstream.peer.send(PIECE)
    await through.client.gets(PIECE)
    through.upstream.peer.reset()
    await through.client.peer.wait_ended()
    assert not through.client.left


async def _fifty_at_once(origin: MakeOrigin, proxy: MakeProxy) -> None:
    one = await origin(SWITCHING)
    proxied = await proxy(one)
    clients = await asyncio.gather(*(asks(proxied, handshake(b"X-Number: %d" % number)) for number in range(50)))
    assert {(await client.head()).status for client in clients} == {101}
    upstreams = {}
    for connection in one.connections:
        upstream = End(connection)
        upstreams[int((await upstream.head()).get(b"x-number"))] = upstream
    for number, client in enumerate(clients):
        client.peer.send(b"%d" % number * 1000)
        upstreams[number].peer.send(b"to %d" % number * 1000)
    for number, client in enumerate(clients):
        await upstreams[number].gets(b"%d" % number * 1000)
        await client.gets(b"to %d" % number * 1000)
    assert proxied.running.open_exchanges == 50
    for number, client in enumerate(clients):
        (client if number % 2 else upstreams[number]).peer.reset()
    for number, client in enumerate(clients):
        await (upstreams[number] if number % 2 else client).peer.wait_ended()
    assert (await proxied.ended(50)).outcome == "tunnel_closed"


@cases(
    _client_gone_before_the_101,
    _client_gone_as_the_101_comes,
    _upstream_gone_before_the_101,
    _upstream_gone_right_behind_the_101,
    _upstream_half_closed_right_behind_the_101,
    _upstream_reset_in_the_middle,
    _fifty_at_once,
)
async def test_who_leaves_harms_nothing(origin: MakeOrigin, proxy: MakeProxy, case):
    """U10: a side that goes before, with or after the 101 leads to at most one status line, leaving nothing behind."""
    await case(origin, proxy)
