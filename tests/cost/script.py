"""A client and an origin in one thread, on blocking sockets, with a proxy between them.

Each step sends something on one side and waits until it has come out whole on the other. So nothing is batched, nothing
races, and a number of steps makes the proxy do the same work in every run.
"""

import contextlib
import itertools
import re
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass

LIMIT_S = 20.0
WARM_UP = 20
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":" word%02d"},"finish_reason":null}]}\n\n'
)
EVENTS = re.compile(rb"data: .*\n\n")
JSON = b'{"id":"x","choices":[{"message":{"content":"hello world"}}]}'
QUESTION = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(JSON), JSON)
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def request(method: bytes, target: bytes, body: bytes = b"") -> bytes:
    """A request with the fields that a client sends."""
    head = b"%b %b HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: test\r\nAccept: */*\r\n" % (method, target)
    if not body:
        return head + b"\r\n"
    return head + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class Script:
    """The two ends. `listen` first, then the proxy has to be started, then `connect`."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LIMIT_S)
        self.origin_port: int = self._listener.getsockname()[1]
        self._client: socket.socket
        self._origin: socket.socket | None = None
        self._events = itertools.cycle([EVENT % number for number in range(100)])
        """As alike as those of one answer: all but the words."""

    def connect(self, port: int) -> None:
        """The client's connection to the proxy."""
        self._client = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self) -> None:
        """Both ends."""
        for one in (self._listener, self._origin, getattr(self, "_client", None)):
            if one is not None:
                one.close()

    def exchange(self) -> None:
        """A whole GET and its JSON."""
        self._ask(request(b"GET", b"/json"))
        self._answer(ANSWER)
        self._read_until(self._client, JSON)

    def post(self) -> None:
        """A whole POST with a body, and its JSON."""
        self._ask(request(b"POST", b"/json", QUESTION))
        self._answer(ANSWER)
        self._read_until(self._client, JSON)

    @contextlib.contextmanager
    def stream(self) -> Iterator["Script"]:
        """An open event stream, its first event read."""
        self._ask(request(b"POST", b"/events", QUESTION))
        first = next(self._events)
        self._answer(STREAM_HEAD + chunk(first))
        self._read_until(self._client, first + b"\r\n")
        yield self
        self._answer(LAST_CHUNK)
        self._read_until(self._client, LAST_CHUNK)

    def event(self) -> None:
        """One event, from the origin's write to the client's read."""
        event = next(self._events)
        self._answer(chunk(event))
        self._read_until(self._client, event + b"\r\n")

    def burst(self) -> None:
        """Eight events in one write: they have to leave in one."""
        events = [next(self._events) for _ in range(8)]
        self._answer(b"".join(map(chunk, events)))
        left = sum(map(len, events))
        while left:
            left -= sum(map(len, EVENTS.findall(self._read_until(self._client, b"\n\n\r\n"))))

    def _ask(self, data: bytes) -> None:
        self._client.sendall(data)
        if self._origin is None:
            self._origin, _ = self._listener.accept()
            self._origin.settimeout(LIMIT_S)
            self._origin.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read_until(self._origin, QUESTION if QUESTION in data else b"\r\n\r\n")

    def _answer(self, data: bytes) -> None:
        assert self._origin is not None
        self._origin.sendall(data)

    def _read_until(self, side: socket.socket, end: bytes) -> bytes:
        """All that was read, the last of which is `end`."""
        data = b""
        while not data.endswith(end):
            piece = side.recv(65_536)
            assert piece, f"closed after {data!r}"
            data += piece
        return data


@dataclass(frozen=True)
class Counted:
    """How many calls a step took, and of what: those that are made in most steps."""

    number: float
    of: dict[str, float]

    def __str__(self) -> str:
        lines = [f"{number:10.2f}  {name}" for name, number in self.of.items()]
        return "\n".join([f"{self.number:.2f}", *lines])


def counted(script: Script, count: Callable[[Callable[[], None], int], Counted], steps: int) -> dict[str, Counted]:
    """The calls that each kind of step takes, after some that warm up."""
    found: dict[str, Counted] = {}
    for name, step in (("request", script.exchange), ("request with a body", script.post)):
        for _ in range(WARM_UP):
            step()
        found[name] = count(step, steps)
    with script.stream():
        for name, step in (("event", script.event), ("burst of 8 events", script.burst)):
            for _ in range(WARM_UP):
                step()
            found[name] = count(step, steps)
    return found
