"""A thousand streams through fifty reloads."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiohttp import web

from proxy.core.headers import NO_RULES

from . import harness
from .conftest import MakeProxy
from .harness import settings_of
from .wire import head

# The upstream and the readers are plain streams of asyncio, as a scripted peer keeps too much.


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
        await proxied.running.reload(settings_of(harness.route(upstream.port, response_rules=rules)))
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
