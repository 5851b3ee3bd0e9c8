"""The pool of upstream connections: kept apart, kept short, and never shared by two requests at a time."""

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from proxy.app import Running
from proxy.config.addresses import Address
from proxy.config.compile import Settings, Site
from proxy.core import routes
from proxy.core.plan import Proxy
from proxy.core.routes import Match, Tls
from proxy.net.upstream import pool
from tests.net import harness
from tests.net.certificates import serving
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import Exchanges, Proxied
from tests.net.origin import Connection, Origin, Script, fin, request
from tests.net.responses import OK, SSE, counted
from tests.net.wire import chunk

SERVE: Script = [request, OK] * 20
FOR_EVER = float("inf")
# What the upstream says of its own patience, whether it speaks TLS, and between which seconds after the answer its idle
# connection shall end. Deadlines are looked at a few times a second.
PATIENCE: dict[str, tuple[list[bytes], bool, float, float]] = {
    "says nothing": ([], False, 3.5, 5),
    "a minute": ([b"Keep-Alive: timeout=60"], False, 3.5, 5),
    "3 s": ([b"Keep-Alive: timeout=3"], False, 1.5, 2.9),
    "2 s, among others": ([b"Connection: keep-alive", b"keep-alive: max=100 , TIMEOUT=2"], False, 0.5, 1.9),
    "1 s": ([b"Keep-Alive: timeout=1"], False, 0, 0.9),
    "0 s": ([b"Keep-Alive: timeout=0"], False, 0, 0.9),
    "nonsense": ([b"Keep-Alive: timeout=-1, timeout=x"], False, 3.5, 5),
    "2 s, over TLS": ([b"Keep-Alive: timeout=2"], True, 0.5, 1.9),
    "nothing, over TLS": ([], True, 5, FOR_EVER),
}


async def test_idle_connections_have_a_limit(origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA):
    """K3: An idle upstream connection ends after 4 s, over TLS 30 s, and a second before the upstream would end it.

    A request on its way to a connection that closes is lost, or has to be sent twice. RFC 9112 9.3 and 9.8.
    """
    assert (pool.IDLE_PLAIN_S, pool.IDLE_TLS_S) == (4, 30)

    async def lasts_s(lines: list[bytes], secure: bool) -> float:
        one = await origin([request, counted(b"ok", *lines)], tls=serving(authority) if secure else None)
        client = await (await proxy(one, tls=Tls(verify=False) if secure else None)).connect()
        await client.ask_for_answer()
        since, (connection,) = time.monotonic(), one.connections
        with contextlib.suppress(AssertionError):
            await connection.wait_ended(5.5)
        return connection.ended_at - since if connection.ended_at else FOR_EVER

    lasted = await asyncio.gather(*(lasts_s(lines, secure) for lines, secure, _, _ in PATIENCE.values()))
    wrong = {
        case: f"{seconds:.1f} s, expected {earliest} to {latest}"
        for (case, (_, _, earliest, latest)), seconds in zip(PATIENCE.items(), lasted, strict=True)
        if not earliest <= seconds <= latest
    }
    assert not wrong


ANOTHER: dict[str, tuple[dict, dict]] = {
    "the same": ({}, {}),
    "another host": ({"host": "127.0.0.1"}, {"host": "localhost"}),
    "another server_name": (
        {"tls": Tls(verify=False, server_name="one.example")},
        {"tls": Tls(verify=False, server_name="two.example")},
    ),
    "a server_name": ({"tls": Tls(verify=False)}, {"tls": Tls(verify=False, server_name="one.example")}),
    "another authority": ({"tls": Tls(verify=False)}, {"tls": Tls(ca="CA", server_name="localhost")}),
    "another certificate": ({"tls": Tls(verify=False)}, {"tls": Tls(verify=False, cert="CERT", key="CERT")}),
    "the same with TLS": ({"tls": Tls(verify=False)}, {"tls": Tls(verify=False)}),
}


def with_files(settings: dict, folder: Path) -> dict:
    """The settings of a route, with the names of files of that folder as paths."""
    if "tls" not in settings:
        return settings
    named = {name: getattr(settings["tls"], name) for name in ("ca", "cert", "key")}
    return {"tls": replace(settings["tls"], **{name: str(folder / file) for name, file in named.items() if file})}


@pytest.mark.parametrize("case", [*ANOTHER, "another port", "another scheme"])
async def test_pools_are_separate(origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, tmp_path, case: str):
    """K4: Connections are shared only by what has the same scheme, host, port, TLS settings and name in SNI.

    A request must not travel over a connection that was checked for another.
    """
    authority.cert_pem.write_to_path(str(tmp_path / "CA"))
    authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "CERT"))
    first, second = (with_files(settings, tmp_path) for settings in ANOTHER.get(case, ({}, {})))
    if case == "another scheme":
        one = await origin([until_blank_line, OK, until_blank_line, OK], [first_byte, fin], read=False)
        second = {"tls": Tls(verify=False)}
    else:
        one = await origin(SERVE, tls=serving(authority) if "tls" in first else None)
    other = await origin(SERVE) if case == "another port" else one
    proxied = await proxy(
        harness.route(one.port, match=Match(b"/a"), **first), harness.route(other.port, match=Match(b"/b"), **second)
    )
    client = await proxied.connect()
    failing = case == "another scheme"
    for target in (b"/a", b"/b", b"/a") if failing else (b"/a", b"/b", b"/a", b"/b"):
        assert (await client.ask_for_answer(target)).status == (502 if failing and target == b"/b" else 200)
    if failing:
        assert [connection.raw[:1] for connection in one.connections] == [b"G", b"\x16"]
        assert one.connections[0].raw.count(b"GET /a ") == 2
        return
    used = [asked for each in {one, other} for asked in each.connections if asked.requests]
    targets = sorted([asked.target for asked in connection.requests] for connection in used)
    shared = case.startswith("the same")
    assert targets == ([[b"/a", b"/b"] * 2] if shared else [[b"/a"] * 2, [b"/b"] * 2])


async def until_blank_line(connection: Connection) -> None:
    """Waits for another head, where nothing reads heads."""
    connection.asked += 1
    await connection.until(lambda: connection.gone or connection.raw.count(b"\r\n\r\n") >= connection.asked, "a head")


async def first_byte(connection: Connection) -> None:
    """Waits for anything."""
    await connection.until(lambda: connection.received_bytes > 0, "a byte")


@pytest.mark.parametrize("max_age_s", [None, 0])
async def test_the_last_used_goes_first(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, max_age_s: float | None
):
    """K7: The connection used last is used next, so that the others may end; an old one makes room for a new name.

    300 s is the age from which a connection is not kept.
    """
    assert pool.MAX_AGE_S == 300
    if max_age_s is not None:
        monkeypatch.setattr(pool, "MAX_AGE_S", max_age_s)
    gates = [asyncio.Event() for _ in range(3)]
    one = await origin(*[[request, gate, OK, *SERVE] for gate in gates], SERVE)
    proxied = await proxy(one)
    clients = [await proxied.connect() for _ in gates]
    for number, client in enumerate(clients):
        client.get(b"/%d" % number)
        await one.until(lambda count=number + 1: len(one.connections) == count, "a connection of its own")
    for number in (1, 2, 0):
        gates[number].set()
        await clients[number].answer()
        await proxied.ended(1 + (1, 2, 0).index(number))
    for _ in range(3):
        await clients[1].ask_for_answer(b"/next")
    asked = [len(connection.requests) for connection in one.connections]
    assert asked == ([4, 1, 1] if max_age_s is None else [1] * 6)
    if max_age_s is not None:
        for connection in one.connections:
            await connection.wait_ended(1)


async def test_one_request_at_a_time(origin: MakeOrigin, proxy: MakeProxy):
    """K8: A connection has one request at a time: more at once have connections of their own, and nothing queues up.

    Bytes of a second request before the answer to the first is whole would be pipelined. RFC 9112 9.3.2.
    """
    gate = asyncio.Event()

    async def alone(connection: Connection) -> None:
        await request(connection)
        if connection.gone:
            return
        assert len(connection.requests) == connection.asked
        connection.send(SSE + chunk(b"data: 1\n\n"))
        await gate.wait()
        assert len(connection.requests) == connection.asked
        connection.send(chunk(connection.request.target) + chunk(b""))

    one = await origin([alone] * 20)
    proxied = await proxy(one)
    clients = [await proxied.connect() for _ in range(10)]
    for turn in range(3):
        gate.clear()
        responses = []
        for number, client in enumerate(clients):
            for _ in range(2):  # the second is pipelined by the client, and waits for the first
                client.get(b"/%d-%d" % (turn, number))
        for client in clients:
            responses.append(await client.next_head())
        for response, client in zip(responses, clients, strict=True):
            await client.wait_body(response, 9)
        gate.set()
        for number, client in enumerate(clients):
            assert await client.wait_body_end(responses[number]) == "complete"
            assert responses[number].body == b"data: 1\n\n/%d-%d" % (turn, number)
            assert (await client.answer()).body == responses[number].body
    assert len(one.connections) == 10
    assert sum(len(connection.requests) for connection in one.connections) == 60


async def listeners(one: Origin, count: int) -> list[Proxied]:
    """As many listeners of one proxy."""
    sites = [
        Site(Address("127.0.0.1", 0), Proxy(harness.INSTANCE, routes.ordered([harness.route(one.port)])))
        for _ in range(count)
    ]
    exchanges = Exchanges()
    running = await Running.start(Settings(tuple(sites)), [exchanges])
    return [Proxied(running, exchanges, int(address.rpartition(":")[2])) for address in running.addresses]


async def test_the_pool_lives_as_long_as_a_listener(origin: MakeOrigin):
    """K10: Several listeners share what is kept of the upstreams, which is closed when the last of them ends."""
    gate = asyncio.Event()
    one = await origin([*SERVE[:4], request, SSE, gate, chunk(b"data: 1\n\n") + chunk(b"")], SERVE)
    first, second = await listeners(one, 2)
    clients = [await listener.connect() for listener in (first, second)]
    for number, client in enumerate(clients):
        assert (await client.ask_for_answer()).body == b"ok"
        await first.exchanges.number(1 + number)
    assert [len(connection.requests) for connection in one.connections] == [2]

    clients[0].get(b"/stream")
    response = await clients[0].next_head()
    assert (await clients[1].ask_for_answer()).body == b"ok"
    await first.exchanges.number(3)
    stopping = asyncio.create_task(first.stop(5))
    await clients[1].wait_ended()
    for listener in (first, second):
        with pytest.raises(ConnectionRefusedError):
            await listener.connect()
    assert not one.connections[0].gone
    gate.set()
    assert await clients[0].wait_body_end(response) == "complete"
    assert response.body == b"data: 1\n\n"
    assert await stopping == 0
    for connection in one.connections:
        await connection.wait_ended(1)
    assert await clients[0].wait_ended() == "fin"
    for client in clients:
        client.close()
        await client.wait_gone()
