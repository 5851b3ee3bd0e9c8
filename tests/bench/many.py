"""20,000 streams on one core at one event a second: nothing may be lost. `python -m tests.bench.many [--streams N]`.

The proxy is pinned to one core. Each of several loads has an origin and a route of its own and calls from a loopback
address of its own (127.0.0.2, ...), because one address has 28,000 ports towards another and one process may not open
so many files. Every event of every stream is counted. The same load without a proxy says what of the delay is its own.

A stream takes two files of the proxy's process. Where one process may not open as many, two things are measured: one
process with as many streams as it can hold, and so many processes as it takes, all on the one core.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from . import account, load, subject
from .beside import Bench
from .measures import FILES_BESIDE, Row
from .peers import ours
from .report.table import Section, Table, number

STREAMS = 20_000
QUICK_STREAMS = 2000
LOADS = 3
EVENTS, HZ = 12, 1.0
OPENING_LIMIT_S = 90
LIMIT_S = OPENING_LIMIT_S + EVENTS / HZ + 60
WORKERS_BESIDE = 300  # open files of a worker that are not its streams', and what an uneven share may add


def section(bench: Bench, streams: int = STREAMS) -> Section:
    """One process, several where that is needed, and no proxy."""
    streams = min(streams, QUICK_STREAMS) if bench.quick else streams
    fits = (bench.files - FILES_BESIDE) // 2
    rows: dict[str, Row | None] = {}
    alone = min(streams, fits)
    rows[f"{alone:,} streams, one process"] = _proxied(bench, alone, 1)
    if fits < streams:
        bench.leave_out(
            f"many: one process holds {fits:,} streams here, because it may open {bench.files:,} files and a stream "
            f"takes two; {streams:,} need {2 * streams + FILES_BESIDE:,}"
        )
        room = (bench.files - WORKERS_BESIDE) // 2
        workers = -(-streams // room)
        workers += streams / workers > room * 0.95  # the kernel does not share out evenly
        rows[f"{streams:,} streams, {workers} processes on one core"] = _proxied(bench, streams, workers)
    rows["no proxy"] = _direct(bench, min(streams, LOADS * (bench.files - FILES_BESIDE)))
    table = Table(
        "Many streams: one event a second each, the proxy on one core",
        (
            "events",
            "lost",
            "of the core",
            "core busy",
            "CPU per event, us",
            "KiB per stream",
            "p50, ms",
            "p99, ms",
            "p99.9, ms",
        ),
        tuple((name, *_cells(row)) for name, row in rows.items() if row is not None),
        f"The delay is from the origin's write to the client's read while all are open, with the load's own share in "
        f"it; of the {LOADS} loads the worst. Memory is above that of the fresh process. `Core busy` is with all else "
        "that ran there: what is more than the proxy's share stood in its way.",
    )
    return Section("many", table, {"rows": rows})


def _cells(row: Row) -> Iterator[str]:
    yield number(row["events"], 0)
    yield number(row["events_lost"], 0)
    yield f"{row['core'] * 100:.0f} %" if "core" in row else ""
    yield f"{row['busy'] * 100:.0f} %" if row.get("busy") else ""
    yield number(row["cpu_us_per_event"], 1) if "core" in row else ""
    yield number(row["kib_per_stream"], 1) if "core" in row else ""
    for share in ("p50", "p99", "p999"):
        yield number(row[f"latency_{share}_us"] / 1e3, 2)


def _proxied(bench: Bench, streams: int, workers: int) -> Row | None:
    """A fresh proxy with a route for each load; a note, and None, where anything was spoiled."""
    with contextlib.ExitStack() as stack:
        try:
            origins = [stack.enter_context(subject.origin(bench.folder / f"origin-{at}.log")) for at in range(LOADS)]
            routes = [
                {"name": f"load-{at}", "path": f"/{at}/", "strip_prefix": True, "upstream": f"http://127.0.0.1:{port}"}
                for at, port in enumerate(origins)
            ]

            def command(port: int) -> list[str]:
                config = {"listen": f"127.0.0.1:{port}", "admin": "off", "workers": workers, "routes": routes}
                file = bench.folder / "many.yaml"
                file.write_text(json.dumps(config), "utf-8")
                return [*ours.program(), "serve", "-c", str(file)]

            program = stack.enter_context(subject.started("many", command, origins[0], bench.folder / "many.log"))
            return _run(program, origins, streams)
        except (subject.Spoiled, OSError) as error:
            bench.spoil(f"many, {streams:,} streams over {workers} processes: {error}")
            return None


def _direct(bench: Bench, streams: int) -> Row | None:
    with contextlib.ExitStack() as stack:
        try:
            origins = [stack.enter_context(subject.origin(bench.folder / f"origin-{at}.log")) for at in range(LOADS)]
            return _run(None, origins, streams)
        except (subject.Spoiled, OSError) as error:
            bench.spoil(f"many, no proxy: {error}")
            return None


def _run(program: subject.Subject | None, origins: list[int], streams: int) -> Row:
    """All loads: opened one after the other, started together. Errors: Spoiled."""
    pids = list(program.pids) if program else []
    fresh_kib = account.rss_kib(pids)
    loads: list[subprocess.Popen[str]] = []
    try:
        for at, origin in enumerate(origins):
            count = streams // LOADS + (at < streams % LOADS)
            prefix = f"/{at}" if program else ""
            loads.append(_load(program.port if program else origin, origin, count, prefix, f"127.0.0.{at + 2}"))
            _wait_opened(loads[-1])
        for one in loads:
            _tell(one, "go")
        time.sleep(load.SETTLE_S)
        cpu_s, at_s, busy_s = account.cpu_s(pids), time.monotonic(), _core_s()
        time.sleep(load.window_s(EVENTS, HZ))
        cpu_s, elapsed_s = account.cpu_s(pids) - cpu_s, time.monotonic() - at_s
        busy_s = _core_s() - busy_s
        grown_kib = account.rss_kib(pids) - fresh_kib
        results = [_result(one) for one in loads]
    finally:
        for one in loads:
            one.kill()
            one.communicate()
    rate = sum(row["events_per_s"] for row in results)
    lost = sum(row["events_lost"] for row in results)
    row = {"streams": streams, "events": streams * EVENTS - lost, "events_lost": lost, "events_per_s": rate}
    for share in ("p50", "p99", "p999"):
        row[f"latency_{share}_us"] = max(one[f"latency_{share}_us"] for one in results)
    if program:
        per_event_us = cpu_s * 1e6 / (rate * elapsed_s)
        row |= {"core": cpu_s / elapsed_s, "busy": busy_s / elapsed_s}
        row |= {"cpu_us_per_event": per_event_us, "kib_per_stream": grown_kib / streams}
    return row


def _core_s() -> float:
    """How long the proxy's core has been busy; 0 where there is none or nobody tells."""
    return (account.core_s(subject.PROXY_CORE) or 0.0) if subject.PROXY_CORE is not None else 0.0


def _load(port: int, origin: int, count: int, prefix: str, source: str) -> "subprocess.Popen[str]":
    held = load.Held(prefix, source if sys.platform == "linux" else "", waits=True, opening_s=OPENING_LIMIT_S)
    asked: dict[str, Any] = {"port": port, "origin": origin, "pids": [], "count": count, "events": EVENTS, "hz": HZ}
    words = [sys.executable, "-m", "tests.bench.load", "streams", json.dumps({**asked, "held": asdict(held)})]
    return subprocess.Popen(
        words,
        cwd=subject.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=subject.pinned_to("load"),
    )


def _wait_opened(one: "subprocess.Popen[str]") -> None:
    """Its own limit ends a load that cannot open its streams; what it says then is a result."""
    assert one.stdout is not None
    told = one.stdout.readline()
    if told != "opened\n":
        assert one.stderr is not None
        raise subject.Spoiled(told.strip() or one.stderr.read().strip()[-400:])


def _tell(one: "subprocess.Popen[str]", line: str) -> None:
    assert one.stdin is not None
    one.stdin.write(f"{line}\n")
    one.stdin.flush()


def _result(one: "subprocess.Popen[str]") -> Row:
    """What a load found. Errors: Spoiled."""
    try:
        told, errors = one.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise subject.Spoiled(f"a load was not over after {LIMIT_S:g} s") from None
    if one.returncode:
        raise subject.Spoiled(f"a load ended with {one.returncode}: {errors.strip()[-400:]}")
    row: Row = json.loads(told)
    if row["faults"]:
        raise subject.Spoiled("; ".join(row["faults"]))
    return row


if __name__ == "__main__":
    from .run import alone

    parser = argparse.ArgumentParser(prog="python -m tests.bench.many", description="Many streams on one core.")
    parser.add_argument("--streams", type=int, default=STREAMS, metavar="N")
    asked = parser.parse_args()
    sys.exit(alone(lambda bench: section(bench, asked.streams)))
