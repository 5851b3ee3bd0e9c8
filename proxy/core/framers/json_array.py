"""A JSON array that grows, as Gemini sends without `alt=sse`: `[{...}`, `,{...}`, `]`."""

import re

from proxy.core.framers import Framer

_OPEN, _CLOSE, _QUOTE, _BACKSLASH = b"[{", b"]}", b'"', b"\\"
# What matters outside and inside a string.
_OUTSIDE = re.compile(rb'[\[\]{}"]')
_INSIDE = re.compile(rb'["\\]')


class JsonArrayFramer(Framer):
    """Frames are the array's elements, each with what stands before it, and its closing bracket.

    Elements that are neither objects nor arrays end with the element behind them: nothing marks their own end.
    An object in place of the array, as some errors are, is one frame.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._depth = self._outermost = 0
        self._in_string = self._escaped = False
        self.is_closed = False
        """Whether the array has ended."""

    def _end(self, buffer: bytes, start: int, searched: int, fresh: bool) -> int:
        at = max(start, searched)
        while at < len(buffer):
            if self._escaped:
                self._escaped = False
                at += 1
                continue
            found = (_INSIDE if self._in_string else _OUTSIDE).search(buffer, at)
            if found is None:
                return -1
            at = found.end()
            if self._took(found.group()):
                return at
        return -1

    def _took(self, mark: bytes) -> bool:
        """Whether that mark ends a frame."""
        if mark == _BACKSLASH:
            self._escaped = True
        elif mark == _QUOTE:
            self._in_string = not self._in_string
        elif mark in _OPEN:
            if self._depth == 0:
                self._outermost = 1 if mark == b"[" else 0
            self._depth += 1
        else:
            self._depth = max(0, self._depth - 1)
            self.is_closed = self._depth == 0
            return self._depth <= self._outermost
        return False
