"""The inspector over HTTP: JSON documents, and event streams that can be resumed. docs/inspector.md describes it all.

Everything is read by GET and changes nothing. A reader that is slow gets the newest state when it is ready for it:
nothing is queued for it, so that it can neither delay a stream nor fill the memory.
"""

import asyncio
import base64
import contextlib
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from proxy.edge.escaping import escaped
from proxy.edge.inspector import export
from proxy.edge.inspector.captured import Mark
from proxy.edge.inspector.export import milliseconds
from proxy.edge.inspector.reading import Reading, Seen, Wait
from proxy.edge.inspector.record import Record
from proxy.edge.inspector.store import KEPT, TICK_S, Store

BATCH = 500
"""Summaries in one event of the list."""
PIECES = 2_000
"""Marks, waits and events of an exchange in one message, each."""
SHOWN_BYTES = 256 * 1024
"""How much of a body one document holds."""
SAID_BYTES = 4 * 1024
BEAT_S = 15.0
READINGS = 8
READERS = 64
"""Event streams at once."""

_RESUMED = re.compile(r"(?P<instance>[0-9a-f]{16})-(?P<at>\d{1,15}(?:-\d{1,15}){0,2})\Z")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """What is asked over HTTP, answered from a store. Made anew with every start: numbers of another are not ours."""

    def __init__(self, store: Store, version: str) -> None:
        self._store = store
        self._version = version
        self._instance = secrets.token_hex(8)
        self._readings: OrderedDict[int, Reading] = OrderedDict()
        self._readers: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[web.RouteDef]:
        """What it answers to."""
        one = "/api/exchanges/{id:[0-9]{1,15}}"
        return [
            web.get("/api/exchanges", self._list),
            web.get("/api/events", self._events),
            web.get(one, self._one),
            web.get(f"{one}/events", self._follow),
            web.get(f"{one}/pieces", self._pieces),
            web.get(f"{one}/har", self._har),
            web.get(f"{one}/transcript", self._transcript),
            web.get(f"{one}/curl", self._curl),
        ]

    def close(self) -> None:
        """Ends every event stream, and the copying."""
        for task in self._readers:
            task.cancel()
        self._store.close()

    # Documents.

    async def _list(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("open")
        records = [one for one in self._store.records() if wanted is None or one.is_open == (wanted == "true")]
        texts = ",".join(record.text for record in records)
        return _json(f'{{"instance": "{self._instance}", "exchanges": [{texts}]}}')

    async def _one(self, request: web.Request) -> web.StreamResponse:
        record = self._asked(request)
        document = {
            "instance": self._instance,
            "exchange": record.summary,
            **self._heads(record),
            **self._news(record, 0, 0, 0),
            "bodies": _bodies(record),
        }
        return _json(escaped(document))

    async def _pieces(self, request: web.Request) -> web.StreamResponse:
        """The bytes as they came, piece by piece, from a mark on."""
        record, start = self._asked(request), _number(request.query.get("from", "0"))
        found: list[dict[str, Any]] = []
        total, marks = 0, record.captured.marks if record.captured else []
        for index, mark in enumerate(marks[start:], start):
            if not mark.size:
                continue
            if total >= SHOWN_BYTES or len(found) >= PIECES:
                return _json(escaped({"pieces": found, "next": index}))
            found.append(_piece(record, index, mark))
            total += mark.kept
        return _json(escaped({"pieces": found, "next": None}))

    async def _har(self, request: web.Request) -> web.StreamResponse:
        record = self._asked(request)
        text = json.dumps(export.har(record, self._version), indent=1)
        return _file(text, "application/json", f"exchange-{record.number}.har")

    async def _transcript(self, request: web.Request) -> web.StreamResponse:
        record = self._asked(request)
        return _file(export.transcript(record), "text/plain", f"exchange-{record.number}.txt")

    async def _curl(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=export.curl(self._asked(request)), content_type="text/plain")

    # Event streams.

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The list as it changes."""
        at = self._resumed(request, 1)
        revision = at[0] if at else 0
        response = await self._stream(request)
        hello = {"instance": self._instance, "version": self._version, "kept": KEPT, "resumed": at is not None}
        with self._reading():
            await response.write(_event("hello", "", escaped(hello)))
            told = None
            while True:
                records = self._store.since(revision, BATCH)
                lost = self._store.budget.lost
                if records or lost != told:
                    revision = records[-1].revision if records else revision
                    text = ",".join([record.text for record in records])
                    data = f'{{"exchanges":[{text}],"oldest":{self._store.oldest},"lost_bytes":{lost}}}'
                    told = lost
                    await response.write(_event("exchanges", f"{self._instance}-{revision}", data))
                    await asyncio.sleep(TICK_S if len(records) < BATCH else 0)
                elif not await self._store.wait_change(BEAT_S):
                    await response.write(b": still here\n\n")

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """One exchange as it goes on: marks, waits, events; ends when it has ended."""
        record = self._asked(request)
        at = self._resumed(request, 3) or [0, 0, 0]
        response = await self._stream(request)
        with self._reading():
            seen: dict[str, Any] | None = None
            generation = _generation(record)
            while True:
                is_over = not record.is_open
                if (told := _generation(record)) != generation:
                    generation, at = told, [0, 0, 0]
                news = self._news(record, *at)
                at = news["next"]
                heads = self._heads(record)
                document = {"exchange": record.summary, **news, **(heads if heads != seen else {})}
                seen = heads
                is_all = not news["more"]
                name = f"{self._instance}-{'-'.join(map(str, at))}"
                await response.write(_event("news", name, escaped(document)))
                if is_over and is_all:
                    await response.write(_event("end", "", escaped({"bodies": _bodies(record)})))
                    return response
                await asyncio.sleep(TICK_S)
                while is_all and record.is_open and not self._is_ahead(record, at):
                    if not await self._store.wait_change(BEAT_S):
                        await response.write(b": still here\n\n")

    def _is_ahead(self, record: Record, at: list[int]) -> bool:
        return record.captured is not None and len(record.captured.marks) != at[0]

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._readers) >= READERS:
            raise web.HTTPServiceUnavailable(reason="Too many event streams are open already.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        return response

    @contextlib.contextmanager
    def _reading(self) -> Any:
        """Copying goes on while this is open; a reader that has left is no fault."""
        task = asyncio.current_task()
        assert task is not None
        self._readers.add(task)
        try:
            with self._store.watch(), contextlib.suppress(ConnectionResetError):
                yield
        finally:
            self._readers.discard(task)

    def _resumed(self, request: web.Request, count: int) -> list[int] | None:
        """Where a reader stopped, by Last-Event-ID or `after`; None if that was another start's."""
        told = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        found = _RESUMED.match(told)
        if found is None or found["instance"] != self._instance:
            return None
        numbers = [int(part) for part in found["at"].split("-")]
        return numbers if len(numbers) == count else None

    # What is told of one exchange.

    def _asked(self, request: web.Request) -> Record:
        record = self._store.record(int(request.match_info["id"]))
        if record is None:
            raise web.HTTPNotFound(reason="That exchange is not known, or not any more.")
        return record

    def _heads(self, record: Record) -> dict[str, Any]:
        captured = record.captured
        return {
            "request": captured.request.document() if captured and captured.request else None,
            "response": captured.response.document() if captured and captured.response else None,
        }

    def _news(self, record: Record, marks: int, waits: int, events: int) -> dict[str, Any]:
        """What is there beyond these numbers of marks, waits and events."""
        if record.captured is None:
            nothing = {"from": [0, 0, 0], "next": [0, 0, 0]}
            return {"marks": [], "waits": [], "events": [], "faults": [], **nothing, "more": False}
        reading = self._read(record)
        told: tuple[list[Any], ...] = reading.captured.marks, reading.waits, reading.events
        begin = [min(start, len(all_)) for start, all_ in zip((marks, waits, events), told, strict=True)]
        end = [min(start + PIECES, len(all_)) for start, all_ in zip(begin, told, strict=True)]
        is_last = end == [len(all_) for all_ in told]
        return {
            "marks": [_mark(record, mark) for mark in told[0][begin[0] : end[0]]],
            "waits": [_wait(record, wait) for wait in told[1][begin[1] : end[1]]],
            "events": [_seen(record, event) for event in told[2][begin[2] : end[2]]],
            "dialect": reading.dialect or None,
            "faults": reading.faults(record.summary["outcome"] == "complete") if is_last else None,
            "from": begin,
            "next": end,
            "more": not is_last,
        }

    def _read(self, record: Record) -> Reading:
        assert record.captured is not None
        reading = self._readings.get(record.number)
        if (
            reading is None
            or reading.captured is not record.captured
            or reading.generation != record.captured.generation
        ):
            reading = self._readings[record.number] = Reading(record.captured)
        self._readings.move_to_end(record.number)
        while len(self._readings) > READINGS:
            self._readings.popitem(last=False)
        reading.read_on()
        return reading


def _generation(record: Record) -> tuple[int, int]:
    """What changes when the lists of an exchange begin anew."""
    captured = record.captured
    return (id(captured), captured.generation) if captured is not None else (0, 0)


def _mark(record: Record, mark: Mark) -> list[Any]:
    """Kind, when, how long until it was written, and size."""
    return [mark.kind, milliseconds(record, mark.at), round((mark.until - mark.at) * 1000, 2), mark.size]


def _wait(record: Record, wait: Wait) -> list[Any]:
    return [milliseconds(record, wait.since), milliseconds(record, wait.until), wait.side, wait.is_stall]


def _seen(record: Record, event: Seen) -> dict[str, Any]:
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


def _piece(record: Record, index: int, mark: Mark) -> dict[str, Any]:
    assert record.captured is not None
    data = export.bytes_of(record.captured, mark)
    text = export.text_of(data)
    shown = {"text": text} if text is not None else {"base64": base64.b64encode(data).decode("ascii")}
    place = {"index": index, "kind": mark.kind, "at_ms": milliseconds(record, mark.at)}
    return {**place, "bytes": mark.size, "kept": mark.kept, **shown}


def _bodies(record: Record) -> dict[str, Any]:
    """What there is of each body, as text: its beginning, and how much there is in all."""
    found: dict[str, Any] = {}
    for side, body in (record.captured.bodies if record.captured else {}).items():
        shown = bytes(body[:SHOWN_BYTES])
        found[side] = {"kept": len(body), "shown": len(shown), "text": shown.decode("utf-8", "replace")}
    return found


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise web.HTTPBadRequest(reason="`from` is a number.")
    return int(text)


def _event(name: str, number: str, data: str) -> bytes:
    identity = f"id: {number}\n" if number else ""
    return f"event: {name}\n{identity}data: {data}\n\n".encode("ascii")


def _json(text: str) -> web.Response:
    return web.Response(text=text, content_type="application/json")


def _file(text: str, media_type: str, name: str) -> web.Response:
    fields = {"Content-Disposition": f'attachment; filename="{name}"'}
    return web.Response(body=text.encode("utf-8"), content_type=media_type, charset="utf-8", headers=fields)
