"""Lines are written by a thread: whoever does not read them costs lines, never time."""

import _thread
import contextlib
import errno
import io
import logging
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from proxy.edge import log_sink
from proxy.edge.log_sink import WAITING_BYTES, Descriptor, LogSink


def sink_to(stream: io.TextIOBase) -> LogSink:
    """A sink whose own lines end in an exclamation mark."""
    return LogSink(stream, lambda message: f"{message}!\n")


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
    sink = sink_to(stream)
    for number in range(100):
        sink.write(f"{number}\n")
    sink.drain(5)
    assert stream.getvalue() == "".join(f"{number}\n" for number in range(100))


def test_a_stuck_reader_costs_lines_which_are_counted_and_no_time() -> None:
    """MUST. S19."""
    stream = Stuck()
    sink = sink_to(stream)
    line = "x" * 1023 + "\n"
    before = time.monotonic()
    taken = sum(sink.write(line) > 0 for _ in range(3000))
    assert time.monotonic() - before < 5
    assert taken == WAITING_BYTES // len(line)
    assert (sink.lines, sink.lost_lines) == (0, 3000 - taken)
    stream.go_on.set()
    sink.drain(5)
    sink.write("last\n")
    sink.drain(5)
    text = stream.getvalue()
    assert text.count(line) == taken
    told = [
        int(number) for number in re.findall(r"^log lines dropped, as nobody took them: (\d+)!$", text, re.MULTILINE)
    ]
    assert sum(told) == 3000 - taken  # in two lines, where some were lost before the first was taken
    assert text.endswith("last\n")
    assert (sink.lines, sink.lost_lines) == (taken + 1 + len(told), 3000 - taken)


def test_the_thread_ends_when_nothing_is_written_and_a_line_begins_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. Beside a second thread every event costs more; no line is lost or late for it."""
    begin, ended = _thread.start_new_thread, []

    def start(run: Callable[[], None], _: tuple[()]) -> int:
        ended.append(threading.Event())

        def told() -> None:
            run()
            ended[-1].set()

        return begin(told, ())

    monkeypatch.setattr(log_sink, "QUIET_S", 0.05)
    monkeypatch.setattr(_thread, "start_new_thread", start)
    stream = io.StringIO()
    sink = sink_to(stream)
    for number, line in enumerate(("one\n", "two\n"), 1):
        sink.write(line)
        assert len(ended) == number
        sink.drain(5)
        assert stream.getvalue().endswith(line)
        assert ended[-1].wait(5)
    assert (stream.getvalue(), sink.lines) == ("one\ntwo\n", 2)


def test_no_line_falls_between_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. However a line and the end of a thread meet: each is written, in its order."""
    monkeypatch.setattr(log_sink, "QUIET_S", 0.0)
    stream = io.StringIO()
    sink = sink_to(stream)
    for number in range(5000):
        sink.write(f"{number}\n")
        if number % 7 == 0:
            sink.drain(5)
    sink.drain(5)
    assert stream.getvalue() == "".join(f"{number}\n" for number in range(5000))


def test_what_is_freed_while_a_thread_is_begun_may_write_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. The collector comes by when it likes, and a future that failed unheard has its line written by it."""
    stream = io.StringIO()
    sink = sink_to(stream)
    begin, nested = _thread.start_new_thread, []

    def start(run: Callable[[], None], _: tuple[()]) -> int:
        nested.append(sink.write("freed\n"))
        return begin(run, ())

    monkeypatch.setattr(_thread, "start_new_thread", start)
    with sink.lock:
        sink.write("one\n")
    sink.drain(5)
    assert (stream.getvalue(), len(nested)) == ("one\nfreed\n", 1)


LITTER = """
import asyncio, gc, io, logging, time
from proxy.edge import log_sink

log_sink.QUIET_S = 0.0
sink = log_sink.LogSink(io.StringIO(), str)
logging.basicConfig(level="INFO", handlers=[logging.StreamHandler(sink)], force=True)
loop = asyncio.new_event_loop()
gc.set_threshold(50)
for number in range(1500):
    future = loop.create_future()
    future.set_exception(ValueError("nobody asked"))
    circle = [future]
    circle.append(circle)
    del future, circle
    logging.info("line %d", number)
    sink.drain(1)
print(sink.lost_lines)
"""


def test_what_is_freed_in_a_thread_that_begins_may_write_too() -> None:
    """MUST. `logging` is locked while the thread is begun: whoever waited for it would wait for ever."""
    done = subprocess.run([sys.executable, "-c", LITTER], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "0\n"


class Told(str):
    """A line that has another logged when its line ends are counted, as what a collection frees then may."""

    def __init__(self, _: str) -> None:
        self.counted = threading.Event()

    def count(self, *given: Any) -> int:
        self.counted.set()
        logging.getLogger("freed").error("freed")
        return super().count(*given)


def test_what_is_freed_while_lines_are_counted_may_write_too() -> None:
    """MUST. A line that is being logged and the thread, which has one logged, wait for each other's lock otherwise."""
    stream = io.StringIO()
    sink = sink_to(stream)
    handler = logging.StreamHandler(sink)
    handler.lock = cast(Any, sink.lock)
    logger = logging.getLogger("freed")
    logger.addHandler(handler)
    try:
        with handler.lock:
            line = Told("one\n")
            sink.write(line)
            assert line.counted.wait(5)
            sink.write("two\n")
        sink.drain(5)
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue() == "one\ntwo\nfreed\n"


FINALIZING = """
import io, os, sys
from proxy.edge.log_sink import LogSink

class Late:
    def __del__(self, sys=sys, os=os):
        taken = self.sink.write("late\\n")
        os.write(1, f"{sys.is_finalizing()} {taken} {self.sink.lost_lines}".encode())

Late.sink = LogSink(io.StringIO(), str)
circle = [Late()]  # the interpreter's last collection frees it
circle.append(circle)
del circle
"""


def test_an_interpreter_that_ends_does_not_wait_for_a_thread() -> None:
    """MUST. None begins there any more: the line is lost, and the process ends."""
    done = subprocess.run([sys.executable, "-c", FINALIZING], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "True 0 1"


def test_lines_that_no_thread_could_be_begun_for_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. A system without threads to give costs lines, and the next line tries again."""

    def refused(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    stream = io.StringIO()
    sink = sink_to(stream)
    with monkeypatch.context() as without:
        without.setattr(_thread, "start_new_thread", refused)
        assert sink.write("one\n") == 0
    assert sink.lost_lines == 1
    sink.write("two\n")
    sink.drain(5)
    assert stream.getvalue() == "log lines dropped, as nobody took them: 1!\ntwo\n"


def test_one_text_that_is_longer_than_all_that_may_wait_is_taken_alone() -> None:
    """MUST. S19. Nobody is stuck; behind it, there is no room."""
    stream = Stuck()
    sink = sink_to(stream)
    long = "x" * WAITING_BYTES + "\n"
    assert sink.write(long) == len(long)
    assert sink.write("no room\n") == 0
    stream.go_on.set()
    sink.drain(5)
    assert stream.getvalue().endswith(long)  # behind the line that says what was dropped, if it came late enough
    assert sink.lost_lines == 1


@pytest.mark.parametrize("place", ["stream", "told", "hide", "thread"])
def test_whatever_fails_costs_its_lines_and_none_behind_them(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """MUST. S19. Once, as where memory runs out; the log goes on."""
    fails = ["thread", "told"] if place == "told" else [place]  # which is needed only where something was lost
    stream = io.StringIO()

    def failing(name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def once(*given: Any) -> Any:
            if name in fails:
                fails.remove(name)
                raise MemoryError(name)
            return work(*given)

        return once

    monkeypatch.setattr(stream, "write", failing("stream", stream.write))
    monkeypatch.setattr(_thread, "start_new_thread", failing("thread", _thread.start_new_thread))
    sink = LogSink(stream, failing("told", lambda message: f"{message}!\n"), failing("hide", str))
    if place == "told":
        assert sink.write("lost\n") == 0
    lost = sink.lost_lines
    sink.write("one\n")
    sink.drain(5)
    assert (fails, sink.lost_lines) == ([], lost + 1)
    sink.write("two\n")
    sink.drain(5)
    assert stream.getvalue().endswith(f"log lines dropped, as nobody took them: {lost + 1}!\ntwo\n")
    assert sink.lost_lines == lost + 1


def test_a_stop_does_not_wait_for_ever() -> None:
    sink = sink_to(Stuck())
    sink.write("never\n")
    before = time.monotonic()
    sink.drain(0.05)
    assert 0.05 <= time.monotonic() - before < 5


def test_a_stream_that_is_closed_costs_lines_only() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        sink = sink_to(stream)
        sink.write("nobody\n")
        sink.drain(5)
        sink.write("hears\n")
        sink.drain(5)
        with contextlib.suppress(BrokenPipeError):
            stream.close()


class Failing(io.StringIO):
    """A stream on a disk that is full while `full` is set."""

    full = True

    def write(self, text: str) -> int:
        if self.full:
            raise OSError(errno.ENOSPC, "no space left on device")
        return super().write(text)


def test_lines_that_a_full_disk_did_not_take_are_counted_and_told_of_when_it_does_again() -> None:
    stream = Failing()
    sink = sink_to(stream)
    sink.write("one\ntwo\n")
    sink.drain(5)
    sink.write("three\n")
    sink.drain(5)
    assert (sink.lines, sink.lost_lines) == (0, 3)
    stream.full = False
    sink.write("four\n")
    sink.drain(5)
    assert stream.getvalue() == "log lines dropped, as nobody took them: 3!\nfour\n"
    assert (sink.lines, sink.lost_lines) == (2, 3)


def test_a_descriptor_that_does_not_block_gets_every_byte_once() -> None:
    """Whoever shares our stderr may have made it so; a pipe takes 64 KiB at a time."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "".join(f"line {number} é\n" for number in range(20_000))
    got: list[bytes] = []

    def read() -> None:
        while data := os.read(reading, 1 << 16):
            got.append(data)

    reader = threading.Thread(target=read)
    reader.start()
    assert Descriptor(writing).write(text) == len(text)
    os.close(writing)
    reader.join(10)
    os.close(reading)
    assert b"".join(got).decode() == text


def test_what_a_pipe_takes_at_once_are_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. Processes share a pipe, and only what it takes at once stays together. A longer line goes by itself."""
    written: list[bytes] = []

    def write(_: int, data: memoryview) -> int:
        written.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    short, long = "s" * 999 + "\n", "l" * 2 * select.PIPE_BUF + "\n"
    Descriptor(2).write(short + long + short * 5 + "no end" * select.PIPE_BUF)
    lines = [len(short), len(long), 4 * len(short), len(short), 6 * select.PIPE_BUF]
    assert [len(data) for data in written] == lines


def test_half_a_line_that_a_full_disk_took_is_ended_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. What comes then is a line of its own. Where nothing at all is taken, it stays to be ended."""
    written, room = bytearray(), [7, 0, 100]

    def write(_: int, data: memoryview) -> int:
        taken = data[: room[0]]
        room[0] -= len(taken)
        if not taken:
            del room[0]
            raise OSError(errno.ENOSPC, "no space left on device")
        written.extend(taken)
        return len(taken)

    monkeypatch.setattr(os, "write", write)
    log = Descriptor(2)
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            log.write("one\ntwo and more\n")
    log.write("three\n")
    log.write("four\n")
    assert bytes(written) == b"one\ntwo\nthree\nfour\n"
