"""What a second worker brings: `python -m tests.bench.workers [--rounds N]`.

One worker and two in turn, each allowed on all cores, under the loads `events` and `requests` of the bench. The load
and the origin need cores as well, so on a machine with fewer than four the measured rate is what they leave. The
capacity is an estimate of what two cores of their own would give: a core divided by the CPU per event, twice, times how
evenly the kernel shared the connections out (the busier worker is full first).
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from . import account, measures, peers, subject
from .measures import Row

STREAMS = 400


def round_of(workers: int, origin: int, folder: Path) -> dict[str, Row]:
    """Both loads through a fresh proxy."""
    rows: dict[str, Row] = {}
    for name, load in (("events", measures.events), ("requests", measures.requests)):
        log = folder / f"{workers}-{name}.log"

        def command(port: int) -> list[str]:
            return [*peers.streamsafe(origin, port), "--workers", str(workers)]

        with subject.started("streamsafe", command, origin, log, role="any") as program:
            before = {pid: account.cpu_s([pid]) for pid in program.pids}
            row = load(program, STREAMS)
            used = sorted((account.cpu_s([pid]) - before[pid] for pid in program.pids), reverse=True)[:workers]
            row["start_s"], row["rest_kib"] = program.start_s, program.rest_kib
            row["even"] = statistics.mean(used) / max(used)
            rows[name] = row
    return rows


def capacity(row: Row, kind: str, workers: int) -> float:
    """Events or requests a second of so many workers, each with a core of its own."""
    return workers * float(row["even"]) * 1e6 / float(row[f"cpu_us_per_{kind[:-1]}"])


def main() -> int:
    """Prints a table; exit code 1 if anything was spoiled."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.workers", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    rounds = parser.parse_args().rounds
    found: dict[int, list[dict[str, Row]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory(prefix="streamsafe-bench-") as folder:
        try:
            with subject.origin(Path(folder) / "origin.log") as origin:
                for _ in range(rounds):
                    for workers in found:
                        found[workers].append(round_of(workers, origin, Path(folder)))
        except subject.Spoiled as error:
            print(f"SPOILED: {error}", file=sys.stderr)
            return 1
    print(
        f"{'':9} {'workers':>7} {'CPU us':>7} {'even':>5} {'capacity/s':>10} {'measured/s':>10} {'start s':>8} "
        f"{'rest MiB':>8}"
    )
    for kind in ("events", "requests"):
        for workers, rows in found.items():
            print(_line(kind, workers, [row[kind] for row in rows]))
        ratios = [
            capacity(two[kind], kind, 2) / capacity(one[kind], kind, 1)
            for one, two in zip(found[1], found[2], strict=True)
        ]
        print(f"{kind:9} {'2 to 1':>7} {'':7} {'':5} {statistics.median(ratios):9.2f}x")
    return 0


def _line(kind: str, workers: int, rows: list[Row]) -> str:
    def middle(key: str) -> float:
        return float(statistics.median(row[key] for row in rows))

    able = statistics.median(capacity(row, kind, workers) for row in rows)
    return (
        f"{kind:9} {workers:7} {middle(f'cpu_us_per_{kind[:-1]}'):7.1f} {middle('even'):5.2f} {able:10,.0f} "
        f"{middle(f'{kind}_per_s'):10,.0f} {middle('start_s'):8.2f} {middle('rest_kib') / 1024:8.0f}"
    )


if __name__ == "__main__":
    sys.exit(main())
