"""What is measured, and in which units. A measure takes a freshly started subject and gives one row of figures.

events     400 streams x 40 events/s: CPU microseconds per event; latency, and how much of it the proxy added
first      short streams one after the other: microseconds until the first event, and how much of it the proxy added
requests   small JSON answers on 32 kept connections: requests per second on one core, CPU microseconds per request
idle       2,000 open streams at 1 event/s: KiB of resident memory per stream, above that of the fresh process
bulk       one download of 512 MiB: MB (10^6 bytes) per second, CPU microseconds per MiB
tunnel     128 messages of 1 MiB through a tunnel and back: MB per second, CPU microseconds per MiB
stalled    a client stops reading a body of 1 GiB: KiB of memory more, KiB taken from the upstream meanwhile
gone       a client leaves a silent stream: milliseconds until the upstream's connection is closed
start      seconds from exec to listening; resident MiB at rest
"""

import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import account
from .subject import Spoiled, Subject, on_load_core

Row = dict[str, Any]

CONNECTIONS = 32
REQUEST_SECONDS = 2
EVENTS = 120
WARM_UP_S = 0.3
FIRST_TIMES = 400
FILES_BESIDE = 100  # open files of a proxy that are not its streams'
DIRECT = "direct"
"""The name of the subject that is no proxy: the load asks the origin."""


@dataclass(frozen=True)
class Figure:
    """A value of a row. `compared` is whether its ratio to a peer's means anything; `more` whether more is better."""

    key: str
    label: str
    digits: int = 1
    compared: bool = True
    more: bool = False


@dataclass(frozen=True)
class Measure:
    """`take` measures a subject that may have `streams` open. `rounds` is how often, where nobody says."""

    name: str
    take: Callable[[Subject, int], Row]
    figures: tuple[Figure, ...]
    rounds: int = 1
    streams: int = 0
    peers: tuple[str, ...] | None = None
    """Which peers are measured besides us; None is all."""
    direct: bool = False
    """Measured without a proxy as well."""
    whole: bool = False
    """Ours with its admin listener: metrics and inspector are there."""

    def streams_within(self, files: int) -> int:
        """How many streams a proxy may have open with that many files: a stream takes two."""
        return min(self.streams, (files - FILES_BESIDE) // 2)


def events(subject: Subject, streams: int) -> Row:
    """Streams at 40 events a second for three seconds."""
    return streaming(subject, streams, events=EVENTS, hz=40)


def idle(subject: Subject, streams: int) -> Row:
    """Streams that are open and nearly silent."""
    return streaming(subject, streams, events=4, hz=1)


def streaming(subject: Subject, count: int, events: int, hz: float) -> Row:
    """So many streams at once, of so many events each."""
    return subject.load("streams", origin=subject.origin, pids=subject.pids, count=count, events=events, hz=hz)


def add_differences(rows: dict[str, Row]) -> None:
    """What each proxy added, as the difference of two percentiles: to the median exact, to the tail a fair guess."""
    direct = rows[DIRECT]
    for row in rows.values():
        for key in list(row):
            share = re.fullmatch(r"(latency|first)_(p\d+)_us", key)
            if share and row is not direct and key in direct:
                kind = "added" if share[1] == "latency" else "first_added"
                row[f"{kind}_{share[2]}_us"] = row[key] - direct[key]


def first(subject: Subject, _streams: int) -> Row:
    """After a few that open the connections."""
    subject.load("first", times=20)
    return subject.load("first", times=FIRST_TIMES)


def requests(subject: Subject, _streams: int, connections: int = CONNECTIONS) -> Row:
    """With wrk where it is installed, after a short run of our own loop that compares every body."""
    subject.load("requests", connections=connections, seconds=WARM_UP_S)
    before_s = account.cpu_s(list(subject.pids))
    if shutil.which("wrk"):
        row = _wrk(subject.port, connections)
    else:
        row = subject.load("requests", connections=connections, seconds=REQUEST_SECONDS)
    used_s = account.cpu_s(list(subject.pids)) - before_s
    return {**row, "cpu_us_per_request": used_s * 1e6 / row["requests"]}


def _wrk(port: int, connections: int) -> Row:
    url = f"http://127.0.0.1:{port}/json"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{REQUEST_SECONDS}s", url]
    told = on_load_core(command, limit_s=REQUEST_SECONDS + 30).stdout
    if bad := re.search(r"(Socket errors|Non-2xx).*", told):
        raise Spoiled(f"wrk: {bad[0]}")
    count, rate = re.search(r"(\d+) requests in", told), re.search(r"Requests/sec:\s+([\d.]+)", told)
    if not count or not rate or not int(count[1]):
        raise Spoiled(f"wrk: {told[-400:] or 'said nothing'}")
    return {"requests": int(count[1]), "requests_per_s": float(rate[1])}


def bulk(subject: Subject, _streams: int) -> Row:
    """One large body."""
    return subject.load("download", pids=subject.pids, mib=512)


def tunnel(subject: Subject, _streams: int) -> Row:
    """Large messages both ways."""
    return subject.load("echo", pids=subject.pids, mib=128)


def stalled(subject: Subject, _streams: int) -> Row:
    """A client that stops reading for a while."""
    return subject.load("stalled", origin=subject.origin, pids=subject.pids, mib=1024, seconds=1.5)


def gone(subject: Subject, _streams: int) -> Row:
    """Clients that leave."""
    return subject.load("gone", origin=subject.origin, times=50)


def start(subject: Subject, _streams: int) -> Row:
    """What was seen when the subject was started."""
    return {"start_s": subject.start_s, "rest_mib": subject.rest_kib / 1024}


CPU_PER_EVENT = Figure("cpu_us_per_event", "CPU per event, us")
KIB_PER_STREAM = Figure("kib_per_stream", "memory per open stream, KiB")
THROUGHPUT = (Figure("mb_per_s", "MB/s", 0, more=True), Figure("cpu_us_per_mib", "CPU per MiB, us", 0))
PROXIES = ("nginx", "haproxy", "caddy", "hpm", "vite")
MEASURES = (
    Measure(
        "events",
        events,
        (
            CPU_PER_EVENT,
            Figure("added_p50_us", "latency added per event, p50, us", 0),
            Figure("added_p99_us", "latency added per event, p99, us", 0),
            Figure("added_p999_us", "latency added per event, p99.9, us", 0),
            Figure("latency_p50_us", "latency through it, p50, us", 0),
        ),
        rounds=5,
        streams=400,
        direct=True,
    ),
    Measure(
        "first",
        first,
        (
            Figure("first_added_p50_us", "first event later by, p50, us", 0),
            Figure("first_added_p99_us", "first event later by, p99, us", 0),
        ),
        rounds=3,
        direct=True,
    ),
    Measure(
        "requests",
        requests,
        (
            Figure("requests_per_s", "requests/s on one core", 0, more=True),
            Figure("cpu_us_per_request", "CPU per request, us"),
        ),
        rounds=5,
    ),
    Measure("idle", idle, (KIB_PER_STREAM,), streams=2000, peers=PROXIES),
    Measure("bulk", bulk, THROUGHPUT, rounds=3, peers=PROXIES),
    Measure("tunnel", tunnel, THROUGHPUT, peers=("nginx",)),
    Measure(
        "stalled",
        stalled,
        (Figure("grown_kib", "memory more, KiB", 0), Figure("taken_kib", "taken from the upstream, KiB", 0)),
        peers=("nginx",),
    ),
    Measure(
        "gone",
        gone,
        (Figure("median_ms", "upstream closed after, median, ms", 2), Figure("max_ms", "upstream closed, max, ms", 2)),
        peers=("nginx",),
    ),
    Measure(
        "start",
        start,
        (Figure("start_s", "start to listening, s", 2), Figure("rest_mib", "memory at rest, MiB")),
        rounds=3,
        whole=True,
    ),
)


def named(names: Iterable[str]) -> list[Measure]:
    """The measures of these names, in their own order. Errors: KeyError."""
    known = {measure.name: measure for measure in MEASURES}
    wanted = {known[name].name for name in names}
    return [measure for measure in MEASURES if measure.name in wanted]
