"""An event and a request may not take more calls than they do today. To see them: `python -m tests.cost`.

Whoever needs one more call for an event raises a bound here and says why; whoever saves some lowers it.
"""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from proxy.net.lane import Lane
from proxy.net.relay import Relay

from . import calls, system_calls
from .script import Counted

# Step: most Python calls, most system calls. A bound is today's count and less than one call more for what stands on
# the hot path, two in a hundred more for a request, where a branch less travelled may cost one.
BOUNDS = {
    # 2.02: the read, and the lane; 3.0: wait, read, write.
    "event": (2.4, 3.4),
    # 10.52: eight events in one read leave in one write; nothing comes more often, and every second read completes a
    # batch of the watch (1.5).
    "burst of 8 events": (10.9, 3.4),
    # 101.1; 8.0: the wait, read and write of two sides, one more wait, and a look whether a kept connection is alive.
    "request": (103.1, 8.6),
    # 113.1; 10.1: also what the upstream's TCP has acknowledged, for a retry (2).
    "request with a body": (115.3, 10.6),
}
LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}


def held(found: dict[str, Counted], column: int) -> list[str]:
    """What is over its bound, with what it consists of."""
    return [
        f"{step}: at most {BOUNDS[step][column]}, found {counted}"
        for step, counted in found.items()
        if counted.number > BOUNDS[step][column]
    ]


@pytest.mark.parametrize("loop", LOOPS)
def test_a_step_takes_no_more_python_calls_than_it_did(loop: str) -> None:
    found = calls.counts(LOOPS[loop])
    assert found.keys() == BOUNDS.keys()
    if over := held(found, 0):
        pytest.fail("\n".join(over), pytrace=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="strace is Linux's")
def test_a_step_takes_no_more_system_calls_than_it_did(tmp_path: Path) -> None:
    found = traced(tmp_path)
    assert found.keys() == BOUNDS.keys()
    if over := held(found, 1):
        pytest.fail("\n".join(over), pytrace=False)


def test_one_more_python_call_per_event_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that was raised may not make room for more than it was raised for."""
    names: dict[str, Callable[[], None]] = {}
    exec(compile("def planted(): pass", f"{calls.PACKAGE}planted.py", "exec"), names)
    for way, name in ((Relay, "receive"), (Lane, "receive_lone")):
        receive = getattr(way, name)

        def longer(taker: Relay | Lane, *read: Any, receive: Callable[..., Any] = receive) -> Any:
            names["planted"]()
            return receive(taker, *read)

        monkeypatch.setattr(way, name, longer)
    over = held(calls.counts(asyncio.SelectorEventLoop), 0)
    assert [told.partition(":")[0] for told in over] == ["event", "burst of 8 events"]
    assert all("planted.py: planted" in told for told in over)


PLANTED = """
import os
from proxy.net.lane import Lane
from proxy.net.relay import Relay
receive, lone = Relay.receive, Lane.receive_lone
Relay.receive = lambda relay, *read: (os.getppid(), receive(relay, *read))
Lane.receive_lone = lambda lane, *read: (os.getppid(), lone(lane, *read))[1]
from proxy.cli import main
main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="strace is Linux's")
def test_one_more_system_call_per_event_is_found(tmp_path: Path) -> None:
    over = held(traced(tmp_path, ("-c", PLANTED)), 1)
    assert [told.partition(":")[0] for told in over] == ["event", "burst of 8 events"]
    assert all("getppid" in told for told in over)


def traced(folder: Path, *program: tuple[str, ...]) -> dict[str, Counted]:
    """System calls; where they cannot be counted that is said, and in CI fails."""
    try:
        return system_calls.counts(folder, *program)
    except system_calls.NoTracing as error:
        pytest.skip(f"system calls are not counted: {error}")
