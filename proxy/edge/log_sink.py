"""Where log lines go: a thread of its own writes them, as whoever reads our stderr may stop reading at any time.

A pipe that is full then costs lines, which are counted, and never an exchange. The thread ends when there was nothing
to write for a while, and the next line begins another: see `proxy.threads` for what a second thread costs.
"""

import _thread
import contextlib
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
        self._is_cut = False  # whether what was written last ends within a line

    def write(self, text: str) -> int:
        """Returns when all is written. Errors: OSError, where some of it may have been."""
        data = (b"\n" if self._is_cut else b"") + text.encode("utf-8", "backslashreplace")
        at = 0
        while at < len(data):
            try:
                at += os.write(self._number, memoryview(data)[at : _end_of_lines(data, at)])
            except BlockingIOError:
                poller = select.poll()
                poller.register(self._number, select.POLLOUT)
                poller.poll()
            except OSError:
                if at:
                    self._is_cut = not data[:at].endswith(b"\n")
                raise
        self._is_cut = False
        return len(text)

    def flush(self) -> None:
        """Nothing: there is no buffer."""


def _end_of_lines(data: bytes, at: int) -> int:
    """Where a write from there has to end, so that processes which share a pipe cut none of each other's lines.

    That is behind as many whole lines as a pipe takes at once, or behind one that it cannot.
    """
    if len(data) - at <= select.PIPE_BUF:
        return len(data)
    return data.rfind(b"\n", at, at + select.PIPE_BUF) + 1 or data.find(b"\n", at) + 1 or len(data)


class LogSink:
    """A stream for lines, `write` never waits. Lines that come while too much is waiting are dropped and counted.

    `told` makes the line that says how many, with its line end, once lines are taken again. Whatever a line was made
    of, `hide` takes known secrets out of it at the moment it is written.

    There is one lock, for those who write, and `logging`'s handler has to share it: what a collection frees, anywhere
    and in any thread, may have a line to write, and two locks would be taken in either order. The thread takes none.
    Each count has one side that changes it.
    """

    def __init__(self, stream: Stream, told: Callable[[str], str], hide: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._told = told
        self._hide = hide
        self.lock = threading.RLock()
        """Held by whoever writes."""
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._given = 0  # characters that are to be written, or have been
        self._dropped = 0  # lines that were not handed over
        self._runs = threading.Lock()  # held as long as there is a thread, and never waited for
        self._taken = 0  # by the thread, of what was given
        self._failed = 0  # lines that the stream did not take
        self._told_of = 0  # lost lines that a written line tells of
        self.lines = 0
        """Lines that were written."""

    @property
    def lost_lines(self) -> int:
        """Lines that were dropped, as too much was waiting or the stream took nothing."""
        return self._dropped + self._failed

    def write(self, text: str) -> int:
        """Hands text to the thread, or drops it."""
        size = len(text)
        with self.lock:
            waiting = self._given - self._taken
            if waiting and waiting + size > WAITING_BYTES:
                self._drop(text)
                return 0
            self._lines.put(text)
            self._given += size
        return size if not self._runs.acquire(blocking=False) or self._begun() else 0

    def flush(self) -> None:
        """Nothing: what is handed over is written as soon as it can be."""

    def drain(self, seconds: float) -> None:
        """Returns when everything is written, or after that time."""
        until = time.monotonic() + seconds
        while self._taken < self._given and time.monotonic() < until:
            time.sleep(0.001)

    def _begun(self) -> bool:
        """Begins the thread. Where there is none for us what waits is lost, and a later line tries again.

        Nobody may wait for it to run, as `Thread.start` does: whoever writes holds the lock, and a collection in the
        new thread may free what has a line to write. In an interpreter that ends no thread runs any more.
        """
        try:
            if not sys.is_finalizing():
                _thread.start_new_thread(self._run, ())
                return True
        except (RuntimeError, MemoryError):
            pass
        self._runs.release()
        with self.lock, contextlib.suppress(queue.Empty):
            while True:
                text = self._lines.get_nowait()
                size = len(text)
                self._given -= size
                self._drop(text)
        return False

    def _drop(self, text: str) -> None:
        """Called with the lock held. Within any call a collection may drop or hand over another: none is in a sum."""
        lines = text.count("\n")
        self._dropped += lines

    def _next(self) -> str | None:
        """The next text to write; None when there is none for so long that the thread ends."""
        while True:
            try:
                return self._lines.get(timeout=QUIET_S)
            except queue.Empty:
                self._runs.release()
                # What was handed over before is still ours, unless another thread has been begun since.
                if self._lines.empty() or not self._runs.acquire(blocking=False):
                    return None

    def _run(self) -> None:
        while (text := self._next()) is not None:
            lost = self.lost_lines
            untold = lost - self._told_of
            try:
                told = self._told(f"log lines dropped, as nobody took them: {untold}") if untold else ""
                self._stream.write(told + self._hide(text))
                self._stream.flush()
            except Exception:  # noqa: BLE001 # whatever it is, it costs these lines, never those that come
                self._failed += text.count("\n")
            else:
                self._told_of = lost
                self.lines += text.count("\n") + bool(told)
            self._taken += len(text)
