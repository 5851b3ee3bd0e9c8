"""A program under measurement: started on a core of its own, watched, and ended by its process ids."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import account

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT_S = 60  # LiteLLM takes twenty
STOP_LIMIT_S = 5
SETTLE_S = 0.3  # after the start, before memory at rest is read
LOAD_LIMIT_S = 240  # for any one load; each has shorter limits of its own

_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
PINNED = len(_CORES) > 1
PROXY_CORE = _CORES[0] if PINNED else None


class Spoiled(Exception):
    """A stream lost an event, a body was not whole, a request failed, or the program under measurement ended."""


@dataclass(frozen=True)
class Subject:
    """A proxy that listens on a loopback port. `pids` are all its processes; none: it is the origin itself."""

    name: str
    port: int
    origin: int
    pids: tuple[int, ...] = ()
    start_s: float = 0
    rest_kib: int = 0

    def load(self, kind: str, **arguments: Any) -> dict[str, Any]:
        """Runs one load through it, in a process of its own. Errors: Spoiled."""
        command = [sys.executable, "-m", "tests.bench.load", kind, json.dumps({"port": self.port, **arguments})]
        ended = on_load_core(command, LOAD_LIMIT_S)
        if ended.returncode:
            raise Spoiled(f"the load ended with {ended.returncode}: {ended.stderr.strip()[-600:]}")
        result: dict[str, Any] = json.loads(ended.stdout)
        if faults := result.pop("faults"):
            raise Spoiled("; ".join(faults))
        return result


def pinned_to(role: str) -> Callable[[], None] | None:
    """What makes a new process stay on the core of the `proxy` or of the `load`; None where that is not possible.

    `any` is every core.
    """
    if not PINNED or role == "any":
        return None
    cores = {_CORES[0] if role == "proxy" else _CORES[-1]}
    return lambda: os.sched_setaffinity(0, cores)


def on_load_core(command: list[str], limit_s: float) -> "subprocess.CompletedProcess[str]":
    """Runs a load to its end. Errors: Spoiled, where that takes longer than the limit."""
    try:
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=limit_s, preexec_fn=pinned_to("load")
        )
    except subprocess.TimeoutExpired:
        raise Spoiled(f"the load was not over after {limit_s:g} s") from None


@contextlib.contextmanager
def origin(log: Path) -> Iterator[int]:
    """Runs the origin on the load's core; gives its port. It also ends when we do, whatever ends us."""
    command = [sys.executable, "-m", "tests.bench.origin"]
    with log.open("w") as errors:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
            preexec_fn=pinned_to("load"),
        )
    with process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
            if failed := _end_of(log):
                raise Spoiled(f"the origin failed: {failed}")
        finally:
            _stop(process, [process.pid])


@contextlib.contextmanager
def started(
    name: str, command: Callable[[int], list[str]], origin_port: int, log: Path, role: str = "proxy"
) -> Iterator[Subject]:
    """Runs a proxy, its output going to `log`. `command` is told its port. Errors: Spoiled, if it never listens."""
    port = free_port()
    words = command(port)
    at = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            words, cwd=ROOT, stdout=output, stderr=output, start_new_session=True, preexec_fn=pinned_to(role)
        )
    pids = [process.pid]
    try:
        start_s = _wait_until_listening(port, process, log) - at
        time.sleep(SETTLE_S)
        pids = account.family(process.pid)
        yield Subject(name, port, origin_port, tuple(pids), start_s, account.rss_kib(pids))
        if process.poll() is not None:
            raise Spoiled(f"{name} ended with {process.returncode}: {_end_of(log)}")
    finally:
        _stop(process, pids)


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> float:
    """When it did, on the monotonic clock."""
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Spoiled(f"ended with {process.returncode} before it listened: {_end_of(log)}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return time.monotonic()
        time.sleep(0.005)  # a program of any kind: all that it tells is that it listens
    raise Spoiled(f"not listening after {START_LIMIT_S} s: {_end_of(log)}")


def _stop(process: "subprocess.Popen[Any]", pids: list[int]) -> None:
    """SIGTERM; SIGKILL, also to its children, where that does not do."""
    process.terminate()
    try:
        process.wait(STOP_LIMIT_S)
    except subprocess.TimeoutExpired:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace").strip()[-400:]
