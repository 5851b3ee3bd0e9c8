"""Commands that are ended with their test, upstreams for them, and clients that use no proxy of the environment."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from tests.demo.conftest import demo

from .command import Command

__all__ = ["demo"]


class Serve(Protocol):
    def __call__(self, *arguments: str, environ: dict[str, str] | None = None) -> Command: ...


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Serve]:
    """Starts a command; several may run at once."""
    numbers, started = itertools.count(), []

    def start_one(*arguments: str, environ: dict[str, str] | None = None) -> Command:
        home = tmp_path / f"run-{next(numbers)}"
        home.mkdir()
        started.append(Command(home, arguments, environ or {}))
        return started[-1]

    try:
        yield start_one
    finally:
        for command in started:
            command.end()


@pytest.fixture
def serve(launch: Serve) -> Serve:
    """Starts `serve` on a free port, without an admin listener unless one is asked for."""

    def start_one(*arguments: str, environ: dict[str, str] | None = None) -> Command:
        return launch("serve", "--listen", "127.0.0.1:0", "--admin", "off", *arguments, environ=environ)

    return start_one


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@dataclass
class Echo:
    """An upstream that answers every request alike and keeps what it was asked."""

    url: str = ""
    requests: list[web.BaseRequest] = field(default_factory=list)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        return web.json_response({"path": request.path_qs})


@pytest.fixture
async def echo(aiohttp_raw_server: Callable[..., Awaitable[RawTestServer]]) -> Echo:
    kept = Echo()
    kept.url = str((await aiohttp_raw_server(kept.answer)).make_url("")).rstrip("/")
    return kept


@dataclass
class Told:
    """A chat answer as it came: when each token did, and whether the body had its end."""

    tokens: list[str] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    is_whole: bool = False
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait_token(self) -> None:
        async with asyncio.timeout(10):
            await self.begun.wait()

    async def begin(self, session: aiohttp.ClientSession, url: str, **demo: Any) -> "asyncio.Task[Told]":
        """Starts to read; returns when the first token has come, with what reads on to the end."""
        reading = asyncio.create_task(self.read(session, url, **demo))
        await self.wait_token()
        return reading

    async def read(self, session: aiohttp.ClientSession, url: str, **demo: Any) -> "Told":
        """Asks the demo upstream at `url`; `demo` is how it shall answer."""
        clock = asyncio.get_running_loop().time
        started = clock()
        document = {"model": "demo", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        headers = {f"x-demo-{name}": str(value) for name, value in demo.items()}
        try:
            async with session.post(f"{url}/v1/chat/completions", json=document, headers=headers) as response:
                response.raise_for_status()
                async for line in response.content:
                    if line.startswith(b"data: {"):
                        said = json.loads(line[6:])["choices"][0]["delta"].get("content")
                        if said:
                            self.tokens.append(said)
                            self.arrivals.append(clock() - started)
                            self.begun.set()
            self.is_whole = True
        except aiohttp.ClientPayloadError:
            self.is_whole = False
        return self
