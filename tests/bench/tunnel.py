"""A WebSocket's worth of bytes through a tunnel: large messages to an origin that sends every byte back."""

import os
import selectors
import socket
import time
import zlib
from typing import Any

from . import account

MESSAGE_BYTES = 2**20
READ_BYTES = 2**18
LIMIT_S = 60
HANDSHAKE = (
    b"GET /echo HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
# A final binary frame of that length, masked with zeros. RFC 6455 section 5.2.
FRAME_HEAD = b"\x82\xff" + MESSAGE_BYTES.to_bytes(8, "big") + bytes(4)


def echo(port: int, pids: list[int], mib: int) -> dict[str, Any]:
    """Messages of 1 MiB one after the other, each sent while it already comes back."""
    message = FRAME_HEAD + os.urandom(MESSAGE_BYTES)
    checksum, damaged = zlib.crc32(message), 0
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
        client.sendall(HANDSHAKE % port)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += client.recv(1)
        if not head.startswith(b"HTTP/1.1 101"):
            return {"faults": [f"no tunnel: {head.partition(bytes([13]))[0]!r}"]}
        client.setblocking(False)
        _back_and_forth(client, message)  # the first one opens the windows
        cpu_s, started = account.cpu_s(pids), time.monotonic()
        for _ in range(mib):
            damaged += _back_and_forth(client, message) != checksum
        elapsed_s, cpu_s = time.monotonic() - started, account.cpu_s(pids) - cpu_s
    return {
        "faults": [f"{damaged} messages came back damaged"] if damaged else [],
        "mb_per_s": mib * MESSAGE_BYTES / 1e6 / elapsed_s,
        "cpu_us_per_mib": cpu_s * 1e6 / mib,
    }


def _back_and_forth(client: socket.socket, message: bytes) -> int:
    """Sends a message and reads as many bytes; their checksum."""
    left, checksum, unread = memoryview(message), 0, len(message)
    with selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while unread:
            for _, events in ready.select(LIMIT_S) or [(None, 0)]:
                if not events:
                    raise TimeoutError
                if events & selectors.EVENT_READ:
                    data = client.recv(READ_BYTES)
                    if not data:
                        raise ConnectionError
                    checksum, unread = zlib.crc32(data, checksum), unread - len(data)
                if events & selectors.EVENT_WRITE and left:
                    left = left[client.send(left[:READ_BYTES]) :]
                    if not left:
                        ready.modify(client, selectors.EVENT_READ)
    return checksum
