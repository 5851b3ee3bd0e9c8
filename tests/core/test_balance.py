"""Whose turn it is among upstreams."""

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.balance import RoundRobin, hashed, least
from proxy.core.routes import Upstream

from .samples import upstream

weights = st.lists(st.integers(1, 20), min_size=1, max_size=8)
keys = st.binary(max_size=40)


def upstreams(*given: int) -> list[Upstream]:
    """Upstreams of these weights, each at a name of its own."""
    made = [upstream(f"u{number}.example") for number in range(len(given))]
    return [Upstream(one.origin, one.authority, weight=weight) for one, weight in zip(made, given, strict=True)]


def turns(weights: list[int], times: int, among: list[int] | None = None) -> list[int]:
    given = RoundRobin(weights)
    return [given.next(among if among is not None else list(range(len(weights)))) for _ in range(times)]


def test_turns_are_spread_and_not_bunched() -> None:
    """nginx's own example: 5, 1, 1."""
    assert "".join("abc"[turn] for turn in turns([5, 1, 1], 7)) == "aabacaa"


@given(weights)
def test_in_a_whole_round_each_has_as_many_turns_as_its_weight(weights: list[int]) -> None:
    assert Counter(turns(weights, sum(weights))) == dict(enumerate(weights))


@given(weights, st.integers(1, 200))
def test_at_any_moment_none_is_a_turn_or_more_from_its_share_for_each_other(weights: list[int], times: int) -> None:
    taken = Counter(turns(weights, times))
    for number, weight in enumerate(weights):
        assert abs(taken[number] - times * weight / sum(weights)) <= len(weights)


@given(weights, st.data())
def test_those_that_are_not_asked_for_get_no_turn_and_lose_none(weights: list[int], data: st.DataObject) -> None:
    among = data.draw(st.lists(st.sampled_from(range(len(weights))), min_size=1, unique=True))
    of_those = sum(weights[number] for number in among)
    assert Counter(turns(weights, of_those, among)) == {number: weights[number] for number in among}


@pytest.mark.parametrize(
    ("open_exchanges", "weights", "among", "expected"),
    [
        ([0, 0], [1, 1], [0, 1], [0, 1]),
        ([3, 2], [1, 1], [0, 1], [1]),
        ([3, 2], [2, 1], [0, 1], [0]),
        ([3, 1], [3, 1], [0, 1], [0, 1]),
        ([3, 0, 2], [1, 1, 1], [0, 2], [2]),
    ],
)
def test_the_fewest_open_exchanges_for_the_weight_have_the_next(
    open_exchanges: list[int], weights: list[int], among: list[int], expected: list[int]
) -> None:
    assert least(among, open_exchanges, weights) == expected


def test_a_key_belongs_to_the_url_and_not_to_the_place_in_the_list() -> None:
    one, two, three = upstreams(1, 1, 1)
    for key in (b"a", b"b", b"c", b"d"):
        there = [one, two, three][hashed(key, [one, two, three], [0, 1, 2])]
        assert [three, one, two][hashed(key, [three, one, two], [0, 1, 2])] is there


def test_upstreams_of_one_origin_are_told_apart_by_the_rest_of_their_urls() -> None:
    several = [upstream("u.example", base_path=b"/%d" % number) for number in range(4)]
    assert {hashed(b"%d" % key, several, [0, 1, 2, 3]) for key in range(100)} == {0, 1, 2, 3}


@given(weights, keys, st.data())
def test_a_loss_moves_only_what_belonged_to_the_one_that_is_lost(
    weights: list[int], key: bytes, data: st.DataObject
) -> None:
    assume(len(weights) > 1)
    several, everybody = upstreams(*weights), list(range(len(weights)))
    lost = data.draw(st.sampled_from(everybody))
    before = hashed(key, several, everybody)
    after = hashed(key, several, [number for number in everybody if number != lost])
    assert after == before if before != lost else after != lost


def test_keys_are_shared_by_weight() -> None:
    """Of 4000 keys each weight has its part, within a tenth of it."""
    several = upstreams(1, 2, 5)
    found = Counter(hashed(b"key %d" % number, several, [0, 1, 2]) for number in range(4000))
    assert [found[number] / 4000 for number in range(3)] == pytest.approx([1 / 8, 2 / 8, 5 / 8], rel=0.1)
