"""What a process of ours sets up once, before it serves: its loop, its files, its collector."""

import asyncio
import contextlib
import gc
import os
import resource
import sys
from collections.abc import Iterable

# The client's connection and the upstream's; and what listens, the log, the loop, kept connections.
FILES_PER_EXCHANGE, FILES_BESIDE = 2, 100
# What a proxy should bear at once of which nobody has said how much that is.
USUAL_EXCHANGES = 1000
# Soft limits to try where the hard one is none: the second is what macOS always allows.
_WHERE_UNLIMITED = (65_536, 10_240)


def loop_factory() -> asyncio.AbstractEventLoop:
    """A uvloop loop where there is one, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def calm_collector() -> None:
    """What was loaded stays; what a request leaves is freed by reference counts. 7 % of a request's time otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def open_standard_streams() -> None:
    """Opens /dev/null where a parent closed 0, 1 or 2: our sockets would get their numbers, and the log's bytes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def raise_file_limit() -> None:
    """Raises the soft limit as far as it goes: it is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, *_WHERE_UNLIMITED):
        if soft == resource.RLIM_INFINITY or (wanted != resource.RLIM_INFINITY and wanted <= soft):
            return
        with contextlib.suppress(ValueError, OSError):  # macOS calls the hard limit unlimited and then refuses it
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def few_files(concurrent: Iterable[int | None]) -> str:
    """What to say where this process may open too few files for what the routes allow at once; empty if it may not.

    `concurrent` are the routes' `limits.concurrent`; all that have none count as `USUAL_EXCHANGES` together.
    """
    limits = list(concurrent)
    wanted = sum(limit for limit in limits if limit is not None) + (USUAL_EXCHANGES if None in limits else 0)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = soft if hard == resource.RLIM_INFINITY else hard
    held = max(0, files - FILES_BESIDE) // FILES_PER_EXCHANGE
    if files == resource.RLIM_INFINITY or held >= wanted:
        return ""
    return (
        f"open files: this process may have {files}, enough for {held} exchanges at once and not for {wanted}; "
        f"raise the limit to {wanted * FILES_PER_EXCHANGE + FILES_BESIDE} (ulimit -n, LimitNOFILE, --ulimit nofile)"
    )
