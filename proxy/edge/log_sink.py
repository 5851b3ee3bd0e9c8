"""Where log lines go: a thread of its own writes them, as whoever reads our stderr may stop reading at any time.

A pipe that is full then costs lines, which are counted, and never an exchange. The thread ends when there was nothing
to write for a while, and the next line begins another: see `proxy.threads` for what a second thread costs.
"""

import _thread
import os
import queue
import select
import sys
import threading
import time
from collections.abc import Callable

from proxy.edge.access_log import Stream

WAITING_BYTES = 1024 * 1024
# How long the thread waits for more; to begin one takes a tenth of a millisecond.
QUIET_S = 1.0


class Descriptor:
    """Text straight into a file descriptor: nothing is kept back that could fail once more when the process ends.

    One that was made non-blocking by whoever shares it is waited for like any other.
    """

    def __init__(self, number: int) -> None:
        self._number = number

    def write(self, text: str) -> int:
        """Returns when all is written. Errors: OSError, where some of it may have been."""
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        while left:
            try:
                left = left[os.write(self._number, left[: _whole_lines(left)]) :]
            except BlockingIOError:
                poller = select.poll()
                poller.register(self._number, select.POLLOUT)
                poller.poll()
        return len(text)

    def flush(self) -> None:
        """Nothing: there is no buffer."""


def _whole_lines(data: memoryview) -> int:
    """How many bytes of lines a pipe takes at once, so that processes which share one cut none of each other's."""
    if len(data) <= select.PIPE_BUF:
        return len(data)
    return (bytes(data[: select.PIPE_BUF]).rfind(b"\n") + 1) or len(data)


class LogSink:
    """A stream for lines, `write` never waits. Lines that come while too much is waiting are dropped and counted.

    `told` makes the line that says how many, with its line end, once lines are taken again. Whatever a line was made
    of, `hide` takes known secrets out of it at the moment it is written.
    """

    def __init__(self, stream: Stream, told: Callable[[str], str], hide: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._told = told
        self._hide = hide
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.RLock()  # what is freed anywhere, also while it is held, may have a line to write
        self._runs = False
        self._waiting = 0
        self._untold = 0
        self.lines = 0
        """Lines that were written."""
        self.lost_lines = 0
        """Lines that were dropped, as too much was waiting or the stream took nothing."""

    def write(self, text: str) -> int:
        """Hands text to the thread, or drops it."""
        size = len(text)
        with self._lock:
            if self._waiting + size > WAITING_BYTES:
                self._lose(text)
                return 0
            self._waiting += size
            self._lines.put(text)  # with the lock held: else the thread could end between
            runs, self._runs = self._runs, True
        return size if runs or self._begun() else 0

    def flush(self) -> None:
        """Nothing: what is handed over is written as soon as it can be."""

    def drain(self, seconds: float) -> None:
        """Returns when everything is written, or after that time."""
        until = time.monotonic() + seconds
        while self._waiting and time.monotonic() < until:
            time.sleep(0.001)

    def _begun(self) -> bool:
        """Begins the thread. Where there is none for us what waits is lost, and a later line tries again.

        Nobody may wait for it to run, as `Thread.start` does: whoever writes holds `logging`'s lock, and a collection
        in the new thread may free what has a line to write. In an interpreter that ends no thread runs any more.
        """
        try:
            if not sys.is_finalizing():
                _thread.start_new_thread(self._run, ())
                return True
        except RuntimeError:
            pass
        with self._lock:
            self._runs = False
            while not self._lines.empty():
                text = self._lines.get()
                self._waiting -= len(text)
                self._lose(text)
        return False

    def _next(self) -> str | None:
        """The next text to write; None when there is none for so long that the thread ends."""
        try:
            return self._lines.get(timeout=QUIET_S)
        except queue.Empty:
            with self._lock:
                self._runs = False
                if self._lines.empty():
                    return None
                self._runs = True
                return self._lines.get()

    def _run(self) -> None:
        while (text := self._next()) is not None:
            with self._lock:
                untold, self._untold = self._untold, 0
            told = self._told(f"log lines dropped, as nobody took them: {untold}") if untold else ""
            try:
                self._stream.write(told + self._hide(text))
                self._stream.flush()
            except (OSError, ValueError):  # a stream that cannot be written to costs lines, never an exchange
                with self._lock:
                    self._untold += untold
                    self._lose(text)
                    self._waiting -= len(text)
                continue
            with self._lock:
                self.lines += text.count("\n") + bool(told)
                self._waiting -= len(text)

    def _lose(self, text: str) -> None:
        """Counts lines that nobody will see. Called with the lock held."""
        lost = text.count("\n")
        self.lost_lines += lost
        self._untold += lost
