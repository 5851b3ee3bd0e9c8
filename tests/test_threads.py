"""What would hold up the loop has a thread of its own for as long as it takes, and no longer."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable

import pytest

from proxy.threads import in_thread

from .net.harness import settles


def fails() -> int:
    raise KeyError("fault")


def leaves() -> int:
    raise SystemExit


def stops() -> int:
    raise StopIteration


async def test_what_comes_of_the_work_is_the_futures() -> None:
    names: list[str] = []

    def work(one: int, other: int) -> int:
        names.append(threading.current_thread().name)
        return one + other

    assert await in_thread("adding", work, 1, 2) == 3
    assert names == ["adding"]


@pytest.mark.parametrize(("work", "error"), [(fails, KeyError), (leaves, SystemExit), (stops, RuntimeError)])
async def test_what_the_work_raises_is_the_futures_too(work: Callable[[], int], error: type[BaseException]) -> None:
    """MUST. Nobody waits in vain, whatever it was."""
    begun = in_thread("failing", work)
    await asyncio.wait([begun], timeout=10)
    assert isinstance(begun.exception(), error)


async def test_the_loop_goes_on_meanwhile_and_the_thread_ends_with_the_work() -> None:
    """MUST. A loop's own threads would stay."""
    before, go_on = set(threading.enumerate()), threading.Event()
    begun = in_thread("waiting", go_on.wait, 30)
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon
    assert not begun.done()
    go_on.set()
    assert await begun is True
    thread.join(5)
    assert not thread.is_alive()


async def test_a_failure_keeps_nothing_of_what_the_work_was_given() -> None:
    """MUST. Until the collector comes by, which may be long."""

    class Given:
        """Something large."""

    def fail(_: Given) -> None:
        raise KeyError("fault")

    gc.collect()
    gc.disable()
    try:
        given = Given()
        watched = weakref.ref(given)
        with pytest.raises(KeyError):
            await in_thread("failing", fail, given)
        del given
        assert await settles(lambda: watched() is None)
    finally:
        gc.enable()


async def test_who_gives_up_is_not_told() -> None:
    """MUST. Nor is the loop."""
    faults: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    go_on = threading.Event()
    begun = in_thread("waiting", go_on.wait, 30)
    begun.cancel()
    go_on.set()
    assert await in_thread("next", int, "7") == 7
    assert begun.cancelled()
    assert faults == []


def test_a_loop_that_is_closed_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. Without a word on stderr."""
    faults: list[object] = []
    monkeypatch.setattr(threading, "excepthook", faults.append)
    go_on, loop = threading.Event(), asyncio.new_event_loop()

    async def begin() -> None:
        in_thread("waiting", go_on.wait, 30)

    before = set(threading.enumerate())
    loop.run_until_complete(begin())
    (thread,) = set(threading.enumerate()) - before
    loop.close()
    go_on.set()
    thread.join(5)
    assert faults == []
