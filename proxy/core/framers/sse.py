"""Server-sent events: where one ends, and what it says. Source: WHATWG HTML section 9.2, to the letter.

Lines end with CR, LF or CRLF, all of which may be mixed; an event ends with an empty line.
"""

import re
from typing import NamedTuple

from proxy.core.framers import Framer

BOM = b"\xef\xbb\xbf"
_CR, _LF = 0x0D, 0x0A
# Two ends of lines in a row. Atomic, so that a CRLF is never read as two.
_EMPTY_LINE = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")
_LINE_END = re.compile(rb"\r\n|\r|\n")


class SseFramer(Framer):
    """Frames are events, or comments, each with the empty line behind it."""

    LOOKBACK = 3

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._is_first = True
        self._ended_with_cr = False

    @property
    def at_boundary(self) -> bool:
        """Not behind a lone CR either: an LF that comes next belongs to that end of a line."""
        return super().at_boundary and not self._ended_with_cr

    def _end(self, buffer: bytes, start: int, searched: int, fresh: bool) -> int:
        first = start + len(BOM) if self._is_first and buffer.startswith(BOM) else start
        if fresh and buffer[first : first + 1] in (b"\r", b"\n"):
            end = self._end_of_empty(buffer, first)
        else:
            end = _end_of_event(buffer, max(first, searched))
        if end > 0:
            self._is_first = False
            self._ended_with_cr = buffer[end - 1] == _CR
        return end

    def _end_of_empty(self, buffer: bytes, first: int) -> int:
        """The end of an empty line where an event could begin: it ends one that says nothing."""
        following = buffer[first + 1 : first + 2]
        if buffer[first] == _LF or (not following and self._ended_with_cr):
            return first + 1
        if not following:
            return -1  # half of a CRLF, perhaps
        return first + 2 if following == b"\n" else first + 1


def _end_of_event(buffer: bytes, searched: int) -> int:
    found = _EMPTY_LINE.search(buffer, searched)
    if found is None:
        return -1
    end = found.end()
    if end == len(buffer) and buffer[-1] == _CR and found.group() != b"\r\r":
        return -1  # half of a CRLF, perhaps; where all lines end with CR there is nothing to wait for
    return end


class Event(NamedTuple):
    """What one event says; `name` is `message` where it has none, `data` None where nothing is dispatched."""

    name: str
    data: str | None
    id: str | None = None
    retry_ms: int | None = None


def parse(frame: bytes) -> Event:
    """What a frame says; a BOM in front is the stream's, and has to be removed before."""
    name, data, last_id, retry_ms = "", [], None, None
    for line in _LINE_END.split(frame):
        if line.startswith(b":"):
            continue
        key, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if key == b"data":
            data.append(value)
        elif key == b"event":
            name = value.decode("utf-8", "replace")
        elif key == b"id" and b"\0" not in value:
            last_id = value.decode("utf-8", "replace")
        elif key == b"retry" and value.isdigit():
            retry_ms = int(value[:18])
    text = b"\n".join(data).decode("utf-8", "replace") if data else None
    return Event(name or "message", text, last_id, retry_ms)
