"""One run of the bench: finds the peers, takes the sections in turn, and gives all that was found."""

import contextlib
import datetime
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from . import account, beside, growth, machine, many, measures, observers, stages, subject, workers
from .beside import Bench
from .peers import Missing, Peer, caddy, haproxy, litellm, nginx, node, ours
from .report.table import Section

QUIET_LOAD = 0.5
FINDERS: dict[str, Callable[[], Peer]] = {
    "nginx": nginx.find,
    "haproxy": haproxy.find,
    "caddy": caddy.find,
    "hpm": node.find_middleware,
    "vite": node.find_vite,
    "litellm": litellm.find,
}
SECTIONS: dict[str, Callable[[Bench], Section]] = {
    **{measure.name: partial(beside.section, measure=measure) for measure in measures.MEASURES},
    "stages": stages.section,
    "observers": observers.section,
    "workers": workers.section,
    "growth": growth.section,
    "many": many.section,
}
QUICK = ("events", "first", "requests", "idle", "bulk", "start", "stages")
QUICK_PEERS = ("nginx", "haproxy", "caddy", "hpm")
Results = dict[str, Any]


def run(names: Sequence[str], peers: Sequence[str], rounds: int | None = None, quick: bool = False) -> Results:
    """Takes these sections with these peers and prints their tables; see `Bench` for the rest."""
    began, at_s = datetime.datetime.now(datetime.UTC), time.monotonic()
    with started(peers, rounds, quick) as bench:
        described = machine.described(bench.files)
        tell(", ".join(f"{key} {value}" for key, value in described.items()))
        _say_what_is_left_out(bench)
        sections = [_taken(bench, name, SECTIONS[name], at_s) for name in names]
        return {
            "when": f"{began:%Y-%m-%d %H:%M} UTC",
            "took_s": round(time.monotonic() - at_s),
            "rounds": rounds,
            "machine": described,
            "titles": {peer.name: peer.title for peer in bench.peers},
            "versions": {peer.title: peer.version for peer in bench.peers},
            "left_out": bench.left_out,
            "spoiled": bench.spoiled,
            "sections": {section.name: {"table": asdict(section.table), **section.data} for section in sections},
        }


def alone(take: Callable[[Bench], Section]) -> int:
    """Takes one section without peers and prints it; the exit code."""
    with ended_by_signals(), started([], None, False) as bench:
        print(take(bench).table.text())
        return 1 if bench.spoiled else 0


@contextlib.contextmanager
def started(peers: Sequence[str], rounds: int | None, quick: bool) -> Iterator[Bench]:
    """A bench with an origin and the peers that are installed; the others are said."""
    files = machine.raise_file_limit()
    with tempfile.TemporaryDirectory(prefix="streamsafe-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's worker may be another user
        with subject.origin(folder / "origin.log") as origin:
            bench = Bench(folder, files, origin, [ours.find()], rounds, quick, tell)
            for peer in peers:
                try:
                    bench.peers.append(FINDERS[peer]())
                except Missing as missing:
                    bench.leave_out(f"{peer}: {missing}")
            yield bench


def tell(text: str) -> None:
    """A line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM ends what was started, as Ctrl-C does."""

    def stop(number: int, _frame: object) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _taken(bench: Bench, name: str, take: Callable[[Bench], Section], began_s: float) -> Section:
    tell(f"{time.monotonic() - began_s:5.0f} s  {name}")
    section = take(bench)
    print(section.table.text(), flush=True)
    return section


def _say_what_is_left_out(bench: Bench) -> None:
    """What this machine lacks for figures that can be trusted."""
    if not shutil.which("wrk"):
        bench.leave_out("wrk is not installed: requests/s end where our own slower load does; CPU per request holds")
    if not subject.PINNED:
        bench.leave_out("no core for each side (one core, or not Linux): latencies contain waiting for the load")
    if account.SOURCE != "schedstat":
        bench.leave_out(f"no scheduler account: CPU is from {account.SOURCE}, 10 ms at best; for figures use Linux")
    if (load := machine.load_average()) > QUIET_LOAD:
        bench.leave_out(f"a quiet machine: the load average was {load:.2f}; trust ratios, and those little")
