"""Runs the bench: `python -m tests.bench [--rounds N] [--only events,requests,...] [--json FILE]`.

The table goes to stdout, all else to stderr. Exit codes: 0 all was measured, 1 something was spoiled (a lost event, a
body that was not whole, a failed request), 2 wrong usage. How fast anything was never makes it fail.
"""

import argparse
import contextlib
import json
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NoReturn

from . import account, peers, report, subject
from .measures import MEASURES, Measure, Row, add_latencies

WANTED_FILES = 40_000  # where the hard limit is none, as on macOS, this much is asked for
QUIET_LOAD = 0.5
Command = Callable[[int, int], list[str]]
"""From the ports of the origin and of the proxy to the words that start it."""


class Bench:
    """One run: who is measured, and what has been found so far."""

    def __init__(self, folder: Path, files: int) -> None:
        self.folder, self.files = folder, files
        self.commands: dict[str, Command] = {report.OURS: peers.streamsafe}
        self.left_out: list[str] = []
        self.spoiled: list[str] = []
        self.rounds: dict[str, report.Rounds] = {}

    def add_nginx(self) -> None:
        """Adds the peer, where it is installed."""
        if peers.nginx_version():
            self.commands["nginx"] = lambda origin, port: peers.nginx(origin, port, self.folder, self.files)
        else:
            self.leave_out("nginx is not installed: figures without ratios")

    def leave_out(self, what: str) -> None:
        """Says at once, and again in the JSON file, what the figures lack."""
        self.left_out.append(what)
        tell(f"left out: {what}")

    def measure(self, measure: Measure, rounds: int, origin: int) -> None:
        """All rounds of one measure, the subjects in turn."""
        streams = measure.streams_within(self.files)
        if streams < measure.streams:
            self.leave_out(
                f"{measure.name}: {streams:,} streams instead of {measure.streams:,}, because "
                f"the hard limit of open files is {self.files:,} and a stream takes two"
            )
        self.rounds[measure.name] = [self.round(measure, streams, origin) for _ in range(rounds)]

    def round(self, measure: Measure, streams: int, origin: int) -> dict[str, Row]:
        """What each subject gave; one that was spoiled is noted and missing."""
        rows: dict[str, Row] = {}
        for name, command in self.commands.items():
            log = self.folder / f"{name}.log"
            try:
                with subject.started(name, partial(command, origin), origin, log) as program:
                    rows[name] = measure.take(program, streams)
            except (subject.Spoiled, OSError) as error:  # the account of a process that has ended is an OSError
                self.spoil(f"{measure.name}, {name}: {error}")
        if measure.direct:
            try:
                rows["direct"] = measure.take(subject.Subject("direct", origin, origin), streams)
                del rows["direct"]["cpu_us_per_event"]
                add_latencies(rows)
            except subject.Spoiled as error:
                self.spoil(f"{measure.name}, no proxy: {error}")
        return rows

    def spoil(self, what: str) -> None:
        """Notes what no proxy may do."""
        self.spoiled.append(what)
        tell(f"SPOILED: {what}")

    def found(self, measures: list[Measure], machine: dict[str, str]) -> dict[str, object]:
        """All that is known, for a program."""
        measured = [measure for measure in measures if measure.name in self.rounds]
        return {
            "machine": machine,
            "nginx": peers.nginx_version(),
            "left_out": self.left_out,
            "spoiled": self.spoiled,
            "summary": {each.name: report.summary(each, self.rounds[each.name], [*self.commands]) for each in measured},
            "rounds": self.rounds,
        }


def tell(text: str) -> None:
    """A line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def raise_file_limit() -> int:
    """Raises the soft limit of open files as far as it goes; gives what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard if hard != resource.RLIM_INFINITY else WANTED_FILES, WANTED_FILES, 10_240):
        with contextlib.suppress(ValueError, OSError):  # macOS calls it unlimited and has another limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def arguments() -> argparse.Namespace:
    """What the command line says. `only` becomes the measures themselves."""
    names = {measure.name: measure for measure in MEASURES}
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures streamsafe beside nginx.")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each measure; default: 3 of what wanders, 1 else")
    parser.add_argument("--only", default=",".join(names), metavar="MEASURE,...", help="of %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all rows of all rounds are written")
    found = parser.parse_args()
    if unknown := [name for name in found.only.split(",") if name not in names]:
        parser.error(f"--only: no such measure: {', '.join(unknown)}; there are {', '.join(names)}")
    if found.rounds is not None and found.rounds < 1:
        parser.error("--rounds: at least 1")
    if found.json and not found.json.parent.is_dir():
        parser.error(f"--json: no such folder: {found.json.parent}")
    found.only = [names[name] for name in found.only.split(",")]
    return found


def say_what_is_left_out(bench: Bench, machine: dict[str, str]) -> None:
    """What this machine lacks for figures that can be trusted."""
    if not shutil.which("wrk"):
        bench.leave_out("wrk is not installed: requests/s end where our own slower load does; CPU per request holds")
    if not subject.PINNED:
        bench.leave_out("no core for each side (one core, or not Linux): latencies contain waiting for the load")
    if account.SOURCE != "schedstat":
        bench.leave_out(f"no scheduler account: CPU is from {account.SOURCE}, 10 ms at best; for figures use Linux")
    if float(machine["load_average"]) > QUIET_LOAD:
        tell(f"not a quiet machine: the load average is {machine['load_average']}; trust ratios, and those little")


def run(asked: argparse.Namespace, folder: Path) -> int:
    """Measures and prints; the exit code."""
    machine = report.machine()
    bench = Bench(folder, raise_file_limit())
    tell(", ".join(f"{key.replace('_', ' ')} {value}" for key, value in machine.items()))
    bench.add_nginx()
    say_what_is_left_out(bench, machine)
    subjects = list(bench.commands)
    print(report.header(subjects), flush=True)
    try:
        with subject.origin(folder / "origin.log") as origin:
            for measure in asked.only:
                bench.measure(measure, asked.rounds or measure.rounds, origin)
                for line in report.lines(measure, bench.rounds[measure.name], subjects):
                    print(line, flush=True)
    except subject.Spoiled as error:
        bench.spoil(str(error))
    if asked.json:
        asked.json.write_text(json.dumps(bench.found(asked.only, machine), indent=1) + "\n")
    for what in bench.spoiled:
        tell(f"SPOILED: {what}")
    return 1 if bench.spoiled else 0


def main() -> int:
    """Runs with a folder of its own; SIGTERM ends what was started, as Ctrl-C does."""

    def stop(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, stop)
    with tempfile.TemporaryDirectory(prefix="streamsafe-bench-") as folder:
        return run(arguments(), Path(folder))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
