"""Who gets a request among the upstreams of a route, and what is learnt from how it went."""

from collections import Counter
from typing import Any

import pytest

from proxy.core.errors import NoUpstream
from proxy.core.group import Group, Turn
from proxy.core.retry import BUDGET_FLOOR
from proxy.core.routes import HealthPolicy, RetryPolicy, Sharing, Upstream

from .samples import request, upstream

ASKED = request()
URLS = [upstream(f"u{number}.example") for number in range(3)]


def group(*upstreams: Upstream, before: Group | None = None, **changes: Any) -> Group:
    return Group("r", Sharing(tuple(upstreams or URLS), **changes), before)


def fail(group: Group, number: int, now: float = 0) -> list[str | None]:
    """Two connections that are refused."""
    return [group.failed(Turn(number), "connection_refused", now) for _ in range(2)]


def test_requests_go_round() -> None:
    of = group()
    assert [of.choose(ASKED, 0).number for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_one_that_is_left_out_gets_none() -> None:
    of = group()
    assert fail(of, 1) == [None, "ejected"]
    assert [of.choose(ASKED, 1).number for _ in range(4)] == [0, 2, 0, 2]


def test_streams_are_counted_until_they_leave() -> None:
    of = group(balance="least_streams")
    first, second, third = (of.choose(ASKED, 0) for _ in range(3))
    assert sorted([first.number, second.number, third.number]) == [0, 1, 2]
    of.left(second)
    assert of.choose(ASKED, 0).number == second.number
    assert [one.open_exchanges for one in of.seen(0)] == [1, 1, 1]


def test_a_hash_keeps_clients_where_they_are_and_those_without_one_go_round() -> None:
    of = group(balance="hash", hash_by=b"x-user")
    asked = request(b"GET / HTTP/1.1", b"X-User: ann")
    assert len({of.choose(asked, 0).number for _ in range(10)}) == 1
    assert Counter(of.choose(ASKED, 0).number for _ in range(6)) == {0: 2, 1: 2, 2: 2}


def test_where_all_are_left_out_that_is_said_at_once_with_when_to_come_again() -> None:
    """MUST. R12."""
    of = group(health=HealthPolicy(eject=20))
    for number, now in ((0, 3), (1, 1), (2, 5)):
        fail(of, number, now)
    with pytest.raises(NoUpstream) as caught:
        of.choose(ASKED, 6.5)
    assert (caught.value.status, caught.value.token, caught.value.retry_after_s) == (503, "destination_unavailable", 15)


def test_after_its_time_one_request_goes_there_and_brings_it_back() -> None:
    """SHOULD. R11."""
    of = group(URLS[0], URLS[1])
    fail(of, 0)
    turns = [of.choose(ASKED, 30) for _ in range(4)]
    assert sum(turn.number == 0 for turn in turns) == 1
    (trial,) = [turn for turn in turns if turn.number == 0]
    assert trial.trial
    assert of.answered(trial, 200, None, 31) == "back"
    assert {of.choose(ASKED, 31).number for _ in range(2)} == {0, 1}


def test_a_trial_that_is_left_without_a_word_is_free_again() -> None:
    of = group(URLS[0], URLS[1])
    fail(of, 0)
    (trial,) = [turn for turn in [of.choose(ASKED, 30) for _ in range(2)] if turn.number == 0]
    of.left(trial)
    assert 0 in [of.choose(ASKED, 30).number for _ in range(2)]


@pytest.mark.parametrize(
    ("status", "statuses", "expected"),
    [
        (503, {503}, "ejected"),
        (503, set(), None),
        (500, {503}, None),
        (429, {429}, None),
        (404, {503}, None),
        (529, {529}, "ejected"),
    ],
)
def test_only_a_5xx_that_is_named_counts_as_a_failure(status: int, statuses: set[int], expected: str | None) -> None:
    """MUST. R10."""
    of = group(retry=RetryPolicy(2, statuses=frozenset(statuses)))
    assert of.answered(Turn(0), status, None, 0) is None
    assert of.answered(Turn(0), status, None, 0) == expected


def test_a_429_frees_the_trial_and_decides_nothing() -> None:
    of = group(URLS[0], URLS[1], retry=RetryPolicy(2, statuses=frozenset({429})))
    fail(of, 0)
    (trial,) = [turn for turn in [of.choose(ASKED, 30) for _ in range(2)] if turn.number == 0]
    assert of.answered(trial, 429, None, 30) is None
    assert [one.state for one in of.seen(30)] == ["trial", "up"]
    assert 0 in [of.choose(ASKED, 30).number for _ in range(2)]


def test_what_the_client_brought_about_counts_for_nobody() -> None:
    """MUST. D4."""
    of = group()
    assert {of.failed(Turn(0), "client_closed", 0) for _ in range(5)} == {None}


@pytest.mark.parametrize("status", [429, 503])
def test_one_that_asks_to_be_left_alone_is_until_then(status: int) -> None:
    """MUST. R7."""
    of = group(URLS[0], URLS[1], retry=RetryPolicy(2, statuses=frozenset({429, 503})))
    assert of.answered(Turn(0), status, 5, 100) is None
    assert {of.choose(ASKED, 104).number for _ in range(4)} == {1}
    assert {of.choose(ASKED, 105).number for _ in range(4)} == {0, 1}


def test_what_says_when_to_come_again_is_believed_only_where_the_route_asks_for_it() -> None:
    of = group(URLS[0], URLS[1], retry=RetryPolicy(2, statuses=frozenset({429, 529})))
    of.answered(Turn(0), 503, 5, 100)
    of.answered(Turn(0), 529, 5, 100)
    assert {of.choose(ASKED, 101).number for _ in range(4)} == {0, 1}


def test_where_all_rest_the_one_that_comes_back_first_answers_for_itself() -> None:
    of = group(URLS[0], URLS[1], retry=RetryPolicy(2, statuses=frozenset({429})))
    of.answered(Turn(0), 429, 9, 0)
    of.answered(Turn(1), 429, 5, 0)
    assert {of.choose(ASKED, 1).number for _ in range(3)} == {1}
    assert of.choose_other(ASKED, 1, [1]) is None


def test_another_attempt_goes_to_none_that_had_its_turn() -> None:
    of = group()
    found = [of.choose_other(ASKED, 0, [0]), of.choose_other(ASKED, 0, [0, 1]), of.choose_other(ASKED, 0, [0, 1, 2])]
    assert [None if turn is None else turn.number for turn in found] == [1, 2, None]


def test_other_attempts_are_no_more_than_the_budget_allows() -> None:
    """MUST. R8."""
    of = group()
    found = [of.choose_other(ASKED, 0, [0]) for _ in range(BUDGET_FLOOR + 3)]
    assert sum(turn is not None for turn in found) == BUDGET_FLOOR


def test_what_is_known_of_an_upstream_survives_a_reload_in_which_it_stays() -> None:
    """MUST. R10. It may have another place and weight; what comes anew begins anew."""
    before = group(balance="least_streams")
    fail(before, 1)
    before.choose(ASKED, 0)
    heavier = Upstream(URLS[1].origin, URLS[1].authority, weight=5)
    after = group(upstream("new.example"), heavier, URLS[0], before=before, health=HealthPolicy(eject=9))
    assert [(one.state, one.open_exchanges) for one in after.seen(1)] == [("up", 0), ("ejected", 0), ("up", 1)]
    assert after.budget is before.budget


def test_what_checks_said_is_forgotten_when_there_are_none_any_more() -> None:
    before = group(health=HealthPolicy(path=b"/up", unhealthy_after=1))
    assert before.checked(0, False) == "unhealthy"
    kept = group(before=before, health=HealthPolicy(path=b"/other"))
    assert kept.seen(0)[0].state == "unhealthy"
    assert group(before=kept).seen(0)[0].state == "up"


def test_they_are_told_with_their_names() -> None:
    assert [(one.route, one.upstream) for one in group().seen(0)] == [("r", one.origin.name) for one in URLS]
