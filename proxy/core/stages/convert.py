"""Lines of JSON as server-sent events, for clients that know only these."""

from proxy.core.framers.lines import LineFramer

_RECORD_START = b"\x1e"


class LinesToEvents:
    """One event of every line that is not blank: `data: `, the line, an empty line.

    A bare CR would end a line of the event; in JSON it is but a blank, so it becomes one. The RS in front of a record
    of RFC 7464 is no JSON and goes. Over `limit` bytes a line passes in parts, as one event still.
    """

    def __init__(self, limit: int) -> None:
        self._framer = LineFramer(limit)
        self._inside = False
        """Whether the event of a line that comes in parts has begun."""

    @property
    def oversized(self) -> bool:
        """Whether a line was over the limit."""
        return self._framer.oversized

    def feed(self, data: bytes) -> bytes:
        """The events of the lines that end in `data`."""
        return b"".join([self._event(piece) for piece, _ in self._framer.feed(data)])

    def more(self) -> bool:
        """Never: an event is little more than its line."""
        return False

    def flush(self) -> bytes:
        """The event of a last line that lacks its end."""
        rest = self._framer.flush()
        return self._event(rest + b"\n") if rest or self._inside else b""

    def held(self) -> bytes:
        """Of a line that never ended, an event that does not end either."""
        rest = self._framer.flush().replace(b"\r", b" ")
        return rest if self._inside or not rest else b"data: " + rest.lstrip(_RECORD_START)

    def _event(self, piece: bytes) -> bytes:
        ended = piece.endswith(b"\n")
        text = (piece.rstrip(b"\r\n") if ended else piece).replace(b"\r", b" ")
        start = b""
        if not self._inside:
            start, text = b"data: ", text.lstrip(_RECORD_START)
        if ended and not self._inside and not text.strip():
            return b""
        self._inside = not ended
        return start + text + (b"\n\n" if ended else b"")
