"""Which requests may be sent a second time. Never after a byte, also of a 1xx, went to the client.

`may_repeat` is the one repetition on a new connection to the same upstream, which is always on. The rest is for routes
that ask for another upstream: by that their operator declares that their requests may be repeated.
Source: RFC 9110 sections 9.2.2 and 10.2.3, RFC 9112 section 9.3.1.
"""

from email.utils import parsedate_to_datetime

from proxy.core.errors import ConnectionTerminated, ProxyError, TotalTimeout, UpstreamError
from proxy.core.health import Fading
from proxy.core.message import ResponseHead
from proxy.core.routes import RetryPolicy

IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})
# Of a route's requests, counted as Health counts, one in five may be tried again; and these few always.
BUDGET_SHARE = 0.2
BUDGET_FLOOR = 10
_LONGEST_NUMBER = 9


def may_repeat(error: ProxyError, method: bytes, replayable: bool, told_client: bool, unread: bool) -> bool:
    """Whether a request that failed on a kept connection is sent once more, on a new one.

    `replayable` is whether all of its body is still at hand, `told_client` whether the client has had a byte already,
    `unread` whether the upstream's own TCP provably took no byte of it. A POST may have been acted upon otherwise, and
    is left to the client.
    """
    repeatable = unread or method in IDEMPOTENT
    return isinstance(error, ConnectionTerminated) and repeatable and replayable and not told_client


def after_no_connection(policy: RetryPolicy, error: ProxyError, untouched: bool, replayable: bool) -> bool:
    """Whether a request for which no connection came about goes to another upstream.

    `untouched` is whether nothing of it was sent to anybody. What the client has had does not matter: a heartbeat
    promised nothing that another upstream could not keep.
    """
    return policy.connect and is_passed_over(error) and (untouched or replayable)


def after_answer(policy: RetryPolicy, status: int, replayable: bool, told_client: bool) -> bool:
    """Whether a request that was answered so goes to another upstream."""
    return status in policy.statuses and replayable and not told_client


def is_passed_over(error: ProxyError) -> bool:
    """Whether an attempt that failed so may leave it to others: one that is still asked, or one that answered before.

    Not where the client is the reason, or no time is left for any answer.
    """
    return isinstance(error, UpstreamError) and not isinstance(error, TotalTimeout)


def retry_after_s(head: ResponseHead, wall_time: float) -> float | None:
    """How long the upstream asks to be left alone, in seconds; None where it does not or cannot be understood.

    `wall_time` is in seconds since 1970, for the form that is a date.
    """
    for value in head.values(b"retry-after"):
        if value.isdigit():
            return float(value[:_LONGEST_NUMBER])
        try:
            moment = parsedate_to_datetime(value.decode("ascii"))
        except ValueError:
            return None
        return moment.timestamp() - wall_time if moment.tzinfo is not None else None
    return None


class Budget:
    """How many retries a route may make, so that an outage does not multiply what its upstreams have to bear."""

    __slots__ = ("_requests", "_retries")

    def __init__(self) -> None:
        self._requests, self._retries = Fading(), Fading()

    def asked(self, now: float) -> None:
        """A request came."""
        self._requests.add(now)

    def spend(self, now: float) -> bool:
        """Takes one retry out of it; False where none is left."""
        if self._retries.at(now) + 1 > BUDGET_FLOOR + BUDGET_SHARE * self._requests.at(now):
            return False
        self._retries.add(now)
        return True
