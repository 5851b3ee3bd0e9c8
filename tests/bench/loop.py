"""Runs a coroutine on uvloop where it is installed, without garbage collection: the processes of a bench are short."""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run(main: Coroutine[Any, Any, Result]) -> Result:
    """What the coroutine returns."""
    new_event_loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with contextlib.suppress(ImportError):
        from uvloop import new_event_loop
    gc.disable()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
