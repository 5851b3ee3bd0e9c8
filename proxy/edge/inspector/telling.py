"""What is told of the exchanges of one process: how the list changes, and everything about one of them.

Documents of plain JSON values, whoever carries them: the API here, or a worker to its supervisor.
"""

import base64
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

from proxy.edge.inspector import export
from proxy.edge.inspector.captured import Captured, Mark
from proxy.edge.inspector.export import milliseconds
from proxy.edge.inspector.reading import Reading, Seen, Wait
from proxy.edge.inspector.record import Record
from proxy.edge.inspector.store import Store

PIECES = 2_000
"""Marks, waits and events of an exchange in one message, each."""
SHOWN_BYTES = 256 * 1024
"""How much of a body one document holds."""
SAID_BYTES = 4 * 1024
READINGS = 8

What = Literal["summary", "one", "news", "bodies", "pieces", "har", "transcript", "curl"]
Document = dict[str, Any]
NO_HEADS: Document = {"request": None, "interim": [], "response": None, "trailers": None}
START = (0, 0, 0, 0, 0)
"""Where the news of an exchange begin: which copy of it, marks, waits, events, and which of its heads."""


class Telling:
    """The exchanges of this process. Made anew with every start: numbers of another are not ours."""

    def __init__(self, store: Store, version: str) -> None:
        self.instance = secrets.token_hex(8)
        self._store = store
        self._version = version
        self._readings: OrderedDict[int, Reading] = OrderedDict()

    # The list.

    @property
    def lost(self) -> int:
        """Bytes of bodies that were not kept."""
        return self._store.budget.lost

    @property
    def kept(self) -> int:
        """How many exchanges that ended are known at most."""
        return self._store.kept

    def watch(self) -> AbstractContextManager[None]:
        """While this is open, exchanges are copied."""
        return self._store.watch()

    async def refresh(self) -> None:
        """Takes in what is as yet unknown."""
        self._store.look_at_all()

    def records(self) -> Sequence[Record]:
        """All of them, the oldest first."""
        return self._store.records()

    def since(self, revision: int, most: int) -> Sequence[Record]:
        """What has changed after a revision, the oldest change first."""
        return self._store.since(revision, most)

    async def wait_change(self, within_s: float) -> bool:
        """Returns once anything has changed, or the time is over; whether anything has."""
        return await self._store.wait_change(within_s)

    def close(self) -> None:
        """Ends the copying."""
        self._store.close()

    # One exchange.

    async def ask(self, number: int, what: What, at: Sequence[int] = START) -> Any:
        """`tell`, for who does not know whether it is asked for elsewhere."""
        return await self.tell(number, what, at)

    async def tell(self, number: int, what: What, at: Sequence[int] = START, known_as: Document | None = None) -> Any:
        """What is asked about one exchange; None where it is not known. `known_as` takes the place of its number."""
        record = self._store.record(number)
        if record is None:
            return None
        if what in ("one", "news") and record.captured is not None:
            await self._read(record).judge(record.summary)
        summary = {**record.summary, **(known_as or {})}
        match what:
            case "summary":
                return summary
            case "one":
                news = {**self._news(record, at), **_heads(record)}
                del news["at"], news["over"]
                return {"exchange": summary, **news, "bodies": _bodies(record)}
            case "news":
                return {"exchange": summary, **self._news(record, at)}
            case "bodies":
                return _bodies(record)
            case "pieces":
                return _pieces(record, at[0])
            case "har":
                return export.har(record, self._version)
            case "transcript":
                return export.transcript(record, summary)
            case "curl":
                return export.curl(record)

    def _news(self, record: Record, at: Sequence[int]) -> Document:
        """What is there beyond that, and where it ends: `at` is the next one's, `over` says that there is none."""
        if record.captured is None:
            return nothing_of(is_over=not record.is_open)
        reading, captured = self._read(record), record.captured
        generation, *numbers, heads = at
        if generation != captured.generation:
            numbers, heads = [0, 0, 0], 0
        told: tuple[list[Any], ...] = captured.marks, reading.waits, reading.events
        begin = [min(start, len(all_)) for start, all_ in zip(numbers, told, strict=True)]
        end = [min(start + PIECES, len(all_)) for start, all_ in zip(begin, told, strict=True)]
        is_last = end == [len(all_) for all_ in told]
        return {
            "marks": [_mark(record, mark) for mark in told[0][begin[0] : end[0]]],
            "waits": [_wait(record, wait) for wait in told[1][begin[1] : end[1]]],
            "events": [_seen(record, event) for event in told[2][begin[2] : end[2]]],
            "dialect": reading.dialect or None,
            "faults": reading.faults if is_last else None,
            "from": begin,
            "next": end,
            "more": not is_last,
            **(_heads(record) if heads != captured.heads else {}),
            "at": [captured.generation, *end, captured.heads],
            "over": is_last and not record.is_open,
        }

    def _read(self, record: Record) -> Reading:
        assert record.captured is not None
        reading = self._readings.get(record.number)
        if reading is None or reading.generation != record.captured.generation:
            reading = self._readings[record.number] = Reading(record.captured)
        self._readings.move_to_end(record.number)
        while len(self._readings) > READINGS:
            self._readings.popitem(last=False)
        reading.read_on()
        if not record.is_open:
            reading.close(record.origin_s + (record.summary["duration_ms"] or 0) / 1000, record.summary["outcome"])
        return reading


def nothing_of(is_over: bool) -> Document:
    """The news of an exchange of which there is no copy."""
    nothing: Document = {"marks": [], "waits": [], "events": [], "faults": [], "dialect": None}
    return {**nothing, **NO_HEADS, "from": [0, 0, 0], "next": [0, 0, 0], "more": False, "at": [*START], "over": is_over}


def _heads(record: Record) -> Document:
    captured = record.captured
    if captured is None:
        return dict(NO_HEADS)
    return {
        "request": captured.request.document() if captured.request else None,
        "interim": [{"at_ms": milliseconds(record, at), **head.document()} for at, head in captured.interims],
        "response": captured.response.document() if captured.response else None,
        "trailers": captured.trailer_section.document() if captured.trailer_section else None,
    }


def _mark(record: Record, mark: Mark) -> list[Any]:
    """Kind, when, how long until it was written, and size."""
    return [mark.kind, milliseconds(record, mark.at), round((mark.until - mark.at) * 1000, 2), mark.size]


def _wait(record: Record, wait: Wait) -> list[Any]:
    return [milliseconds(record, wait.since), milliseconds(record, wait.until), wait.side, wait.is_stall]


def _seen(record: Record, event: Seen) -> Document:
    assert record.captured is not None
    body = record.captured.bodies.get("client", b"")
    text = bytes(body[event.start : event.start + min(event.size, SAID_BYTES)]).decode("utf-8", "replace")
    return {
        "at_ms": milliseconds(record, event.at),
        "name": event.name,
        "bytes": event.size,
        "text": text,
        "said": [list(words) for words in event.said],
        "first_token": event.is_first_token,
    }


def _pieces(record: Record, start: int) -> Document:
    """The bytes as they came, piece by piece, from a mark on."""
    found: list[Document] = []
    total, captured = 0, record.captured
    for index, mark in enumerate(captured.marks[start:] if captured else (), start):
        if not mark.size:
            continue
        if total >= SHOWN_BYTES or len(found) >= PIECES:
            return {"pieces": found, "next": index}
        assert captured is not None
        found.append(_piece(record, captured, index, mark))
        total += mark.kept
    return {"pieces": found, "next": None}


def _piece(record: Record, captured: Captured, index: int, mark: Mark) -> Document:
    data = export.bytes_of(captured, mark)
    text = export.text_of(data)
    shown = {"text": text} if text is not None else {"base64": base64.b64encode(data).decode("ascii")}
    place = {"index": index, "kind": mark.kind, "at_ms": milliseconds(record, mark.at)}
    return {**place, "bytes": mark.size, "kept": mark.kept, **shown}


def _bodies(record: Record) -> Document:
    """What there is of each body, as text: its beginning, and how much there is in all."""
    found: Document = {}
    for side, body in (record.captured.bodies if record.captured else {}).items():
        shown = bytes(body[:SHOWN_BYTES])
        found[side] = {"kept": len(body), "shown": len(shown), "text": shown.decode("utf-8", "replace")}
    return found
