"""How the cost of an event grows with the open streams: the same 4,000 events a second on ever more of them."""

from dataclasses import replace
from functools import partial

from . import subject
from .beside import Bench
from .measures import FILES_BESIDE, Row, streaming
from .peers import Peer
from .report.table import Rounds, Section, Table, median, number, ratio

STREAMS = (10, 100, 1000, 5000, 20_000)
EVENTS_PER_S = 4000
SECONDS = 4
PEERS = ("nginx",)


def section(bench: Bench) -> Section:
    """One round of each number, ours and nginx in turn."""
    most = (bench.files - FILES_BESIDE) // 2
    if most < STREAMS[-1]:
        bench.leave_out(
            f"growth: {most:,} streams instead of {STREAMS[-1]:,}, because a process may open {bench.files:,} files"
        )
    counts = sorted({min(count, most) for count in STREAMS[: 3 if bench.quick else None]})
    peers = [bench.ours, *(peer for peer in bench.peers if peer.name in PEERS)]
    rows: dict[int, Rounds] = {}
    for count in counts:
        rows[count] = [_round(bench, peers, count)]
    columns = [peer.title for peer in peers]
    lines = []
    for count, rounds in rows.items():
        cells = [number(median(rounds, peer.name, "cpu_us_per_event"), 1) for peer in peers]
        ratios = [ratio(rounds, bench.ours.name, peer.name, "cpu_us_per_event") for peer in peers[1:]]
        lines.append((f"{count:,} streams", *cells, *(number(one, 2) for one in ratios)))
    table = Table(
        f"CPU per event as streams grow, us: {EVENTS_PER_S:,} events a second in all",
        (*columns, *(f"ratio to {title}" for title in columns[1:])),
        tuple(lines),
    )
    return Section("growth", table, {"rounds": {str(count): rounds for count, rounds in rows.items()}})


def _round(bench: Bench, peers: list[Peer], count: int) -> dict[str, Row]:
    """Each with a fresh origin: the ports of connections that are over are not free for a minute."""
    found: dict[str, Row] = {}
    for peer in peers:
        with subject.origin(bench.folder / "growth-origin.log") as origin:
            row = replace(bench, origin=origin).take(peer, partial(_at, count))
        if row is not None:
            found[peer.name] = row
    return found


def _at(count: int, program: subject.Subject) -> Row:
    """Few streams write often, many seldom; each at least three times."""
    hz = EVENTS_PER_S / count
    return streaming(program, count, events=max(3, round(hz * SECONDS)), hz=hz)
