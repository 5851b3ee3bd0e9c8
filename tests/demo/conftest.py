"""The demo's servers on real sockets, and how to read from them with the time of each arrival."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
import pytest

from proxy.demo.run import Demo, start

WAIT_LIMIT_S = 5.0


@dataclass
class Received:
    """What a client got: arrivals as (seconds since the request left, bytes), and whether the body had its end."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    head_at: float = 0.0
    arrivals: list[tuple[float, bytes]] = field(default_factory=list)
    is_whole: bool = False

    @property
    def body(self) -> bytes:
        return b"".join(octets for _at, octets in self.arrivals)

    @property
    def times(self) -> list[float]:
        return [at for at, _octets in self.arrivals]

    def documents(self) -> list[dict]:
        """The JSON of each event's data, the sentinel left out."""
        blocks = [block for block in self.body.decode().split("\n\n") if block]
        lines = [line for block in blocks for line in block.split("\n") if line.startswith("data: ")]
        return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]


Receive = Callable[..., Awaitable[Received]]
State = dict[str, int]
WaitState = Callable[[Callable[[State], bool]], Awaitable[State]]


@pytest.fixture
async def demo() -> AsyncIterator[Demo]:
    async with await start() as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as opened:
        yield opened


@pytest.fixture
def receive(session: aiohttp.ClientSession) -> Receive:
    """Sends a request and reads its body as it comes; a body that breaks off is an answer that is not whole."""

    async def read(url: str, document: object = None, headers: dict[str, str] | None = None) -> Received:
        loop = asyncio.get_running_loop()
        received = Received()
        started_at = loop.time()
        method = "GET" if document is None else "POST"
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        async with session.request(
            method, url, data=None if document is None else io.BytesIO(body), headers=headers, allow_redirects=False
        ) as response:
            received.head_at = loop.time() - started_at
            received.status, received.headers = response.status, dict(response.headers)
            try:
                async for octets in response.content.iter_any():
                    received.arrivals.append((loop.time() - started_at, octets))
                received.is_whole = True
            except aiohttp.ClientPayloadError:
                received.is_whole = False
        return received

    return read


@pytest.fixture
def wait_state(demo: Demo, session: aiohttp.ClientSession) -> WaitState:
    """Asks for the state until it is as wanted, and fails at a deadline."""

    async def wait(is_wanted: Callable[[State], bool]) -> State:
        async with asyncio.timeout(WAIT_LIMIT_S):
            while True:
                async with session.get(f"{demo.upstream_url}/demo/state") as response:
                    state = await response.json()
                if is_wanted(state):
                    return state
                await asyncio.sleep(0.01)

    return wait
