"""When an upstream is left out, and when it is used again. Times are seconds of a clock that the tests move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import (
    ClientGone,
    ClientStalled,
    ConnectionRefused,
    ConnectionTerminated,
    ConnectTimeout,
    Draining,
    OwnError,
    ProxyError,
    ResponseIncomplete,
    StreamRefused,
    TotalTimeout,
    UpstreamTimeout,
)
from proxy.core.health import HALF_LIFE_S, MAX_REST_S, Fading, Health, is_failure, is_up, next_check_s
from proxy.core.routes import HealthPolicy


def ejected(policy: HealthPolicy | None = None) -> Health:
    """One that failed at second 0."""
    health = Health(policy or HealthPolicy())
    for _ in range(health.policy.unhealthy_after - 1):
        assert health.failed(0, health.begin()) is None
    assert health.failed(0, health.begin()) == "ejected"
    return health


def test_a_new_one_is_used() -> None:
    health = Health(HealthPolicy())
    assert (health.state(0), health.is_usable(0)) == ("up", True)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_so_many_failures_eject(count: int) -> None:
    health = ejected(HealthPolicy(unhealthy_after=count))
    assert (health.state(1), health.is_usable(1), health.usable_in(1)) == ("ejected", False, 29)


def test_failures_that_are_long_apart_eject_nobody() -> None:
    health = Health(HealthPolicy())
    for number in range(20):
        assert health.failed(number * 2 * HALF_LIFE_S, 0) is None


def test_failures_among_mostly_good_answers_eject_nobody() -> None:
    health = Health(HealthPolicy())
    for number in range(300):
        assert health.succeeded(number / 100, 0) is None
        if number % 3 == 0:
            assert health.failed(number / 100, 0) is None


def test_half_of_the_requests_failing_is_enough() -> None:
    health = Health(HealthPolicy())
    events = []
    for number in range(4):
        health.succeeded(number / 100, 0)
        events.append(health.failed(number / 100, 0))
    assert "ejected" in events


def test_none_is_ejected_where_that_is_off() -> None:
    health = Health(HealthPolicy(eject=None))
    assert {health.failed(number, health.begin()) for number in range(10)} == {None}
    assert health.is_usable(10)


def test_after_its_time_one_request_is_its_trial_and_others_wait_for_it() -> None:
    health = ejected()
    assert not health.is_usable(29.9)
    assert (health.state(30), health.is_usable(30), health.usable_in(30)) == ("trial", True, 1)
    trial = health.begin()
    assert trial
    assert not health.is_usable(31)
    assert health.succeeded(32, trial) == "back"
    assert (health.state(32), health.is_usable(32)) == ("up", True)


def test_a_trial_that_fails_leaves_it_out_for_as_long_again_and_is_no_new_event() -> None:
    health = ejected()
    assert health.failed(30, health.begin()) is None
    assert (health.is_usable(59.9), health.is_usable(60)) == (False, True)


def test_a_trial_that_says_nothing_makes_place_for_another() -> None:
    health = ejected()
    health.spared(health.begin())
    assert health.is_usable(30)
    assert health.succeeded(30, health.begin()) == "back"


def test_what_ends_late_of_before_is_no_trial() -> None:
    """Requests that were under way when it was ejected neither bring it back nor keep it out."""
    health = ejected()
    assert health.succeeded(1, 0) is None
    assert health.failed(2, 0) is None
    health.spared(0)
    assert health.state(3) == "ejected"
    trial = health.begin()
    health.spared(0)
    health.failed(30, 0)
    assert not health.is_usable(30)
    assert health.succeeded(31, trial) == "back"


def test_an_old_trial_does_not_free_a_new_one() -> None:
    health = ejected()
    old = health.begin()
    health.succeeded(30, old)
    health.failed(40, 0)
    assert health.failed(40, 0) == "ejected"
    new = health.begin()
    health.spared(old)
    assert not health.is_usable(70)
    health.failed(70, old)
    assert health.succeeded(70, old) is None
    assert health.succeeded(71, new) == "back"


def test_what_was_counted_before_is_forgotten_when_it_is_back() -> None:
    health = ejected()
    health.succeeded(30, health.begin())
    assert health.failed(30, 0) is None


def test_a_policy_without_ejection_takes_it_back_after_the_next_trial() -> None:
    """A reload may switch ejection off while an upstream is left out."""
    health = ejected()
    health.policy = HealthPolicy(eject=None)
    assert health.failed(30, health.begin()) is None
    assert health.is_usable(30)


def test_checks_leave_it_out_and_take_it_back_after_so_many_in_a_row() -> None:
    health = Health(HealthPolicy(path=b"/up", healthy_after=2, unhealthy_after=3))
    told = [health.checked(good) for good in (False, False, True, False, False, False, False, True, False, True, True)]
    assert told == [None, None, None, None, None, "unhealthy", None, None, None, None, "back"]


def test_one_that_fails_its_checks_is_not_used() -> None:
    health = Health(HealthPolicy(path=b"/up", unhealthy_after=1, every=7))
    health.checked(False)
    assert (health.state(0), health.is_usable(0), health.usable_in(0)) == ("unhealthy", False, 7)
    health.unchecked()
    assert health.is_usable(0)


def test_checks_that_bring_it_back_end_an_ejection_too() -> None:
    health = ejected(HealthPolicy(path=b"/up"))
    for good in (False, False, True, True):
        health.checked(good)
    assert (health.state(1), health.is_usable(1)) == ("up", True)


def test_good_checks_do_not_end_an_ejection_by_themselves() -> None:
    """It says that it is well, and fails requests."""
    health = ejected(HealthPolicy(path=b"/up"))
    assert [health.checked(True) for _ in range(5)] == [None] * 5
    assert health.state(1) == "ejected"


def test_it_rests_for_as_long_as_it_asked_but_no_longer_than_a_minute() -> None:
    health = Health(HealthPolicy())
    assert health.rests_until(0) == 0
    health.rest(100, 5)
    assert (health.rests_until(104), health.rests_until(105)) == (105, 0)
    health.rest(100, 86400)
    assert health.rests_until(100) == 100 + MAX_REST_S
    health.rest(100, -5)
    assert health.rests_until(100) == 0
    assert health.is_usable(100)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((kind(), True) for kind in (ConnectionRefused, ConnectTimeout, ConnectionTerminated, ResponseIncomplete)),
        *((kind(), True) for kind in (UpstreamTimeout,)),
        *((kind(), False) for kind in (ClientGone, ClientStalled, TotalTimeout, StreamRefused, Draining, OwnError)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_what_the_upstream_did_counts(error: ProxyError, expected: bool) -> None:
    """MUST. R10, D4."""
    assert is_failure(error.log_code or error.token) is expected


@pytest.mark.parametrize(("status", "expected"), [(200, True), (204, True), (302, True), (404, False), (503, False)])
def test_a_check_is_good_with_2xx_and_3xx(status: int, expected: bool) -> None:
    assert is_up(status) is expected


@given(st.floats(0, 1))
def test_checks_keep_their_interval_but_for_a_tenth(chance: float) -> None:
    policy = HealthPolicy(path=b"/up", every=10)
    assert 9 <= next_check_s(policy, chance, first=False) <= 11
    assert 0 <= next_check_s(policy, chance, first=True) <= 1


@given(st.lists(st.floats(0, 100), max_size=20))
def test_a_fading_count_is_never_more_than_what_was_counted(pauses: list[float]) -> None:
    count, now = Fading(), 0.0
    for pause in pauses:
        now += pause
        count.add(now)
    assert 0 <= count.at(now) <= len(pauses)
    assert count.at(now + HALF_LIFE_S) == pytest.approx(count.at(now) / 2)


@given(st.lists(st.sampled_from(["good", "bad", "spared", "wait"]), max_size=200))
def test_one_that_is_left_out_gets_one_trial_at_a_time_whatever_happens(story: list[str]) -> None:
    health, now, under_way = Health(HealthPolicy()), 0.0, 0
    for step in story:
        now += 10 if step == "wait" else 0.1
        if not health.is_usable(now):
            continue
        trial = health.begin()
        assert not (trial and under_way)
        assert bool(trial) is (health.state(now) == "trial")
        assert not trial or not health.is_usable(now)
        if step == "good":
            health.succeeded(now, trial)
        elif step == "bad":
            health.failed(now, trial)
        else:
            health.spared(trial)
