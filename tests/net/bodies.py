"""A body on its way from a connection that is fed by hand, to nowhere, and what was done with each read."""

import asyncio
from types import SimpleNamespace
from unittest.mock import Mock

from proxy.core.answer import Answer
from proxy.core.errors import ProxyError
from proxy.core.exchange import Exchange
from proxy.core.framing import Body as BodyEnd
from proxy.core.routes import Timeouts
from proxy.core.watch import Watch
from proxy.net.deadlines import Deadlines
from proxy.net.downstream import ChunkedSink
from proxy.net.relay import Relay
from proxy.net.upstream.connection import Connection
from proxy.net.upstream.response import ResponseReader

CHUNKED_BODY = BodyEnd("chunked")
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Reader(ResponseReader):
    """The parser, and how many reads it was given."""

    __slots__ = ("fed",)

    def __init__(self) -> None:
        super().__init__()
        self.fed = 0

    def feed(self, data: bytes | memoryview) -> ProxyError | None:
        self.fed += 1
        return super().feed(data)


class Body(Relay):
    """A relay to nowhere that writes down what it is given, and which reads left without the parser."""

    def __init__(self, connection: Connection, watch: Watch | None, behind: bool = False) -> None:
        self.client = Mock(writing_paused=behind, tail=None)
        self.clocks = Deadlines(Timeouts(), 0.0)
        self.exchange = Exchange("1", 0.0, 0.0)
        client = SimpleNamespace(connection=self.client, answered=True, connected=True)
        super().__init__(client, connection, Mock(), self.clocks, self.exchange)  # type: ignore[arg-type]
        self.error: ProxyError | None = None
        self.ended = False
        self.chunks: list[bytes] = []
        self.sent = b""
        sink = ChunkedSink(SimpleNamespace(write=self.write), b"")  # type: ignore[arg-type]
        self.start(sink, Answer(200, b"OK", [], CHUNKED_BODY, watch=watch))

    @property
    def data(self) -> bytes:
        """The body that was sent, read by the tests' own reader."""
        data, rest = b"", self.sent
        while rest and not rest.startswith(b"0\r\n"):
            line, _, rest = rest.partition(b"\r\n")
            data, end, rest = data + rest[: int(line, 16)], rest[int(line, 16) :][:2], rest[int(line, 16) + 2 :]
            assert end == b"\r\n"
        assert self.exchange.bytes_out == len(data)
        return data

    def write(self, data: bytes) -> None:
        self.sent += data

    def receive(self, data: bytes, last: bool) -> None:
        super().receive(data, last)
        self.ended = self.ended or last

    def failed(self, error: ProxyError) -> None:
        self.error = error


def begun(watch: Watch | None = None, behind: bool = False) -> tuple[Connection, Body]:
    connection = Connection(asyncio.new_event_loop())
    connection._loop.close()
    connection._reader = Reader()
    connection.begin(b"GET", None)
    connection.data_received(HEAD)
    return connection, Body(connection, watch, behind)


def arrive(connection: Connection, data: bytes) -> None:
    """One read, as a loop does it; what the parser does not see leaves as it came, or not at all."""
    reader, body = connection._reader, connection._receiver
    assert isinstance(reader, Reader)
    fed, sent = reader.fed, body.sent if isinstance(body, Body) else b""
    connection.data_received(data)
    if isinstance(body, Body) and not reader.complete and reader.fed == fed:
        assert body.error or body.sent == sent + data
        body.chunks.append(data)
