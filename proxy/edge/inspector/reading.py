"""What was captured, read: who was waited for, events with their moments, the text they add up to, faults of grammar.

Read on demand and on from where it stopped, so that only what somebody looks at costs anything.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from proxy.core import streams
from proxy.core.dialects import Dialect, Framing
from proxy.core.dialects.recognise import Unknown, framing_of, recognise
from proxy.core.exchange import STALL_S
from proxy.core.framers import Framer, aws
from proxy.core.framers.sse import BOM, parse
from proxy.core.message import field
from proxy.core.watch import FRAMERS
from proxy.edge.inspector.captured import Captured, Mark
from proxy.edge.inspector.judging import judged, observed
from proxy.edge.inspector.said import Said, said
from proxy.threads import in_thread

Waited = Literal["upstream", "client", "proxy"]
EVENT_LIMIT = 1024 * 1024
WAIT_S = 0.001
"""Shorter waits are not told: they are how fast machines are."""
_OF_EVENTS = re.compile(rb"(?:\A|[\r\n])(?:data|event|id):|\A:")


@dataclass(frozen=True, slots=True)
class Wait:
    """A time in which nothing moved, and who was waited for. Seconds of the monotonic clock."""

    since: float
    until: float
    side: Waited

    @property
    def is_stall(self) -> bool:
        """Whether it is worth a word."""
        return self.until - self.since >= STALL_S


@dataclass(frozen=True, slots=True)
class Seen:
    """One event: when its last byte had gone to the client, and where its bytes stand in what the client got."""

    at: float
    start: int
    size: int
    name: str
    said: tuple[Said, ...]
    is_first_token: bool


class Reading:
    """The reading of one capture. `read_on` takes in what has come since."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self.generation = captured.generation
        self.waits: list[Wait] = []
        self.events: list[Seen] = []
        self.dialect = ""
        self._waiting = Waits()
        self._done = 0
        self._framing: Framing | None = None
        self._framer: Framer | None = None
        self._dialect: Dialect | None = None
        self._is_looked_for = True
        self._position = 0
        self._first_frames: list[tuple[str, str]] = []
        self._has_hole = self._is_closed = False
        self._judged_at: tuple[bool, int] | None = None
        self.faults: list[dict[str, Any]] = []
        """What the doctor would say of the answer, when it was asked last."""

    def read_on(self) -> None:
        """Reads the marks that are new."""
        marks = self.captured.marks
        for mark in marks[self._done :]:
            self.waits += self._waiting.see(mark)
            if mark.kind in ("both", "wrote") and mark.size:
                self._see_piece(mark)
        self._done = len(marks)

    def close(self, ended: float, outcome: str | None) -> None:
        """The exchange is over: who was being waited for when it was cut."""
        if not self._is_closed and outcome not in ("complete", "tunnel_closed"):
            self.waits += self._waiting.end(ended)
        self._is_closed = True

    async def judge(self, summary: dict[str, Any]) -> None:
        """Has the doctor's rules look at the answer: again once it has ended, or doubled in size."""
        size = sum(map(len, self.captured.bodies.values()))
        state = (summary["open"], size.bit_length())
        if state == self._judged_at:
            return
        self._judged_at = state
        seen = observed(self.captured, summary) if not self._has_hole else None
        # In a thread, where it takes turns with what is relayed.
        self.faults = await in_thread("doctor", judged, seen) if seen is not None else []

    def _see_piece(self, mark: Mark) -> None:
        if self._is_looked_for:
            self._begin(mark)
        if mark.kept < mark.size or self._has_hole:
            self._has_hole = True  # frames after a hole would begin anywhere
            return
        if self._framer is None:
            return
        piece = bytes(self.captured.bodies["client"][mark.start : mark.start + mark.size])
        for frame, whole in self._framer.feed(piece):
            start, self._position = self._position, self._position + len(frame)
            if whole:
                self._see_frame(mark, start, frame)

    def _begin(self, mark: Mark) -> None:
        """Finds out how the body is cut into frames: by its head, or by its looks where the head went before."""
        captured = self.captured
        if captured.response is None and not captured.late:
            return
        self._is_looked_for = False
        if captured.response is not None:
            self._framing = _framing(captured)
        else:
            self._framing = _guessed(bytes(captured.bodies.get("client", b"")[mark.start : mark.start + mark.kept]))
        if self._framing is None:
            return
        self._framer = FRAMERS[self._framing](EVENT_LIMIT)
        family = captured.route.stream.family if captured.route else None
        self._dialect = recognise(family, self._framing, _path(captured))

    def _see_frame(self, mark: Mark, start: int, frame: bytes) -> None:
        dialect = self._dialect
        assert dialect is not None
        assert self._framing is not None
        told = _told(frame, self._framing, is_first=start == 0)
        if told is None:
            return
        begun = dialect.begun
        dialect.see(*told)
        if isinstance(dialect, Unknown):
            self._first_frames.append(told)
            if dialect.found is not None:
                dialect = self._dialect = dialect.found
                for one in self._first_frames:
                    dialect.see(*one)
        self.dialect = "" if isinstance(dialect, Unknown) else dialect.name
        words = tuple(said(self.dialect, *told))
        first = dialect.begun and not begun and not any(event.is_first_token for event in self.events[-8:])
        self.events.append(Seen(mark.until, start, len(frame), told[0], words, first))


class Waits:
    """Who was waited for between two marks: told one mark after the other."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._full_since: float | None = None

    def see(self, mark: Mark) -> list[Wait]:
        """The waits that this mark ends."""
        since = self._since
        found: list[tuple[float | None, float, Waited]] = []
        match mark.kind:
            case "paused":
                self._full_since = mark.at
                found = [(since, mark.at, "upstream")]
            case "resumed":
                since = self._full_since or since
                self._full_since = None
                found = [(since, mark.at, "client")]
            case "upload":
                found = [(since, mark.at, "client")]
            case (
                "wrote"
            ):  # a heartbeat ends no wait for the upstream; what a stage held back, it held for a whole event
                return []
            case "asked":
                found = [(since, mark.at, "proxy")]
            case "trailers":  # they come with the end of the body
                return []
            case "both" | "read" | "answered" | "interim":
                full = self._full_since
                if full is not None:  # what was on its way already; the client is still waited for
                    return []
                found = [(since, mark.at, "upstream"), (mark.at, mark.until, "proxy")]
        self._since = mark.until
        return _long_enough(found)

    def end(self, moment: float) -> list[Wait]:
        """The wait that was never over."""
        if self._full_since is not None:
            return _long_enough([(self._full_since, moment, "client")])
        return _long_enough([(self._since, moment, "upstream")])


def _long_enough(found: list[tuple[float | None, float, Waited]]) -> list[Wait]:
    return [Wait(begin, end, side) for begin, end, side in found if begin is not None and end - begin >= WAIT_S]


def _framing(captured: Captured) -> Framing | None:
    """How the client's body is cut into frames; None where it is coded, or no stream of frames."""
    head = captured.response
    if head is None or head.went_with("content-encoding") not in ("", "identity"):
        return None
    kind = streams.media_type([field(b"Content-Type", head.went_with("content-type").encode("latin-1", "replace"))])
    return framing_of(kind, _path(captured))


def _guessed(piece: bytes) -> Framing | None:
    """How a body is cut of which only what follows is known."""
    if _OF_EVENTS.search(piece):
        return "sse"
    return "lines" if piece.startswith(b"{") and piece.endswith(b"}\n") else None


def _path(captured: Captured) -> bytes:
    head = captured.request
    line = (head.went or head.came or "") if head is not None else ""
    return line.partition(" ")[2].partition(" ")[0].partition("?")[0].encode("utf-8", "surrogateescape")


def _told(frame: bytes, framing: Framing, is_first: bool) -> tuple[str, str] | None:
    """The name and the text of a frame; None for a comment and the like."""
    if framing == "sse":
        event = parse(frame.removeprefix(BOM) if is_first else frame)
        return None if event.data is None else (event.name, event.data)
    if framing == "aws":
        message = aws.parse(frame)
        if message is None:
            return None
        return message.headers.get(":event-type", "message"), message.payload.decode("utf-8", "replace")
    text = frame.decode("utf-8", "replace").strip("\x1e \t\r\n")
    return ("", text) if text else None
