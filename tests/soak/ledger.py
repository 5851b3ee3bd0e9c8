"""What was to become of each stream and what did: nothing that was sent may be missing unless somebody took it away."""

import random
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.soak.account import Connection

Fate = Literal["whole", "leaves", "reset"]
"""It runs to its end; the client leaves; the upstream's connection breaks."""
End = Literal["open", "end", "abort", "left", "refused"]
"""How it ended for the client: with the end of the body, without it, by itself, or by another answer than 200."""

FATES: tuple[Fate, ...] = ("whole", "whole", "whole", "whole", "whole", "whole", "leaves", "leaves", "reset")


@dataclass
class Entry:
    """One stream."""

    number: int
    fate: Fate
    events: int
    """How many until its fate; one that leaves is offered more and more."""
    pace_s: float
    asked: int = 0
    """How often the origin was asked for it."""
    sent: int = 0
    origin_ended: bool = False
    """Whether the origin has sent the end, has broken off, or was told that nobody wants more."""
    received: list[int] = field(default_factory=list)
    end: End = "open"
    said: str = ""
    """What the client found wrong by itself."""
    connection: Connection | None = None
    """None until its client has one."""
    robbed: bool = False
    """Whether its worker was killed."""
    doomed: frozenset[Connection] = frozenset()
    """If its connection turns out to be one of these, it was."""

    def connected(self, connection: Connection) -> None:
        """Its client has one."""
        self.connection = connection
        self.robbed = connection in self.doomed

    @property
    def missing(self) -> int:
        """Events that the origin sent and the client, which wanted them, has not got."""
        return 0 if self.fate == "leaves" else self.sent - len(self.received)

    def faults(self) -> Iterator[str]:
        """What is wrong with it, now that all is over."""
        got = len(self.received)
        if self.said:
            yield self.said
        if self.received != list(range(got)):
            yield f"not in order: {self.received}"
        if self.robbed and self.end == "abort":
            return  # it could tell; how much was lost is counted
        if self.asked != 1:
            yield f"the origin was asked {self.asked} times"
        expected: dict[Fate, End] = {"whole": "end", "leaves": "left", "reset": "abort"}
        if self.end != expected[self.fate]:
            yield f"ended as `{self.end}` with {got} of {self.sent} events"
        elif self.missing:
            yield f"lost {self.missing} of {self.sent} events"
        if not self.origin_ended:
            yield "the upstream was not told that nobody reads"


class Ledger:
    """All streams of a soak. The same seed gives the same streams."""

    def __init__(self, seed: int, most_events: int, pace_s: float) -> None:
        self._random = random.Random(seed)
        self._most_events = most_events
        self._pace_s = pace_s
        self.entries: list[Entry] = []
        self._open: dict[int, Entry] = {}

    def new(self) -> Entry:
        """The next stream."""
        number = len(self.entries)
        events = self._random.randint(1, self._most_events)
        entry = Entry(number, self._random.choice(FATES), events, self._pace_s * self._random.uniform(0.5, 1.5))
        self.entries.append(entry)
        self._open[number] = entry
        return entry

    def closed(self, entry: Entry) -> None:
        """Its client has nothing more to do with it."""
        del self._open[entry.number]

    @property
    def open(self) -> Collection[Entry]:
        """Those whose client still reads."""
        return self._open.values()

    def rob(self, connections: frozenset[Connection]) -> int:
        """The worker of these connections is dead; says how many streams that is."""
        robbed = [entry for entry in self.open if entry.connection in connections]
        for entry in robbed:
            entry.robbed = True
        for entry in self.open:
            if entry.connection is None:
                entry.doomed = connections
        return len(robbed)

    def faults(self) -> list[str]:
        """Everything that is wrong."""
        return [f"stream {entry.number} ({entry.fate}): {fault}" for entry in self.entries for fault in entry.faults()]

    def told(self) -> str:
        """The sums, for a report."""
        ends = Counter(f"{entry.fate}/{entry.end}" for entry in self.entries)
        robbed = [entry for entry in self.entries if entry.robbed and entry.end == "abort"]
        taken = sum(entry.missing for entry in robbed)
        sent, got = (
            sum(counts) for counts in zip(*((one.sent, len(one.received)) for one in self.entries), strict=True)
        )
        lost = sum(entry.missing for entry in self.entries) - taken
        return (
            f"streams: {len(self.entries)} ({', '.join(f'{name} {count}' for name, count in sorted(ends.items()))})\n"
            f"events: {sent} sent, {got} arrived; "
            f"lost: {lost}, besides {taken} of the {len(robbed)} streams that killed workers had"
        )
