"""What a second worker brings.

One worker and two in turn, under the loads `events` and `requests` of the bench. Each worker has as many streams
and connections: one with less to do handles fewer events in a turn of its loop, which makes each of them dearer.

Two cores for two workers, one for the load and one for the origin are more than small machines have. So each is
measured twice: beside the load, all workers on the proxy's core, and on all cores, with load and origin on them too.
There the workers take the caches from each other, here the load takes their turns, and all that disturbs only adds to
what a request costs: the lowest CPU of all runs is what it costs on a core of its own. The capacity is an estimate of
what as many such cores would give: a core divided by that, times the workers, times how evenly the kernel shared the
connections out, in the middle of all runs (the busier worker is full first).
"""

import statistics
from collections.abc import Callable
from functools import partial

from . import account, measures
from .beside import Bench
from .measures import Row
from .peers import Peer, Site, ours
from .report.table import Section, Table, number
from .subject import Subject

STREAMS, CONNECTIONS = 400, 64
LOADS: dict[str, Callable[[Subject, int], Row]] = {
    "event": lambda program, workers: measures.events(program, STREAMS * workers),
    "request": lambda program, workers: measures.requests(program, 0, CONNECTIONS * workers),
}
COUNTS = (1, 2)


def section(bench: Bench) -> Section:
    """All rounds."""
    rounds = [_round(bench) for _ in range(bench.times(3))]
    rows = []
    for kind in LOADS:
        runs = {workers: [run for one in rounds for run in one.get(f"{workers} {kind}", ())] for workers in COUNTS}
        rows += [_line(kind, workers, runs[workers]) for workers in COUNTS]
        if all(runs.values()):
            rows.append((f"{kind}s, two to one", "", "", "", number(two_to_one(runs, kind), 2), "", "", ""))
    table = Table(
        "Two workers beside one",
        ("CPU, us", "instructions", "even", "capacity/s", "measured/s", "start, s", "at rest, MiB"),
        tuple(rows),
        "CPU is the least per event and per request of all runs, half of them with all workers on one core beside the "
        "load's, half on all cores with it; `even` how evenly connections were shared out (1 is best); capacity what "
        "workers with a core each would reach by that; measured the most that came through in any of them. "
        "Instructions are ours and the kernel's, connections included, the middle of all runs. Two to one is by "
        "instructions where they could be counted, as these do not wander, else by CPU. At rest, what processes share "
        "is counted once.",
    )
    return Section("workers", table, {"rounds": rounds})


def _round(bench: Bench) -> dict[str, list[Row]]:
    """Both loads through a fresh proxy of each number of workers: beside the load, then among it."""
    rows: dict[str, list[Row]] = {}
    for workers in COUNTS:
        peer = Peer(f"{workers} workers", "", "", partial(_command, workers))
        for kind in LOADS:
            runs = [bench.take(peer, partial(_take, kind, workers), role) for role in ("proxy", "any")]
            rows[f"{workers} {kind}"] = [run for run in runs if run is not None]
    return rows


def _command(workers: int, site: Site) -> list[str]:
    return [*ours.command(site), "--workers", str(workers)]


def _take(kind: str, workers: int, program: Subject) -> Row:
    rest = {"start_s": program.start_s, "rest_kib": account.shared_kib(list(program.pids))}
    before = {pid: account.cpu_s([pid]) for pid in program.pids}
    with account.instructions(list(program.pids)) as instructions:
        row = LOADS[kind](program, workers)
    if instructions and kind == "event":  # of requests nobody knows how many the warming up had
        row = {**row, "instructions_per_event": instructions[0] / (STREAMS * workers * measures.EVENTS)}
    used = sorted((account.cpu_s([pid]) - before[pid] for pid in program.pids), reverse=True)[:workers]
    return {**row, **rest, "even": statistics.mean(used) / max(used)}


def capacity(runs: list[Row], kind: str, workers: int) -> float:
    """Events or requests a second of so many workers, each with a core of its own."""
    even, cost_us = statistics.median(run["even"] for run in runs), min(run[f"cpu_us_per_{kind}"] for run in runs)
    return workers * float(even) * 1e6 / float(cost_us)


def two_to_one(runs: dict[int, list[Row]], kind: str) -> float:
    """What two workers on a core each do beside one, by what a step costs them."""
    key = f"instructions_per_{kind}"
    if not all(key in run for workers in COUNTS for run in runs[workers]):
        return capacity(runs[2], kind, 2) / capacity(runs[1], kind, 1)
    one, two = (statistics.median(run[key] for run in runs[workers]) for workers in COUNTS)
    return 2 * statistics.median(run["even"] for run in runs[2]) * one / two


def _line(kind: str, workers: int, runs: list[Row]) -> tuple[str, ...]:
    label = f"{kind}s, {workers} worker{'s' * (workers > 1)}"
    if not runs:
        return (label, *[number(None, 0)] * 7)

    def middle(key: str) -> float:
        return float(statistics.median(run[key] for run in runs))

    return (
        label,
        number(min(run[f"cpu_us_per_{kind}"] for run in runs), 1),
        number(middle("instructions_per_event") if all("instructions_per_event" in run for run in runs) else None, 0),
        number(middle("even"), 2),
        number(capacity(runs, kind, workers), 0),
        number(max(run[f"{kind}s_per_s"] for run in runs), 0),
        number(middle("start_s"), 2),
        number(middle("rest_kib") / 1024, 0),
    )
