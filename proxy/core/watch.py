"""What an exchange learns from its stream, read from a copy of what was sent, after it was sent.

The first frames are read one by one, so that the moments of the first event and the first token are right. From then on
bytes are gathered and read some kilobytes at a time, and only frames with a mark of their dialect are taken apart: a
frame costs half a microsecond instead of five. A frame that is like those before it (`skeleton`) costs a quarter of
that, and is not even gathered where it comes in a chunk of its own. Where something may be put into a stream, every
frame is read at once.
"""

import functools
import re

from proxy.core.dialects import Dialect, Framing, Mark, Verdict
from proxy.core.dialects.plain import Plain
from proxy.core.dialects.recognise import Unknown
from proxy.core.errors import ProxyError
from proxy.core.exchange import Exchange
from proxy.core.framers import Framer, aws
from proxy.core.framers.aws import AwsFramer
from proxy.core.framers.json_array import JsonArrayFramer
from proxy.core.framers.lines import LineFramer
from proxy.core.framers.sse import BOM, SseFramer, parse
from proxy.core.skeleton import Skeleton, Words, learn, words_of
from proxy.core.stages.convert import LinesToEvents

FRAMERS: dict[Framing, type[Framer]] = {
    "sse": SseFramer,
    "lines": LineFramer,
    "array": JsonArrayFramer,
    "aws": AwsFramer,
}
# How much is gathered before it is read: more would be cheaper, but each open stream may hold this much.
BATCH_BYTES = 2048
# The largest frame of which a copy is kept to be read: what is held of one stream has to stay small.
COPY_BYTES = 256 * 1024
# How many events come between two attempts to learn what the frames of a stream have in common, which costs as much as
# reading a dozen of them.
EVENTS_BETWEEN_LESSONS = 64
# The most that is learnt from: what frames have in common is kept as long as the stream.
LESSON_BYTES = 2 * BATCH_BYTES
_SEPARATORS: dict[Framing, bytes] = {"sse": b"\n\n", "lines": b"\n"}
_DATA = re.compile(rb"(?:\A|[\r\n])data(?:[:\r\n]|\Z)")
_DIGITS, _BLANK = b"0123456789", b"\x1e \t\r\n"
_ID = re.compile(rb"(?:\A|[\r\n])id[:\r\n]")


class Watch:
    """The frames of one stream. `exact` is whether every frame is read at once."""

    __slots__ = (
        "_dialect",
        "_events",
        "_exact",
        "_first_frames",
        "_framer",
        "_is_first",
        "_last",
        "_lesson_at",
        "_limit",
        "_pending",
        "_pending_bytes",
        "_separator",
        "_skeleton",
        "_unread",
        "_wanted_bytes",
        "first_event_at",
        "first_token_at",
        "framing",
        "has_ids",
        "known",
        "oversized",
    )

    def __init__(self, framing: Framing, dialect: Dialect, limit: int, exact: bool = False) -> None:
        self.framing: Framing = framing
        self._dialect = dialect
        self._limit = limit = min(limit, COPY_BYTES)
        self._separator = None if exact else _SEPARATORS.get(framing)
        self._exact = exact
        self._framer: Framer | None = FRAMERS[framing](limit)
        self._first_frames: list[tuple[str, str]] | None = None
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._wanted_bytes = BATCH_BYTES
        self._skeleton: Skeleton | None = None
        self.known: Skeleton | None = None
        """While no frame is open: whoever finds that one fits counts it in `seen`, and does not feed it."""
        self._lesson_at = 0
        self._is_first = True
        self._unread = False
        self._last = b""
        self._events = 0
        self.first_event_at: float | None = None
        self.first_token_at: float | None = None
        self.has_ids = False
        """Whether an event named an id; known only if `exact`."""
        self.oversized = False
        """Whether a frame was over the limit, and passed unread."""

    @property
    def dialect(self) -> Dialect:
        """The dialect, as far as it is known by now."""
        return self._dialect

    @property
    def events(self) -> int:
        """Frames that a client acts on; comments are none."""
        return self._events + (0 if self._skeleton is None else self._skeleton.seen)

    @property
    def at_boundary(self) -> bool:
        """Whether something may be put in between: no frame is open, for certain, and the answer is not over."""
        dialect = self._dialect
        return self._framer is not None and self._framer.at_boundary and not dialect.ended and not dialect.failed

    def feed(self, data: bytes, now: float) -> None:
        """Takes a copy of what was sent. Runs once per event that is not `known`."""
        if self._framer is None:
            self.known = None
            self._pending.append(data)
            self._pending_bytes += len(data)
            if self._pending_bytes >= self._wanted_bytes:
                self._read_batch()
        else:
            self._read(self._framer, data, now)

    def close(self) -> None:
        """Reads what was gathered: the stream is over."""
        if self._framer is None:
            self._read_batch()
        if self.framing == "lines":  # the last one may lack its end
            rest = b"".join(self._pending) if self._framer is None else self._framer.flush()
            self._pending, self._pending_bytes = [], 0
            if rest:
                self._see(rest)
        if self.first_token_at is None and isinstance(self._dialect, Plain):
            self.first_token_at = self.first_event_at

    def heartbeat(self, form: str) -> bytes | None:
        """What may be put in here as a sign of life; None where nothing may.

        `form` is that of a comment: `block` ends with an empty line, `line` does not, `auto` is a line once events have
        ids, as some SDKs take an empty line behind an id for an event, and a block before, as others skip whole blocks.
        """
        if self.framing != "sse" or not self.at_boundary:
            return None
        if form == "auto":
            if self._dialect.HEARTBEAT is not None or not self._dialect.TAKES_COMMENTS:
                return self._dialect.HEARTBEAT
            form = "line" if self.has_ids else "block"
        return b": ping\n\n" if form == "block" else b": ping\n"

    def error_event(self) -> bytes | None:
        """The frame to put in when the stream breaks; None where there is none, or no place for one."""
        event = self._dialect.error_event(self._last) if self.at_boundary else None
        if event is not None and self.framing == "sse" and self._dialect.FRAMING == "lines":
            return LinesToEvents(len(event)).feed(event)
        return event

    def verdict(self, ended_well: bool) -> Verdict:
        """What became of the answer, when `close` has been called; an end that passed unread may have been there."""
        verdict = self._dialect.verdict(ended_well)
        framer = self._framer
        unread = self.oversized or self._unread or (isinstance(framer, AwsFramer) and framer.is_lost)
        return "unknown" if unread and ended_well and verdict == "truncated" else verdict

    def tell(self, exchange: Exchange, error: ProxyError | None, ended: bool) -> None:
        """Writes down what was learnt: the stream is over. `error` is what broke it, `ended` whether its end was seen.

        Where a client left, or we stopped, the answer is judged by what had come: that it stops is not its doing.
        """
        self.close()
        dialect = self._dialect
        exchange.dialect, exchange.events, exchange.oversized = dialect.name, self.events, self.oversized
        exchange.first_event_at, exchange.first_token_at = self.first_event_at, self.first_token_at
        exchange.usage = dialect.usage if dialect.usage else None
        exchange.limited = dialect.limited
        of_upstream = error is not None and error.side == "upstream"
        if of_upstream or (ended and error is None):
            exchange.verdict = self.verdict(ended_well=not of_upstream)
        else:
            so_far = self.verdict(ended_well=True)
            exchange.verdict = so_far if so_far in ("complete", "failed") else "unknown"

    def _read(self, framer: Framer, data: bytes, now: float) -> None:
        for frame, whole in framer.feed(data):
            if whole and self._see(frame):
                if self.first_event_at is None:
                    self.first_event_at = now
                if self.first_token_at is None and self._dialect.begun:
                    self.first_token_at = self.first_event_at if isinstance(self._dialect, Plain) else now
        self.oversized = self.oversized or framer.oversized
        if self._separator is not None and self._dialect.begun and not self.oversized:
            self._pending = [framer.flush()]
            self._pending_bytes = len(self._pending[0])
            self._framer = None

    def _see(self, frame: bytes) -> bool:
        """Reads one frame; whether it is an event."""
        dialect = self._dialect
        if self._exact and not self.has_ids and b"id" in frame:
            self.has_ids = _ID.search(frame) is not None
        if dialect.begun and self.framing == "sse" and not _has_mark(dialect, frame):
            if _DATA.search(frame) is None:
                return False
            self._events += 1
            self._last = frame
            return True
        said = _said(frame, self.framing, self._is_first)
        self._is_first = False
        if said is None:
            self._unread = self._unread or self.framing == "aws"
            return False
        if self.framing == "array" and said[1] == "]":
            dialect.see(*said)
            return False
        self._events += 1
        self._last = frame
        self._dialect.see(*said)
        if isinstance(self._dialect, Unknown):
            frames = self._first_frames = [*(self._first_frames or ()), said]
            if self._dialect.found is not None:
                self._dialect, self._first_frames = self._dialect.found, None
                for name, text in frames:
                    self._dialect.see(name, text)
        return True

    def _read_batch(self) -> None:
        """Reads the whole frames among what was gathered, and keeps the rest."""
        text, separator = b"".join(self._pending), self._separator or b""
        end = text.rfind(separator) + len(separator)
        if (self.framing == "sse" and b"\r" in text) or len(text) - end > self._limit:
            self._go_exact(text)
            return
        rest = text[end:] if end >= len(separator) else text
        self._pending, self._pending_bytes = [rest] if rest else [], len(rest)
        self._wanted_bytes = max(
            BATCH_BYTES, min(2 * len(rest), self._limit + 1)
        )  # else each read would join all again
        if end >= len(separator):
            self._see_batch(text[: end - len(separator)], separator)
        if not rest:
            self.known = self._skeleton

    def _go_exact(self, text: bytes) -> None:
        """Ends of lines that are not LF, or a frame over the limit: from now on the framer tells."""
        framer = self._framer = FRAMERS[self.framing](self._limit)
        self._pending, self._pending_bytes, self._separator = [], 0, None
        self._read(framer, text, 0.0)

    def _see_batch(self, text: bytes, separator: bytes) -> None:
        frames = text.split(separator)
        known = self._skeleton
        if known is not None and known.fits_all([frame + separator for frame in frames]):
            known.seen += len(frames)
            return
        if separator == b"\n":
            self._events += len([frame for frame in frames if frame.strip(_BLANK)])
        else:
            self._events += len([frame for frame in frames if frame.startswith(b"data:") or _DATA.search(frame)])
        dialect = self._dialect
        marks = [mark for mark in dialect.MARKS if mark.is_in(text)]
        last = dialect.LAST
        if marks or (last is not None and last.is_in(text)):
            self._see_marked(frames, marks, last)
        elif self.events >= self._lesson_at and len(frames) > 1 and len(text) <= LESSON_BYTES and dialect.MARKS:
            self._lesson_at = self.events + EVENTS_BETWEEN_LESSONS
            alike = frames[:3]
            if separator == b"\n" or all(map(_DATA.search, alike)):  # comments are alike too, and no events
                skeleton = learn([frame + separator for frame in alike], words(type(dialect)))
                if skeleton is not None:
                    self._events, self._skeleton = self.events, skeleton

    def _see_marked(self, frames: list[bytes], marks: list[Mark], last: Mark | None) -> None:
        repeated: dict[bytes, bytes] = {}
        for frame in frames:
            if marks and any(mark.is_in(frame) for mark in marks):
                for earlier in repeated.values():
                    self._say(earlier)
                repeated.clear()
                self._say(frame)
            elif last is not None and last.is_in(frame):
                # Alike but for the numbers: the last one of them is enough.
                shape = frame[frame.find(last.key) :].translate(None, _DIGITS)
                repeated.pop(shape, None)
                repeated[shape] = frame
        for frame in repeated.values():
            self._say(frame)

    def _say(self, frame: bytes) -> None:
        said = _said(frame, self.framing)
        if said is not None:
            self._dialect.see(*said)


@functools.cache
def words(dialect: type[Dialect]) -> Words:
    """What makes a frame of that dialect matter."""
    return words_of([mark.key for mark in (*dialect.MARKS, *([dialect.LAST] if dialect.LAST else []))])


def _has_mark(dialect: Dialect, frame: bytes) -> bool:
    """Whether a frame may say anything new."""
    for mark in dialect.MARKS:
        if mark.is_in(frame):
            return True
    return dialect.LAST is not None and dialect.LAST.is_in(frame)


def _said(frame: bytes, framing: Framing, is_first: bool = False) -> tuple[str, str] | None:
    """The name and the text of a frame; None if it is no event."""
    if framing == "sse":
        event = parse(frame.removeprefix(BOM) if is_first else frame)
        return None if event.data is None else (event.name, event.data)
    if framing == "aws":
        message = aws.parse(frame)
        if message is None:
            return None
        kind = message.headers.get(":message-type", "event")
        name = message.headers.get(":event-type", "") if kind == "event" else kind
        return name, message.payload.decode("utf-8", "replace")
    text = frame.decode("utf-8", "replace").strip(_BLANK.decode())
    return ("", text) if text else None
