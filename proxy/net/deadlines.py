"""Deadlines without timers per event: one coarse timer a worker looks at stamps that are written anyway.

A deadline therefore fires up to `TICK_S` late, and one of more than ten seconds up to `LONG_TICKS` of them, which is
nothing beside what it guards. What cannot have passed yet (`due`) is not even looked at.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Protocol

from proxy.core.errors import (
    BodyTimeout,
    ClientStalled,
    FirstByteTimeout,
    ProxyError,
    RequestTimeout,
    TotalTimeout,
    UploadTimeout,
    UpstreamTimeout,
)
from proxy.core.routes import Timeouts

log = logging.getLogger("proxy")

TICK_S = 0.1
# What may wait for some seconds at least has a turn once in so many ticks. A prime number, so that it spreads whatever
# the size of the objects.
LONG_TICKS = 11


class Watched(Protocol):
    """Something with deadlines."""

    def check(self, now: float) -> None:
        """Looks at the clock, in seconds of time.monotonic; may add or discard watched things."""


class Patient(Watched, Protocol):
    """Something whose deadlines are all some seconds away at least."""

    due: float
    """When the first of them may have passed, in seconds of time.monotonic: there is no `check` before."""


class Sweeper:
    """Checks everything watched: once a tick, or once in LONG_TICKS what has time; at rest there is no timer.

    What has time is spread over the ticks, so that ten thousand open streams are not all looked at in one turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._often: set[Watched] = set()
        self._seldom: list[set[Patient]] = [set() for _ in range(LONG_TICKS)]
        self._tick = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._often) + sum(map(len, self._seldom))

    def add(self, watched: Watched) -> None:
        """Watches from now on; a second time is the same as once."""
        self._often.add(watched)
        if self._timer is None:
            self._start()

    def add_patient(self, watched: Patient) -> None:
        """The same for what has time."""
        # Objects lie 16 bytes apart, or some multiple of it.
        self._seldom[(id(watched) >> 4) % LONG_TICKS].add(watched)
        if self._timer is None:
            self._start()

    def discard(self, watched: Watched) -> None:
        """Stops watching."""
        self._often.discard(watched)
        self._seldom[(id(watched) >> 4) % LONG_TICKS].discard(watched)

    def close(self) -> None:
        """Stops for good."""
        self._often.clear()
        for patient in self._seldom:
            patient.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self) -> None:
        self._timer = self._loop.call_later(TICK_S, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        self._tick = (self._tick + 1) % LONG_TICKS
        now = time.monotonic()
        for watched in (*self._often, *[patient for patient in self._seldom[self._tick] if patient.due <= now]):
            try:
                watched.check(now)
            except Exception:  # one's fault must not become everybody's
                self.discard(watched)
                log.exception("%r is not looked at any more", watched)
        if self._timer is None and (self._often or any(self._seldom)):
            self._start()


class Deadlines:
    """The clocks of one exchange.

    Each says since when we wait for whom; None is not waiting. What expires is given to `expire`. A side that still
    takes bytes, however slowly, is never cut: its clock starts anew whenever its backlog has shrunk. Times are
    those of `time.monotonic`: finer than a loop's, which stands still while a turn runs.
    """

    __slots__ = (
        "_backlog",
        "_timeouts",
        "body_since",
        "client_body_since",
        "client_unsent",
        "client_write_since",
        "due",
        "expire",
        "first_byte_since",
        "has_time",
        "head_since",
        "started",
        "upload_since",
        "upstream_unsent",
    )

    def __init__(self, timeouts: Timeouts, started: float) -> None:
        self._timeouts = timeouts
        self.has_time = timeouts.has_time
        """Whether it is enough to look from time to time."""
        self.expire: Callable[[ProxyError], None] = _nobody
        """Who is told of the deadline that passed."""
        self._backlog = 0
        self.due = 0.0
        """Later than now only in a body that flows: with an `idle` of five minutes it is looked at once in as many. A
        look takes a microsecond, to find that none is due a twentieth of it."""
        self.started = started
        self.head_since: float | None = None
        self.first_byte_since: float | None = None
        self.body_since: Callable[[], float] | None = None
        """When the upstream was last heard inside the body."""
        self.client_body_since: float | None = None
        self.client_write_since: float | None = None
        self.client_unsent: Callable[[], int] | None = None
        """Bytes the client has yet to take."""
        self.upload_since: float | None = None
        self.upstream_unsent: Callable[[], int] | None = None
        """Bytes the upstream has yet to take."""

    def wait_for_client(self, unsent: Callable[[], int], now: float) -> None:
        """The client has to take what is written before more is read for it; `unsent` says how many bytes are left.

        Looked at often from now on, as all that it takes counts.
        """
        self.client_unsent, self.client_write_since, self.due = unsent, now, 0.0

    def release(self) -> None:
        """Lets go of whom it watched: they refer to their clocks too, and only the collector frees such circles."""
        self.expire = _nobody
        self.body_since = self.client_unsent = self.upstream_unsent = None

    def check(self, now: float) -> None:
        """Gives out the first deadline that has passed."""
        error = self._expired(now)
        if error is not None:
            self.expire(error)

    def _expired(self, now: float) -> ProxyError | None:
        timeouts = self._timeouts
        if _over(self.started, timeouts.total, now):
            return TotalTimeout()
        if self.client_write_since is not None:  # the upstream is not heard because the client does not read
            self.client_write_since = self._moved(self.client_unsent, self.client_write_since, now)
            return ClientStalled() if _over(self.client_write_since, timeouts.client_write, now) else None
        if self.upload_since is not None:
            self.upload_since = self._moved(self.upstream_unsent, self.upload_since, now)
            if _over(self.upload_since, timeouts.idle, now):
                return UploadTimeout()
        if _over(self.client_body_since, timeouts.client_body, now):
            return RequestTimeout()
        if self.body_since is not None:
            if self.first_byte_since is not None and _over(self.first_byte_since, timeouts.first_byte, now):
                return FirstByteTimeout()
            heard_at = self.body_since()
            if self.upload_since is None and self.client_body_since is None and self.first_byte_since is None:
                self.due = min(_end(heard_at, timeouts.idle), _end(self.started, timeouts.total))
            return BodyTimeout() if _over(heard_at, timeouts.idle, now) else None
        return UpstreamTimeout() if _over(self.head_since, timeouts.head, now) else None

    def _moved(self, unsent: Callable[[], int] | None, since: float, now: float) -> float:
        """Since when that side takes nothing at all."""
        backlog = unsent() if unsent is not None else 0
        moved, self._backlog = backlog < self._backlog, backlog
        return now if moved else since


def _nobody(error: ProxyError) -> None:
    """Before there is anything to end."""


def _end(since: float, limit_s: float | None) -> float:
    return math.inf if limit_s is None else since + limit_s


def _over(since: float | None, limit_s: float | None, now: float) -> bool:
    return since is not None and limit_s is not None and now - since > limit_s
