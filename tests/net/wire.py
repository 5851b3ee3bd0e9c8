"""HTTP/1.1 messages as they stand on the wire, read strictly and with the moment of each byte.

Both scripted peers read with this. Nothing is tolerated: what a lenient reader would mend is `Malformed` here.
Source: RFC 9112 sections 2 to 7.
"""

import re
import time
import zlib
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Literal

Framing = Literal["none", "length", "chunked", "close"]
Reading = Generator[None, None, None]

_REQUEST_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/1\.1\Z")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 [1-9][0-9][0-9] [\t -~\x80-\xff]*\Z")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(rb"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?\Z")
_CHUNK_SIZE = re.compile(rb"[0-9a-f]+\Z")
_MAX_LINE = 256 * 1024


class Malformed(AssertionError):
    """The peer sent what is not HTTP/1.1."""


NAMING = frozenset({b"x-request-id", b"traceparent"})


@dataclass
class Message:
    """One message while it arrives. `kept` False counts and sums the body instead of keeping it."""

    start: bytes
    fields: list[tuple[bytes, bytes]]
    at: float
    naming: list[tuple[bytes, bytes]] = field(default_factory=list)
    """The fields that name a request: `fields` are all others, as these are different in every message."""
    framing: Framing = "none"
    length: int | None = None
    kept: bool = True
    pieces: list[tuple[float, bytes]] = field(default_factory=list)
    """Body bytes as one read brought them, with its moment."""
    chunks: list[bytes] = field(default_factory=list)
    size: int = 0
    checksum: int = 0
    complete: bool = False
    completed_at: float = 0.0

    @property
    def body(self) -> bytes:
        return b"".join(piece for _, piece in self.pieces)

    @property
    def status(self) -> int:
        return int(self.start[9:12])

    @property
    def reason(self) -> bytes:
        return self.start[13:]

    @property
    def method(self) -> bytes:
        return self.start.split(b" ")[0]

    @property
    def target(self) -> bytes:
        return self.start.split(b" ")[1]

    @property
    def names(self) -> list[bytes]:
        """Field names as received, but for those that name a request."""
        return [name for name, _ in self.fields]

    def all(self, name: bytes) -> list[bytes]:
        """The values of every line of that name."""
        return [value for known, value in (*self.fields, *self.naming) if known.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """The value of the only line of that name, or None."""
        found = self.all(name)
        if len(found) > 1:
            raise Malformed(f"{len(found)} lines of {name!r}: {found!r}")
        return found[0] if found else None


class Reader:
    """Messages out of one direction of a connection: `feed` what arrives, `end` at its end.

    `method_asked` gives the method of the request that the next response answers; None reads requests.
    """

    def __init__(self, method_asked: Callable[[int], bytes] | None = None, kept: bool = True) -> None:
        self._method_asked = method_asked
        self._kept = kept
        self._buffer = bytearray()
        self._now = 0.0
        self._ended = False
        self._finals = 0
        self.messages: list[Message] = []
        self._reading = self._read()
        next(self._reading)

    def feed(self, data: bytes) -> None:
        """Reads on. Errors: Malformed."""
        self._now = time.monotonic()
        self._buffer += data
        next(self._reading)

    def end(self) -> None:
        """The other side has closed in good order: the end of a body that has no other."""
        self._ended = True
        last = self.messages[-1] if self.messages else None
        if last is not None and last.framing == "close" and not last.complete:
            self._complete(last)
        elif self._buffer and (last is None or last.complete):
            raise Malformed(f"the connection ended inside a head: {bytes(self._buffer)!r}")

    def _complete(self, message: Message) -> None:
        message.complete = True
        message.completed_at = time.monotonic()

    def _read(self) -> Reading:
        while True:
            while not self._buffer:
                yield
            at = time.monotonic() if not self._now else self._now
            lines: list[bytes] = []
            while not lines or lines[-1]:
                lines.append((yield from self._line()))
            message = self._head(lines[:-1], at)
            self.messages.append(message)
            yield from self._body(message)
            self._complete(message)

    def _line(self) -> Generator[None, None, bytes]:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _MAX_LINE:
                raise Malformed("a line has no end")
            yield
        line = bytes(self._buffer[: end + 1])
        del self._buffer[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise Malformed(f"a line does not end with CRLF: {line!r}")
        return line[:-2]

    def _head(self, lines: list[bytes], at: float) -> Message:
        start = lines[0]
        if not (_REQUEST_LINE if self._method_asked is None else _STATUS_LINE).match(start):
            raise Malformed(f"no start line: {start!r}")
        received = [_parsed_field(line) for line in lines[1:]]
        message = Message(start, [entry for entry in received if entry[0].lower() not in NAMING], at, kept=self._kept)
        message.naming = [entry for entry in received if entry[0].lower() in NAMING]
        lengths, codings = message.all(b"content-length"), message.all(b"transfer-encoding")
        if len(lengths) + len(codings) > 1:
            raise Malformed(f"two framings: {message.fields!r}")
        if codings and codings != [b"chunked"]:
            raise Malformed(f"transfer coding {codings!r}")
        if lengths and not lengths[0].isdigit():
            raise Malformed(f"content-length {lengths!r}")
        message.length = int(lengths[0]) if lengths else None
        message.framing = self._framing(message, bool(codings))
        return message

    def _framing(self, message: Message, chunked: bool) -> Framing:
        if self._method_asked is not None:
            status = message.status
            if status < 200 or status == 204:
                if chunked or message.length is not None:
                    raise Malformed(f"{status} with a framing field")
                self._finals += status == 204
                return "none"
            asked = self._method_asked(self._finals)
            self._finals += 1
            if status == 304 or asked == b"HEAD":
                return "none"
        if chunked:
            return "chunked"
        if message.length is not None:
            return "length"
        return "none" if self._method_asked is None else "close"

    def _body(self, message: Message) -> Reading:
        if message.framing == "length":
            yield from self._counted(message, message.length or 0)
        elif message.framing == "close":
            while True:
                self._take(message, len(self._buffer))
                yield
        elif message.framing == "chunked":
            yield from self._chunked(message)

    def _chunked(self, message: Message) -> Reading:
        while True:
            line = yield from self._line()
            if not _CHUNK_SIZE.match(line):
                raise Malformed(f"chunk size {line!r}")
            size = int(line, 16)
            if not size:
                break
            first = len(message.pieces)
            yield from self._counted(message, size)
            if message.kept:
                message.chunks.append(b"".join(piece for _, piece in message.pieces[first:]))
            if (yield from self._line()):
                raise Malformed("a chunk is longer than its size")
        while line := (yield from self._line()):
            _parsed_field(line)

    def _counted(self, message: Message, size: int) -> Reading:
        while size:
            taken = min(size, len(self._buffer))
            self._take(message, taken)
            size -= taken
            if size:
                yield

    def _take(self, message: Message, count: int) -> None:
        if not count:
            return
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        message.size += count
        if message.kept:
            message.pieces.append((self._now, data))
        else:
            message.checksum = zlib.crc32(data, message.checksum)


def _parsed_field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    value = value.removeprefix(b" ")
    if not colon or not _NAME.match(name) or not _VALUE.match(value):
        raise Malformed(f"no field: {line!r}")
    return name, value


def chunk(data: bytes) -> bytes:
    """A chunk of a chunked body; of no bytes it is the end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def head(start: bytes, *lines: bytes) -> bytes:
    """A head of these lines."""
    return b"\r\n".join([start, *lines, b"", b""])
