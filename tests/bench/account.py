"""CPU seconds and resident KiB of processes: from /proc on Linux, from `ps` elsewhere.

On Linux CPU time is the scheduler's, in nanoseconds; a kernel without that account gives clock ticks (10 ms), and so
does `ps`. A thread that has ended takes its share of the account with it: the programs measured here keep theirs.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")
HAS_PROC = (PROC / "self/stat").exists()
HAS_SCHEDSTAT = (PROC / f"self/task/{os.getpid()}/schedstat").exists()
SOURCE = "schedstat" if HAS_SCHEDSTAT else "clock ticks" if HAS_PROC else "ps"


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    parents = _parents()
    found = [pid]
    for known in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == known]
    return found


def cpu_s(pids: list[int]) -> float:
    """CPU seconds that the processes and their threads have used, user and system together. Errors: OSError."""
    if HAS_SCHEDSTAT:
        return sum(_thread_ns(thread) for pid in pids for thread in (PROC / f"{pid}/task").iterdir()) / 1e9
    if HAS_PROC:
        stats = (_stat(pid) for pid in pids)
        return sum(int(user) + int(system) for stat in stats for user, system in [stat[11:13]]) / os.sysconf(
            "SC_CLK_TCK"
        )
    return sum(_clock_s(words[0]) for words in _ps("time=", pids))


@contextlib.contextmanager
def instructions(pids: list[int]) -> Iterator[list[int]]:
    """Counts what the processes execute meanwhile, and the kernel for them; what it gives stays empty where no `perf`
    is, or may count. Unlike time that does not wander: a neighbour of the machine slows it down and adds nothing.
    """
    found: list[int] = []
    if not shutil.which("perf"):
        yield found
        return
    command = ["perf", "stat", "-x,", "-e", "instructions:u,instructions:k", "-p", ",".join(map(str, pids))]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as perf:
        try:
            yield found
        finally:
            perf.send_signal(signal.SIGINT)
            told = perf.communicate()[1]
    counts = [line.split(",")[0] for line in told.splitlines() if "instructions" in line]
    if len(counts) == 2 and all(count.isdigit() for count in counts):
        found.append(sum(map(int, counts)))


def core_s(core: int) -> float | None:
    """Seconds that a core has been busy with anything, 10 ms at best; None where nobody tells."""
    with contextlib.suppress(OSError):
        for line in (PROC / "stat").read_text().splitlines():
            if line.startswith(f"cpu{core} "):
                user, nice, system, _idle, _waiting, *interrupts = (int(word) for word in line.split()[1:8])
                return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")
    return None


def rss_kib(pids: list[int]) -> int:
    """Resident memory; pages that processes share count once for each. Errors: OSError, where one has ended."""
    if not HAS_PROC:
        return sum(int(words[0]) for words in _ps("rss=", pids))
    page_kib = os.sysconf("SC_PAGE_SIZE") // 1024
    return sum(int((PROC / f"{pid}/statm").read_text().split()[1]) for pid in pids) * page_kib


def shared_kib(pids: list[int]) -> int:
    """Resident memory of processes that are forks of each other: pages that they share count once in all.

    Where the system does not tell, they count once for each. Errors: OSError, where one has ended.
    """
    if not HAS_PROC:
        return rss_kib(pids)
    lines = [line for pid in pids for line in (PROC / f"{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _thread_ns(thread: Path) -> int:
    with contextlib.suppress(OSError):  # it ended while we looked
        return int((thread / "schedstat").read_bytes().split()[0])
    return 0


def _parents() -> dict[int, int]:
    if not HAS_PROC:
        return {int(pid): int(parent) for pid, parent in _ps("pid=,ppid=", None)}
    parents = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it ended while we looked
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
    return parents


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may hold spaces and brackets: state, parent, ..."""
    return (PROC / f"{pid}/stat").read_text().rsplit(")", 1)[1].split()


def _ps(columns: str, pids: list[int] | None) -> list[list[str]]:
    if pids == []:
        return []
    which = ["-ax"] if pids is None else ["-p", ",".join(map(str, pids))]
    listed = subprocess.run(["ps", *which, "-o", columns], capture_output=True, text=True, timeout=10, check=True)
    return [line.split() for line in listed.stdout.splitlines()]


def _clock_s(text: str) -> float:
    """`[[days-]hours:]minutes:seconds` as seconds."""
    days, _, clock = text.rpartition("-")
    seconds = 0.0
    for part in clock.split(":"):
        seconds = seconds * 60 + float(part)
    return seconds + int(days or 0) * 86_400
