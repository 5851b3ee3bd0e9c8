"""The exchanges of this process, as the inspector knows them: a bounded ring of those that ended, and the open ones.

An observer like the others, told when an exchange ends. While somebody looks on (`watch`), exchanges are copied as
well, and twenty times a second what has changed gets a new revision: readers ask for what is newer than the one they
know, so that a slow one skips what is in between and nothing waits for it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from proxy.core.exchange import Capture, Exchange
from proxy.core.redact import Redactor
from proxy.edge.inspector.captured import Budget, Captured
from proxy.edge.inspector.masking import masker_of
from proxy.edge.inspector.record import Record

KEPT = 10_000
"""Exchanges that ended, of all workers together."""
TICK_S = 0.05
CROWDED_TICK_S = 0.1
"""With more open exchanges than LOOKED_AT: what a look costs beside the events is then halved."""
LINGER_S = 5.0
"""How long copying goes on after the last reader left: a page that is loaded again shall miss nothing."""
LOOKED_AT = 40
"""Open exchanges whose summaries are made anew in one tick: one costs as much as twenty events."""


class Store:
    """Made on its event loop. `limit` is the most bytes that copies may hold, `secrets` what is never shown.

    With several workers each has one, and an equal `share` of what may be kept.
    """

    def __init__(
        self, limit: int, secrets: Iterable[str], exchanges: Callable[[], list[Exchange]], share: int = 1
    ) -> None:
        self._secrets = frozenset(secrets)
        self.redactor, self.masker = masker_of(self._secrets)
        self.budget = Budget(limit // share)
        self.kept = KEPT // share
        """Exchanges that ended, without their bodies."""
        self.revision = 0
        self._exchanges = exchanges
        self._numbers = 0
        self._open: dict[int, Record] = {}
        """By the identity of their exchanges, which they keep alive."""
        self._records: dict[int, Record] = {}
        self._ended: OrderedDict[int, Record] = OrderedDict()
        self._with_bodies: OrderedDict[int, Record] = OrderedDict()
        self._by_change: OrderedDict[int, Record] = OrderedDict()
        self._watchers = 0
        self._ticking: asyncio.Task[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._change = asyncio.Event()
        self._at = 0

    def learn(self, secrets: Iterable[str]) -> None:
        """Hides these too from now on: other settings brought them, and what runs may still hold the old ones."""
        self._secrets |= frozenset(secrets)
        self.redactor = Redactor(self._secrets)
        self.masker.hide(self.redactor)
        for record in self._open.values():
            if record.captured is not None:
                record.captured.redactor = self.redactor

    # What the tap calls.

    def capture(self, exchange: Exchange) -> Capture | None:
        """Takes a copy of an exchange that begins, if anybody looks on."""
        return self._copied(self._add(exchange), late=False) if self._ticking is not None else None

    def ended(self, exchange: Exchange) -> None:
        """Keeps what is known of an exchange, for good but for the bound."""
        record = self._open.pop(id(exchange), None) or self._new(exchange)
        if record.captured is not None:
            self._make_room()
            record.captured.drain()
            exchange.capture = None
        record.end(self.redactor)
        self._changed(record)
        self._ended[record.number] = record
        while len(self._ended) > self.kept:
            _, oldest = self._ended.popitem(last=False)
            self._forget(oldest)

    # What readers call.

    @property
    def is_watched(self) -> bool:
        """Whether exchanges are being copied."""
        return self._ticking is not None

    def record(self, number: int) -> Record | None:
        """One exchange, as it is now."""
        record = self._records.get(number)
        if record is not None and record.is_open:
            self._look_at(record)
        return record

    def look_at_all(self) -> None:
        """Takes in how every open exchange stands now."""
        self._find_open()
        for record in list(self._open.values()):
            self._look_at(record)

    def records(self) -> list[Record]:
        """All that are known, the oldest first."""
        return list(self._records.values())

    def since(self, revision: int, most: int) -> list[Record]:
        """What has changed after a revision, the oldest change first; what is beyond `most` comes the next time."""
        found = []
        for record in reversed(self._by_change.values()):
            if record.revision <= revision:
                break
            found.append(record)
        return found[::-1][:most]

    async def wait_change(self, within_s: float) -> bool:
        """Returns once anything has changed, or the time is over; whether anything has."""
        self._change.clear()  # who waits since earlier has been woken, if there was anything
        try:
            async with asyncio.timeout(within_s):
                await self._change.wait()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def watch(self) -> Iterator[None]:
        """While this is open, exchanges are copied."""
        self._watchers += 1
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if self._ticking is None:
            self._ticking = asyncio.get_running_loop().create_task(self._tick(), name="inspector")
            self._find_open()
            for record in self._open.values():
                if record.exchange is not None and record.exchange.capture is None:
                    if record.captured is not None:
                        record.captured.let_go()  # what passed since is missing
                    record.exchange.capture = self._copied(record, late=True)
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers and self._ticking is not None:
                self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self.close)

    def close(self) -> None:
        """Copies no more; what is there stays."""
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        for record in self._open.values():
            if record.exchange is not None:
                record.exchange.capture = None
            if record.captured is not None:
                record.captured.drain()

    # The store's own.

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S if len(self._open) <= LOOKED_AT else CROWDED_TICK_S)
            self.look()

    def look(self) -> None:
        """Takes in what has happened; open exchanges beyond LOOKED_AT have their turn in the next tick."""
        self._find_open()
        self._make_room()
        records = list(self._open.values())
        for record in records:
            if record.captured is not None and record.captured.has_pending:
                record.captured.drain()
        start = self._at if self._at < len(records) else 0
        turn = (records[start:] + records[:start])[:LOOKED_AT]
        self._at = start + LOOKED_AT if len(records) > LOOKED_AT else 0
        fresh = [record for record in records if not record.state] if len(records) > LOOKED_AT else []
        for record in (*fresh, *turn):
            self._look_at(record, drained=True)

    def _find_open(self) -> None:
        for exchange in self._exchanges():
            if id(exchange) not in self._open and not exchange.ended:
                self._add(exchange)

    def _look_at(self, record: Record, drained: bool = False) -> None:
        if record.captured is not None and not drained:
            record.captured.drain()
        if record.look(self.redactor):
            self._changed(record)

    def _add(self, exchange: Exchange) -> Record:
        record = self._open[id(exchange)] = self._new(exchange)
        return record

    def _new(self, exchange: Exchange) -> Record:
        self._numbers += 1
        record = self._records[self._numbers] = Record(self._numbers, exchange)
        return record

    def _copied(self, record: Record, late: bool) -> Captured:
        generation = record.captured.generation + 1 if record.captured is not None else 1
        captured = record.captured = Captured(self.budget, self.redactor, self.masker, late, generation)
        self._with_bodies[record.number] = record
        return captured

    def _changed(self, record: Record) -> None:
        self.revision += 1
        record.revision = self.revision
        self._by_change[record.number] = record
        self._by_change.move_to_end(record.number)
        self._change.set()

    def _make_room(self) -> None:
        """Lets the oldest bodies go until what waits fits; those of open exchanges last."""
        budget = self.budget
        if budget.used + budget.pending <= budget.limit:
            return
        for is_open in (False, True):
            for record in [one for one in self._with_bodies.values() if one.is_open == is_open]:
                if budget.used + budget.pending <= budget.limit * 0.9:
                    return
                if record.captured is not None and record.captured.cost:
                    record.captured.let_go()
                    if not is_open:
                        del self._with_bodies[record.number]

    def _forget(self, record: Record) -> None:
        del self._records[record.number]
        self._by_change.pop(record.number, None)
        self._with_bodies.pop(record.number, None)
        if record.captured is not None:
            record.captured.let_go()
