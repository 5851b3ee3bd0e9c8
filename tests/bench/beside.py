"""One measure of streamsafe and its peers: the subjects in turn, each freshly started, and ratios within a round."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from . import subject
from .measures import DIRECT, Figure, Measure, Row, add_differences
from .peers import Peer, Site, ours
from .peers.ours import NAME as OURS
from .report.table import Rounds, Section, Table, median, number, ratio


@dataclass
class Bench:
    """One run: where it works, who is measured, and what went wrong so far. `tell` says a line to who waits."""

    folder: Path
    files: int
    origin: int
    peers: list[Peer]
    rounds: int | None
    """How many of each measure; None is what the measure says."""
    quick: bool
    tell: Callable[[str], None]
    left_out: list[str] = field(default_factory=list)
    spoiled: list[str] = field(default_factory=list)

    @property
    def ours(self) -> Peer:
        """The subject itself."""
        return self.peers[0]

    def leave_out(self, what: str) -> None:
        """Says at once, and again in the results, what the figures lack."""
        if what not in self.left_out:
            self.left_out.append(what)
            self.tell(f"left out: {what}")

    def spoil(self, what: str) -> None:
        """Notes what no proxy may do."""
        self.spoiled.append(what)
        self.tell(f"SPOILED: {what}")

    def times(self, usual: int) -> int:
        """How many rounds of something of which that many are usual."""
        return self.rounds or (1 if self.quick else usual)

    def take(self, peer: Peer, use: Callable[[subject.Subject], Row], role: str = "proxy") -> Row | None:
        """What `use` finds of a freshly started peer; None, and a note, where it is spoiled."""

        def command(port: int) -> list[str]:
            return peer.command(Site(self.origin, port, self.folder, self.files))

        try:
            with subject.started(peer.name, command, self.origin, self.folder / f"{peer.name}.log", role) as program:
                return use(program)
        except (subject.Spoiled, OSError) as error:  # the account of a process that has ended is an OSError
            self.spoil(f"{peer.name}: {error}")
            return None


def section(bench: Bench, measure: Measure) -> Section:
    """All rounds of one measure."""
    streams = measure.streams_within(bench.files)
    if streams < measure.streams:
        bench.leave_out(
            f"{measure.name}: {streams:,} streams instead of {measure.streams:,}, because a process may open "
            f"{bench.files:,} files and a stream takes two"
        )
    peers = [peer for peer in bench.peers if peer is bench.ours or measure.peers is None or peer.name in measure.peers]
    if measure.whole:
        peers[0] = replace(peers[0], command=ours.whole)
    rounds = [_round(bench, measure, streams, at, peers) for at in range(bench.times(measure.rounds))]
    fewer = [
        f"{peer.title}: {peer.streams} streams, so no latencies" for peer in peers if peer.streams and measure.streams
    ]
    return Section(
        measure.name, _table(measure, rounds, peers, ". ".join(fewer)), {"rounds": rounds, **_summary(measure, rounds)}
    )


def _round(bench: Bench, measure: Measure, streams: int, at: int, peers: list[Peer]) -> dict[str, Row]:
    """What each subject gave; one that was spoiled is noted and missing."""
    rows: dict[str, Row] = {}
    for peer in peers:
        if peer.rounds is not None and at >= peer.rounds:
            continue
        row = bench.take(peer, partial(_take, measure, min(streams, peer.streams or streams)))
        if row is not None:
            rows[peer.name] = row if not (peer.streams and measure.streams) else _without_latencies(row)
    if measure.direct:
        try:
            rows[DIRECT] = measure.take(subject.Subject(DIRECT, bench.origin, bench.origin), streams)
            rows[DIRECT].pop("cpu_us_per_event", None)
            add_differences(rows)
        except subject.Spoiled as error:
            bench.spoil(f"{measure.name}, no proxy: {error}")
    return rows


def _without_latencies(row: Row) -> Row:
    """Fewer streams wait for each other less: what they cost can be compared, how long they wait cannot."""
    return {key: value for key, value in row.items() if not key.startswith("latency_")}


def _take(measure: Measure, streams: int, program: subject.Subject) -> Row:
    try:
        return measure.take(program, streams)
    except subject.Spoiled as error:
        raise subject.Spoiled(f"{measure.name}: {error}") from None


def _table(measure: Measure, rounds: Rounds, peers: list[Peer], note: str) -> Table:
    """A line for each figure: the median of each subject and, in brackets, ours by it."""
    names = {peer.name: peer.title for peer in peers} | ({DIRECT: "no proxy"} if measure.direct else {})
    lines = [(each.label, *(_cell(each, rounds, name) for name in names)) for each in measure.figures]
    return Table(TITLES[measure.name], tuple(names.values()), tuple(lines), note)


def _cell(figure: Figure, rounds: Rounds, name: str) -> str:
    value = number(median(rounds, name, figure.key), figure.digits)
    if not figure.compared or name in (OURS, DIRECT):
        return value
    found = ratio(rounds, OURS, name, figure.key)
    return value if found is None else f"{value} ({found:.2f})"


def _summary(measure: Measure, rounds: Rounds) -> dict[str, Any]:
    """By figure: the median of each subject, and the ratio of ours to it."""
    names = list(dict.fromkeys(name for row in rounds for name in row))
    return {
        "summary": {
            figure.key: {
                name: {"median": median(rounds, name, figure.key), "ratio": ratio(rounds, OURS, name, figure.key)}
                for name in names
            }
            for figure in measure.figures
        }
    }


TITLES = {
    "events": "An event: 400 streams at 40 events a second",
    "first": "The first event of a stream",
    "requests": "A request: small JSON answers on 32 kept connections",
    "idle": "An open stream: 2,000 streams at one event a second",
    "bulk": "A large body: one download of 512 MiB",
    "tunnel": "A WebSocket: 128 messages of 1 MiB there and back",
    "stalled": "A client that stops reading a body of 1 GiB",
    "gone": "A client that leaves a silent stream",
    "start": "Start and rest, with metrics and inspector",
}
