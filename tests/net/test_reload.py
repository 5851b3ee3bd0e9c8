"""Reload: other rules for new requests, while what is under way keeps its connections and its settings."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web

from proxy.app import CannotListen, UnusableTlsFile
from proxy.config.addresses import Address
from proxy.config.compile import Settings, Site
from proxy.core import routes
from proxy.core.headers import NO_RULES
from proxy.core.plan import Proxy
from proxy.core.routes import Limits, Tls

from . import harness
from .client import connect
from .conftest import MakeOrigin, MakeProxy
from .harness import INSTANCE, Proxied, settles
from .origin import request, whole_request
from .responses import OK, SSE, counted
from .test_tls import authority, authority_file, certificate_file, serving
from .wire import chunk, head

__all__ = ["authority", "authority_file", "certificate_file"]

ANYWHERE = Address("127.0.0.1", 0)


def settings(*served: routes.Route, listen: tuple[Address, ...] = (ANYWHERE,), **changed: Any) -> Settings:
    """Settings with these routes, on a free port unless they say otherwise."""
    proxy = Proxy(INSTANCE, routes.ordered(served))
    return Settings(tuple(Site(where, proxy) for where in listen), **changed)


async def in_a_stream(proxied: Proxied):
    """A client whose stream has begun."""
    client = await proxied.connect()
    client.get()
    return client, await client.next_head()


async def test_new_requests_go_where_the_new_rules_say_and_open_streams_stay(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1. Also those on a connection that was there before."""
    gate = asyncio.Event()
    old = await origin([request, OK, request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"data: 2\n\n") + chunk(b"")])
    new = await origin([request, counted(b"new")])
    proxied = await proxy(old, new, name="a")
    await proxied.running.reload(settings(harness.route(old.port)))
    kept = await proxied.connect()
    assert (await kept.ask_for_answer()).body == b"ok"
    client, response = await in_a_stream(proxied)
    await client.wait_body(response, 9)
    await proxied.running.reload(settings(harness.route(new.port)))
    assert (await kept.ask_for_answer()).body == b"new"
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body == b"data: 1\n\ndata: 2\n\n"
    assert (await proxied.ended()).outcome == "complete"


async def test_a_request_that_was_decided_finishes_by_its_own_rules(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1. Its deadlines, its limits, and where it goes when a kept connection turns out dead."""
    gate = asyncio.Event()
    one = await origin([request, gate, OK])
    proxied = await proxy(one, response_rules=replace(NO_RULES, set=((b"x-by", b"X-By", b"old"),)))
    client = await proxied.connect()
    client.get()
    await one.until(lambda: bool(one.connections and one.connections[0].requests), "the request")
    await proxied.running.reload(settings(harness.route(one.port)))
    gate.set()
    assert (await client.answer()).get(b"x-by") == b"old"


async def test_what_was_known_of_a_head_is_forgotten(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1. A plan that is kept belongs to its configuration."""
    one = await origin([step for _ in range(4) for step in (request, OK)])
    proxied = await proxy(one)
    client = await proxied.connect()
    for by in (b"1", b"2", b"3"):
        rules = replace(NO_RULES, set=((b"x-by", b"X-By", by),))
        await proxied.running.reload(settings(harness.route(one.port, request_rules=rules)))
        await client.ask_for_answer()
        assert one.connections[0].request.get(b"x-by") == by


async def test_an_upload_under_way_reaches_the_old_upstream(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1, O3."""
    old, new = await origin([whole_request, OK]), await origin([request, OK])
    proxied = await proxy(old)
    client = await proxied.connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 8") + b"part")
    await old.until(lambda: bool(old.connections and old.connections[0].requests), "the request")
    await proxied.running.reload(settings(harness.route(new.port, limits={"request_body": 1})))
    client.send(b"part")
    assert (await client.answer()).status == 200
    assert old.connections[0].request.body == b"partpart"
    assert new.connections == []


async def test_kept_connections_to_an_upstream_that_is_gone_are_closed(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. The idle ones at once, those in use when their exchange is over; those to others stay."""
    gate = asyncio.Event()
    gone, stays = await origin([request, OK], [request, gate, OK]), await origin([request, OK, request, OK])
    proxied = await proxy(gone, stays, match=routes.Match())
    both = [
        harness.route(one.port, name=name, match=routes.Match(prefix=path))
        for one, name, path in ((gone, "gone", b"/gone/"), (stays, "stays", b"/stays/"))
    ]
    await proxied.running.reload(settings(*both))
    busy, idle, other = await proxied.connect(), await proxied.connect(), await proxied.connect()
    await idle.ask_for_answer(b"/gone/")
    await other.ask_for_answer(b"/stays/")
    held = await proxied.connect()
    busy.get(b"/gone/")
    held.get(b"/gone/")
    await gone.until(lambda: sum(len(one.requests) for one in gone.connections) >= 3, "the requests")
    await proxied.running.reload(settings(both[1]))
    gate.set()
    for client in (busy, held):
        client.close()
    await gone.until(lambda: not gone.open_connections, "all connections to be closed")
    await other.ask_for_answer(b"/stays/")
    assert len(stays.connections) == 1


async def test_a_thousand_streams_survive_fifty_reloads(proxy: MakeProxy, upstream: "Upstream"):
    """MUST. O1. Not a byte is lost, and a client that connects all the time is never refused."""
    proxied = await proxy(upstream.port)
    streams, events, reloads = 1000, 30, 50
    upstream.events = events
    reading = [asyncio.create_task(_read_stream(proxied.port)) for _ in range(streams)]
    await upstream.all_begun(streams)
    stop = asyncio.Event()
    knocking = asyncio.create_task(_knock(proxied.port, stop))
    for number in range(reloads):
        rules = replace(NO_RULES, set=((b"x-generation", b"X-Generation", b"%d" % number),))
        await proxied.running.reload(settings(harness.route(upstream.port, response_rules=rules)))
        upstream.send_some()
        await asyncio.sleep(0.02)
    upstream.finish()
    bodies = await asyncio.wait_for(asyncio.gather(*reading), 30)
    stop.set()
    answers = await knocking
    whole = b"".join(upstream.event(number) for number in range(events))
    assert [body for body in bodies if body != whole] == []
    assert len(answers) > reloads // 2
    assert set(answers) == {200}


async def test_an_address_that_comes_is_served_and_one_that_goes_ends_in_good_order(
    origin: MakeOrigin, proxy: MakeProxy
):
    """MUST. The new one listens before the old one closes; streams on the old one go on, its idle clients are told."""
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"")], [request, OK])
    proxied = await proxy(one)
    idle = await proxied.connect()
    client, response = await in_a_stream(proxied)
    await client.wait_body(response, 9)
    other = Address("127.0.0.1", 0, None)
    named = Address("localhost", 0)
    await proxied.running.reload(settings(harness.route(one.port), listen=(named,)))
    (address,) = proxied.running.addresses
    newcomer = await connect(int(address.rpartition(":")[2]))
    assert (await newcomer.ask_for_answer()).body == b"ok"
    newcomer.close()
    await newcomer.wait_gone()
    assert await idle.wait_ended() == "fin"
    with pytest.raises(ConnectionRefusedError):
        await connect(proxied.port)
    assert proxied.running.open_exchanges == 1
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert await client.wait_ended() == "fin"
    await proxied.running.reload(settings(harness.route(one.port), listen=(other,)))
    assert proxied.running.connections == 0


async def test_a_stop_waits_for_streams_of_addresses_that_are_gone(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O4."""
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"")])
    proxied = await proxy(one)
    client, response = await in_a_stream(proxied)
    await client.wait_body(response, 9)
    await proxied.running.reload(settings(harness.route(one.port), listen=(Address("localhost", 0),)))
    stopping = asyncio.create_task(proxied.stop(10))
    await client.stays_quiet(0.1)
    assert not stopping.done()
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert await asyncio.wait_for(stopping, 3) == 0


async def test_a_port_that_is_taken_changes_nothing(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1. Nothing of the refused configuration is in force, not even the addresses that were free."""
    one, taken = await origin([request, OK]), await origin([])
    proxied = await proxy(one)
    before = proxied.running.addresses
    with pytest.raises(CannotListen, match=rf"cannot listen on 127.0.0.1:{taken.port}: address already in use"):
        await proxied.running.reload(
            settings(harness.route(taken.port), listen=(ANYWHERE, ANYWHERE, Address("127.0.0.1", taken.port)))
        )
    assert proxied.running.addresses == before
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"


async def test_a_unix_socket_stays_through_reloads_and_is_left_for_another(
    origin: MakeOrigin, proxy: MakeProxy, tmp_path: Path
):
    """MUST."""
    path = str(tmp_path / "s")
    one = await origin([request, OK])
    proxied = await proxy(one)
    where = Address(path=path)

    async def ask() -> bytes:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(head(b"GET / HTTP/1.1", b"Host: localhost", b"Connection: close"))
        got = await reader.read()
        writer.close()
        await writer.wait_closed()
        return got

    for _ in range(3):
        await proxied.running.reload(settings(harness.route(one.port), listen=(ANYWHERE, where)))
    assert (await ask()).endswith(b"ok")
    await proxied.running.reload(settings(harness.route(one.port)))
    with pytest.raises(OSError):  # noqa: PT011
        await ask()


# TLS.


def issued(authority: trustme.CA, file: Path, name: str) -> str:
    authority.issue_cert("localhost", name).private_key_and_cert_chain_pem.write_to_path(str(file))
    return str(file)


@pytest.mark.parametrize("sends_a_name", [True, False])
async def test_a_renewed_certificate_is_shown_to_new_clients(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str, tmp_path: Path, sends_a_name: bool
):
    """MUST. The file is read anew, also where its name is the same; open connections go on."""
    file = tmp_path / "cert.pem"
    one = await origin([request, OK, request, OK])
    tls = {"tls_cert": str(file), "tls_key": str(file)}
    trusting = ssl.create_default_context(cafile=authority_file)
    trusting.check_hostname = False
    issued(authority, file, "one.test")
    proxied = await proxy(one, settings=tls)
    seen = []
    first = await proxied.connect(tls=trusting)
    await first.ask_for_answer()
    for name in ("one.test", "two.test", "three.test"):
        issued(authority, file, name)
        await proxied.running.reload(settings(harness.route(one.port), **tls))
        shown = ssl.create_default_context(cafile=authority_file)
        shown.check_hostname = False
        _, writer = await asyncio.open_connection(
            "127.0.0.1", proxied.port, ssl=shown, server_hostname="localhost" if sends_a_name else ""
        )
        found = [entry for _, entry in writer.get_extra_info("peercert")["subjectAltName"]]
        seen.append(name in found)
        writer.close()
        await writer.wait_closed()
    assert seen == [True, True, True]
    await first.ask_for_answer()


async def test_a_certificate_that_cannot_be_read_changes_nothing(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str, tmp_path: Path
):
    """MUST."""
    file = tmp_path / "cert.pem"
    one = await origin([request, OK])
    tls = {"tls_cert": issued(authority, file, "one.test"), "tls_key": str(file)}
    proxied = await proxy(one, settings=tls)
    file.write_text("nothing")
    with pytest.raises(UnusableTlsFile, match=r"no usable PEM in .*cert\.pem"):
        await proxied.running.reload(settings(harness.route(one.port), **tls))
    client = await proxied.connect(tls=ssl.create_default_context(cafile=authority_file))
    assert (await client.ask_for_answer()).body == b"ok"


async def test_tls_can_begin_and_end_on_the_same_address(
    origin: MakeOrigin, proxy: MakeProxy, authority_file: str, certificate_file: str
):
    """MUST. The port stays the same, and a connection that was plain stays so."""
    one = await origin([step for _ in range(5) for step in (request, OK)])
    proxied = await proxy(one)
    plain = await proxied.connect()
    await plain.ask_for_answer()
    await proxied.running.reload(settings(harness.route(one.port), tls_cert=certificate_file, tls_key=certificate_file))
    assert proxied.running.addresses == [f"https://127.0.0.1:{proxied.port}"]
    secure = await proxied.connect(tls=ssl.create_default_context(cafile=authority_file))
    await secure.ask_for_answer()
    await plain.ask_for_answer()
    await proxied.running.reload(settings(harness.route(one.port)))
    again = await proxied.connect()
    await again.ask_for_answer()
    await secure.ask_for_answer()


async def test_an_upstreams_authority_is_read_anew(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, tmp_path: Path
):
    """MUST. A connection made by the old file is not used again; files that are the same keep theirs."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    one = await origin([request, OK, request, OK, request, OK], tls=serving(authority))
    served = harness.route(one.port, tls=Tls(ca=str(file)))
    proxied = await proxy(served)
    client = await proxied.connect()
    assert (await client.ask_for_answer()).status == 200
    await proxied.running.reload(settings(served))
    assert (await client.ask_for_answer()).status == 200
    assert len(one.connections) == 1, "the same file is the same upstream"
    trustme.CA().cert_pem.write_to_path(str(file))
    assert (await client.ask_for_answer()).status == 200, "files are looked at only when a configuration is taken"
    await proxied.running.reload(settings(served))
    assert (await client.ask_for_answer()).status == 502


async def test_places_are_counted_across_a_reload(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. Streams that go on by the old rules take their places under the new ones too."""
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"")])
    proxied = await proxy(one, limits={"concurrent": 5})
    client, response = await in_a_stream(proxied)
    limited = replace(harness.route(one.port), limits=Limits(concurrent=1))
    await proxied.running.reload(settings(limited))
    assert (await (await proxied.connect()).ask_for_answer()).status == 503
    gate.set()
    assert await client.wait_body_end(response) == "complete"


async def test_reloads_leave_no_listeners_or_pools_behind(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. What is checked after every test is that no socket is left; here, that none grows in between."""
    one = await origin([request, OK])
    proxied = await proxy(one)
    ports = set()
    for number in range(20):
        where = Address("127.0.0.1" if number % 2 else "localhost", 0)
        await proxied.running.reload(settings(harness.route(one.port), listen=(where,)))
        ports.add(proxied.running.addresses[0])
    assert len(ports) == 20
    assert await settles(lambda: len(proxied.running._leaving) <= 1)


# The upstream of the thousand streams, and their readers: plain streams of asyncio, as a scripted peer keeps too much.


class Upstream:
    """Every answer is a stream that goes on whenever the test says so."""

    def __init__(self) -> None:
        self.port = 0
        self.events = 0
        self._begun = 0
        self._sent = 0
        self._change = asyncio.Event()

    def event(self, number: int) -> bytes:
        return b"data: %d %b\n\n" % (number, b"x" * 40)

    async def answer(self, asked: web.BaseRequest) -> web.StreamResponse:
        if asked.path == "/knock":
            return web.Response(text="here")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(asked)
        self._begun += 1
        self._changed()
        sent = 0
        while sent < self.events:
            while sent >= self._sent:
                await self._change.wait()
            await response.write(b"".join(self.event(number) for number in range(sent, self._sent)))
            sent = self._sent
        return response

    async def all_begun(self, number: int) -> None:
        async with asyncio.timeout(30):
            while self._begun < number:
                await self._change.wait()

    def send_some(self) -> None:
        """The next event, of which the last waits for `finish`."""
        self._sent = min(self._sent + 1, self.events - 1)
        self._changed()

    def finish(self) -> None:
        self._sent = self.events
        self._changed()

    def _changed(self) -> None:
        self._change.set()
        self._change = asyncio.Event()


@pytest.fixture
async def upstream(left_behind: None) -> AsyncIterator[Upstream]:
    one = Upstream()
    runner = web.ServerRunner(web.Server(one.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    one.port = runner.addresses[0][1]
    yield one
    await runner.cleanup()


async def _read_stream(port: int) -> bytes:
    """The body of one stream, its chunks undone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(b"GET / HTTP/1.1", b"Host: localhost", b"Connection: close"))
    await reader.readuntil(b"\r\n\r\n")
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    writer.close()
    await writer.wait_closed()
    return body


async def _knock(port: int, stop: asyncio.Event) -> list[int]:
    """Connects and asks, one connection after the other."""
    statuses = []
    while not stop.is_set():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(b"GET /knock HTTP/1.1", b"Host: localhost", b"Connection: close"))
        statuses.append(int((await reader.read())[9:12]))
        writer.close()
        await writer.wait_closed()
    return statuses
