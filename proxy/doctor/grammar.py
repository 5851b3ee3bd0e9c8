"""What is wrong with the text of an event stream, as far as bytes alone tell. Pure; knows no clock and no HTTP.

Fed the frames that a framer gave and what was left over. Faults are few and certain: what WHATWG HTML section 9.2
allows is told only where widespread clients are known to fail on it, and says so.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

from proxy.core.framers.sse import BOM

Kind = Literal[
    "sse-json-lines",
    "sse-no-data",
    "sse-single-newline",
    "sse-never-ends",
    "sse-last-event-lost",
    "sse-cr-only",
    "sse-bom",
]
_KNOWN = frozenset({b"data", b"event", b"id", b"retry"})
_LINE_END = re.compile(rb"\r\n|\r|\n")
_ESCAPED = re.compile(rb"\\r?\\n(?:\\r?\\n)?(?:data|event|id):")
_SHOWN = 60


class Fault(NamedTuple):
    """One fault: how often, and the first line that shows it."""

    kind: Kind
    times: int
    example: bytes
    is_fatal: bool
    """Whether a conforming client loses something, and not only a careless one."""


def faults(frames: Sequence[bytes], rest: bytes, ended: bool) -> list[Fault]:
    """What is wrong. `rest` is what follows the last frame, `ended` whether nothing will follow it."""
    blocks = [*frames, rest]
    careful = _careful(b"".join(blocks))
    blocks[0] = blocks[0].removeprefix(BOM)
    *frames, rest = blocks
    return [*_unreadable(frames, rest), *_glued(frames, rest), *_unended(frames, rest, ended), *careful]


def _lines(block: bytes) -> list[bytes]:
    return [line for line in _LINE_END.split(block) if line]


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0]


def _is_document(value: bytes) -> bool:
    """Whether this is a whole message by itself, to those who send JSON."""
    value = value.strip()
    if value == b"[DONE]":
        return True
    if not value.startswith((b"{", b"[")):
        return False
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return False
    return True


def _has_data(lines: list[bytes]) -> bool:
    return any(_name(line) == b"data" for line in lines)


def _unreadable(frames: Sequence[bytes], rest: bytes) -> Iterator[Fault]:
    """Lines that say something no client is handed."""
    bare: list[bytes] = []
    lost: list[bytes] = []
    any_event = False
    for block in (*frames, rest):
        lines = _lines(block)
        bare += [line for line in lines if not line.startswith(b":") and _is_document(line)]
        if _has_data(lines):
            any_event = True
            continue
        strange = [line for line in lines if not line.startswith(b":") and _name(line) not in _KNOWN]
        named = [line for line in lines if _name(line) == b"event" and block is not rest]
        lost += [line for line in strange if not _is_document(line)] or named
    if bare:
        yield Fault("sse-json-lines", len(bare), bare[0][:_SHOWN], is_fatal=True)
    if lost:
        yield Fault("sse-no-data", len(lost), lost[0][:_SHOWN], is_fatal=not any_event)


def _glued(frames: Sequence[bytes], rest: bytes) -> Iterator[Fault]:
    """Events that nothing but one line end separates: several whole documents in one event."""
    found = []
    for block in (*frames, rest):
        values = [line[5:] for line in _lines(block) if line.startswith(b"data:")]
        if len(values) > 1 and sum(map(_is_document, values)) == len(values):
            found.append(block)
    if found:
        yield Fault("sse-single-newline", len(found), _lines(found[0])[0][:_SHOWN], is_fatal=True)


def _unended(frames: Sequence[bytes], rest: bytes, ended: bool) -> Iterator[Fault]:
    """Data behind the last empty line: thrown away by every conforming client when the body ends."""
    lines = _lines(rest)
    if not ended or not _has_data(lines) or list(_glued((), rest)):
        return
    if frames:
        yield Fault("sse-last-event-lost", 1, lines[0][:_SHOWN], is_fatal=False)
    else:
        escaped = _ESCAPED.search(rest)
        yield Fault("sse-never-ends", 1, escaped.group() if escaped else lines[0][:_SHOWN], is_fatal=True)


def _careful(text: bytes) -> Iterator[Fault]:
    """What the standard allows and many clients do not read."""
    if text.startswith(BOM):
        yield Fault("sse-bom", 1, text[:_SHOWN], is_fatal=text.startswith(BOM * 2))
    if text.count(b"\r") > 1 and b"\n" not in text:
        yield Fault("sse-cr-only", text.count(b"\r"), text.partition(b"\r")[0][:_SHOWN], is_fatal=False)


class Utf8(NamedTuple):
    """Where a text stops being UTF-8 (None if nowhere), whether that is only its end, and its U+FFFD characters."""

    bad_at: int | None
    is_end: bool
    replaced: int


def utf8(text: bytes) -> Utf8:
    """Whether a text is UTF-8, and whether somebody before us already replaced what was not."""
    replaced = text.count(b"\xef\xbf\xbd")
    try:
        text.decode()
    except UnicodeDecodeError as error:
        return Utf8(error.start, error.reason == "unexpected end of data", replaced)
    return Utf8(None, False, replaced)


def splits(pieces: Sequence[bytes]) -> int:
    """How many pieces, the last one aside, end inside a character."""
    return sum(1 for piece in pieces[1:] if piece and piece[0] & 0xC0 == 0x80)
