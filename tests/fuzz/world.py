"""One event loop with an origin and a proxy on it, made for one example, and the proof that nothing was left behind."""

import asyncio
import contextlib
import gc
import itertools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from types import TracebackType
from typing import Any, TypeVar

from tests.conftest import ASKED_LOOP, _loop_factory
from tests.net import harness
from tests.net.client import Client
from tests.net.harness import INSTANCE, Proxied, settles
from tests.net.origin import Connection, Origin
from tests.net.peer import Peer
from tests.net.responses import counted
from tests.net.wire import Message

_Returned = TypeVar("_Returned")
Serve = Callable[[Connection], Awaitable[None]]
PLAIN = b"/plain-"
# What the proxy is told to add, or may drop, on the way to the origin: BEHAVIOUR F1, H14, H17, H19, E1.
OURS_UP = frozenset(
    {b"host", b"via", b"accept-encoding", b"content-length", b"x-real-ip", b"forwarded", b"proxy", b"max-forwards"}
)
HOP_BY_HOP = frozenset(
    {
        *(b"connection", b"proxy-connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te"),
        *(b"trailer", b"transfer-encoding", b"upgrade", b"http2-settings"),
    }
)


class _Errors(logging.Handler):
    """Keeps what is logged as an error or with a traceback."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR or record.exc_info:
            self.seen.append(self.format(record))


class World:
    """A context. Inside, `run` runs coroutines on its loop; leaving it checks that all is back to zero."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._runner = asyncio.Runner(loop_factory=_loop_factory(ASKED_LOOP))
        self._errors = _Errors()
        self._plain = itertools.count(1)
        self.origin: Origin
        self.proxied: Proxied

    def __enter__(self) -> "World":
        logging.getLogger().addHandler(self._errors)
        self.run(self._begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.run(_in_time(self._end()))
        except BaseException as failure:
            error = failure
            raise
        finally:
            if error is not None:
                with contextlib.suppress(Exception):
                    self.run(_in_time(self._tear_down()))
            self._runner.close()
            logging.getLogger().removeHandler(self._errors)
        if error is None:
            gc.collect()  # what a task or a future failed with, and nobody asked for, is logged when it goes
            assert not self._errors.seen, f"logged: {self._errors.seen}"

    def run(self, coroutine: Coroutine[Any, Any, _Returned]) -> _Returned:
        """The result of a coroutine on this world's loop."""
        return self._runner.run(coroutine)

    async def _begin(self) -> None:
        self.origin = await Origin([[self._answer]], True, True, None).listen()
        self.proxied = await harness.start(harness.route(self.origin.port), settings={}, proxy={})

    async def _answer(self, connection: Connection) -> None:
        with contextlib.suppress(OSError):  # the proxy may have left
            await self._serve(connection)

    async def _end(self) -> None:
        await self.plain_exchange()
        for client in self.proxied.clients:
            await close(client)
        running = self.proxied.running
        assert await settles(lambda: not running.open_exchanges), "an exchange is open though every client left"
        assert await self.proxied.stop() == 0
        assert await settles(lambda: not self.origin.open_connections), "upstream connections are left"
        await self.origin.close()
        own = asyncio.current_task()
        assert await settles(lambda: asyncio.all_tasks() == {own}), f"tasks are left: {asyncio.all_tasks() - {own}}"

    async def _tear_down(self) -> None:
        """Ends everything after a failure, which says enough: whatever this meets is kept quiet."""
        for client in self.proxied.clients:
            client.transport.abort()
        for ending in (self.proxied.stop(), self.origin.close()):
            with contextlib.suppress(Exception):
                await ending
        for connection in self.origin.connections:
            connection.transport.abort()
        await pause()

    async def connect(self) -> Client:
        """A new client."""
        return await self.proxied.connect()

    async def plain_exchange(self, client: Client | None = None) -> None:
        """Whether the proxy lives, and gives this request its own answer and no byte of another."""
        client = client or await self.connect()
        token = b"plain-%d" % next(self._plain)
        send(client, plain_request(token))
        client.methods.append(b"POST")
        before = len(client.reader.messages)
        await client.until(
            lambda: len(client.reader.messages) > before and client.reader.messages[before].complete, "it"
        )
        response = client.reader.messages[before]
        assert (response.status, response.body) == (200, token), f"{response.start!r} {response.body!r} for {token!r}"
        assert len(client.reader.messages) == before + 1


async def _in_time(coroutine: Coroutine[Any, Any, None]) -> None:
    async with asyncio.timeout(30):
        await coroutine


def plain_request(token: bytes) -> bytes:
    """A request that `plain_answer` recognises."""
    return b"POST /%b HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (token, len(token), token)


async def plain_answer(connection: Connection, request: Message) -> bool:
    """Answers a request of `plain_exchange`, and says whether it was one."""
    if not request.target.startswith(PLAIN):
        return False
    await whole(connection, request)
    if not connection.gone:
        assert request.body == request.target[1:], f"a plain request came with {request.body!r}"
        send(connection, counted(request.body))
    return True


async def next_request(connection: Connection) -> Message | None:
    """The next request that nobody has answered yet, as soon as its head is here; None when the connection ends."""
    number = connection.asked
    connection.asked += 1
    await connection.until(lambda: len(connection.requests) > number or connection.gone, "a request", 600)
    return connection.requests[number] if len(connection.requests) > number else None


async def whole(connection: Connection, request: Message) -> None:
    """Returns when all of the request is here, or the connection gone."""
    await connection.until(lambda: request.complete or connection.gone, "the whole request", 600)


async def pause() -> None:
    """Lets the proxy read what was just sent. Order is all that matters: nothing waits for this to be enough."""
    for _ in range(3):
        await asyncio.sleep(0)


def send(peer: Peer, data: bytes) -> None:
    """Sends, unless the other side has left: uvloop raises then where asyncio is silent."""
    if not peer.transport.is_closing():
        peer.send(data)


async def close(client: Client) -> None:
    """Ends a client's connection, whatever is left in it and whatever was wrong with what came."""
    fault, client.fault = client.fault, None
    if not client.gone:
        if client.transport.get_write_buffer_size() or client.unsent_bytes():
            client.reset()  # an end waits behind bytes that nobody reads: nothing tells of it. docs/limits.md
        else:
            client.close()
        await client.wait_gone()
    client.fault = fault or client.fault


def finals(client: Client) -> list[Message]:
    """The answers so far, without the interim ones."""
    return [message for message in client.reader.messages if message.status >= 200]


def is_own(answer: Message) -> bool:
    """Whether the proxy itself answered, with an error. RFC 9209."""
    return any(value.startswith(INSTANCE) for value in answer.all(b"proxy-status"))


def closes(message: Message) -> bool:
    """Whether it announces that nothing follows."""
    return b"close" in [part.strip().lower() for value in message.all(b"connection") for part in value.split(b",")]


def end_to_end(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields that travel on: RFC 9110 section 7.6.1."""
    named = {
        part.strip(b" \t").lower()
        for name, value in fields
        if name.lower() == b"connection"
        for part in value.split(b",")
    }
    named -= {b"host", b"content-length"}
    return [(name, value) for name, value in fields if name.lower() not in named | HOP_BY_HOP]
