"""The scripted origin: each connection plays a list of steps on a raw socket and records what it receives.

A step is bytes to send, an event to wait for, or one of the functions below.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from .peer import Peer
from .waiting import Changing
from .wire import Message, Reader

Step: TypeAlias = bytes | asyncio.Event | Callable[["Connection"], Awaitable[None] | None]
Script = Sequence[Step]


class Connection(Peer):
    """A connection that the proxy made to us, and its script."""

    def __init__(self, origin: "Origin", kept: bool, read: bool) -> None:
        super().__init__(Reader(None, kept) if read else None, kept)
        self.origin = origin
        self.asked = 0
        """Requests that the script has waited for."""
        self.sent_bytes = 0
        """Bytes of `pushed` that were given to the kernel or to our own small buffer."""
        self.playing: asyncio.Task[None] | None = None

    @property
    def requests(self) -> list[Message]:
        assert self.reader is not None
        return self.reader.messages

    @property
    def request(self) -> Message:
        """The request that was asked for last."""
        return self.requests[-1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.origin.add(self)
        self.playing = asyncio.get_running_loop().create_task(self._play(), name="origin script")

    def changed(self) -> None:
        super().changed()
        self.origin.changed()

    async def _play(self) -> None:
        for step in self.origin.script_of(self):
            if self.gone:
                return
            if isinstance(step, bytes):
                self.send(step)
            elif isinstance(step, asyncio.Event):
                await step.wait()
            else:
                waiting = step(self)
                if waiting is not None:
                    await waiting


# Steps.


async def request(connection: Connection) -> None:
    """Waits for the head of the next request."""
    connection.asked += 1
    number = connection.asked
    await connection.until(lambda: len(connection.requests) >= number or connection.gone, "a request head", 60)


async def whole_request(connection: Connection) -> None:
    """Waits for the end of the next request."""
    await request(connection)
    await connection.until(lambda: connection.gone or connection.request.complete, "a whole request", 60)


def body_bytes(size: int) -> Step:
    """Waits until the request's body has that many bytes."""

    async def wait(connection: Connection) -> None:
        await connection.until(lambda: connection.gone or connection.request.size >= size, f"{size} bytes of body", 60)

    return wait


def set_event(event: asyncio.Event) -> Step:
    """Tells the test that the script has come here."""

    def tell(connection: Connection) -> None:
        event.set()

    return tell


def pushed(piece: bytes, times: int) -> Step:
    """Sends a piece many times, no faster than it is taken."""

    async def push(connection: Connection) -> None:
        for _ in range(times):
            if connection.gone:
                return
            connection.send(piece)
            connection.sent_bytes += len(piece)
            await asyncio.sleep(0)  # the proxy under test runs on the same loop
            await connection.until(lambda: not connection.writing_paused or connection.gone, "room to write", 60)

    return push


def fin(connection: Connection) -> None:
    """Closes in good order."""
    connection.close()


def rst(connection: Connection) -> None:
    """Resets the connection."""
    connection.reset()


def half_close(connection: Connection) -> None:
    """Sends FIN and goes on reading."""
    connection.finish_writing()


def stop_reading(connection: Connection) -> None:
    """Takes no more bytes."""
    connection.pause()


def read_on(connection: Connection) -> None:
    """Takes bytes again."""
    connection.resume()


class Origin(Changing):
    """Listens on a free port. Each connection plays the script of its number; the last is played on and on."""

    def __init__(self, scripts: Sequence[Script], kept: bool, read: bool, receive_buffer: int | None) -> None:
        super().__init__()
        self._scripts = list(scripts)
        self._kept = kept
        self._read = read
        self._receive_buffer = receive_buffer
        self._server: asyncio.Server | None = None
        self.connections: list[Connection] = []
        self.accepted_at: list[float] = []
        self.port = 0

    async def listen(self, tls: ssl.SSLContext | None = None) -> "Origin":
        """Starts to listen."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        made.bind(("127.0.0.1", 0))
        self.port = made.getsockname()[1]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self, self._kept, self._read), sock=made, ssl=tls, backlog=512
        )
        return self

    def add(self, connection: Connection) -> None:
        self.connections.append(connection)
        self.accepted_at.append(time.monotonic())
        self.changed()

    def script_of(self, connection: Connection) -> Script:
        return self._scripts[min(self.connections.index(connection), len(self._scripts) - 1)]

    @property
    def open_connections(self) -> int:
        return sum(not connection.gone for connection in self.connections)

    async def connection(self, number: int = 0) -> Connection:
        """The connection of that number, once it is there."""
        await self.until(lambda: len(self.connections) > number, f"connection {number}")
        return self.connections[number]

    async def asked(self, number: int = 0) -> Connection:
        """The connection of that number, once a request's head has come on it."""
        connection = await self.connection(number)
        await connection.until(lambda: bool(connection.requests), "a request")
        return connection

    async def close(self) -> None:
        """Ends everything, and raises what a script failed with."""
        assert self._server is not None
        self._server.close()
        tasks = [connection.playing for connection in self.connections if connection.playing is not None]
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self.connections:
            if not connection.gone:
                connection.transport.abort()
                await connection.wait_gone()
        await self._server.wait_closed()
        faults = [connection.fault for connection in self.connections if connection.fault is not None]
        failed = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if faults or failed:
            raise (faults or failed)[0]
