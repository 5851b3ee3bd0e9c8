"""What the bytes of an observation mean: decoded pieces, frames and events, each with the moment it was whole.

Pure, and no judgement: a reading says where an event ended and when, not whether that was late.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from proxy.core import streams
from proxy.core.errors import ContentCodingBroken
from proxy.core.framers import Framer
from proxy.core.framers.aws import AwsFramer
from proxy.core.framers.aws import parse as parse_aws
from proxy.core.framers.json_array import JsonArrayFramer
from proxy.core.framers.lines import LineFramer
from proxy.core.framers.sse import BOM, SseFramer
from proxy.core.framers.sse import parse as parse_sse
from proxy.core.message import members
from proxy.core.stages.decode import CODINGS, Decode
from proxy.doctor.observation import Bytes, Observation, Size

EVENT_LIMIT = 1024 * 1024
# What is read of a body: far more than any answer has, and little enough to be judged within seconds.
MOST_DECODED_BYTES = 16 * 1024 * 1024
MOST_FRAMES = 20_000
# Bytes that come closer together than this were sent together, as far as a network lets anybody tell.
TOGETHER_S = 0.02
_LOOKED_AT = 4096

Form = Literal["sse", "lines", "array", "aws", "json", "page", "opaque"]
_BY_TYPE: dict[bytes, Form] = {
    streams.EVENT_STREAM: "sse",
    b"application/vnd.amazon.eventstream": "aws",
    **dict.fromkeys((b"application/x-ndjson", b"application/ndjson", b"application/jsonl"), "lines"),
    **dict.fromkeys((b"application/jsonlines", b"application/stream+json", b"application/json-seq"), "lines"),
}
_FRAMERS: dict[Form, type[Framer]] = {
    "sse": SseFramer,
    "lines": LineFramer,
    "array": JsonArrayFramer,
    "aws": AwsFramer,
}
_SSE_LINES = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?::[^\r\n]*[\r\n]+|(?:event|id|retry):[^\r\n]*[\r\n]+)*data:")
_PAGE = re.compile(rb"\s*<(?:!doctype html|html)", re.IGNORECASE)


class Frame(NamedTuple):
    """Bytes between two ends, when the last of them came, and what they say.

    `data` is what a client would be handed, None where that is nothing; `name` the event's name where it has one.
    """

    at_s: float
    octets: bytes
    data: str | None
    name: str = ""


@dataclass(frozen=True)
class Reading:
    """One observation, read."""

    seen: Observation
    media_type: bytes
    codings: tuple[bytes, ...]
    form: Form
    pieces: tuple[Bytes, ...]
    """The body without its content codings."""
    undecoded: bool
    """Whether the coding is unknown, or was broken: then `pieces` end where it could no longer be undone."""
    partial: bool
    """Whether there was more than is ever read, so that nothing can be said of its end."""
    frames: tuple[Frame, ...]
    rest: bytes
    """What never became a whole frame."""
    bursts: tuple[Size, ...]
    """The body as it came, in bytes that came together; `at_s` is when the burst began."""

    @cached_property
    def text(self) -> bytes:
        """The whole decoded body."""
        return b"".join(piece.data for piece in self.pieces)

    @cached_property
    def events(self) -> list[Frame]:
        """Frames that hand something to a client: no comments, no heartbeats without data."""
        return [frame for frame in self.frames if frame.data is not None]

    @cached_property
    def documents(self) -> list[Any]:
        """The JSON value of each event, None where its data is none."""
        return [json_of(event.data) for event in self.events]

    @cached_property
    def moments(self) -> list[float]:
        """When content came: events, or lines of a text that has none of them."""
        found = [frame.at_s for frame in self.events]
        if found or self.form not in ("sse", "lines"):
            return found
        return [piece.at_s for piece in self.pieces for line in piece.data.splitlines() if line.strip()]

    @property
    def ended_itself(self) -> bool:
        """Whether the other side said that this is all."""
        return self.seen.end in ("complete", "closed") and not self.partial


def read(seen: Observation) -> Reading:
    """What an observation means."""
    media_type = streams.media_type(seen.fields)
    codings = tuple(coding for coding in members(seen.values(b"content-encoding")) if coding != b"identity")
    pieces, undecoded, unfolds = _decoded(seen.body, codings)
    begin = b"".join(piece.data for piece in pieces[:64])[:_LOOKED_AT]
    form = _BY_TYPE.get(media_type) or _form(begin)
    if undecoded:
        form = "opaque"
    frames, rest, too_many = _framed(form, pieces)
    partial = unfolds or too_many
    return Reading(seen, media_type, codings, form, pieces, undecoded, partial, frames, rest, _bursts(seen.body))


def json_of(text: str | bytes | None) -> Any:
    """The JSON value in a text, or None where it is none."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _form(begin: bytes) -> Form:
    """What a body looks like whose media type does not say."""
    if _SSE_LINES.match(begin):
        return "sse"
    if _PAGE.match(begin):
        return "page"
    stripped = begin.lstrip()
    if stripped.startswith(b"["):
        return "array"
    lines = [line for line in begin.split(b"\n")[:-1] if line.strip()]
    if len(lines) > 1 and all(isinstance(json_of(line), dict) for line in lines):
        return "lines"
    return "json" if stripped.startswith(b"{") else "opaque"


def _decoded(body: list[Bytes], codings: tuple[bytes, ...]) -> tuple[tuple[Bytes, ...], bool, bool]:
    """The pieces without their coding, at the moments their bytes came; whether that failed; whether it is too much."""
    if not codings:
        return tuple(body), False, False
    if len(codings) > 1 or codings[0] not in CODINGS:
        return (), True, False
    made: list[Bytes] = []
    decode, size = Decode(codings[0]), 0
    for at_s, data in body:
        try:
            text = decode.feed(data)
            while decode.more():
                text += decode.feed(b"")
                if size + len(text) > MOST_DECODED_BYTES:
                    return tuple(made), False, True
        except ContentCodingBroken:
            return tuple(made), True, False
        size += len(text)
        if text:
            made.append(Bytes(at_s, text))
    return tuple(made), False, False


def _framed(form: Form, pieces: tuple[Bytes, ...]) -> tuple[tuple[Frame, ...], bytes, bool]:
    """The frames, what never became one, and whether there are too many."""
    if form not in _FRAMERS:
        return (), b"", False
    framer = _FRAMERS[form](EVENT_LIMIT)
    frames: list[Frame] = []
    for at_s, data in pieces:
        for octets, whole in framer.feed(data):
            if whole and len(frames) >= MOST_FRAMES:
                return tuple(frames), b"", True
            if whole:
                frames.append(_frame(form, at_s, octets, first=not frames))
    # A line needs no LF behind it to be the last one, unlike an event.
    rest = framer.flush()
    if form == "lines" and json_of(rest) is not None:
        frames.append(_frame(form, pieces[-1].at_s, rest, first=not frames))
        rest = b""
    return tuple(frames), rest, False


def _frame(form: Form, at_s: float, octets: bytes, first: bool) -> Frame:
    if form == "sse":
        event = parse_sse(octets.removeprefix(BOM) if first else octets)
        return Frame(at_s, octets, event.data, "" if event.name == "message" else event.name)
    if form == "aws":
        message = parse_aws(octets)
        if message is None:
            return Frame(at_s, octets, None)
        name = message.headers.get(":exception-type") or message.headers.get(":event-type", "")
        return Frame(at_s, octets, message.payload.decode("utf-8", "replace"), name)
    text = octets.strip(b" \t\r\n\x1e").decode("utf-8", "replace")
    if form == "array":
        text = text.lstrip("[, \r\n").removesuffix("]") if text != "]" else ""
    return Frame(at_s, octets, text or None)


def _bursts(body: list[Bytes]) -> tuple[Size, ...]:
    bursts: list[Size] = []
    last_s = float("-inf")
    for at_s, data in body:
        if bursts and at_s - last_s < TOGETHER_S:
            bursts[-1] = Size(bursts[-1].at_s, bursts[-1].size + len(data))
        else:
            bursts.append(Size(at_s, len(data)))
        last_s = at_s
    return tuple(bursts)
