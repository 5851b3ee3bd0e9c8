"""Both ends of a tunnel: the heads that were read before it, and exactly the bytes that came behind them."""

import zlib
from dataclasses import dataclass

import pytest

from proxy.core.forwarding import Forwarding
from tests.net.client import Client
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import Proxied
from tests.net.origin import Connection, Origin, Script, Step, request
from tests.net.peer import Ending, Peer
from tests.net.waiting import LIMIT_S
from tests.net.wire import Message, Reader, head

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
ASKS = (b"Connection: Upgrade", b"Upgrade: websocket")
SOCKET_FIELDS = (b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY)
SWITCH = head(b"HTTP/1.1 101 Switching Protocols", *ASKS, b"Sec-WebSocket-Accept: " + ACCEPT)
PIECE = bytes(range(256)) * 256
BARE = Forwarding(x_forwarded=False, forwarded=False, x_real_ip=False, via=False)
"""Adds nothing: what the upstream then gets is what was relayed."""
HEAD_END = b"\r\n\r\n"


def handshake(*more: bytes, asks: tuple[bytes, ...] = ASKS, start: bytes = b"GET /chat HTTP/1.1") -> bytes:
    """A client's handshake; `asks` are its Connection and Upgrade."""
    return head(start, b"Host: localhost", *asks, *SOCKET_FIELDS, *more)


def lines(message: Message, *without: bytes) -> list[bytes]:
    """The field lines as they stood on the wire, in their order, but for those of these names."""
    return [b"%b: %b" % entry for entry in message.fields if entry[0].lower() not in without]


def switch(answer: bytes = SWITCH) -> Step:
    """Leaves HTTP: sends this and takes what comes from now on as it is."""

    def send(connection: Connection) -> None:
        connection.reader = None
        connection.send(answer)

    return send


def half_open(peer: Peer) -> None:
    """Keeps our side open when the other one ends; a step as well."""
    peer.half_open = True


class End:
    """One end of a connection that is to become a tunnel."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.heads: list[Message] = []
        self._at = 0

    async def head(self) -> Message:
        """The next head, once it is whole: a request's or a response's."""
        await self.peer.until(lambda: HEAD_END in self.peer.raw[self._at :], "a head")
        text, _, _ = self.peer.raw[self._at :].partition(HEAD_END)
        self._at += len(text) + len(HEAD_END)
        reader = Reader((lambda _: b"GET") if text.startswith(b"HTTP/") else None)
        reader.feed(text + HEAD_END)
        self.heads += reader.messages
        return self.heads[-1]

    @property
    def left(self) -> bytes:
        """What came and was not yet looked at."""
        return self.peer.raw[self._at :]

    async def gets(self, data: bytes, within_s: float = LIMIT_S) -> None:
        """Returns when exactly these bytes have come, and nothing else."""
        await self.peer.until(lambda: self.peer.received_bytes >= self._at + len(data), f"{len(data)} bytes", within_s)
        got = self.left
        assert len(got) == len(data), f"{len(got)} bytes came for {len(data)}: {got[:80]!r}"
        assert zlib.crc32(got) == zlib.crc32(data)
        assert got == data
        self._at += len(data)

    async def ends(self, within_s: float = LIMIT_S) -> Ending:
        """How the proxy ended it, and that no byte came before that."""
        ending = await self.peer.wait_ended(within_s)
        assert not self.left
        return ending


@dataclass
class Tunnel:
    """A tunnel that stands."""

    proxied: Proxied
    client: End
    upstream: End

    async def carries(self) -> None:
        """Proves both directions, each side speaking only when it has heard the other."""
        for number in range(3):
            up, down = b"up %d" % number, b"\x81\x04down\r\n\r\n%d" % number
            self.client.peer.send(up)
            await self.upstream.gets(up)
            self.upstream.peer.send(down)
            await self.client.gets(down)

    async def close(self) -> None:
        """The client leaves, and the upstream sees it."""
        self.client.peer.close()
        await self.upstream.ends()
        self.upstream.peer.close()


async def asks(proxied: Proxied, sent: bytes | None = None, **connecting: object) -> End:
    """A client that has sent a handshake, and takes what comes as it is."""
    client: Client = await proxied.connect(**connecting)
    client.reader = None
    client.send(handshake() if sent is None else sent)
    return End(client)


async def stands(proxied: Proxied, one: Origin, sent: bytes | None = None, **connecting: object) -> Tunnel:
    """A tunnel, on the origin's next connection."""
    number = len(one.connections)
    client = await asks(proxied, sent, **connecting)
    answer = await client.head()
    assert answer.status == 101, answer
    upstream = End(await one.connection(number))
    await upstream.head()
    return Tunnel(proxied, client, upstream)


SWITCHING: Script = [request, switch()]


async def opened(origin: MakeOrigin, proxy: MakeProxy, *script: Step, **overrides: object) -> Tunnel:
    """A tunnel through a proxy of its own; the script is what the origin does with the handshake."""
    one = await origin(script or SWITCHING)
    return await stands(await proxy(one, **overrides), one)


def case(of: object) -> str:
    """The name of a case that is a function, as the id of its test."""
    return getattr(of, "__name__", str(of)).strip("_").replace("_", " ")


def cases(*of: object) -> pytest.MarkDecorator:
    """One test for each of these functions."""
    return pytest.mark.parametrize("case", of, ids=case)
