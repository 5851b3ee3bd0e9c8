"""The upstream of the bench: answers at protocol level, so that it is not the bottleneck.

Started as `python -m tests.bench.origin`; prints its port and lives until its standard input closes.

    /json                        a small JSON answer with a Content-Length
    /events?group=G&n=N&hz=H     the head of an event stream and a comment, then silence until
    /go?group=G                  starts the streams of the group together: N events each at H events/s, then [DONE]
    /first                       a stream of one event, at once
    /quiet?key=K                 a stream that sends one event and then nothing
    /closed?key=K                answers when the connection of that stream is gone: {"at_ns": monotonic nanoseconds}
    /big?mib=N&key=K             N MiB of octets, chunked, as fast as they are taken
    /echo                        switches protocols, and sends every byte back
    /pushed?key=K                {"bytes": how much of that body the kernel has taken from us}
"""

import asyncio
import contextlib
import json
import sys
import time
from typing import Any
from urllib.parse import parse_qsl

import httptools

from .loop import run

JSON = (
    b'{"id":"x","choices":[{"message":{"content":"hello world"}}],"usage":{"prompt_tokens":10,"completion_tokens":20}}'
)
# A chunk of a chat completion, with its number in the stream and the monotonic nanosecond at which it was written.
EVENT_TAIL = (
    b',"object":"chat.completion.chunk","created":1700000000,"model":"m",'
    b'"choices":[{"index":0,"delta":{"content":" hello"},"finish_reason":null}]}'
)
EVENT = b'data: {"n":%d,"at":%d' + EVENT_TAIL + b"\n\n"
OPEN = b": open\n\n"
DONE = b"data: [DONE]\n\n"
LAST_CHUNK = b"0\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)
BIG_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
BLOCK_BYTES = 65_536
BUFFER_BYTES = 4 * BLOCK_BYTES
BACKLOG = 4096


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def small(content: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole JSON answer."""
    return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        status,
        len(content),
        content,
    )


JSON_ANSWER = small(JSON)
BLOCK = chunk(b"x" * BLOCK_BYTES)


class Register:
    """What the connections know of each other, by the keys that the load chose."""

    def __init__(self) -> None:
        self.groups: dict[str, list[Connection]] = {}
        self.bodies: dict[str, Connection] = {}
        self.lost_ns: dict[str, int] = {}
        self.waiting: dict[str, Connection] = {}

    def start(self, group: str) -> int:
        """Starts a group, its streams spread evenly over one period; says how many there are."""
        streams = self.groups.pop(group, [])
        now = asyncio.get_running_loop().time()
        for number, stream in enumerate(streams, 1):
            stream.begin(now + stream.period_s * number / len(streams))
        return len(streams)

    def lost(self, key: str) -> None:
        """Notes when a connection went, and tells who waits for it."""
        self.lost_ns[key] = time.monotonic_ns()
        if waiting := self.waiting.pop(key, None):
            waiting.tell(at_ns=self.lost_ns.pop(key))


class Connection(asyncio.Protocol):
    """One connection, and what it is sending."""

    def __init__(self, register: Register) -> None:
        self.register = register
        self.parser = httptools.HttpRequestParser(self)
        self.target = b""
        self.key = ""
        self.wanted = self.sent = 0
        self.period_s = self.due = 0.0
        self.timer: asyncio.TimerHandle | None = None
        self.blocks_left = self.pushed_bytes = 0
        self.paused = self.echoes = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=BUFFER_BYTES)

    def data_received(self, data: bytes) -> None:
        if self.echoes:
            self.transport.write(data)
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self.echoes = True
            self.transport.write(SWITCH + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.transport.abort()

    def on_message_begin(self) -> None:
        self.target = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_message_complete(self) -> None:
        if self.target == b"/json":
            self.transport.write(JSON_ANSWER)
            return
        if self.target == b"/first":
            self.transport.write(STREAM_HEAD + chunk(EVENT % (0, time.monotonic_ns())) + chunk(DONE) + LAST_CHUNK)
            return
        if self.target == b"/echo":
            return  # the parser says what is behind the head
        path, _, query = self.target.decode("latin-1").partition("?")
        self.answer(path, dict(parse_qsl(query)))

    def answer(self, path: str, asked: dict[str, str]) -> None:
        """Begins what the target asks for."""
        register, key = self.register, asked.get("key", "")
        match path:
            case "/events":
                self.wanted, self.period_s = int(asked["n"]), 1 / float(asked["hz"])
                register.groups.setdefault(asked["group"], []).append(self)
                self.transport.write(STREAM_HEAD + chunk(OPEN))
            case "/go":
                self.tell(streams=register.start(asked["group"]))
            case "/quiet":
                self.key = key
                self.transport.write(STREAM_HEAD + chunk(EVENT % (0, time.monotonic_ns())))
            case "/closed" if key in register.lost_ns:
                self.tell(at_ns=register.lost_ns.pop(key))
            case "/closed":
                register.waiting[key] = self
            case "/big":
                register.bodies[key] = self
                self.blocks_left = int(asked["mib"]) * 2**20 // BLOCK_BYTES
                self.transport.write(BIG_HEAD)
                self.pump()
            case "/pushed":
                body = register.bodies[key]
                self.tell(bytes=max(0, body.pushed_bytes - body.transport.get_write_buffer_size()))
            case _:
                self.transport.write(small(b"{}", b"404 Not Found"))

    def tell(self, **values: int) -> None:
        """Answers the load with a small JSON object."""
        self.transport.write(small(json.dumps(values).encode()))

    def begin(self, due: float) -> None:
        """The first event leaves at `due`, on the loop's clock."""
        self.due, self.sent = due, 0
        self.timer = asyncio.get_running_loop().call_at(due, self.emit)

    def emit(self) -> None:
        """One event; the next is due a period after this one was, however late this one is."""
        if self.transport.is_closing():
            return
        event = chunk(EVENT % (self.sent, time.monotonic_ns()))
        self.sent += 1
        if self.sent < self.wanted:
            self.transport.write(event)
            self.due += self.period_s
            self.timer = asyncio.get_running_loop().call_at(self.due, self.emit)
        else:
            self.transport.write(event + chunk(DONE) + LAST_CHUNK)

    def pump(self) -> None:
        """Writes blocks until the buffer is full or the body complete."""
        while self.blocks_left and not self.paused and not self.transport.is_closing():
            self.blocks_left -= 1
            self.pushed_bytes += BLOCK_BYTES
            self.transport.write(BLOCK if self.blocks_left else BLOCK + LAST_CHUNK)

    def pause_writing(self) -> None:
        self.paused = True
        if self.echoes:
            self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.paused = False
        if self.echoes:
            self.transport.resume_reading()
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        self.blocks_left = 0
        if self.timer:
            self.timer.cancel()
        if self.key:
            self.register.lost(self.key)


async def main() -> None:
    """Serves on a free loopback port until standard input closes."""
    loop, register, ended = asyncio.get_running_loop(), Register(), asyncio.Event()
    server = await loop.create_server(lambda: Connection(register), "127.0.0.1", 0, backlog=BACKLOG)
    loop.add_reader(sys.stdin.fileno(), ended.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        run(main())
