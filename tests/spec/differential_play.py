"""Plays a conversation to a proxy in front of a scripted origin, and says what either side got.

Nothing here knows which proxy it is. Fields that proxies add by design are left out, and so are the bodies of their own
errors; what is left is what two correct proxies should agree on.
"""

import asyncio
import contextlib
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.net.peer import Peer
from tests.net.responses import counted
from tests.net.wire import Malformed, Message, Reader

QUIET_S = 0.4
"""So long nothing has come: the conversation is over. Only a hang takes longer to tell from an open connection."""
FROM_ORIGIN = b"X-Origin: 1"
OK = counted(b"ok", FROM_ORIGIN)
_ADDED = frozenset(
    {b"host", b"connection", b"via", b"x-real-ip", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto"}
)
End = Literal["open", "fin", "reset"]


@dataclass(frozen=True)
class Conversation:
    """What the client sends, in one piece, and how the origin answers each whole request."""

    sent: bytes
    answer: bytes = OK
    end: End = "open"
    methods: tuple[bytes, ...] = ()
    """The methods of the requests where HEAD is among them."""


@dataclass
class Outcome:
    """What came of it, in words that can be compared."""

    client: list[str] = field(default_factory=list)
    origin: list[str] = field(default_factory=list)

    def told_apart(self, other: "Outcome") -> str:
        """What is different about this one, in one line; empty if nothing is."""
        parts = [f"client: {'; '.join(self.client)}"] if self.client != other.client else []
        parts += [f"origin: {'; '.join(self.origin)}"] if self.origin != other.origin else []
        return " | ".join(parts)


class _Answering(Peer):
    """The origin's end of one connection."""

    def __init__(self, conversation: Conversation, all_of_them: list["_Answering"]) -> None:
        super().__init__(Reader(None))
        self._conversation = conversation
        self._answered = 0
        self.reader: Reader
        all_of_them.append(self)

    def changed(self) -> None:
        super().changed()
        while self._answered < len(self.reader.messages) and self.reader.messages[self._answered].complete:
            self._answered += 1
            if self.transport.is_closing():
                return
            self.send(self._conversation.answer)
            if self._conversation.end == "fin":
                self.finish_writing()
            elif self._conversation.end == "reset":
                asyncio.get_running_loop().call_later(QUIET_S / 4, self._reset)  # what was sent shall be read first

    def _reset(self) -> None:
        if not self.transport.is_closing():
            self.reset()


class Origin:
    """Listens, and answers as a conversation says."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.connections: list[_Answering] = []
        self.port = 0

    async def __aenter__(self) -> "Origin":
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Answering(self._conversation, self.connections), "127.0.0.1", 0
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for connection in self.connections:
            await _closed(connection)
        await self._server.wait_closed()

    def seen(self) -> list[str]:
        """The requests, on whatever connection."""
        found = []
        for connection in self.connections:
            found += [_request(message) for message in connection.reader.messages]
            found += ["no HTTP"] if connection.fault is not None else []
        return found or ["nothing"]


async def play(conversation: Conversation, port: int, origin: Origin) -> Outcome:
    """One conversation with the proxy at that port."""
    methods = conversation.methods
    reader = Reader(lambda number: methods[number] if number < len(methods) else b"GET")
    loop = asyncio.get_running_loop()
    _, client = await loop.create_connection(lambda: Peer(reader), "127.0.0.1", port)
    seen_before = len(origin.connections)
    client.send(conversation.sent)
    before = -1
    while (
        client.ending == "open"
        and client.fault is None
        and client.received_bytes + sum(connection.received_bytes for connection in origin.connections) != before
    ):
        before = client.received_bytes + sum(connection.received_bytes for connection in origin.connections)
        with contextlib.suppress(AssertionError, Malformed):
            await client.until(lambda: client.ending != "open", "the end", QUIET_S)
    outcome = Outcome(_answers(client, reader))
    await _closed(client)
    mine = Origin(conversation)
    mine.connections = origin.connections[seen_before:]
    outcome.origin = mine.seen()
    return outcome


async def _closed(peer: Peer) -> None:
    """Ends a connection on which anything may have come, also what is no HTTP."""
    peer.fault = None
    if not peer.gone:
        peer.transport.abort()
        await peer.wait_gone()


def _answers(client: Peer, reader: Reader) -> list[str]:
    shown = []
    for message in reader.messages:
        if not message.all(b"x-origin"):
            shown.append(f"{message.status} of its own")
            continue
        whole = "" if message.complete else ", cut"
        shown.append(f"{message.status} {_framed(message)} {_shown(message.body)}{whole}")
    if client.fault is not None:
        shown.append("no HTTP")
    unframed = bool(reader.messages) and reader.messages[-1].framing == "close"
    ended = {"open": "open", "fin": "closed", "reset": "reset" if unframed else "closed"}
    return [*shown, ended.get(client.ending, "closed")]


def _request(message: Message) -> str:
    fields = sorted(b"%b: %b" % (name.lower(), value) for name, value in message.fields if name.lower() not in _ADDED)
    start = message.start.decode("latin-1")
    start = start if len(start) <= 80 else f"{start[:12]}... of {len(start)} bytes"
    shown = f"{start} [{b', '.join(fields).decode('latin-1')}]"
    if message.framing != "none":
        shown += f" {_shown(message.body)}"
    return shown if message.complete else shown + ", cut"


def _framed(message: Message) -> str:
    return {"none": "without body", "length": "counted", "chunked": "chunked", "close": "until the close"}[
        message.framing
    ]


def _shown(body: bytes) -> str:
    return f'"{body.decode("latin-1")}"' if len(body) <= 60 else f"{len(body)} bytes"


_CONFIG = """\
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off;
{servers}}}
"""
_SERVER = """\
  upstream u{number} {{ server 127.0.0.1:{upstream}; keepalive 4; }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://u{number}; }} }}
"""


class Nginx:
    """One nginx process that has a port of its own for each upstream port."""

    def __init__(self, binary: str, folder: Path, upstreams: list[int]) -> None:
        self._binary, self._folder, self._upstreams = binary, folder, upstreams
        self.ports: list[int] = []

    async def __aenter__(self) -> "Nginx":
        self.ports = _free_ports(len(self._upstreams))
        servers = "".join(
            _SERVER.format(number=number, upstream=upstream, port=self.ports[number])
            for number, upstream in enumerate(self._upstreams)
        )
        config = self._folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=self._folder, servers=servers))
        self._process = await asyncio.create_subprocess_exec(
            self._binary,
            "-p",
            str(self._folder),
            "-c",
            str(config),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await self._listens()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._process.terminate()
        await self._process.wait()

    async def _listens(self) -> None:
        async with asyncio.timeout(10):
            while True:
                assert self._process.returncode is None, f"nginx ended: {(self._folder / 'error.log').read_text()}"
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.ports[-1])
                    writer.close()
                    await writer.wait_closed()
                    return
                await asyncio.sleep(0.02)


def _free_ports(number: int) -> list[int]:
    """Ports that nobody listens on just now."""
    taken = [socket.socket() for _ in range(number)]
    for one in taken:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in taken]
    for one in taken:
        one.close()
    return ports
