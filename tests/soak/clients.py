"""The clients of a soak: each reads one stream on a connection of its own, and notes in the ledger what came."""

import asyncio
from typing import Any

import httptools

from tests.soak.ledger import End, Entry, Ledger

AT_ONCE = 50  # connections being opened; more would only fill a backlog
STEP_S = 0.02


class Client(asyncio.Protocol):
    """One stream, from its request to its end. `ended` is told of that."""

    def __init__(self, ledger: Ledger, entry: Entry) -> None:
        self._ledger = ledger
        self._entry = entry
        self._parser = httptools.HttpResponseParser(self)
        self._rest = b""
        self.has_head = False
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        near, far = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._entry.connected((near[1], far[1]))
        transport.write(b"GET /events/%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % self._entry.number)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._entry.said = f"not HTTP: {error}"
            self._end("abort")

    def on_headers_complete(self) -> None:
        self.has_head = True
        if self._parser.get_status_code() != 200:
            self._entry.said = f"answered with {self._parser.get_status_code()}"
            self._end("refused")

    def on_body(self, data: bytes) -> None:
        *events, self._rest = (self._rest + data).split(b"\n\n")
        for event in events:
            self._on_event(event)

    def _on_event(self, event: bytes) -> None:
        entry = self._entry
        if entry.end != "open" or event.startswith(b":"):
            return
        words = event.split(b" ")
        if len(words) != 3 or words[:2] != [b"data:", b"%d" % entry.number]:
            entry.said = f"no event of this stream: {event!r}"
            return
        entry.received.append(int(words[2]))
        if entry.fate == "leaves" and len(entry.received) == entry.events:
            self._end("left")

    def on_message_complete(self) -> None:
        if self._rest:
            self._entry.said = f"ended inside an event: {self._rest!r}"
        self._end("end")

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("abort")

    def _end(self, how: End) -> None:
        if self._entry.end != "open":
            return
        self._entry.end = how
        self._ledger.closed(self._entry)
        self._transport.abort()
        self.ended.set_result(None)


class Crowd:
    """So many streams open at a time, each followed by another, until it is told to stop."""

    def __init__(self, ledger: Ledger, port: int, streams: int) -> None:
        self._ledger = ledger
        self._streams = streams
        self._clients: set[Client] = set()
        self._stopping = False
        self.ports = [port]
        """Where they go: each to the next of these."""

    async def keep(self) -> None:
        """Opens streams for as long as it is not stopped, a few at once."""
        while not self._stopping:
            wanted = min(AT_ONCE, self._streams - len(self._clients))
            await asyncio.gather(*[self._open() for _ in range(wanted)])
            await asyncio.sleep(STEP_S)

    async def _open(self) -> None:
        entry = self._ledger.new()
        client = Client(self._ledger, entry)
        self._clients.add(client)
        client.ended.add_done_callback(lambda _: self._clients.discard(client))
        port = self.ports[entry.number % len(self.ports)]
        try:
            await asyncio.get_running_loop().create_connection(lambda: client, "127.0.0.1", port)
        except OSError as error:
            entry.end, entry.said = "refused", f"no connection: {error}"
            self._ledger.closed(entry)
            self._clients.discard(client)

    async def wait_settled(self) -> None:
        """Returns once every stream that is open now has its head."""
        clients = list(self._clients)
        while True:
            if all(client.has_head or client.ended.done() for client in clients):
                return
            await asyncio.sleep(STEP_S)

    async def stop(self, within_s: float) -> None:
        """Opens no more, and returns when all have ended, or after that time."""
        self._stopping = True
        if self._clients:
            await asyncio.wait([client.ended for client in self._clients], timeout=within_s)
