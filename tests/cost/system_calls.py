"""Counts system calls of a proxy in a process of its own, with its defaults and all its threads, through strace."""

import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from .script import LIMIT_S, Counted, Script, counted

STEPS = 300
RACING = ("futex",)  # two threads meet or do not: the log's and the loop's
CALL = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)
"""The beginning of a call; one that was interrupted by another thread's is continued in a line without a bracket."""


class NoTracing(Exception):
    """System calls cannot be counted here; the text says why."""


def traceable() -> None:
    """Errors: NoTracing, where strace is missing or may not trace."""
    if not shutil.which("strace"):
        raise NoTracing("strace is not installed")
    tried = subprocess.run(
        ["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, timeout=LIMIT_S
    )
    if tried.returncode:
        raise NoTracing(f"strace may not trace here: {tried.stderr.strip()[-200:]}")


class Traced:
    """Counts the calls of a process that runs, while steps are done. `folder` is for what strace writes."""

    def __init__(self, pid: int, folder: Path) -> None:
        self._pid = pid
        self._file = folder / "calls"

    def count(self, step: Callable[[], None], steps: int) -> Counted:
        """System calls that a step takes, and which."""
        words = ["strace", "-f", "-o", str(self._file), "-p", str(self._pid)]
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as tracer:
            try:
                assert tracer.stderr is not None
                told = tracer.stderr.readline()
                assert "attached" in told, told
                for _ in range(steps):
                    step()
            finally:
                tracer.send_signal(signal.SIGINT)
                tracer.communicate(timeout=LIMIT_S)
        found = Counter(CALL.findall(self._file.read_text("utf-8", "replace")))
        for name in RACING:
            del found[name]
        often = {name: number / steps for name, number in found.most_common() if number >= steps / 4}
        return Counted(found.total() / steps, often)


def counts(folder: Path, program: Sequence[str] = ("-m", "proxy")) -> dict[str, Counted]:
    """System calls by kind of step; `program` is what Python runs. Errors: NoTracing."""
    traceable()
    script = Script()
    words = [sys.executable, *program, "serve", f"http://127.0.0.1:{script.origin_port}"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen([*words, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], stderr=output)
    try:
        script.connect(_port(process, log))
        return counted(script, Traced(process.pid, folder).count, STEPS)
    finally:
        script.close()
        process.terminate()
        try:
            process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: "subprocess.Popen[bytes]", log: Path) -> int:
    """Where the proxy listens, once it says so."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"listens on http://127\.0\.0\.1:(\d+)", log.read_text("utf-8")):
            return int(found[1])
        time.sleep(0.01)
    raise AssertionError(f"the proxy did not start: {log.read_text('utf-8')[-400:]}")
