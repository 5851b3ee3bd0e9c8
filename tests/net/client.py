"""The scripted client: raw bytes out, strictly read messages in, with the moment of each byte."""

import asyncio
import socket
import ssl
from typing import Literal

from .peer import Peer
from .waiting import LIMIT_S
from .wire import Message, Reader, head

BodyEnding = Literal["complete", "fin", "reset"]
"""`fin` and `reset` are how a body was cut."""


class Client(Peer):
    """One connection to the proxy."""

    def __init__(self, kept: bool = True) -> None:
        super().__init__(Reader(self._method, kept), kept)
        self.reader: Reader
        self.methods: list[bytes] = []
        """The methods of what was asked, so that the answer to HEAD is read as one."""
        self._answers = 0

    def _method(self, number: int) -> bytes:
        return self.methods[number] if number < len(self.methods) else b"GET"

    def get(self, target: bytes = b"/", *lines: bytes) -> None:
        """Asks for something."""
        self.ask(b"GET", target, *lines)

    def ask(self, method: bytes, target: bytes = b"/", *lines: bytes, body: bytes | None = None) -> None:
        """Sends a request with Host and these lines; Content-Length is added where there is a body."""
        self.methods.append(method)
        if body is not None:
            lines = (*lines, b"Content-Length: %d" % len(body))
        self.send(head(b"%b %b HTTP/1.1" % (method, target), b"Host: localhost", *lines) + (body or b""))

    async def next_head(self, within_s: float = LIMIT_S) -> Message:
        """The next message, interim ones included, as soon as its head is here."""
        number = self._answers
        await self.until(lambda: len(self.reader.messages) > number, "the next response head", within_s)
        self._answers += 1
        return self.reader.messages[number]

    async def wait_body(self, message: Message, size: int, within_s: float = LIMIT_S) -> bytes:
        """The body so far, once it has that many bytes."""
        await self.until(lambda: message.size >= size, f"{size} bytes of body, {message.size} are here", within_s)
        return message.body

    async def wait_body_end(self, message: Message, within_s: float = LIMIT_S) -> BodyEnding:
        """How the body ended."""
        await self.until(lambda: message.complete or self.ending != "open", "the end of the body", within_s)
        if message.complete:
            return "complete"
        assert self.ending in ("fin", "reset")
        return "fin" if self.ending == "fin" else "reset"

    async def answer(self, within_s: float = LIMIT_S) -> Message:
        """The next message, whole."""
        message = await self.next_head(within_s)
        ending = await self.wait_body_end(message, within_s)
        assert ending == "complete", f"the body was cut by {ending} after {message.size} bytes"
        return message

    async def ask_for_answer(self, target: bytes = b"/", *lines: bytes) -> Message:
        """A GET and its whole answer."""
        self.get(target, *lines)
        return await self.answer()


async def connect(
    port: int, *, kept: bool = True, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None
) -> Client:
    """A connection to a port of this machine; a small receive buffer makes a client that stalls soon felt."""
    loop = asyncio.get_running_loop()
    made = socket.socket()
    if receive_buffer is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    made.setblocking(False)
    try:
        await loop.sock_connect(made, ("127.0.0.1", port))
    except OSError:
        made.close()
        raise
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = "localhost" if tls else None
    _, client = await loop.create_connection(lambda: Client(kept), sock=made, ssl=tls, server_hostname=name)
    return client
