"""Tests of proxy.core.framers, and what they share: a watched way to feed a framer, and messages of AWS to feed it.

The laws of all framers are in test_framers.py; each other file has the grammar of one.
"""

import itertools
import struct
import zlib
from collections.abc import Iterable, Mapping

from hypothesis import strategies as st

from proxy.core.framers import Framer, Piece

LIMIT = 64 * 1024
# Where random input is cut; taken modulo its length.
some_cuts = st.lists(st.integers(0, 10_000), max_size=12)


def cut(data: bytes, at: Iterable[int]) -> list[bytes]:
    marks = [0, *sorted(mark % (len(data) + 1) for mark in at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def fed(framer: Framer, reads: Iterable[bytes], limit: int = LIMIT) -> list[Piece]:
    """All pieces of a stream, the unfinished one at its end included. Fails where a byte is lost, moved or hoarded."""
    pieces: list[Piece] = []
    taken = given = b""
    for read in reads:
        fresh = framer.feed(read)
        pieces += fresh
        taken, given = taken + read, given + b"".join(data for data, _ in fresh)
        assert taken.startswith(given)
        assert len(taken) - len(given) <= limit
        assert max(len(value) for value in vars(framer).values() if isinstance(value, bytes)) <= max(limit, 3)
        if framer.at_boundary:
            assert given == taken, "a boundary cannot be where bytes wait"
    tail = framer.flush()
    assert given + tail == taken
    assert framer.flush() == b""
    assert all(data for data, _ in pieces), "an empty piece says nothing, and in chunked coding it says too much"
    return [*pieces, (tail, False)] if tail else pieces


def whole(pieces: Iterable[Piece]) -> list[bytes]:
    """The frames that came undivided."""
    return [data for data, is_whole in pieces if is_whole]


def aws_message(headers: bytes | Mapping[str, str], payload: bytes) -> bytes:
    """One message with valid checksums; headers by name are text, others stand as given."""
    if not isinstance(headers, bytes):
        headers = b"".join(map(aws_text, headers, headers.values()))
    prelude = struct.pack(">II", len(headers) + len(payload) + 16, len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message))


def aws_text(name: str, value: str) -> bytes:
    return struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", 7, len(value)) + value.encode()
