"""What the inspector costs: `python -m tests.bench.inspector [--rounds N]`.

The measure is that of `events` (400 streams, 40 events/s each): CPU microseconds per event of the whole process.

off        no admin listener, so no inspector
closed     the inspector is on, and nobody looks
open       a page reads the list: bodies and moments of all 400 streams are copied
followed   and one of the exchanges is read event by event as well

Differences are between medians of rounds in turn. Exit code 1 if an open page costs more than 10 us an event, or a
closed one more than the rounds of `off` wander by themselves.
"""

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from . import measures, peers, subject
from .__main__ import raise_file_limit

VARIANTS = ("off", "closed", "open", "followed")
STREAMS = 400
MOST_US = 10.0
_READER = """
import sys, urllib.request, time, json
url = sys.argv[1]
list_ = urllib.request.urlopen(url + "/api/events", timeout=60)
print("reading", flush=True)
if sys.argv[2] == "followed":
    while not (found := json.load(urllib.request.urlopen(url + "/api/exchanges?open=true"))["exchanges"]):
        time.sleep(0.05)
    import threading
    one = urllib.request.urlopen(f"{url}/api/exchanges/{found[0]['id']}/events", timeout=60)
    threading.Thread(target=lambda: [None for _ in one], daemon=True).start()
for _ in list_:
    pass
"""


def command(variant: str, admin: int, origin: int, port: int) -> list[str]:
    """How the proxy is started."""
    words = peers.streamsafe(origin, port)
    return words if variant == "off" else [*words[:-1], f"127.0.0.1:{admin}"]


@contextlib.contextmanager
def page(variant: str, admin: int) -> Iterator[None]:
    """What a page would read, in a process on the load's core."""
    if variant in ("off", "closed"):
        yield
        return
    words = [sys.executable, "-c", _READER, f"http://127.0.0.1:{admin}", variant]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, preexec_fn=subject.pinned_to("load")
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"reading\n"
        yield
    finally:
        process.kill()
        process.communicate()


def cost_us(variant: str, origin: int, folder: Path) -> float:
    """One round."""
    admin = subject.free_port()
    with (
        subject.started(variant, partial(command, variant, admin, origin), origin, folder / "log") as program,
        page(variant, admin),
    ):
        return float(measures.events(program, STREAMS)["cpu_us_per_event"])


def main() -> int:
    """Prints a line for each variant; the exit code says whether the limits hold."""
    parser = argparse.ArgumentParser(description="Measures what the inspector costs.")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    rounds = parser.parse_args().rounds
    raise_file_limit()
    found: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    with tempfile.TemporaryDirectory() as folder, subject.origin(Path(folder) / "origin.log") as origin:
        for _ in range(rounds):
            for variant in VARIANTS:
                found[variant].append(cost_us(variant, origin, Path(folder)))
    base = statistics.median(found["off"])
    for variant, values in found.items():
        middle = statistics.median(values)
        print(f"{variant:9} {middle:6.2f} us/event  {middle - base:+6.2f}  ({min(values):.2f} to {max(values):.2f})")
    wander = max(found["off"]) - min(found["off"])
    closed, opened = (statistics.median(found[variant]) - base for variant in ("closed", "open"))
    return 0 if opened <= MOST_US and closed <= max(wander, 0.5) else 1


if __name__ == "__main__":
    sys.exit(main())
