"""What signals ask for: SIGINT and SIGTERM to stop, once more to stop at once, SIGHUP to reload."""

import asyncio
import os
import signal


class Signals:
    """Caught from the moment this is made, on the running loop."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        """Asked to stop; asked again."""
        self.reload = asyncio.Event()
        """Asked to reload; whoever does it clears it."""
        self._had_terminal = _has_terminal()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._hang_up)

    def _stop(self) -> None:
        (self.second if self.first.is_set() else self.first).set()

    def _hang_up(self) -> None:
        """A reload, unless it means what it was made for: the terminal is gone, and with it who started us."""
        if self._had_terminal and not _has_terminal():
            self._stop()
        else:
            self.reload.set()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
