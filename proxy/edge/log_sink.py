"""Where log lines go: a thread of its own writes them, as whoever reads our stderr may stop reading at any time.

A pipe that is full then costs lines, which are counted, and never an exchange.
"""

import queue
import threading
import time
from collections.abc import Callable
from typing import TextIO

WAITING_BYTES = 1024 * 1024


class LogSink:
    """A stream for lines, `write` never waits. Lines that come while too much is waiting are dropped and counted.

    Whatever a line was made of, `hide` takes known secrets out of it at the moment it is written.
    """

    def __init__(self, stream: TextIO, hide: Callable[[str], str] = str) -> None:
        self._stream = stream
        self._hide = hide
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self.dropped = 0
        """Writes that were dropped and have not been told of yet."""
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def write(self, text: str) -> int:
        """Hands text to the thread, or drops it."""
        with self._lock:
            if self._waiting + len(text) > WAITING_BYTES:
                self.dropped += 1
                return 0
            self._waiting += len(text)
        self._lines.put(text)
        return len(text)

    def flush(self) -> None:
        """Nothing: what is handed over is written as soon as it can be."""

    def drain(self, seconds: float) -> None:
        """Returns when everything is written, or after that time."""
        until = time.monotonic() + seconds
        while self._waiting and time.monotonic() < until:
            time.sleep(0.001)

    def _run(self) -> None:
        while True:
            text = self._lines.get()
            with self._lock:
                dropped, self.dropped = self.dropped, 0
            told = f"log writes dropped, as nobody read them: {dropped}\n" if dropped else ""
            try:
                self._stream.write(told + self._hide(text))
                self._stream.flush()
            except (OSError, ValueError):
                pass  # a stream that cannot be written to costs lines, never an exchange
            with self._lock:
                self._waiting -= len(text)
