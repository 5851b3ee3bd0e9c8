"""Lines are written by a thread: whoever does not read them costs lines, never time."""

import contextlib
import io
import os
import threading
import time

from proxy.edge.log_sink import WAITING_BYTES, LogSink


class Stuck(io.StringIO):
    """A stream whose reader has stopped until `go_on` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def write(self, text: str) -> int:
        self.go_on.wait(10)
        return super().write(text)


def test_what_is_written_arrives_in_order() -> None:
    stream = io.StringIO()
    sink = LogSink(stream)
    for number in range(100):
        sink.write(f"{number}\n")
    sink.drain(5)
    assert stream.getvalue() == "".join(f"{number}\n" for number in range(100))


def test_a_stuck_reader_costs_lines_which_are_counted_and_no_time() -> None:
    """MUST. S19."""
    stream = Stuck()
    sink = LogSink(stream)
    line = "x" * 1023 + "\n"
    before = time.monotonic()
    taken = sum(sink.write(line) > 0 for _ in range(3000))
    assert time.monotonic() - before < 5
    assert taken == WAITING_BYTES // len(line)
    assert sink.dropped == 3000 - taken
    stream.go_on.set()
    sink.drain(5)
    sink.write("last\n")
    sink.drain(5)
    text = stream.getvalue()
    assert text.count(line) == taken
    assert f"log writes dropped, as nobody read them: {3000 - taken}\n" in text
    assert text.endswith("last\n")


def test_a_stop_does_not_wait_for_ever() -> None:
    sink = LogSink(Stuck())
    sink.write("never\n")
    before = time.monotonic()
    sink.drain(0.05)
    assert 0.05 <= time.monotonic() - before < 5


def test_a_stream_that_is_closed_costs_lines_only() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        sink = LogSink(stream)
        sink.write("nobody\n")
        sink.drain(5)
        sink.write("hears\n")
        sink.drain(5)
        with contextlib.suppress(BrokenPipeError):
            stream.close()
