"""Bytes changed and bytes cut: pure functions and the strategies that choose them."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from hypothesis import strategies as st

Operation = Literal["insert", "replace", "delete", "duplicate", "move"]
_HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
PIECES = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b'"', b"#", b"%", b"\\", b"\x0b", b"\x7f", b"\xff"),
    *(b"\r\n\r\n", b"\n\n", b"\r\n ", b"\r\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", b"0", b"1", b"a", b"-", b"+1", b"0x"),
    *(b"\x85", b"\xc2\xa0", b"\xe2\x84\xaa", b"chunked", b", chunked", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0"),
    *(b"ffffffffffffffff", b"18446744073709551617", b";x=y", b';x="\r\n"', b"; x"),
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Connection: close\r\n",
    b"Connection: content-length, x-token\r\n",
    b"Host: other.example\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    _HIDDEN,
    b"5\r\n\r\n0\r\n\r\n" + _HIDDEN,
]


@dataclass(frozen=True)
class Mutation:
    """One change; places count from the start and wrap around, in bytes or, if `at_lines`, in line starts."""

    operation: Operation
    place: int
    at_lines: bool
    size: int
    piece: bytes
    times: int
    other: int

    def applied(self, data: bytes) -> bytes:
        """The data after it."""
        at = self._place(data, self.place)
        piece = self.piece * self.times
        end = min(len(data), at + self.size)
        if self.operation == "insert":
            return data[:at] + piece + data[at:]
        if self.operation == "replace":
            return data[:at] + piece + data[end:]
        if self.operation == "delete":
            return data[:at] + data[end:]
        to = self._place(data, self.other)
        without = data if self.operation == "duplicate" else data[:at] + data[end:]
        return without[:to] + data[at:end] + without[to:]

    def _place(self, data: bytes, number: int) -> int:
        if not self.at_lines:
            return number % (len(data) + 1)
        starts = [0] + [at + 1 for at, byte in enumerate(data) if byte == 10]
        return starts[number % len(starts)]


MUTATION = st.builds(
    Mutation,
    operation=st.sampled_from(["insert", "insert", "replace", "delete", "duplicate", "move"]),
    place=st.integers(0, 5000),
    at_lines=st.booleans(),
    size=st.one_of(st.integers(1, 3), st.integers(1, 60)),
    piece=st.one_of(st.sampled_from([b"a", b"a: b\r\n", *PIECES]), st.binary(min_size=1, max_size=3)),
    times=st.sampled_from([1] * 12 + [2, 200, 9000, 70_000]),
    other=st.integers(0, 5000),
)
CUTS: st.SearchStrategy[list[int]] = st.one_of(st.just([]), st.lists(st.integers(0, 5000), max_size=6), st.just([-1]))
"""Where to cut; -1 alone is after every byte."""


def mutated(data: bytes, mutations: list[Mutation]) -> bytes:
    """The data after all of them, in turn."""
    for one in mutations:
        data = one.applied(data)
    return data


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, none of them empty."""
    if places == [-1] and len(data) < 600:
        return [data[at : at + 1] for at in range(len(data))]
    if not data:
        return []
    inner = sorted({0, len(data), *(place % len(data) for place in places if place >= 0)})
    return [data[begin:end] for begin, end in pairwise(inner)]
