"""A name that comes to mean another address is followed without a restart; what runs stays where it is."""

import asyncio
import socket
from typing import Any

import pytest

from proxy.net.upstream import pool

from .conftest import MakeOrigin, MakeProxy
from .harness import route
from .origin import request
from .responses import OK, SSE, counted
from .wire import chunk

NAME = "moving.example"


class Resolver:
    """Says where NAME is: at the port that it was pointed at last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.port = 0
        self.asked = 0
        self._others = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self.resolve)

    def resolve(self, host: str, port: int, **hints: Any):
        if host != NAME:
            return self._others(host, port, **hints)
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", self.port))]


async def test_new_requests_follow_the_name_and_streams_finish_where_they_are(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """SHOULD. K7. Each connection asks for the name anew; a kept one is not used for longer than its age allows."""
    monkeypatch.setattr(pool, "MAX_AGE_S", 0.3)
    gate = asyncio.Event()
    old = await origin(
        [request, SSE + chunk(b"data: 1\n\n"), gate, chunk(b"data: 2\n\n") + chunk(b"")], [request, OK] * 5000
    )
    new = await origin([request, counted(b"new")] * 9)
    resolver = Resolver(monkeypatch)
    resolver.port = old.port
    proxied = await proxy(route(80, host=NAME))
    watcher, client = await proxied.connect(), await proxied.connect()
    watcher.get()
    stream = await watcher.next_head()
    await watcher.wait_body(stream, 9)
    assert (await client.ask_for_answer()).body == b"ok"
    resolver.port = new.port
    moved_at = asyncio.get_running_loop().time()
    assert (await client.ask_for_answer()).body == b"ok"  # on the connection that was kept
    while (await client.ask_for_answer()).body != b"new":  # a busy one is never idle for long enough to be closed
        assert asyncio.get_running_loop().time() - moved_at < 2
    assert asyncio.get_running_loop().time() - moved_at < 0.5
    gate.set()
    assert await watcher.wait_body_end(stream) == "complete"
    assert stream.body == b"data: 1\n\ndata: 2\n\n"
    assert resolver.asked == 3


async def test_an_idle_connection_does_not_outlive_its_age(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """SHOULD. K7. However long idle ones may be kept."""
    monkeypatch.setattr(pool, "MAX_AGE_S", 0.1)
    one = await origin([request, OK])
    proxied = await proxy(one)
    assert (await (await proxied.connect()).ask_for_answer()).status == 200
    await one.connections[0].wait_gone(1)


def test_the_documented_age() -> None:
    """docs/upstreams.md says five minutes."""
    assert pool.MAX_AGE_S == 300
