"""The sweeper: one timer for everything that has deadlines."""

import asyncio
import math
import time

import pytest

from proxy.core.errors import (
    BodyTimeout,
    ClientStalled,
    FirstByteTimeout,
    ProxyError,
    RequestTimeout,
    TotalTimeout,
    UploadTimeout,
)
from proxy.core.routes import Timeouts
from proxy.net import deadlines
from proxy.net.deadlines import LONG_TICKS, Deadlines, Sweeper

from .harness import settles


class Looked:
    """Counts how often it was looked at, and in which looks at another."""

    def __init__(self, beside: "Looked | None" = None) -> None:
        self.looks = 0
        self.due = 0.0
        self.at: list[int] = []
        self._beside = beside

    def check(self, now: float) -> None:
        self.looks += 1
        if self._beside is not None:
            self.at.append(self._beside.looks)


async def test_what_has_time_is_looked_at_seldom_and_never_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand open streams are spread over the ticks."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.001)
    sweeper = Sweeper(asyncio.get_running_loop())
    often = Looked()
    seldom = [Looked(often) for _ in range(1000)]
    for one in seldom:
        sweeper.add_patient(one)
    sweeper.add(often)
    assert len(sweeper) == 1001
    assert await settles(lambda: often.looks >= 4 * LONG_TICKS)
    together: dict[int, int] = {}
    for one in seldom:
        assert one.looks in (3, 4, 5)
        assert {later - earlier for earlier, later in zip(one.at, one.at[1:], strict=False)} <= {LONG_TICKS}
        for tick in one.at:
            together[tick] = together.get(tick, 0) + 1
    assert max(together.values()) < 1000 / 2
    for each in (often, *seldom):
        sweeper.discard(each)
    assert len(sweeper) == 0
    looks = often.looks
    await asyncio.sleep(0.01)  # many ticks: that no look follows is no event
    assert often.looks == looks
    sweeper.close()


async def test_what_cannot_have_passed_yet_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand streams that flow none is looked at, until one says that it is due."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.001)
    sweeper = Sweeper(asyncio.get_running_loop())
    often, flowing = Looked(), [Looked() for _ in range(100)]
    sweeper.add(often)
    for one in flowing:
        one.due = math.inf
        sweeper.add_patient(one)
    assert await settles(lambda: often.looks >= 2 * LONG_TICKS)
    assert not any(one.looks for one in flowing)
    flowing[7].due = time.monotonic()
    assert await settles(lambda: flowing[7].looks > 0)
    assert sum(one.looks > 0 for one in flowing) == 1
    sweeper.close()


class Exchange:
    """The clocks of one exchange that has come to its body, and what they said."""

    def __init__(self, **limits: float | None) -> None:
        self.said: list[type[ProxyError]] = []
        self.heard_at = 100.0
        self.clocks = Deadlines(Timeouts(**limits), 90.0)
        self.clocks.expire = lambda error: self.said.append(type(error))
        self.clocks.body_since = lambda: self.heard_at

    def look(self, now: float) -> list[type[ProxyError]]:
        """What a sweep at that time leads to."""
        if self.clocks.due <= now:
            self.clocks.check(now)
        return self.said


def test_a_body_that_flows_is_due_when_its_silence_would_be_too_long() -> None:
    one = Exchange(idle=20.0)
    assert one.look(101.0) == []
    assert one.clocks.due == 120.0
    one.heard_at = 115.0
    assert one.look(121.0) == []
    assert one.clocks.due == 135.0
    assert one.look(135.0) == []
    assert one.look(135.1) == [BodyTimeout]


def test_a_body_that_may_be_silent_is_due_when_all_of_it_took_too_long() -> None:
    one = Exchange(idle=None, total=60.0)
    assert one.look(101.0) == []
    assert one.clocks.due == 150.0
    assert one.look(150.1) == [TotalTimeout]
    forever = Exchange(idle=None)
    assert forever.look(101.0) == []
    assert forever.clocks.due == math.inf


def test_a_client_that_falls_behind_in_a_body_that_flows_is_looked_at_at_once_and_by_what_it_takes() -> None:
    one = Exchange(client_write=30.0)
    left = 500
    assert one.look(101.0) == []
    one.clocks.wait_for_client(lambda: left, 102.0)
    assert one.clocks.due == 0.0
    one.look(103.0)
    left = 400
    one.look(120.0)
    assert one.look(149.0) == []
    assert one.look(150.1) == [ClientStalled]


def test_a_client_that_catches_up_leaves_the_clocks_as_they_were() -> None:
    one = Exchange(client_write=30.0, idle=20.0)
    one.clocks.wait_for_client(lambda: 1, 102.0)
    one.look(103.0)
    one.clocks.client_write_since = None
    one.heard_at = 104.0
    assert one.look(105.0) == []
    assert one.clocks.due == 124.0


@pytest.mark.parametrize(
    ("clock", "limits", "error"),
    [
        ("first_byte_since", {"first_byte": 15.0}, FirstByteTimeout),
        ("client_body_since", {"client_body": 15.0}, RequestTimeout),
        ("upload_since", {"idle": 15.0}, UploadTimeout),
    ],
)
def test_a_body_that_waits_for_more_than_the_next_byte_is_looked_at(
    clock: str, limits: dict[str, float], error: type[ProxyError]
) -> None:
    """Until its first byte, and while the request is still on its way."""
    one = Exchange(**limits)
    setattr(one.clocks, clock, 100.0)
    for now in (100.0, 101.0, 114.9):
        one.heard_at = now
        assert one.look(now) == []
        assert one.clocks.due == 0.0
    assert one.look(115.1) == [error]


@pytest.mark.parametrize("name", ["head", "first_byte", "idle", "total", "client_write", "client_body"])
def test_only_short_limits_are_looked_at_often(name: str) -> None:
    """A second late is nothing in ten, and much in five."""
    assert Deadlines(Timeouts(**{name: 10.5}), 0.0).has_time
    assert not Deadlines(Timeouts(**{name: 10.0}), 0.0).has_time


class Faulty(Looked):
    """Raises."""

    def check(self, now: float) -> None:
        super().check(now)
        raise ValueError("a fault")


async def test_a_fault_of_one_is_its_own(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged once and not looked at again; all others are, in that sweep and the next."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.001)
    sweeper = Sweeper(asyncio.get_running_loop())
    faulty, others = Faulty(), [Looked() for _ in range(20)]
    for one in (*others[:10], faulty, *others[10:]):
        sweeper.add(one)
    assert await settles(lambda: all(one.looks >= 3 for one in others))
    sweeper.close()
    assert faulty.looks == 1
    (record,) = caplog.records
    assert record.getMessage().endswith("is not looked at any more")
    assert record.exc_info
