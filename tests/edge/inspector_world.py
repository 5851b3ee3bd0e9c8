"""A configured proxy with its inspector, an origin behind it, and readers of the inspector's API."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.net.origin import Origin
from tests.security.world import World, routes, world

WITHIN_S = 5.0


@dataclass
class Inspector:
    """The inspector of a proxy, wherever that runs."""

    session: aiohttp.ClientSession
    admin: str

    async def get(self, path: str) -> Any:
        """A document of the API."""
        async with self.session.get(self.admin + path) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "application/json"
            return await answer.json()

    async def text(self, path: str) -> str:
        async with self.session.get(self.admin + path) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    @contextlib.asynccontextmanager
    async def listen(self, path: str = "/api/events", **headers: str) -> AsyncIterator["Listener"]:
        """Reads an event stream; exchanges are copied meanwhile."""
        async with self.session.get(self.admin + path, headers=headers) as answer:
            assert answer.status == 200
            assert answer.content_type == "text/event-stream"
            listener = Listener()
            reading = asyncio.create_task(listener.read(answer.content))
            try:
                yield listener
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)


@dataclass
class Inspected(Inspector):
    """A proxy that runs here, and what its inspector says."""

    world: World


@dataclass
class Listener:
    """The events of one stream, as they came."""

    events: list[tuple[str, str, Any]] = field(default_factory=list)
    """Name, id and data."""
    ended: bool = False
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, content: aiohttp.StreamReader) -> None:
        frame: dict[str, str] = {}
        async for raw in content:
            line = raw.decode().rstrip("\n")
            if line:
                name, _, value = line.partition(": ")
                frame[name] = value
            elif "event" in frame:
                self.events.append((frame["event"], frame.get("id", ""), json.loads(frame["data"])))
                frame = {}
                self._told()
            else:
                frame = {}
        self.ended = True
        self._told()

    def _told(self) -> None:
        self._change.set()
        self._change = asyncio.Event()

    async def until(self, met: Callable[[], Any], what: str) -> Any:
        """What is met, once it is."""
        try:
            async with asyncio.timeout(WITHIN_S):
                while not (found := met()):
                    await self._change.wait()
                return found
        except TimeoutError:
            raise AssertionError(f"waited in vain for {what}; told: {self.events}") from None

    async def hello(self) -> Any:
        """The first event of the list's stream."""
        return await self.until(lambda: self.of("hello"), "hello")

    def of(self, name: str) -> list[Any]:
        return [data for event, _, data in self.events if event == name]

    @property
    def exchanges(self) -> dict[int, Any]:
        """The newest summaries by number."""
        return {one["id"]: one for data in self.of("exchanges") for one in data["exchanges"]}

    async def exchange(self, met: Callable[[Any], Any], what: str) -> Any:
        """The first exchange of the list of which it is so."""
        return await self.until(lambda: next(filter(met, self.exchanges.values()), None), what)


@contextlib.asynccontextmanager
async def inspected(one: Origin, text: str = "", keyed: str = "", plain: str = "") -> AsyncIterator[Inspected]:
    """`/k/` spends a key, `/n/` none; `text` are further lines of the configuration."""
    written = f"admin: 127.0.0.1:0\nlisten: 127.0.0.1:0\n{text}\n{routes(one.port, keyed, plain)}"
    async with world(one, written) as made, aiohttp.ClientSession() as session:
        admin = made.proxied.running.admin_address
        assert admin is not None
        yield Inspected(session, admin, made)
