"""What each observer costs, per event and per request: the log, the metrics, the inspector.

nothing    no log line, no admin listener
log        a line for each exchange, into a file
metrics    the log, and an admin listener that counts
closed     the log, the metrics and the inspector, and nobody looks: these are the defaults
open       a page reads the inspector's list: bodies and moments of all streams are copied
followed   and one of the exchanges is read event by event as well

The figures are CPU microseconds of the whole process under the loads `events` and `requests`, and their differences to
`nothing`, taken within a round.
"""

import contextlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from . import measures, subject
from .beside import Bench
from .measures import Row
from .peers import Peer, Site, ours
from .report.table import Rounds, Section, Table, median, number

TITLES = {
    "nothing": "no log, no admin listener",
    "log": "the log",
    "metrics": "and the metrics",
    "closed": "and the inspector, nobody looks (the default)",
    "open": "and its list is open in a browser",
    "followed": "and one stream is watched event by event",
}
STREAMS, EVENTS, HZ = 400, 80, 40
FIGURES = ("cpu_us_per_event", "cpu_us_per_request")
CONFIG = """
listen: 127.0.0.1:<port>
admin: 127.0.0.1:0
inspector: off
routes: [{path: /, upstream: "http://127.0.0.1:<origin>"}]
"""
_READER = """
import json, sys, threading, time, urllib.request
url = sys.argv[1]
list_ = urllib.request.urlopen(url + "/api/events", timeout=60)
print("reading", flush=True)
if sys.argv[2] == "followed":
    until = time.monotonic() + 30
    while not (found := json.load(urllib.request.urlopen(url + "/api/exchanges?open=true"))["exchanges"]):
        if time.monotonic() > until:
            sys.exit("no exchange was opened")
        time.sleep(0.05)  # another process opens it
    one = urllib.request.urlopen(f"{url}/api/exchanges/{found[0]['id']}/events", timeout=60)
    threading.Thread(target=lambda: [None for _ in one], daemon=True).start()
for _ in list_:
    pass
"""


def section(bench: Bench) -> Section:
    """All variants in turn, round after round."""
    rounds: Rounds = []
    for _ in range(bench.times(2)):
        rows: dict[str, Row] = {}
        for variant in TITLES:
            admin = subject.free_port()
            peer = Peer(variant, variant, "", partial(_command, variant, admin))
            if (row := bench.take(peer, partial(_take, variant, admin))) is not None:
                rows[variant] = row
        rounds.append(rows)
    table = Table(
        "What watching costs",
        ("CPU per event, us", "more than nothing", "CPU per request, us", "more than nothing"),
        tuple((title, *_cells(rounds, variant)) for variant, title in TITLES.items()),
        "Each line includes those above it. The log writes a line for each exchange and nothing for an event.",
    )
    return Section("observers", table, {"rounds": rounds})


def _cells(rounds: Rounds, variant: str) -> Iterator[str]:
    for key in FIGURES:
        yield number(median(rounds, variant, key), 1)
        more = [row[variant][key] - row["nothing"][key] for row in rounds if variant in row and "nothing" in row]
        yield f"{statistics.median(more):+.1f}" if more and variant != "nothing" else ""


def _command(variant: str, admin: int, site: Site) -> list[str]:
    """How the proxy is started."""
    words = ours.command(site)
    match variant:
        case "nothing":
            return [*words, "--log-level", "error"]
        case "log":
            return words
        case "metrics":
            return [*ours.program(), "serve", "-c", str(site.write("metrics.yaml", CONFIG))]
    return [*words[:-1], f"127.0.0.1:{admin}"]


def _take(variant: str, admin: int, program: subject.Subject) -> Row:
    """Requests first: what the page has seen of streams must not slow them."""
    with _page(variant, admin):
        row = measures.requests(program, 0)
        return {**row, **measures.streaming(program, STREAMS, EVENTS, HZ)}


@contextlib.contextmanager
def _page(variant: str, admin: int) -> Iterator[None]:
    """What a page would read, in a process on the load's core."""
    if variant not in ("open", "followed"):
        yield
        return
    words = [sys.executable, "-c", _READER, f"http://127.0.0.1:{admin}", variant]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=subject.pinned_to("load")
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"reading\n":
            raise subject.Spoiled("the inspector's list cannot be read")
        yield
        if process.poll() is not None:
            raise subject.Spoiled("the inspector's list ended while it was read")
    finally:
        process.kill()
        process.communicate()
