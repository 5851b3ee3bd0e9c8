"""The soak in its short form, so that it cannot rot, and what it would find: each fault, in a ledger that has it."""

from dataclasses import replace
from pathlib import Path

import pytest

from proxy.app.process import raise_file_limit
from tests.soak.account import FEWEST_SAMPLES, GROWTH_KIB, Memory
from tests.soak.ledger import Entry, Ledger
from tests.soak.run import Settings, soak

SHORT = Settings(
    seconds=9, streams=150, seed=1, most_events=20, pace_s=0.15, reload_every_s=1.0, kills=1, growth_kib=8 * 1024
)


@pytest.mark.timeout(120)
async def test_nothing_is_lost_but_what_a_killed_worker_had(tmp_path: Path) -> None:
    """MUST. Clients leave, upstreams reset, the configuration changes, a worker is killed; then nothing is held."""
    raise_file_limit()
    report = await soak(SHORT, tmp_path)
    assert report.faults == [], str(report)
    ends = {(entry.fate, entry.end, entry.robbed) for entry in report.ledger.entries}
    assert {("whole", "end", False), ("leaves", "left", False), ("reset", "abort", False)} <= ends
    assert ("whole", "abort", True) in ends
    assert ("whole", "abort", False) not in ends
    assert len(report.ledger.entries) > 3 * SHORT.streams


WHOLE = Entry(7, "whole", 3, 1.0, asked=1, sent=3, origin_ended=True, received=[0, 1, 2], end="end")
LEFT = replace(WHOLE, fate="leaves", sent=5, end="left")
RESET = replace(WHOLE, fate="reset", end="abort")
ROBBED = replace(WHOLE, origin_ended=False, received=[0], end="abort", robbed=True)


@pytest.mark.parametrize("entry", [WHOLE, LEFT, RESET, ROBBED], ids=lambda entry: entry.fate + "/" + entry.end)
def test_what_came_as_it_was_to_come_is_no_fault(entry: Entry) -> None:
    assert list(entry.faults()) == []


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (replace(WHOLE, received=[0, 1]), "lost 1 of 3 events"),
        (replace(WHOLE, received=[0, 2, 1]), "not in order"),
        (replace(WHOLE, received=[0, 1, 1, 2]), "not in order"),
        (replace(WHOLE, end="abort"), "ended as `abort` with 3 of 3 events"),
        (replace(WHOLE, end="open"), "ended as `open`"),
        (replace(WHOLE, asked=2), "asked 2 times"),
        (replace(WHOLE, said="no event of this stream"), "no event of this stream"),
        (replace(RESET, end="end"), "ended as `end`"),
        (replace(RESET, received=[0]), "lost 2 of 3 events"),
        (replace(LEFT, origin_ended=False), "the upstream was not told"),
        (replace(ROBBED, end="end"), "lost 2 of 3 events"),
        (replace(ROBBED, received=[1]), "not in order"),
        (replace(ROBBED, robbed=False), "ended as `abort`"),
    ],
)
def test_each_fault_is_found(entry: Entry, said: str) -> None:
    assert any(said in fault for fault in entry.faults())


def test_the_streams_of_a_killed_worker_are_those_of_its_connections() -> None:
    """Also one whose client has not yet learned that it is connected; another client may come from the same port."""
    ledger = Ledger(1, 10, 1.0)
    had, other, late, spared = (ledger.new() for _ in range(4))
    had.connected((8787, 50_000))
    other.connected((9000, 50_000))
    assert ledger.rob(frozenset({(8787, 50_000), (8787, 50_001)})) == 1
    late.connected((8787, 50_001))
    spared.connected((8787, 50_002))
    assert [entry.robbed for entry in (had, other, late, spared)] == [True, False, True, False]


@pytest.mark.parametrize(
    ("growing_kib", "found"), [(0, 0), (GROWTH_KIB / FEWEST_SAMPLES, 0), (GROWTH_KIB, 0), (2 * GROWTH_KIB, 1)]
)
def test_memory_that_rises_to_the_end_is_found(growing_kib: float, found: int) -> None:
    memory = Memory()
    for number in range(FEWEST_SAMPLES):
        memory.add({1: round(40_000 + growing_kib * number)})
    assert len(memory.faults()) == found


def test_memory_that_rises_first_and_then_stays_is_none() -> None:
    memory = Memory()
    for kib in [*range(40_000, 60_000, 5_000), *[60_000] * FEWEST_SAMPLES]:
        memory.add({1: kib})
    assert memory.faults() == []


@pytest.mark.parametrize(("up_to_kib", "found"), [(60_000, 0), (80_000, 1)])
def test_a_worker_that_was_started_again_may_grow_as_far_as_the_other(up_to_kib: int, found: int) -> None:
    """And one that is gone at the end says nothing about it."""
    memory = Memory()
    memory.add({1: 60_000, 2: 45_000})
    for number in range(FEWEST_SAMPLES):
        memory.add({1: 60_000, 2: 45_000 + 5_000 * number})
    for number in range(FEWEST_SAMPLES):
        memory.add({1: 60_000, 3: 45_000 + (up_to_kib - 45_000) * number // FEWEST_SAMPLES})
    memory.add({1: 60_000, 3: up_to_kib})
    assert len(memory.faults()) == found
