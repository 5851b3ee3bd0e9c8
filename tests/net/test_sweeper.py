"""The sweeper: one timer for everything that has deadlines."""

import asyncio

import pytest

from proxy.core.routes import Timeouts
from proxy.net import deadlines
from proxy.net.deadlines import LONG_TICKS, Deadlines, Sweeper

from .harness import settles


class Looked:
    """Counts how often it was looked at, and in which looks at another."""

    def __init__(self, beside: "Looked | None" = None) -> None:
        self.looks = 0
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
        sweeper.add(one, has_time=True)
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


@pytest.mark.parametrize("name", ["head", "first_byte", "idle", "total", "client_write", "client_body"])
def test_only_short_limits_are_looked_at_often(name: str) -> None:
    """A second late is nothing in ten, and much in five."""
    assert Deadlines(Timeouts(**{name: 10.5}), 0.0).has_time
    assert not Deadlines(Timeouts(**{name: 10.0}), 0.0).has_time
