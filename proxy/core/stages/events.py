"""Whole frames only, each in a piece of its own, for clients that parse what one read brings."""

from collections import deque

from proxy.core.framers import Framer


class Whole:
    """Holds a frame until its last byte has come; bytes and their order stay. One over the limit passes in parts."""

    def __init__(self, framer: Framer) -> None:
        self._framer = framer
        self._ready: deque[bytes] = deque()

    @property
    def oversized(self) -> bool:
        """Whether a frame was over the limit."""
        return self._framer.oversized

    def feed(self, data: bytes) -> bytes:
        """The next frame, if one is whole."""
        if data:
            self._ready.extend(piece for piece, _ in self._framer.feed(data))
        return self._ready.popleft() if self._ready else b""

    def more(self) -> bool:
        """Whether more frames are whole."""
        return bool(self._ready)

    def flush(self) -> bytes:
        """What never became a whole frame: nothing is lost."""
        return self._framer.flush()

    def held(self) -> bytes:
        """The same."""
        return b"".join([*self._ready, self._framer.flush()])
