"""Tests of proxy.core.dialects: transcripts of streams, and how one is watched.

The laws of all dialects are in test_laws.py; each other file has what is special about one.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, NamedTuple

from proxy.core.dialects import Framing, Verdict
from proxy.core.dialects.recognise import recognise
from proxy.core.watch import Watch

LIMIT = 64 * 1024


class Learnt(NamedTuple):
    """All that an exchange is told of its stream."""

    dialect: str
    events: int
    verdict: Verdict
    limited: bool
    usage: dict[str, int]
    first_event: float | None
    first_token: float | None


class Transcript(NamedTuple):
    """A stream as its frames and what is no frame behind them, and what is to be learnt of it.

    `first_event` and `first_token` are numbers of frames. `well` is whether the body ends as its framing says.
    """

    path: str
    frames: list[bytes]
    dialect: str
    verdict: Verdict
    events: int
    usage: dict[str, int] = {}  # noqa: RUF012 - never changed
    first_event: int | None = 0
    first_token: int | None = None
    limited: bool = False
    well: bool = True
    tail: bytes = b""
    framing: Framing = "sse"
    family: str | None = None

    @property
    def stream(self) -> bytes:
        return b"".join(self.frames) + self.tail

    def watch(self, exact: bool, limit: int = LIMIT) -> Watch:
        return Watch(self.framing, recognise(self.family, self.framing, self.path.encode()), limit, exact)

    def learnt(self, reads: Iterable[bytes], exact: bool) -> Learnt:
        """What a watch learns from these reads, given with times 1, 2, 3 and so on."""
        watch = self.watch(exact)
        for number, read in enumerate(reads, start=1):
            watch.feed(read, float(number))
        watch.close()
        return learnt(watch, self.well)

    def expected(self, reads: Iterable[bytes]) -> Learnt:
        """The same, as it has to be: the times are those of the reads in which the frames end."""
        ends, total = [], 0
        for frame in self.frames:
            total += len(frame)
            ends.append(total)
        arrived, came = [], 0
        for read in reads:
            came += len(read)
            arrived.append(came)

        def when(frame: int | None) -> float | None:
            if frame is None:
                return None
            return next(at for at, there in enumerate(arrived, start=1) if there >= ends[frame]) + 0.0

        return Learnt(
            self.dialect,
            self.events,
            self.verdict,
            self.limited,
            self.usage,
            when(self.first_event),
            when(self.first_token),
        )


def learnt(watch: Watch, well: bool = True) -> Learnt:
    """What a closed watch has learnt."""
    dialect = watch.dialect
    usage: dict[str, Any] = {name: number for name, number in asdict(dialect.usage).items() if number is not None}
    assert bool(dialect.usage) is bool(usage)
    for at in (watch.first_event_at, watch.first_token_at):
        assert at is None or math.isfinite(at)
    return Learnt(
        dialect.name,
        watch.events,
        watch.verdict(well),
        dialect.limited,
        usage,
        watch.first_event_at,
        watch.first_token_at,
    )
