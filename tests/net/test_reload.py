"""Reload: other rules for new requests, while what is under way keeps its connections and its settings."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

import pytest

from proxy.app import CannotListen
from proxy.config.addresses import Address
from proxy.config.compile import Admin, Inspector
from proxy.core import routes
from proxy.core.headers import NO_RULES
from proxy.core.routes import Limits

from . import harness
from .client import connect
from .conftest import MakeOrigin, MakeProxy
from .harness import ANYWHERE, Proxied, settings_of, settles
from .origin import request, whole_request
from .responses import OK, SSE, counted
from .wire import chunk, head


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
    await proxied.running.reload(settings_of(harness.route(old.port)))
    kept = await proxied.connect()
    assert (await kept.ask_for_answer()).body == b"ok"
    client, response = await in_a_stream(proxied)
    await client.wait_body(response, 9)
    await proxied.running.reload(settings_of(harness.route(new.port)))
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
    await one.asked()
    await proxied.running.reload(settings_of(harness.route(one.port)))
    gate.set()
    assert (await client.answer()).get(b"x-by") == b"old"


async def test_what_was_known_of_a_head_is_forgotten(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1. A plan that is kept belongs to its configuration."""
    one = await origin([step for _ in range(4) for step in (request, OK)])
    proxied = await proxy(one)
    client = await proxied.connect()
    for by in (b"1", b"2", b"3"):
        rules = replace(NO_RULES, set=((b"x-by", b"X-By", by),))
        await proxied.running.reload(settings_of(harness.route(one.port, request_rules=rules)))
        await client.ask_for_answer()
        assert one.connections[0].request.get(b"x-by") == by


async def test_an_upload_under_way_reaches_the_old_upstream(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1, O3."""
    old, new = await origin([whole_request, OK]), await origin([request, OK])
    proxied = await proxy(old)
    client = await proxied.connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 8") + b"part")
    await old.asked()
    await proxied.running.reload(settings_of(harness.route(new.port, limits={"request_body": 1})))
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
    await proxied.running.reload(settings_of(*both))
    busy, idle, other = await proxied.connect(), await proxied.connect(), await proxied.connect()
    await idle.ask_for_answer(b"/gone/")
    await other.ask_for_answer(b"/stays/")
    held = await proxied.connect()
    busy.get(b"/gone/")
    held.get(b"/gone/")
    await gone.until(lambda: sum(len(one.requests) for one in gone.connections) >= 3, "the requests")
    await proxied.running.reload(settings_of(both[1]))
    gate.set()
    for client in (busy, held):
        client.close()
    await gone.until(lambda: not gone.open_connections, "all connections to be closed")
    await other.ask_for_answer(b"/stays/")
    assert len(stays.connections) == 1


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
    await proxied.running.reload(settings_of(harness.route(one.port), listen=(named,)))
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
    await proxied.running.reload(settings_of(harness.route(one.port), listen=(other,)))
    assert proxied.running.connections == 0


async def test_a_stop_waits_for_streams_of_addresses_that_are_gone(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O4."""
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"")])
    proxied = await proxy(one)
    client, response = await in_a_stream(proxied)
    await client.wait_body(response, 9)
    await proxied.running.reload(settings_of(harness.route(one.port), listen=(Address("localhost", 0),)))
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
            settings_of(harness.route(taken.port), listen=(ANYWHERE, ANYWHERE, Address("127.0.0.1", taken.port)))
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
        await proxied.running.reload(settings_of(harness.route(one.port), listen=(ANYWHERE, where)))
    assert (await ask()).endswith(b"ok")
    await proxied.running.reload(settings_of(harness.route(one.port)))
    with pytest.raises(OSError):  # noqa: PT011
        await ask()


async def test_places_are_counted_across_a_reload(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. Streams that go on by the old rules take their places under the new ones too."""
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"")])
    proxied = await proxy(one, limits={"concurrent": 5})
    client, response = await in_a_stream(proxied)
    limited = replace(harness.route(one.port), limits=Limits(concurrent=1))
    await proxied.running.reload(settings_of(limited))
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
        await proxied.running.reload(settings_of(harness.route(one.port), listen=(where,)))
        ports.add(proxied.running.addresses[0])
    assert len(ports) == 20
    assert await settles(lambda: len(proxied.running._leaving) <= 1)


async def test_new_connections_have_the_new_limits(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1. Also those that belong to no route: how large a head may be, how long a connection may be idle."""
    one = await origin([request, OK] * 3)
    proxied = await proxy(one)
    large = b"X-A: " + b"a" * 10_000
    before = await proxied.connect()
    assert (await before.ask_for_answer(b"/", large)).status == 200
    await proxied.running.reload(settings_of(harness.route(one.port), head_bytes=9000, keep_alive_s=0.1))
    client = await proxied.connect()
    assert (await client.ask_for_answer(b"/", large)).status == 431
    idle = await proxied.connect()
    await idle.ask_for_answer()
    assert await idle.wait_ended(2) == "fin"
    assert (await before.ask_for_answer(b"/", large)).status == 200


async def test_streams_of_an_address_given_up_are_known_through_further_reloads(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1, O2. A stop still waits for them, and counts what it cuts."""
    one = await origin([request, SSE + chunk(b"data: 1\n\n")], [request, OK])
    proxied = await proxy(one)
    client, response = await in_a_stream(proxied)
    for _ in range(2):
        await proxied.running.reload(settings_of(harness.route(one.port), listen=(Address("127.0.0.1", 0),)))
    await proxied.running.reload(settings_of(harness.route(one.port), listen=(Address("localhost", 0),)))
    await proxied.running.reload(settings_of(harness.route(one.port), listen=(ANYWHERE,)))
    assert proxied.running.open_exchanges == 1
    assert await proxied.stop(0.1) == 1
    assert await client.wait_body_end(response) == "fin"


async def test_how_long_the_oldest_has_been_open_is_told(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. O2. A stop says what it waits for: how many, and since when."""
    gate = asyncio.Event()
    one = await origin([request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"")])
    proxied = await proxy(one)
    assert await proxied.running.under_way() == (0, 0.0)
    (first, _), began = await in_a_stream(proxied), time.monotonic()
    await first.stays_quiet(0.2)
    await in_a_stream(proxied)
    count, oldest_s = await proxied.running.under_way()
    assert (count, oldest_s >= time.monotonic() - began - 0.05) == (2, True)
    gate.set()


async def test_who_looks_on_knows_the_new_configuration(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. O1, O9. The secrets that must not be shown, and the routes that there are."""
    one = await origin([request, OK])
    admin = Admin(ANYWHERE, None)
    looking = {"admin": admin, "inspector": Inspector(1 << 20, ("sk-the-old-key-of-ours",))}
    proxied = await proxy(one, name="old", settings=looking)
    running = proxied.running
    assert running.status is not None
    assert running._store is not None
    changed = {"admin": admin, "inspector": Inspector(1 << 20, ("sk-the-new-key-of-ours",))}
    await running.reload(settings_of(harness.route(one.port, name="new"), **changed))
    assert [entry["name"] for entry in (await running.status.document())["routes"]] == ["new"]
    for which in ("old", "new"):
        assert f"sk-the-{which}-key" not in running._store.redactor.text(f"Bearer sk-the-{which}-key-of-ours")
