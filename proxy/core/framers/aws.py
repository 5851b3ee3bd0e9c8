"""Messages of `application/vnd.amazon.eventstream`: binary, each with its length and two checksums.

Total length (4 bytes), length of the headers (4), CRC of these eight (4), headers, payload, CRC of all before (4); all
numbers big-endian. A message whose lengths cannot be believed ends the framing: what follows passes as it is.
Source: the event stream encoding of Amazon Transcribe's and Bedrock's documentation.
"""

import struct
import zlib
from typing import NamedTuple

from proxy.core.framers import Framer

_PRELUDE = struct.Struct(">III")
_OVERHEAD = _PRELUDE.size + 4
# What botocore accepts.
MAX_HEADERS, MAX_PAYLOAD = 128 * 1024, 24 * 1024 * 1024


class AwsFramer(Framer):
    """Frames are messages."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._left: int | None = None
        """Bytes from the end of what was searched to the end of the message; None before its lengths are known."""
        self.is_lost = False
        """Whether a length could not be believed: nobody knows where anything ends any more."""

    def _end(self, buffer: bytes, start: int, searched: int, fresh: bool) -> int:
        if self.is_lost:
            return -1
        at = max(start, searched)
        if self._left is None:
            if len(buffer) - start < _PRELUDE.size:
                return -1
            length = _length(buffer, start)
            if length is None:
                self.is_lost = self._is_over = True
                return -1
            self._left = length - (at - start)
        if len(buffer) - at < self._left:
            self._left -= len(buffer) - at
            return -1
        end, self._left = at + self._left, None
        return end


def _length(buffer: bytes, start: int) -> int | None:
    """The length of the message that begins there; None where it cannot be one."""
    total, headers, checksum = _PRELUDE.unpack_from(buffer, start)
    if zlib.crc32(buffer[start : start + 8]) != checksum:
        return None
    payload = total - headers - _OVERHEAD
    return total if headers <= MAX_HEADERS and 0 <= payload <= MAX_PAYLOAD else None


class AwsMessage(NamedTuple):
    """What a message says: its headers that are text, by name, and its payload."""

    headers: dict[str, str]
    payload: bytes


def parse(frame: bytes) -> AwsMessage | None:
    """What a whole message says; None where its checksum or its headers are wrong."""
    total, headers_bytes, _ = _PRELUDE.unpack_from(frame)
    (checksum,) = struct.unpack_from(">I", frame, total - 4)
    if zlib.crc32(frame[: total - 4]) != checksum:
        return None
    payload = frame[_PRELUDE.size + headers_bytes : total - 4]
    headers = _headers(frame[_PRELUDE.size : _PRELUDE.size + headers_bytes])
    return None if headers is None else AwsMessage(headers, payload)


# Types of header values by number, and how many bytes they have; 6 and 7 begin with a length of two bytes.
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _TEXT = 6, 7


def _headers(block: bytes) -> dict[str, str] | None:
    found, at = {}, 0
    try:
        while at < len(block):
            name_end = at + 1 + block[at]
            kind, value_at = block[name_end], name_end + 1
            if kind in (_BYTES, _TEXT):
                (size,) = struct.unpack_from(">H", block, value_at)
                value_at += 2
            else:
                size = _FIXED[kind]
            if kind == _TEXT:
                found[block[at + 1 : name_end].decode()] = block[value_at : value_at + size].decode()
            at = value_at + size
    except (IndexError, KeyError, struct.error, UnicodeDecodeError):
        return None
    return found if at == len(block) else None
