"""What may be sent twice."""

import pytest

from proxy.core.errors import ConnectionTerminated, ProxyError, ResponseIncomplete, UpstreamTimeout
from proxy.core.retry import may_repeat


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
