"""Framers find where the frames of a stream end: events, lines, elements, messages. Bytes and their order stay.

A frame is the smallest unit that a client of the format acts on. What a framer gives back, put together, is what it was
fed, however that was cut; only a frame over the limit is given back in parts. Nothing here waits for a clock: what ends
with the last byte that came is given back with it.
"""

from abc import ABC, abstractmethod

Piece = tuple[bytes, bool]
"""Bytes of the stream, and whether they are one whole frame."""


class Framer(ABC):
    """One stream's framer. Holds at most `limit` bytes of a frame that has not ended."""

    # How many bytes at the end of what was searched may begin the mark of an end.
    LOOKBACK = 0

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = b""
        self._searched = self._given = 0
        self._is_over = False
        self.oversized = False
        """Whether any frame was over the limit."""

    def feed(self, data: bytes) -> list[Piece]:
        """The frames that end in `data`, and what there is of one that is over the limit."""
        buffer = self._buffer + data if self._buffer else data
        pieces: list[Piece] = []
        start, searched, given = 0, self._searched, self._given
        while start < len(buffer):
            end = self._end(buffer, start, searched, fresh=not self._is_over)
            if end < 0:
                break
            # Half a mark that was given already may turn out to be a whole one: then nothing is left to give.
            if end > start + given:
                pieces.append((buffer[start + given : end], not self._is_over))
            start = searched = end
            given, self._is_over = 0, False
        rest = buffer[start:] if start else buffer
        if len(rest) - given > self._limit:
            self._is_over = self.oversized = True
        if self._is_over:
            if len(rest) > given:
                pieces.append((rest[given:], False))
            rest = rest[-self.LOOKBACK :] if self.LOOKBACK else b""
            given = len(rest)
        self._buffer, self._given = rest, given
        self._searched = max(0, len(rest) - self.LOOKBACK)
        return pieces

    def flush(self) -> bytes:
        """What is held, which never became a whole frame: the stream has ended."""
        rest, self._buffer = self._buffer[self._given :], b""
        self._searched = self._given = 0
        return rest

    @property
    def at_boundary(self) -> bool:
        """Whether no frame is open, for certain, so that something may be put in here."""
        return not self._buffer and not self._is_over

    @abstractmethod
    def _end(self, buffer: bytes, start: int, searched: int, fresh: bool) -> int:
        """Where the frame that begins at `start` ends; -1 if it does not yet. What is before `searched` holds no end.

        `fresh` is whether the buffer holds the frame's beginning.
        """
