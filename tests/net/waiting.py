"""Waiting is for conditions, never for time; a condition that does not come is a failure that tells what was there."""

import asyncio
from collections.abc import Callable

LIMIT_S = 5.0
"""How long a condition may take before a test fails: far above what anything here needs."""

LOOP_CLOCK_S = 0.001
"""How much too early a timer of the loop may act: uvloop's count whole milliseconds."""


class Changing:
    """Something that becomes so, and tells whenever it might have."""

    def __init__(self) -> None:
        self._change = asyncio.Event()

    def changed(self) -> None:
        """Wakes whoever waits for something here."""
        self._change.set()
        self._change = asyncio.Event()

    async def until(self, met: Callable[[], bool], what: str, within_s: float = LIMIT_S) -> None:
        """Returns once it is so. Errors: AssertionError if it does not come to be, and what `can_still` raises."""
        try:
            async with asyncio.timeout(within_s):
                while not met():
                    self.can_still(what)
                    await self._change.wait()
        except TimeoutError:
            raise AssertionError(f"not within {within_s:g} s: {what}: {self.shown()}") from None

    def can_still(self, what: str) -> None:
        """Raises where nothing can change any more."""

    def shown(self) -> str:
        """What is there, for who waited in vain."""
        return type(self).__name__
