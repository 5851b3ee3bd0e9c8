"""The inspector of several workers: each keeps its own exchanges, and this is told how they change.

Nothing is sent unless somebody looks on. Then each worker is asked again and again for what is newer than what is known
of it, and answers as soon as there is something. What one exchange consists of stays where it is, and is asked for.
"""

import asyncio
import contextlib
import json
import secrets
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from proxy.app.workers.channel import Message, WorkerGone
from proxy.app.workers.place import Place
from proxy.edge.escaping import escaped
from proxy.edge.inspector.api import BATCH
from proxy.edge.inspector.store import KEPT, TICK_S
from proxy.edge.inspector.telling import START, Telling, What, nothing_of

POLL_S = 1.0
"""How long a worker waits for a change before it says that there is none: so long it goes on copying."""
ANSWER_S = 2.0
AGAIN_S = 0.1
ENDED = "worker_ended"
"""The code of what was open in a worker that has ended."""


@dataclass(slots=True)
class Listed:
    """One exchange of a worker, as the list shows it."""

    number: int
    revision: int
    time: str
    is_open: bool
    text: str
    worker: "Worker | None"
    """Who has it; None once that has ended."""
    theirs: int
    """Its number there."""


@dataclass(slots=True)
class Worker:
    """What is known of one of them: of the process that has the place now, and no other."""

    place: Place
    instance: str = ""
    revision: int = 0
    lost: int = 0
    known: dict[int, Listed] = field(default_factory=dict)


async def answered(telling: Telling, asked: Message) -> Message:
    """A worker's answer: how its list has changed, or what is asked about one exchange."""
    if asked["ask"] == "exchange":
        if asked["instance"] != telling.instance:
            return {"told": None}
        return {"told": await telling.tell(asked["number"], asked["wanted"], asked["at"], asked["known_as"])}
    after = asked["after"] if asked["instance"] == telling.instance else 0
    with telling.watch() if asked["watch"] else contextlib.nullcontext():
        await telling.refresh()
        if not (found := telling.since(after, BATCH)) and asked["wait_s"]:
            await telling.wait_change(asked["wait_s"])
            found = telling.since(after, BATCH)
    return {
        "instance": telling.instance,
        "exchanges": [record.summary for record in found],
        "revision": found[-1].revision if found else after,
        "more": len(found) == BATCH,
        "lost": telling.lost,
    }


class Exchanges:
    """The exchanges of all workers, numbered as they become known."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.instance = secrets.token_hex(8)
        self.kept = KEPT
        self._workers = [Worker(place) for place in places]
        self._listed: dict[int, Listed] = {}
        self._ended: OrderedDict[int, Listed] = OrderedDict()
        """Those of them that are over: who ended first is forgotten first."""
        self._past_lost = 0
        self._by_change: OrderedDict[int, Listed] = OrderedDict()
        self._numbers = self._revision = self._watchers = 0
        self._asking: list[asyncio.Task[None]] = []
        self._change = asyncio.Event()

    # What the API asks.

    @property
    def lost(self) -> int:
        """Bytes of bodies that were not kept."""
        return self._past_lost + sum(worker.lost for worker in self._workers)

    def records(self) -> list[Listed]:
        """All that are known, the oldest first."""
        return sorted(self._listed.values(), key=lambda one: (one.time, one.number))

    def since(self, revision: int, most: int) -> list[Listed]:
        """What has changed after a revision, the oldest change first."""
        found = []
        for one in reversed(self._by_change.values()):
            if one.revision <= revision:
                break
            found.append(one)
        return found[::-1][:most]

    async def wait_change(self, within_s: float) -> bool:
        """Returns once anything has changed, or the time is over; whether anything has."""
        change = self._change
        try:
            async with asyncio.timeout(within_s):
                await change.wait()
        except TimeoutError:
            return False
        return True

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """While this is open, workers copy exchanges, and tell of them as they go on."""
        self._watchers += 1
        if not self._asking:
            self._asking = [
                asyncio.create_task(self._keep_asking(worker), name=f"exchanges of worker {worker.place.number}")
                for worker in self._workers
            ]
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self.close()

    async def refresh(self) -> None:
        """Takes in what is as yet unknown, from every worker that answers."""
        await asyncio.gather(*[self._refresh(worker) for worker in self._workers])

    async def ask(self, number: int, what: What, at: Sequence[int] = START) -> Any:
        """What is asked about one exchange; None where it is not known. Errors: TimeoutError, if nobody answers."""
        one = self._listed.get(number)
        if one is None:
            return None
        if (worker := one.worker) is not None:
            known_as = {"id": number, "worker": worker.place.number}
            question = {"instance": worker.instance, "number": one.theirs, "wanted": what, "at": at}
            try:
                told = await worker.place.ask("exchange", ANSWER_S, **question, known_as=known_as)
                return told.get("told")
            except WorkerGone:
                if worker.place.asker is not None and one.worker is not None:
                    raise TimeoutError from None
                self._bury(worker)
        return _of_the_past(one, what)

    def close(self) -> None:
        """Asks no more; what is known stays."""
        for task in self._asking:
            task.cancel()
        self._asking = []

    # Its own.

    async def _refresh(self, worker: Worker) -> None:
        with contextlib.suppress(WorkerGone):
            while await self._take(worker, 0.0):
                pass

    async def _keep_asking(self, worker: Worker) -> None:
        within_s = 0.0
        while True:
            try:
                is_more = await self._take(worker, within_s)
                within_s = POLL_S
                await asyncio.sleep(0 if is_more else TICK_S)
            except WorkerGone:
                if worker.place.asker is None:
                    self._bury(worker)
                await asyncio.sleep(AGAIN_S)

    async def _take(self, worker: Worker, within_s: float) -> bool:
        """Takes in what has changed at a worker, or changes within that time; whether there is more.

        Where two ask at once, the later answer is let go: what is in it and not in the other comes with the next.
        """
        begun = worker.instance, worker.revision
        question = {"instance": begun[0], "after": begun[1], "wait_s": within_s, "watch": self._watchers > 0}
        told = await worker.place.ask("exchanges", within_s + ANSWER_S, **question)
        if begun != (worker.instance, worker.revision) or "instance" not in told:
            return "instance" in told
        if told["instance"] != worker.instance:
            self._bury(worker)
            worker.instance = told["instance"]
        worker.revision, worker.lost = told["revision"], told["lost"]
        for summary in told["exchanges"]:
            self._see(worker, summary)
        if told["exchanges"]:
            self._tell()
        return bool(told["more"])

    def _see(self, worker: Worker, summary: dict[str, Any]) -> None:
        theirs = summary["id"]
        one = worker.known.get(theirs)
        if one is None:
            self._numbers += 1
            one = Listed(self._numbers, 0, summary["time"], True, "", worker, theirs)
            worker.known[theirs] = self._listed[one.number] = one
        one.is_open = summary["open"]
        self._changed(one, {**summary, "id": one.number, "worker": worker.place.number})

    def _bury(self, worker: Worker) -> None:
        """A worker has ended: what was open there is over, and nothing more can be asked about any of it."""
        left = list(worker.known.values())
        for one in left:
            one.worker = None
        for one in left:
            if one.is_open:
                one.is_open = False
                self._changed(one, {**json.loads(one.text), "open": False, "code": ENDED})
        self._past_lost += worker.lost
        worker.instance, worker.revision, worker.lost, worker.known = "", 0, 0, {}
        self._tell()

    def _changed(self, one: Listed, summary: dict[str, Any]) -> None:
        self._revision += 1
        one.revision, one.text = self._revision, escaped(summary)
        self._by_change[one.number] = one
        self._by_change.move_to_end(one.number)
        if one.is_open:
            return
        self._ended[one.number] = one
        while len(self._ended) > self.kept:
            _, oldest = self._ended.popitem(last=False)
            del self._listed[oldest.number], self._by_change[oldest.number]
            if oldest.worker is not None:
                del oldest.worker.known[oldest.theirs]

    def _tell(self) -> None:
        self._change.set()
        self._change = asyncio.Event()


def _of_the_past(one: Listed, what: What) -> Any:
    """What can still be told: the summary alone."""
    summary = {**json.loads(one.text), "captured": False}
    match what:
        case "summary":
            return summary
        case "one" | "news":
            news = nothing_of(is_over=True)
            if what == "news":
                return {"exchange": summary, **news}
            del news["at"], news["over"]
            return {"exchange": summary, **news, "bodies": {}}
        case "bodies":
            return {}
        case "pieces":
            return {"pieces": [], "next": None}
        case _:
            return None
