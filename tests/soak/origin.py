"""The upstream of a soak: numbered events, as the ledger says; in the process of the clients, at protocol level."""

import asyncio
import re
import socket
import struct
from typing import Any

import httptools

from tests.soak.ledger import Entry, Ledger

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: a close becomes a reset
BACKLOG = 4096


class Connection(asyncio.Protocol):
    """One connection of the proxy, with one stream after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._entry: Entry | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._target = b""

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_message_complete(self) -> None:
        match = re.fullmatch(rb"/events/(\d+)", self._target)
        if match is None:
            self._transport.write(NOT_FOUND)
            return
        self._entry = entry = self._ledger.entries[int(match[1])]
        entry.asked += 1
        self._transport.write(HEAD)
        self._send(entry)

    def _send(self, entry: Entry) -> None:
        """The next event, or what comes after the last."""
        if entry.fate != "leaves" and entry.sent == entry.events:
            self._finish(entry)
            return
        event = b"data: %d %d\n\n" % (entry.number, entry.sent)
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))
        entry.sent += 1
        self._timer = asyncio.get_running_loop().call_later(entry.pace_s, self._send, entry)

    def _finish(self, entry: Entry) -> None:
        entry.origin_ended, self._entry = True, None
        if entry.fate == "whole":
            self._transport.write(LAST_CHUNK)
        elif entry.number % 2:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._transport.abort()
        else:
            self._transport.close()  # in good order, but before the last chunk

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer:
            self._timer.cancel()
        if self._entry is not None:
            self._entry.origin_ended = True


async def listen(ledger: Ledger) -> asyncio.Server:
    """Serves on a free loopback port."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(ledger), "127.0.0.1", 0, backlog=BACKLOG)
