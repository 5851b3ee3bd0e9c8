"""The inspector over HTTP: JSON documents, and event streams that can be resumed. docs/inspector.md describes it all.

Everything is read by GET and changes nothing. A reader that is slow gets the newest state when it is ready for it:
nothing is queued for it, so that it can neither delay a stream nor fill the memory.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from aiohttp import web

from proxy.edge.escaping import escaped
from proxy.edge.inspector.store import TICK_S
from proxy.edge.inspector.telling import START, What

BATCH = 200
"""Summaries made at once: a batch of new ones takes three milliseconds, in which no stream goes on."""
BEAT_S = 15.0
READERS = 64
"""Event streams at once."""

_RESUMED = re.compile(r"(?P<instance>[0-9a-f]{16})-(?P<at>\d{1,15}(?:-\d{1,15}){0,4})\Z")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Listed(Protocol):
    """One exchange of the list."""

    @property
    def revision(self) -> int:
        """When it changed last."""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""

    @property
    def text(self) -> str:
        """Its summary as JSON."""


class Source(Protocol):
    """The exchanges, of one process (`telling`) or of several."""

    instance: str

    @property
    def lost(self) -> int:
        """Bytes of bodies that were not kept."""

    @property
    def kept(self) -> int:
        """How many exchanges that ended are known at most."""

    def watch(self) -> AbstractContextManager[None]:
        """While this is open, exchanges are copied."""

    async def refresh(self) -> None:
        """Takes in what is as yet unknown."""

    def records(self) -> Sequence[Listed]:
        """All that are known, the oldest first."""

    def since(self, revision: int, most: int) -> Sequence[Listed]:
        """What has changed after a revision, the oldest change first."""

    async def wait_change(self, within_s: float) -> bool:
        """Returns once anything has changed, or the time is over; whether anything has."""

    async def ask(self, number: int, what: What, at: Sequence[int] = START) -> Any:
        """What is asked about one exchange; None where it is not known. Errors: TimeoutError, if nobody answers."""

    def close(self) -> None:
        """Ends the copying."""


class Api:
    """What is asked over HTTP, answered from a source."""

    def __init__(self, source: Source, version: str) -> None:
        self._source = source
        self._version = version
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
        self._source.close()

    # Documents.

    async def _list(self, request: web.Request) -> web.StreamResponse:
        wanted = request.query.get("open")
        await self._source.refresh()
        records = [one for one in self._source.records() if wanted is None or one.is_open == (wanted == "true")]
        response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
        await response.prepare(request)
        await response.write(f'{{"instance": "{self._source.instance}", "exchanges": ['.encode("ascii"))
        for start in range(0, len(records), BATCH):
            text = ",".join([record.text for record in records[start : start + BATCH]])
            await response.write((("," if start else "") + text).encode("ascii"))
            await asyncio.sleep(0)
        await response.write_eof(b"]}")
        return response

    async def _one(self, request: web.Request) -> web.StreamResponse:
        document = await self._asked(request, "one")
        return _json(escaped({"instance": self._source.instance, **document}))

    async def _pieces(self, request: web.Request) -> web.StreamResponse:
        return _json(escaped(await self._asked(request, "pieces", [_number(request.query.get("from", "0"))])))

    async def _har(self, request: web.Request) -> web.StreamResponse:
        text = json.dumps(await self._asked(request, "har"), indent=1)
        return _file(text, "application/json", f"exchange-{request.match_info['id']}.har")

    async def _transcript(self, request: web.Request) -> web.StreamResponse:
        text = await self._asked(request, "transcript")
        return _file(text, "text/plain", f"exchange-{request.match_info['id']}.txt")

    async def _curl(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=await self._asked(request, "curl"), content_type="text/plain")

    async def _asked(self, request: web.Request, what: What, at: Sequence[int] = START) -> Any:
        """The answer about the exchange that a request names."""
        try:
            told = await self._source.ask(int(request.match_info["id"]), what, at)
        except TimeoutError:
            raise web.HTTPGatewayTimeout(reason="The worker that has it does not answer at the moment.") from None
        if told is None:
            raise web.HTTPNotFound(reason="That exchange is not known, or not any more.")
        return told

    # Event streams.

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The list as it changes."""
        source = self._source
        at = self._resumed(request, 1)
        revision = at[0] if at else 0
        response = await self._stream(request)
        hello = {"instance": source.instance, "version": self._version, "kept": source.kept, "resumed": at is not None}
        with self._reading():
            await source.refresh()
            await response.write(_event("hello", "", escaped(hello)))
            told = None
            while True:
                records, lost = source.since(revision, BATCH), source.lost
                if records or lost != told:
                    revision = records[-1].revision if records else revision
                    text = ",".join([record.text for record in records])
                    data = f'{{"exchanges":[{text}],"lost_bytes":{lost}}}'
                    told = lost
                    await response.write(_event("exchanges", f"{source.instance}-{revision}", data))
                    await asyncio.sleep(TICK_S if len(records) < BATCH else 0)
                elif not await source.wait_change(BEAT_S):
                    await response.write(b": still here\n\n")

    async def _follow(self, request: web.Request) -> web.StreamResponse:
        """One exchange as it goes on: marks, waits, events; ends when it has ended."""
        before: Any = await self._asked(request, "summary")
        at: Sequence[int] | None = self._resumed(request, len(START))
        response = await self._stream(request)
        with self._reading():
            while True:
                news = await self._asked(request, "news", at or START)
                moved, is_over = news.pop("at"), news.pop("over")
                if at is None or moved != at or news["exchange"] != before or news["more"]:
                    at, before = moved, news["exchange"]
                    name = f"{self._source.instance}-{'-'.join(map(str, moved))}"
                    await response.write(_event("news", name, escaped(news)))
                    if not is_over:
                        await asyncio.sleep(TICK_S if not news["more"] else 0)
                elif not is_over and not await self._source.wait_change(BEAT_S):
                    await response.write(b": still here\n\n")
                if is_over:
                    bodies = await self._asked(request, "bodies")
                    await response.write(_event("end", "", escaped({"bodies": bodies})))
                    break
        return response

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if len(self._readers) >= READERS:
            raise web.HTTPServiceUnavailable(reason="Too many event streams are open already.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        return response

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Copying goes on while this is open. A reader that has left is no fault; one whose exchange is gone, or does
        not answer, is let go and asks again."""
        task = asyncio.current_task()
        assert task is not None
        self._readers.add(task)
        try:
            with self._source.watch(), contextlib.suppress(ConnectionResetError, web.HTTPException):
                yield
        finally:
            self._readers.discard(task)

    def _resumed(self, request: web.Request, count: int) -> list[int] | None:
        """Where a reader stopped, by Last-Event-ID or `after`; None if that was another start's."""
        told = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        found = _RESUMED.match(told)
        if found is None or found["instance"] != self._source.instance:
            return None
        numbers = [int(part) for part in found["at"].split("-")]
        return numbers if len(numbers) == count else None


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
