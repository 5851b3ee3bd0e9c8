"""Lines of JSON: NDJSON, and the sequences of RFC 7464, whose records begin with RS and end with LF too."""

from proxy.core.framers import Framer


class LineFramer(Framer):
    """Frames are lines with their LF; a CR before it is part of the line."""

    def _end(self, buffer: bytes, start: int, searched: int, fresh: bool) -> int:
        return buffer.find(b"\n", max(start, searched)) + 1 or -1
