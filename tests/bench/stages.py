"""What reading a stream and each stage cost per event, beside writing it on: `python -m tests.bench --only stages`.

CPU microseconds per event of a chat completion, each event in a read of its own, the best of five rounds: these are
pure functions, so that nothing but this process's own work counts. What is compressed comes as from a server that
flushes.
"""

import time
import zlib
from collections.abc import Callable

from proxy.core.dialects.openai import Chat
from proxy.core.framers.sse import SseFramer
from proxy.core.stages.convert import LinesToEvents
from proxy.core.stages.decode import Decode
from proxy.core.stages.events import Whole
from proxy.core.watch import Watch

from .beside import Bench
from .origin import DONE, EVENT, EVENT_TAIL
from .report.table import Section, Table, number

EVENTS = 20_000
ROUNDS = 5
LIMIT_BYTES = 1024 * 1024
Take = Callable[[bytes], object]


def events() -> list[bytes]:
    """The stream, an event a read."""
    return [EVENT % (number, 10**9 + number) for number in range(EVENTS - 1)] + [DONE]


def lines() -> list[bytes]:
    """The same as lines of JSON."""
    return [b'{"n":%d,"at":%d%b\n' % (number, 10**9 + number, EVENT_TAIL) for number in range(EVENTS)]


def compressed() -> list[bytes]:
    """The same in gzip, flushed after each event."""
    coder = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    return [coder.compress(event) + coder.flush(zlib.Z_SYNC_FLUSH) for event in events()]


def watching(exact: bool) -> Take:
    """What reads a stream on its way out, as far as a route without stages needs it, or with something to put in."""
    watch = Watch("sse", Chat(), LIMIT_BYTES, exact)
    return lambda data: watch.feed(data, 1.0)


CASES: dict[str, tuple[Callable[[], list[bytes]], Callable[[], Take]]] = {
    "reading it (every route)": (events, lambda: watching(exact=False)),
    "reading it (heartbeat, on_break)": (events, lambda: watching(exact=True)),
    "deliver: events": (events, lambda: Whole(SseFramer(LIMIT_BYTES)).feed),
    "decoding gzip": (compressed, lambda: Decode(b"gzip").feed),
    "convert: ndjson-to-sse": (lines, lambda: LinesToEvents(LIMIT_BYTES).feed),
}


def cost_us(reads: list[bytes], make: Callable[[], Take], rounds: int) -> list[float]:
    """CPU microseconds per event, round by round."""
    found = []
    for _ in range(rounds):
        take = make()
        started = time.process_time()
        for data in reads:
            take(data)
        found.append((time.process_time() - started) * 1e6 / len(reads))
    return found


def section(bench: Bench) -> Section:
    """All cases, one after the other."""
    rounds = bench.times(ROUNDS)
    found = {name: cost_us(reads(), make, rounds) for name, (reads, make) in CASES.items()}
    table = Table(
        "What a stage costs an event, beside writing it on",
        ("CPU per event, us",),
        tuple((name, number(min(values), 2)) for name, values in found.items()),
        "The best round of this process alone; only what a route asks for is in the path.",
    )
    return Section("stages", table, {"rounds": found})
