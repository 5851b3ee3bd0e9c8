"""One connection at a time, on blocking sockets: a first byte, a download, a client that stops reading or leaves."""

import json
import socket
import statistics
import time
from typing import Any

import httptools

from . import account

LIMIT_S = 30  # for any one socket operation
READ_BYTES = 2**18
WHOLE_LIMIT_S = 120  # for a whole body
SAMPLE_S = 0.05
LEFT_AFTER_STALL = 2**16  # bytes that a client reads before it stops


class Answer:
    """The answer to one GET, read piece by piece."""

    def __init__(self, port: int, target: str) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body_bytes, self.whole, self.kept = 0, False, b""
        self.room = memoryview(bytearray(READ_BYTES))
        self.socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self.socket.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if len(self.kept) < 1024:
            self.kept += body[:1024]

    def on_message_complete(self) -> None:
        self.whole = True

    def read(self, at_least: float) -> None:
        """Reads until the body has that many bytes, or is over."""
        deadline = time.monotonic() + WHOLE_LIMIT_S
        while not self.whole and self.body_bytes < at_least and time.monotonic() < deadline:
            count = self.socket.recv_into(self.room)
            if not count:
                return
            self.parser.feed_data(self.room[:count])

    def faults(self, expected_bytes: int) -> list[str]:
        """What is wrong with an answer of which all should have been read."""
        if self.whole and self.body_bytes == expected_bytes and self.parser.get_status_code() == 200:
            return []
        end = "ended" if self.whole else "cut"
        return [f"status {self.parser.get_status_code()}, {end} after {self.body_bytes} of {expected_bytes} bytes"]


def ask(origin: int, target: str) -> dict[str, int]:
    """What the origin says about itself, asked directly."""
    answer = Answer(origin, target)
    with answer.socket:
        answer.read(float("inf"))
    found: dict[str, int] = json.loads(answer.kept)
    return found


def download(port: int, pids: list[int], mib: int) -> dict[str, Any]:
    """One body, read as fast as it comes."""
    cpu_s, started = account.cpu_s(pids), time.monotonic()
    answer = Answer(port, f"/big?mib={mib}")
    with answer.socket:
        answer.read(float("inf"))
    elapsed_s, cpu_s = time.monotonic() - started, account.cpu_s(pids) - cpu_s
    return {
        "faults": answer.faults(mib * 2**20),
        "mb_per_s": answer.body_bytes / 1e6 / elapsed_s,
        "cpu_us_per_mib": cpu_s * 1e6 / mib,
    }


def first_byte(port: int, times: int) -> dict[str, Any]:
    """Short streams one after the other on one kept connection: microseconds from the request to the first event."""
    request = f"GET /first HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
    waits_us, faults = [], 0
    with socket.create_connection(("127.0.0.1", port), LIMIT_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            asked, told, at_ns = time.monotonic_ns(), b"", 0
            client.sendall(request)
            while not told.endswith(b"0\r\n\r\n"):
                data = client.recv(READ_BYTES)
                if not data:
                    return {"faults": [f"cut in answer {len(waits_us) + 1} of {times}"]}
                told += data
                if not at_ns and b"\ndata: " in told:
                    at_ns = time.monotonic_ns()
            faults += not at_ns or not told.startswith(b"HTTP/1.1 200")
            waits_us.append((at_ns - asked) / 1e3)
    waits_us.sort()
    return {
        "faults": [f"{faults} of {times} answers were not a stream"] if faults else [],
        "first_p50_us": waits_us[times // 2],
        "first_p99_us": waits_us[times * 99 // 100],
    }


def stalled(port: int, origin: int, pids: list[int], mib: int, seconds: float) -> dict[str, Any]:
    """A client that reads a little, stops for some seconds, and then reads the rest; the most memory in between."""
    ask(port, "/json")  # what the first request of all needs is not held against the stall
    before_kib, key = account.rss_kib(pids), f"{port}-{time.monotonic_ns()}"
    answer = Answer(port, f"/big?mib={mib}&key={key}")
    with answer.socket:
        answer.read(LEFT_AFTER_STALL)
        most_kib, deadline = before_kib, time.monotonic() + seconds
        while time.monotonic() < deadline:
            time.sleep(SAMPLE_S)
            most_kib = max(most_kib, account.rss_kib(pids))
        pushed_bytes = ask(origin, f"/pushed?key={key}")["bytes"]
        answer.read(float("inf"))
    return {
        "faults": answer.faults(mib * 2**20),
        "grown_kib": most_kib - before_kib,
        "taken_kib": pushed_bytes / 1024,
    }


def gone(port: int, origin: int, times: int) -> dict[str, Any]:
    """Clients that leave a silent stream; milliseconds until the origin's connection closes."""
    waits_ms = []
    for number in range(times):
        key = f"{port}-{number}-{time.monotonic_ns()}"
        answer = Answer(port, f"/quiet?key={key}")
        answer.read(1)
        left_ns = time.monotonic_ns()
        answer.socket.close()
        try:
            waits_ms.append((ask(origin, f"/closed?key={key}")["at_ns"] - left_ns) / 1e6)
        except TimeoutError:
            return {"faults": [f"the upstream's connection was open {LIMIT_S} s after client {number + 1} had left"]}
    return {"faults": [], "median_ms": statistics.median(waits_ms), "max_ms": max(waits_ms)}
