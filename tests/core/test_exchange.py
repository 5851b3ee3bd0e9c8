"""Rules of what observers are told: who ended an exchange, and that the first failure counts."""

import typing

import pytest

from proxy.core import errors
from proxy.core.dialects import Usage
from proxy.core.errors import ClientGone, ConnectionTerminated, Draining, ProxyError, RequestRefused
from proxy.core.exchange import Exchange, Outcome
from tests.core.test_errors import EVERY

OUTCOMES = {
    "ClientGone": "client_closed",
    "ClientStalled": "client_stalled",
    "Draining": "drained",
    "UpstreamTimeout": "upstream_timeout",
    "ConnectTimeout": "upstream_timeout",
    "BodyTimeout": "upstream_timeout",
    "FirstByteTimeout": "upstream_timeout",
    "UploadTimeout": "upstream_timeout",
    "TotalTimeout": "upstream_timeout",
    "UpstreamError": "upstream_aborted",
    "DnsError": "upstream_aborted",
    "DnsTimeout": "upstream_timeout",
    "NoConnection": "upstream_aborted",
    "ConnectionRefused": "upstream_aborted",
    "DestinationProhibited": "upstream_aborted",
    "DestinationUnroutable": "upstream_aborted",
    "TlsProtocolError": "upstream_aborted",
    "TlsCertificateError": "upstream_aborted",
    "TlsAlertReceived": "upstream_aborted",
    "ConnectionTerminated": "upstream_aborted",
    "ResponseIncomplete": "upstream_aborted",
    "ResponseMalformed": "upstream_aborted",
    "ResponseHeadTooLarge": "upstream_aborted",
    "TransferCodingUnknown": "upstream_aborted",
    "ContentCodingBroken": "upstream_aborted",
    "UpgradeFailed": "upstream_aborted",
    "StreamRefused": "upstream_aborted",
    "NoUpstream": "upstream_aborted",
    "TunnelIdle": "tunnel_closed",
}


# Where the token says less: every deadline has a code of its own. T1.
CODES = {
    "FirstByteTimeout": "first_byte_timeout",
    "TotalTimeout": "total_timeout",
    "TunnelIdle": "tunnel_idle",
    "StreamRefused": "stream_refused",
    "Draining": "draining",
}


def begun(**changes: typing.Any) -> Exchange:
    return Exchange(request_id="1", wall_time=0.0, started=0.0, **changes)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_every_failure_has_its_outcome_and_its_code(error: type[ProxyError]) -> None:
    """MUST. A14, O6: what neither the client's leaving, nor the upstream, nor a stop has caused was refused."""
    exchange = begun()
    exchange.failed(error())
    assert exchange.outcome == OUTCOMES.get(error.__name__, "refused")
    assert exchange.code == CODES.get(error.__name__, error.token)
    assert exchange.outcome in typing.get_args(Outcome)


def test_an_exchange_is_complete_unless_something_failed() -> None:
    """MUST. O6."""
    exchange = begun()
    assert (exchange.outcome, exchange.code, exchange.status) == ("complete", "", 0)


@pytest.mark.parametrize(
    ("first", "second", "outcome", "code"),
    [
        (ConnectionTerminated(), ClientGone(), "upstream_aborted", "connection_terminated"),
        (ClientGone(), ConnectionTerminated(), "client_closed", "client_closed"),
        (Draining(), ClientGone(), "drained", "draining"),
        (RequestRefused(), errors.OwnError(), "refused", "http_request_denied"),
    ],
    ids=["upstream, then client", "client, then upstream", "stop, then client", "refused, then our own"],
)
def test_the_first_failure_counts_as_the_others_follow_from_it(
    first: ProxyError, second: ProxyError, outcome: str, code: str
) -> None:
    """MUST. A14, D4: one failure, one side."""
    exchange = begun()
    exchange.failed(first)
    status = exchange.status
    exchange.failed(second)
    assert (exchange.outcome, exchange.code, exchange.status) == (outcome, code, status)


@pytest.mark.parametrize(("status", "logged"), [(0, 499), (200, 200)], ids=["unanswered", "answered"])
def test_a_client_that_left_is_499_unless_it_had_an_answer(status: int, logged: int) -> None:
    """MUST. D3."""
    exchange = begun(status=status)
    exchange.failed(ClientGone())
    assert exchange.status == logged


@pytest.mark.parametrize("error", [ConnectionTerminated(), RequestRefused(), Draining()], ids=lambda error: error.token)
def test_no_other_failure_says_what_was_answered(error: ProxyError) -> None:
    """MUST. O6: whoever writes the answer knows its status."""
    exchange = begun()
    exchange.failed(error)
    assert exchange.status == 0


@pytest.mark.parametrize(
    ("so_far", "phase"),
    [
        ({}, "plan"),
        ({"attempts": 1}, "upload"),
        ({"attempts": 1, "sent_at": 1.0}, "waiting"),
        ({"attempts": 1, "sent_at": 1.0, "head_at": 2.0}, "body"),
        ({"attempts": 1, "head_at": 2.0}, "body"),  # an answer that came before the request was whole
    ],
)
def test_the_phase_is_how_far_a_failed_exchange_came(so_far: dict[str, typing.Any], phase: str) -> None:
    exchange = begun(**so_far)
    exchange.failed(ClientGone())
    assert exchange.phase == phase


@pytest.mark.parametrize("outcome", ["complete", "tunnel_closed"])
def test_what_completed_has_no_phase(outcome: Outcome) -> None:
    assert begun(outcome=outcome, attempts=1, head_at=2.0).phase is None


def test_a_client_that_leaves_a_tunnel_ends_it_and_fails_nothing() -> None:
    exchange = begun(outcome="tunnel_closed", status=101)
    exchange.failed(ClientGone())
    assert (exchange.outcome, exchange.code, exchange.status) == ("tunnel_closed", "", 101)


@pytest.mark.parametrize(
    ("so_far", "side"),
    [
        ({}, None),
        ({"max_gap": 0.99, "max_stall": 0.99}, None),
        ({"max_gap": 1.0}, "upstream"),
        ({"max_stall": 1.0}, "client"),
        ({"max_gap": 3.0, "max_stall": 2.0}, "upstream"),
        ({"max_gap": 2.0, "max_stall": 3.0}, "client"),
        ({"max_gap": 2.0, "max_stall": 2.0}, "client"),
        ({"outcome": "client_stalled", "max_gap": 9.0}, "client"),
        ({"outcome": "upstream_timeout", "max_stall": 9.0}, "upstream"),
    ],
)
def test_an_exchange_stalled_on_whom_it_waited_for_longest(so_far: dict[str, typing.Any], side: str | None) -> None:
    """MUST. O6: a second is worth a word; a deadline that passed names its side."""
    assert begun(**so_far).stalled_on == side


@pytest.mark.parametrize(
    ("usage", "first", "last", "rate"),
    [
        (Usage(output=10), 2.0, 4.0, 5.0),
        (Usage(output=0), 2.0, 4.0, 0.0),
        (Usage(output=2**53), 2.0, 3.0, 2.0**53),
        (Usage(input=10), 2.0, 4.0, None),
        (None, 2.0, 4.0, None),
        (Usage(output=10), None, 4.0, None),
        (Usage(output=10), 2.0, None, None),
        (Usage(output=10), 2.0, 2.0, None),
    ],
)
def test_tokens_are_counted_per_second_from_the_first_one_on(
    usage: Usage | None, first: float | None, last: float | None, rate: float | None
) -> None:
    assert begun(usage=usage, first_token_at=first, last_byte_at=last).tokens_per_s == rate
