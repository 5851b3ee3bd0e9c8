"""Whether an upstream is used: by how real requests to it went, and by what it says when it is asked.

Two judgements, either of which leaves it out. Requests: as many failures as `unhealthy_after` within some ten seconds,
if at least half of the requests failed, eject it for `eject`; then one request is its trial, and others wait for how
that ends. Checks: it is asked for `path`, and its state follows answers in a row. No clock in here: the time is passed
in, in seconds of any clock that never goes back.
"""

import math
from typing import Literal

from proxy.core.routes import HealthPolicy

Event = Literal["ejected", "unhealthy", "back"]
"""What became of an upstream: left out for failed requests, for failed checks, or used again."""
State = Literal["up", "ejected", "trial", "unhealthy"]

# After so many seconds a failure counts half: what is long ago says little, and two within that time are two.
HALF_LIFE_S = 10.0
# How much of a count may have faded for it still to be reached.
_SLACK = 0.5
# For how long an upstream is believed that says when to come back; then it is asked again.
MAX_REST_S = 60.0
# How early or late a check may come, as a part of `every`: upstreams and workers then do not ask in step.
JITTER = 0.1
# The first one comes within this time, so that a start learns soon who is there.
FIRST_CHECK_S = 1.0

# What is the upstream's doing: it cannot be reached, is late, or breaks off. Not what a client, a limit on the whole
# exchange or one odd answer brought about.
_FAILURES = frozenset(
    [
        *("dns_error", "dns_timeout", "connection_refused", "destination_unavailable"),
        *("destination_ip_unroutable", "destination_ip_prohibited"),
        *("connection_timeout", "tls_protocol_error", "tls_certificate_error", "tls_alert_received"),
        *("connection_terminated", "http_response_incomplete", "http_protocol_error", "http_response_timeout"),
        *("first_byte_timeout", "connection_read_timeout", "connection_write_timeout"),
    ]
)


def is_failure(code: str) -> bool:
    """Whether an exchange that failed so counts against its upstream; `code` is as observers are told."""
    return code in _FAILURES


def is_up(status: int) -> bool:
    """Whether that answer to a check is a good one."""
    return 200 <= status < 400


def next_check_s(policy: HealthPolicy, chance: float, first: bool) -> float:
    """Seconds until an upstream is asked, the first time or the next; `chance` is from 0 to 1."""
    if first:
        return chance * min(policy.every, FIRST_CHECK_S)
    return policy.every * (1 + JITTER * (2 * chance - 1))


class Fading:
    """A count of which half is forgotten every HALF_LIFE_S."""

    __slots__ = ("_at", "_count")

    def __init__(self) -> None:
        self._count = self._at = 0.0

    def at(self, now: float) -> float:
        """What is left of it."""
        return self._count * math.exp2((self._at - now) / HALF_LIFE_S)

    def add(self, now: float) -> None:
        """Counts one."""
        self._count, self._at = self.at(now) + 1, now

    def clear(self) -> None:
        """Forgets all of it."""
        self._count = 0.0


class Health:
    """What is known of one upstream of a route. It outlives a reload, which may give it another `policy`."""

    __slots__ = (
        "_bad",
        "_checked_up",
        "_ejected_until",
        "_failed",
        "_good",
        "_rests_until",
        "_trial",
        "_trials",
        "_tried",
        "policy",
    )

    def __init__(self, policy: HealthPolicy) -> None:
        self.policy = policy
        self._failed, self._tried = Fading(), Fading()
        self._ejected_until: float | None = None
        self._trials = self._trial = 0
        self._rests_until = 0.0
        self._checked_up = True
        self._good = self._bad = 0

    def state(self, now: float) -> State:
        """What it is in a word; `trial` is one that is tried again, or may be."""
        if not self._checked_up:
            return "unhealthy"
        if self._ejected_until is None:
            return "up"
        return "trial" if now >= self._ejected_until else "ejected"

    def is_usable(self, now: float) -> bool:
        """Whether a request may go there."""
        if not self._checked_up:
            return False
        return self._ejected_until is None or (now >= self._ejected_until and not self._trial)

    def rests_until(self, now: float) -> float:
        """Until when it asked to be left alone, 0 if it did not or that is over."""
        return self._rests_until if self._rests_until > now else 0.0

    def usable_in(self, now: float) -> float:
        """Seconds after which one that is left out may be used again; where a check or a trial decides, a guess."""
        if not self._checked_up:
            return self.policy.every
        return max((self._ejected_until or now) - now, 1.0)

    def begin(self) -> int:
        """A request goes there. Where it was ejected that is its trial: returns its number for what follows, else 0."""
        if self._ejected_until is None:
            return 0
        self._trials += 1
        self._trial = self._trials
        return self._trial

    def succeeded(self, now: float, trial: int) -> Event | None:
        """A request was answered. Only a trial's answer ends the time for which an upstream is left out."""
        self._tried.add(now)
        if not trial or trial != self._trial:
            return None
        self._reopen()
        return "back"

    def spared(self, trial: int) -> None:
        """A request ended without saying anything about the upstream; if it was the trial, another one may be."""
        if trial and trial == self._trial:
            self._trial = 0

    def failed(self, now: float, trial: int) -> Event | None:
        """A request failed through the upstream's doing."""
        self._tried.add(now)
        self._failed.add(now)
        eject_s = self.policy.eject
        if self._ejected_until is not None:
            if trial and trial == self._trial:  # what comes late of older requests changes nothing
                self._trial, self._ejected_until = 0, now + (eject_s or 0.0)
            return None
        failed, tried = self._failed.at(now), self._tried.at(now)
        if eject_s is None or failed < self.policy.unhealthy_after - _SLACK or 2 * failed < tried:
            return None
        self._ejected_until = now + eject_s
        return "ejected"

    def rest(self, now: float, seconds: float) -> None:
        """It said that it is to be left alone for so long."""
        self._rests_until = now + min(max(seconds, 0.0), MAX_REST_S)

    def checked(self, good: bool) -> Event | None:
        """It was asked, and gave a good answer or not."""
        self._good, self._bad = (self._good + 1, 0) if good else (0, self._bad + 1)
        if self._checked_up and self._bad >= self.policy.unhealthy_after:
            self._checked_up = False
            return "unhealthy"
        if not self._checked_up and self._good >= self.policy.healthy_after:
            self._checked_up = True
            self._reopen()
            return "back"
        return None

    def unchecked(self) -> None:
        """Nobody asks any more: what checks said is forgotten."""
        self._checked_up, self._good, self._bad = True, 0, 0

    def _reopen(self) -> None:
        self._ejected_until, self._trial = None, 0
        self._failed.clear()
        self._tried.clear()
