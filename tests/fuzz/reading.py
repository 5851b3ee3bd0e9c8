"""The ground truth: the messages in a string of bytes, as RFC 9112 reads them where nothing is tolerated.

Kept apart from `tests.net.wire` on purpose: that one reads what the proxy writes, and is as narrow as the proxy's own
style; this one reads what may be sent to it, and is as wide as the standard. What the project refuses although the
standard would let it pass (BEHAVIOUR M2, M16, P6, P10) is `malformed` here as well. Nothing of the proxy is imported.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

Ending = Literal["whole", "incomplete", "malformed"]
Fields = list[tuple[bytes, bytes]]

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
# Several blanks are taken for one, as RFC 9112 section 3 allows: the line that goes out is written anew.
_REQUEST_LINE = re.compile(rb"(%b) +([!\"$-~]+) +HTTP/1\.([01])\Z" % _TOKEN)
# Servers leave out the blank behind the code where there is no reason: RFC 9112 section 4 asks for it, nobody insists.
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9][0-9])(?: ([\t -~\x80-\xff]*))?\Z")
_FIELD = re.compile(rb"(%b):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*\Z" % _TOKEN)
_QUOTED = rb"\"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*\""
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:%b)*\Z" % _EXTENSION)
_LOOSE_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*;[\t -~\x80-\xff]*\Z")
_LENGTH = re.compile(rb"[0-9]{1,18}\Z")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[^\x00-\x20\x7f-\xff:@/\[\]?#\\]+)(?::[0-9]*)?\Z")


class _Incomplete(Exception):
    """The bytes end inside a message."""


class _Malformed(Exception):
    """No message of HTTP/1.1."""


@dataclass
class Message:
    """One message; `body` is what is certain of it, all of it if `ending` is whole."""

    version: int = 1
    method: bytes = b""
    target: bytes = b""
    status: int = 0
    reason: bytes = b""
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    has_head: bool = False
    framing: Literal["none", "length", "chunked", "close"] = "none"
    trailers: Fields = field(default_factory=list)
    ending: Ending = "incomplete"
    is_loose: bool = False
    """Whether a chunk's extension in a response is none by the standard: it goes no further than the proxy, which may
    pass the body or break it off."""
    begins: int = 0
    ends: int = 0
    cause: str = ""

    def all(self, name: bytes) -> list[bytes]:
        """The values of every line of that lower-case name."""
        return [value for known, value in self.fields if known.lower() == name]

    def options(self, name: bytes = b"connection") -> list[bytes]:
        """The lower-case members of a list field."""
        return [part.strip(b" \t").lower() for part in b",".join(self.all(name)).split(b",") if part.strip(b" \t")]

    @property
    def is_last(self) -> bool:
        """Whether whoever sent this wants no further message on the connection. RFC 9112 section 9.3, BEHAVIOUR X11."""
        return b"close" in self.options() or not self.version


def requests(data: bytes) -> list[Message]:
    """Every request, in order; only the last may be incomplete or malformed. An empty rest is no message."""
    found: list[Message] = []
    at = 0
    while True:
        at = _behind_empty_lines(data, at)
        if at == len(data) or (found and found[-1].ending != "whole"):
            return found
        message = Message(begins=at)
        found.append(message)
        at = _read(data, at, message, None)


def responses(data: bytes, method: bytes, eof: bool) -> list[Message]:
    """The answer to one request: interim responses, then the final one. What stands behind that is not read."""
    found: list[Message] = []
    at = 0
    while True:
        at = _behind_empty_lines(data, at)
        message = Message(begins=at)
        found.append(message)
        at = _read(data, at, message, method)
        if message.ending == "incomplete" and message.has_head and message.framing == "close" and eof:
            message.ending = "whole"
        if message.ending != "whole" or message.status >= 200 or message.status == 101:
            return found


def _read(data: bytes, at: int, message: Message, asked: bytes | None) -> int:
    """Reads one message, as far as it goes; returns where it ends. `asked` is None for a request."""
    try:
        at = _head(data, at, message, asked is None)
        _check(message, asked)
        message.has_head = True
        at = _body(data, at, message)
        message.ending = "whole"
    except _Incomplete:
        at = len(data)
    except _Malformed as error:
        message.ending, message.cause = "malformed", str(error)
    message.ends = at
    return at


def _behind_empty_lines(data: bytes, at: int) -> int:
    """RFC 9112 section 2.2 asks it of servers for CRLF; llhttp does it on both sides and for CR and LF alone.

    They belong to no message, and are not passed on: nobody behind the proxy can read them differently.
    """
    while at < len(data) and data[at] in b"\r\n":
        at += 1
    return at


def _line(data: bytes, at: int) -> tuple[bytes, int]:
    end = data.find(b"\n", at)
    line = data[at : len(data) if end < 0 else end + 1]
    if b"\r" in line[:-2] or (end >= 0 and not line.endswith(b"\r\n")):
        raise _Malformed(f"line end in {line!r}")
    if end < 0:
        raise _Incomplete
    return line[:-2], end + 1


def _head(data: bytes, at: int, message: Message, is_request: bool) -> int:
    line, at = _line(data, at)
    start = (_REQUEST_LINE if is_request else _STATUS_LINE).match(line)
    if not start:
        raise _Malformed(f"start line {line!r}")
    if is_request:
        message.method, message.target, message.version = start[1], start[2], int(start[3])
    else:
        message.version, message.status, message.reason = int(start[1]), int(start[2]), start[3] or b""
    return _fields(data, at, message.fields)


def _fields(data: bytes, at: int, fields: Fields) -> int:
    """Field lines of a head or a trailer section, and the empty line behind them."""
    while True:
        line, at = _line(data, at)
        if not line:
            return at
        parsed = _FIELD.match(line)
        if not parsed:
            raise _Malformed(f"field line {line!r}")
        fields.append((parsed[1], parsed[2]))


def _check(message: Message, asked: bytes | None) -> None:
    """Framing of the body, and Host. RFC 9112 sections 3.2 and 6.3."""
    hosts, lengths, codings = message.all(b"host"), message.all(b"content-length"), message.all(b"transfer-encoding")
    several = len(hosts) > 1 or (message.version and not hosts)
    ignored = not message.target.startswith(b"/")  # the absolute form names the host: RFC 9112 section 3.2.2
    if asked is None and (several or not all(_HOST.match(host) or (host and ignored) for host in hosts)):
        raise _Malformed(f"host {hosts!r}")
    if lengths and (codings or len(lengths) > 1 or not _LENGTH.match(lengths[0])):
        raise _Malformed(f"framing {lengths!r} {codings!r}")
    if asked is not None and (message.status in (204, 304) or message.status < 200 or asked == b"HEAD"):
        return
    if codings:
        if message.options(b"transfer-encoding") != [b"chunked"] or not message.version:
            raise _Malformed(f"coding {codings!r}")
        message.framing = "chunked"
    elif lengths:
        message.framing = "length"
    elif asked is not None:
        message.framing = "close"


def _body(data: bytes, at: int, message: Message) -> int:
    if message.framing == "length":
        length = int(message.all(b"content-length")[0])
        message.body = data[at : at + length]
        if len(message.body) < length:
            raise _Incomplete
        return at + length
    if message.framing == "close":
        message.body = data[at:]
        raise _Incomplete
    return _chunks(data, at, message) if message.framing == "chunked" else at


def _chunks(data: bytes, at: int, message: Message) -> int:
    while True:
        line, at = _line(data, at)
        size_line = _CHUNK_SIZE.match(line)
        if not size_line and message.status:
            size_line = _LOOSE_CHUNK_SIZE.match(line)
            message.is_loose = True
        if not size_line:
            raise _Malformed(f"chunk size {line!r}")
        size = int(size_line[1], 16)
        if not size:
            break
        message.body += data[at : at + size]
        at += size
        if at > len(data):
            raise _Incomplete
        if data[at : at + 2] != b"\r\n":
            if not b"\r\n".startswith(data[at : at + 2]):
                raise _Malformed(f"chunk end {data[at : at + 2]!r}")
            raise _Incomplete
        at += 2
    return _fields(data, at, message.trailers)
