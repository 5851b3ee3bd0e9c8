"""Dialects: what the frames of a provider's stream mean. Bytes are never changed here, only read.

A dialect sees the frames that matter, one after the other, and knows where the output begins, whether the answer is
over or failed, and what it cost. What it does not know it passes over: providers add kinds of frames every month.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, Literal, NamedTuple

Framing = Literal["sse", "lines", "array", "aws"]
"""How a stream is cut into frames: events, lines of JSON, elements of a JSON array, binary messages."""

Verdict = Literal["complete", "failed", "truncated", "unknown"]
"""What became of an answer: it came to its end, it says that it failed, it stops before its end, or nobody can tell."""

BROKEN = "upstream closed the stream before it was complete"
"""What error events of ours say: constant, and without an end of a line."""

MOST_TOKENS = 2**53
"""A larger number of tokens is nonsense, which a JSON reader of our log need not bear."""


@dataclass(slots=True)
class Usage:
    """Tokens, as far as the provider tells."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached: int | None = None
    reasoning: int | None = None

    def take(self, told: object, **paths: tuple[str, ...]) -> None:
        """Replaces what `told` holds a number of; a missing one changes nothing."""
        for name, path in paths.items():
            found = at(told, *path)
            if isinstance(found, int) and not isinstance(found, bool) and 0 <= found <= MOST_TOKENS:
                setattr(self, name, found)

    def __bool__(self) -> bool:
        return any(getattr(self, entry.name) is not None for entry in fields(self))


class Mark(NamedTuple):
    """What a frame holds that matters: this, and not only in one of the harmless forms that most frames have.

    Found by plain searches for bytes: a tenth of what regular expressions cost, which every event would pay.
    """

    key: bytes
    harmless: tuple[bytes, ...] = ()

    def is_in(self, text: bytes) -> bool:
        """Whether it is there."""
        if not self.harmless:
            return text.find(self.key) >= 0  # `in` costs twice as much: it first takes the key for a number
        count = text.count(self.key)
        return count > 0 and count != sum([text.count(form) for form in self.harmless])


def not_null(key: bytes) -> Mark:
    """A member of JSON objects that matters where it is not null, however a server's JSON is spaced."""
    return Mark(key, (key + b":null", key + b": null"))


class Dialect(ABC):
    """One stream, as one dialect reads it."""

    __slots__ = ("begun", "ended", "failed", "limited", "usage")

    name: ClassVar[str]
    FRAMING: ClassVar[Framing] = "sse"
    MARKS: ClassVar[tuple[Mark, ...]] = ()
    """Once the output has begun, only frames with one of these say anything new."""
    LAST: ClassVar[Mark | None] = None
    """Frames with this repeat what came before: of those that came together, the last one is enough."""
    HEARTBEAT: ClassVar[bytes | None] = None
    """A frame of the dialect's own that says nothing. None: a comment, in an event stream."""
    TAKES_COMMENTS = True
    """Whether its clients bear comments."""
    HAS_END: ClassVar[bool] = True
    """Whether an answer has an end of its own."""

    def __init__(self) -> None:
        self.begun = False
        """Whether a token has come: output of the model, whether text, thought or the call of a tool."""
        self.ended = False
        self.failed = False
        self.limited = False
        """Whether the answer is complete but was cut off by a limit on its length."""
        self.usage = Usage()

    @abstractmethod
    def see(self, name: str, text: str) -> None:
        """Reads a frame: the name of its event, empty where the framing has none, and what it says."""

    def error_event(self, last: bytes) -> bytes | None:
        """The frame that says that the stream broke; None where there is none. `last` is the last whole frame."""
        return None

    def verdict(self, ended_well: bool) -> Verdict:
        """What became of the answer; `ended_well` is whether the body ended as its framing says."""
        if self.failed:
            return "failed"
        if self.ended:
            return "complete"
        return "unknown" if ended_well and not self.HAS_END else "truncated"


def load(text: str) -> Mapping[str, object]:
    """The JSON object in a frame; an empty one for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def at(value: object, *path: str | int) -> object:
    """What lies at that path of a JSON value, None if nothing does."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    return value


def items(value: object) -> list[object]:
    """A JSON list, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def event(data: Mapping[str, object], name: str = "") -> bytes:
    """An SSE event with that JSON: json.dumps escapes every end of a line."""
    start = f"event: {name}\n" if name else ""
    return f"{start}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()
