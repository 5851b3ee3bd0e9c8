"""What may be sent twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import (
    ClientGone,
    ConfigurationError,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectTimeout,
    ProxyError,
    ResponseIncomplete,
    TlsCertificateError,
    TotalTimeout,
    UpstreamTimeout,
)
from proxy.core.retry import (
    BUDGET_FLOOR,
    BUDGET_SHARE,
    Budget,
    after_answer,
    after_no_connection,
    may_repeat,
    retry_after_s,
)
from proxy.core.routes import RetryPolicy

from .samples import response


@pytest.mark.parametrize(
    ("method", "expected"),
    [(name, True) for name in (b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE")]
    + [(name, False) for name in (b"POST", b"PATCH", b"BREW", b"get")],
)
def test_only_idempotent_methods_are_repeated(method: bytes, expected: bool) -> None:
    """MUST. R1, R6. RFC 9110 section 9.2.2."""
    assert may_repeat(ConnectionTerminated(), method, replayable=True, told_client=False, unread=False) is expected


def test_what_the_upstream_provably_never_took_is_repeated_whatever_its_method() -> None:
    """MUST. R2, R3."""
    assert may_repeat(ConnectionTerminated(), b"POST", replayable=True, told_client=False, unread=True)


@pytest.mark.parametrize("error", [ResponseIncomplete(), UpstreamTimeout()])
def test_only_a_connection_that_ended_without_a_byte_is_a_reason(error: ProxyError) -> None:
    """MUST. R2."""
    assert not may_repeat(error, b"GET", replayable=True, told_client=False, unread=True)


def test_a_body_that_is_gone_cannot_be_repeated() -> None:
    """MUST. R4."""
    assert not may_repeat(ConnectionTerminated(), b"PUT", replayable=False, told_client=False, unread=True)


def test_nothing_is_repeated_once_the_client_had_a_byte() -> None:
    """MUST. R5: a 1xx counts."""
    assert not may_repeat(ConnectionTerminated(), b"GET", replayable=True, told_client=True, unread=True)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((kind(), True) for kind in (ConnectionRefused, ConnectTimeout, TlsCertificateError)),
        *((kind(), False) for kind in (TotalTimeout, ClientGone, ConfigurationError)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_another_upstream_is_tried_where_no_connection_came_about(error: ProxyError, expected: bool) -> None:
    """MUST. R2, R7."""
    assert after_no_connection(RetryPolicy(2), error, untouched=True, replayable=False) is expected


@pytest.mark.parametrize(
    ("connect", "untouched", "replayable", "expected"),
    [(True, True, False, True), (True, False, True, True), (True, False, False, False), (False, True, True, False)],
)
def test_a_body_must_be_untouched_or_at_hand(connect: bool, untouched: bool, replayable: bool, expected: bool) -> None:
    """MUST. R4."""
    assert after_no_connection(RetryPolicy(2, connect), ConnectionRefused(), untouched, replayable) is expected


@pytest.mark.parametrize(
    ("status", "replayable", "told_client", "expected"),
    [
        (503, True, False, True),
        (502, True, False, False),
        (200, True, False, False),
        (503, False, False, False),
        (503, True, True, False),
    ],
)
def test_another_upstream_is_tried_after_the_statuses_that_are_named(
    status: int, replayable: bool, told_client: bool, expected: bool
) -> None:
    """MUST. R5, R7."""
    assert after_answer(RetryPolicy(2, statuses=frozenset({503})), status, replayable, told_client) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", 0),
        (b"120", 120),
        (b"9" * 40, 999_999_999),
        (b"Thu, 01 Jan 1970 00:16:45 GMT", 5),
        (b"Thursday, 01-Jan-70 00:16:45 GMT", 5),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", -1000),
        (b"Thu, 01 Jan 1970 00:16:45 -0000", None),
        (b"soon", None),
        (b"-5", None),
        (b"\xff", None),
        (b"", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value: bytes, expected: float | None) -> None:
    """RFC 9110 section 10.2.3; the tests' clock stands at 1000 seconds since 1970."""
    assert retry_after_s(response(b"HTTP/1.1 503 Busy", b"Retry-After: " + value), 1000) == expected


def test_without_retry_after_nothing_is_asked() -> None:
    assert retry_after_s(response(), 0) is None


@given(st.lists(st.sampled_from([0.0, 0.01, 0.5]), max_size=300))
def test_retries_are_at_most_their_share_and_a_few(pauses: list[float]) -> None:
    """MUST. R8: every request here wants to be tried again."""
    budget, now, granted = Budget(), 0.0, 0
    for number, pause in enumerate(pauses, 1):
        now += pause
        budget.asked(now)
        granted += budget.spend(now)
        fading_again = now / 10 * BUDGET_FLOOR + BUDGET_FLOOR  # what time alone gives back of the few
        assert granted <= fading_again + BUDGET_SHARE * number + 1
