"""The clients of the bench: opens connections through a proxy, reads, checks that all arrived whole, and counts.

Started as `python -m tests.bench.load KIND ARGUMENTS`, ARGUMENTS being a JSON object; prints a JSON object whose
`faults` says what was spoiled. Latency is from the origin's write to our read, in microseconds, so it holds our own and
the origin's share: what a proxy adds is the difference to a run without one.
"""

import array
import asyncio
import json
import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httptools

from . import account, single, tunnel
from .loop import run
from .origin import DONE, EVENT_TAIL, JSON, OPEN

EVENT_FORM = re.compile(rb'data: \{"n":(\d+),"at":(\d+)' + re.escape(EVENT_TAIL))
END = DONE.removesuffix(b"\n\n")
BEGINNING = OPEN.removesuffix(b"\n\n")
QUESTION = b'{"model":"m","stream":true,"messages":[{"role":"user","content":"hi"}]}'
OPENING_LIMIT_S = 30
LAST_ANSWERS_LIMIT_S = 1.0
FIRST_ANSWERS_LIMIT_S = 10  # for those that take their time with the first requests of all
AT_ONCE = 50  # connections being opened; more would only fill a backlog
SETTLE_S = 0.5  # after the start of the events, before what is counted


@dataclass(frozen=True)
class Held:
    """How several loads of one run get out of each other's way.

    `prefix` is put before the path. Connections leave from the address `source`: each has 28,000 ports towards one
    address. `waits`: says `opened` when all streams are open, and starts them when it is told a line.
    """

    prefix: str = ""
    source: str = ""
    waits: bool = False
    opening_s: float = OPENING_LIMIT_S


class Board:
    """What all streams of a run have in common."""

    def __init__(self, wanted: int, streams: int) -> None:
        loop = asyncio.get_running_loop()
        self.wanted = wanted
        self.latencies_ns = array.array("q")
        self.faults: list[str] = []
        self.heads_missing = self.ends_missing = streams
        self.opened, self.ended = loop.create_future(), loop.create_future()

    @property
    def events(self) -> int:
        return len(self.latencies_ns)

    def head_came(self) -> None:
        """One more stream is open: its head and its first bytes are there, or it has failed."""
        self.heads_missing -= 1
        if not self.heads_missing:
            self.opened.set_result(None)

    def stream_ended(self) -> None:
        """One more stream is over, well or not."""
        self.ends_missing -= 1
        if not self.ends_missing and not self.ended.done():
            self.ended.set_result(None)


# Linux chooses the port when it connects: one that was chosen by `bind` is lost to every other connection.
BIND_ADDRESS_NO_PORT = 24


class Stream(asyncio.Protocol):
    """One event stream: every event has to come, whole and in order, then [DONE], then the end of the body."""

    def __init__(self, board: Board, request: bytes) -> None:
        self.board, self.request = board, request
        self.parser = httptools.HttpResponseParser(self)
        self.seen, self.rest = 0, b""
        self.done = self.over = self.opened = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.now_ns = time.monotonic_ns()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.end(f"not HTTP: {error}")

    def on_headers_complete(self) -> None:
        if (status := self.parser.get_status_code()) != 200:
            self.end(f"answered with {status}")

    def on_body(self, body: bytes) -> None:
        *events, self.rest = (self.rest + body).split(b"\n\n")
        for event in events:
            match = EVENT_FORM.fullmatch(event)
            if match and int(match[1]) == self.seen:
                self.seen += 1
                self.board.latencies_ns.append(self.now_ns - int(match[2]))
            elif event == BEGINNING and not self.opened:
                self.opened = True
                self.board.head_came()
            elif event == END and self.seen == self.board.wanted:
                self.done = True
            else:
                self.end(f"event {self.seen} expected, {event[:40]!r} found")

    def on_message_complete(self) -> None:
        whole = self.done and not self.rest
        self.end(None if whole else f"ended after {self.seen} of {self.board.wanted} events")

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(f"cut after {self.seen} of {self.board.wanted} events: {exc or 'closed'}")

    def end(self, fault: str | None) -> None:
        """The first call counts; a fault on the way is one for the report."""
        if self.over:
            return
        self.over = True
        if fault:
            self.board.faults.append(fault)
        if not self.opened:
            self.opened = True
            self.board.head_came()
        self.board.stream_ended()
        self.transport.close()


async def connected(make: Callable[[], asyncio.Protocol], port: int, source: str) -> None:
    """A connection of that protocol to a loopback port; from the address `source`, where there is one."""
    loop = asyncio.get_running_loop()
    if not source:
        await loop.create_connection(make, "127.0.0.1", port)
        return
    opened = socket.socket()
    try:
        opened.setblocking(False)
        opened.setsockopt(socket.IPPROTO_IP, BIND_ADDRESS_NO_PORT, 1)
        opened.bind((source, 0))
        await loop.sock_connect(opened, ("127.0.0.1", port))
    except BaseException:
        opened.close()
        raise
    await loop.create_connection(make, sock=opened)


async def streams(
    port: int, origin: int, pids: list[int], count: int, events: int, hz: float, held: Held | None = None
) -> dict[str, Any]:
    """Opens `count` streams, starts them together, and takes the account of `pids` while all of them run."""
    held = held or Held()
    board = Board(events, count)
    before_kib = account.rss_kib(pids)
    group = f"{port}-{time.monotonic_ns()}"
    head = (
        f"POST {held.prefix}/events?group={group}&n={events}&hz={hz:g} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Accept: text/event-stream\r\nContent-Type: application/json\r\nContent-Length: {len(QUESTION)}\r\n\r\n"
    )
    request = head.encode() + QUESTION
    try:
        async with asyncio.timeout(held.opening_s):
            for first in range(0, count, AT_ONCE):
                several = range(first, min(first + AT_ONCE, count))
                opening = (connected(lambda: Stream(board, request), port, held.source) for _ in several)
                await asyncio.gather(*opening)
            await board.opened
    except TimeoutError:
        return {"faults": [f"{board.heads_missing} of {count} heads had not come after {held.opening_s:g} s"]}
    if held.waits:
        print("opened", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
    started = await asyncio.to_thread(single.ask, origin, f"/go?group={group}")
    if started["streams"] != count:
        board.faults.append(f"the origin has {started['streams']} of {count} streams")
    await asyncio.sleep(SETTLE_S)
    cpu_s, counted, at = account.cpu_s(pids), board.events, time.monotonic()
    await asyncio.sleep(window_s(events, hz))
    cpu_s, elapsed_s = account.cpu_s(pids) - cpu_s, time.monotonic() - at
    latencies_ns = board.latencies_ns[counted:]
    counted = len(latencies_ns)
    grown_kib = account.rss_kib(pids) - before_kib
    _, late = await asyncio.wait([board.ended], timeout=30 + events / hz)
    if late:
        board.faults += ["not ended in time"] * board.ends_missing
    return {
        "faults": told(board.faults, count),
        "events_lost": count * events - board.events,
        "events_counted": counted,
        "events_per_s": counted / elapsed_s,
        "cpu_us_per_event": cpu_s / max(1, counted) * 1e6,
        "kib_per_stream": grown_kib / count,
        **percentiles(latencies_ns),
    }


def window_s(events: int, hz: float) -> float:
    """How long to count: until just before the first stream ends, so that no end is in the account."""
    return max(SETTLE_S, (events - 1) / hz - 1.2 * SETTLE_S)


def told(faults: list[str], count: int) -> list[str]:
    """Says how many of the `count` were spoiled, and how the first ones were."""
    return [f"{len(faults)} of {count}: {'; '.join(faults[:3])}"] if faults else []


def percentiles(values_ns: "array.array[int]") -> dict[str, float]:
    """`latency_p50_us` and so on."""
    ordered = sorted(values_ns) or [0]
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    return {
        f"latency_{name}_us": ordered[min(len(ordered) - 1, int(len(ordered) * share))] / 1e3
        for name, share in shares.items()
    }


class Caller(asyncio.Protocol):
    """Sends a request, reads its answer, and again, until it is told to stop."""

    def __init__(self, port: int) -> None:
        self.request = f"GET /json HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self.parser = httptools.HttpResponseParser(self)
        self.answers, self.faults, self.body = 0, 0, b""
        self.stopping = False
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.faults += 1
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.answers += 1
        if not self.first.done():
            self.first.set_result(None)
        self.faults += self.parser.get_status_code() != 200 or self.body != JSON
        self.body = b""
        if self.stopping:
            self.transport.close()
        else:
            self.transport.write(self.request)

    def connection_lost(self, exc: Exception | None) -> None:
        self.faults += not self.stopping
        self.gone.set_result(None)


async def requests(port: int, connections: int, seconds: float) -> dict[str, Any]:
    """Requests as fast as answers come, on kept connections, every body compared."""
    loop, started = asyncio.get_running_loop(), time.monotonic()
    opening = (loop.create_connection(lambda: Caller(port), "127.0.0.1", port) for _ in range(connections))
    callers = [caller for _, caller in await asyncio.gather(*opening)]
    await asyncio.wait([caller.first for caller in callers], timeout=FIRST_ANSWERS_LIMIT_S)
    await asyncio.sleep(seconds)
    count, elapsed_s = sum(caller.answers for caller in callers), time.monotonic() - started
    for caller in callers:
        caller.stopping = True
    await asyncio.wait([caller.gone for caller in callers], timeout=LAST_ANSWERS_LIMIT_S)  # each has one under way
    faults = sum(caller.faults for caller in callers)
    return {
        "faults": [f"{faults} failures in {count} requests"] if faults or not count else [],
        "requests": sum(caller.answers for caller in callers),
        "requests_per_s": count / elapsed_s,
    }


def main(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of one kind of load; a connection that breaks is a fault."""
    try:
        return measured(kind, arguments)
    except (OSError, httptools.HttpParserError) as error:
        return {"faults": [repr(error)]}


def measured(kind: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """The result of one kind of load."""
    match kind:
        case "streams":
            held = arguments.pop("held", None)
            return run(streams(**arguments, held=Held(**held) if held else None))
        case "requests":
            return run(requests(**arguments))
        case "first":
            return single.first_byte(**arguments)
        case "download":
            return single.download(**arguments)
        case "echo":
            return tunnel.echo(**arguments)
        case "stalled":
            return single.stalled(**arguments)
        case "gone":
            return single.gone(**arguments)
    raise SystemExit(f"no such load: {kind}")


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], json.loads(sys.argv[2]))))
