"""How late the event loop is: a timer that asks to be called and looks when it is, twice a second.

While one piece of work keeps the loop, every stream stands still: this says for how long.
"""

import asyncio
from collections.abc import Callable

EVERY_S = 0.5


class LoopLag:
    """Samples the running loop and gives each delay, in seconds, to `observe`; belongs to that loop."""

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + EVERY_S
        self._timer = self._loop.call_at(self._due, self._sample)

    def _sample(self) -> None:
        now = self._loop.time()
        self._observe(max(0.0, now - self._due))
        self._due = now + EVERY_S
        self._timer = self._loop.call_at(self._due, self._sample)

    def close(self) -> None:
        """Looks no more."""
        self._timer.cancel()
