"""What a second worker brings.

One worker and two in turn, each allowed on all cores, under the loads `events` and `requests` of the bench. Each
worker has as many streams: one with less to do handles fewer events in a turn of its loop, which makes each of them
dearer. The load and the origin need cores as well, so on a machine with fewer than four the measured rate is what they
leave. The capacity is an estimate of what two cores of their own would give: a core divided by the CPU per event,
twice, times how evenly the kernel shared the connections out (the busier worker is full first).
"""

import statistics
from collections.abc import Callable
from functools import partial

from . import account, measures
from .beside import Bench
from .measures import Row
from .peers import Peer, Site, ours
from .report.table import Section, Table, number, spread
from .subject import Subject

STREAMS = 400
LOADS: dict[str, Callable[[Subject, int], Row]] = {"event": measures.events, "request": measures.requests}
COUNTS = (1, 2)


def section(bench: Bench) -> Section:
    """All rounds; a round in which one of the two is spoiled is left out."""
    rounds = [_round(bench) for _ in range(bench.times(2))]
    rows = []
    for kind in LOADS:
        found = {workers: [one[f"{workers} {kind}"] for one in rounds if len(one) == 4] for workers in COUNTS}
        rows += [_line(kind, workers, found[workers]) for workers in COUNTS]
        ratios = [capacity(two, kind, 2) / capacity(one, kind, 1) for one, two in zip(found[1], found[2], strict=True)]
        rows.append((f"{kind}s, two to one", "", "", spread(ratios, 2), "", "", ""))
    table = Table(
        "Two workers beside one",
        ("CPU, us", "even", "capacity/s", "measured/s", "start, s", "at rest, MiB"),
        tuple(rows),
        "CPU is per event and per request, `even` how evenly connections were shared out (1 is best), capacity what "
        "workers with a core each would reach by that; measured is what this machine had left beside the load.",
    )
    return Section("workers", table, {"rounds": rounds})


def _round(bench: Bench) -> dict[str, Row]:
    """Both loads through a fresh proxy of each number of workers."""
    rows: dict[str, Row] = {}
    for workers in COUNTS:
        peer = Peer(f"{workers} workers", "", "", partial(_command, workers))
        for kind in LOADS:
            row = bench.take(peer, partial(_take, kind, workers), role="any")
            if row is not None:
                rows[f"{workers} {kind}"] = row
    return rows


def _command(workers: int, site: Site) -> list[str]:
    return [*ours.command(site), "--workers", str(workers)]


def _take(kind: str, workers: int, program: Subject) -> Row:
    before = {pid: account.cpu_s([pid]) for pid in program.pids}
    row = LOADS[kind](program, STREAMS * workers)
    used = sorted((account.cpu_s([pid]) - before[pid] for pid in program.pids), reverse=True)[:workers]
    rest = {"start_s": program.start_s, "rest_kib": program.rest_kib, "even": statistics.mean(used) / max(used)}
    return {**row, **rest}


def capacity(row: Row, kind: str, workers: int) -> float:
    """Events or requests a second of so many workers, each with a core of its own."""
    return workers * float(row["even"]) * 1e6 / float(row[f"cpu_us_per_{kind}"])


def _line(kind: str, workers: int, rows: list[Row]) -> tuple[str, ...]:
    def middle(key: str, digits: int, by: float = 1) -> str:
        return number(statistics.median(row[key] for row in rows) / by if rows else None, digits)

    able = statistics.median(capacity(row, kind, workers) for row in rows) if rows else None
    return (
        f"{kind}s, {workers} worker{'s' * (workers > 1)}",
        middle(f"cpu_us_per_{kind}", 1),
        middle("even", 2),
        number(able, 0),
        middle(f"{kind}s_per_s", 0),
        middle("start_s", 2),
        middle("rest_kib", 0, by=1024),
    )
