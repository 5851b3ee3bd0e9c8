"""Memory and open files of processes, as Linux tells them, and whether they grew."""

import contextlib
import os
import re
import statistics
from collections import defaultdict
from pathlib import Path

# What a process may grow from the middle third of a soak to the last, besides a share of itself. Resident memory moves
# by 2 to 7 % here, in steps, while what Python holds stays the same: three times the streams a second moved it no
# further, so that it is the allocator's. In ten minutes of 1,500 streams this finds half a KiB kept of each stream.
GROWTH = 0.1
GROWTH_KIB = 1024
# A process that was not there for so many samples says nothing about a trend.
FEWEST_SAMPLES = 12
# How /proc/net/tcp writes that state.
LISTEN = "0A"


def rss_kib(pid: int) -> int:
    """Resident memory. Errors: FileNotFoundError or ProcessLookupError for a process that is gone."""
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text("ascii"), re.MULTILINE)
    return int(found[1]) if found else 0


def children(pid: int) -> list[int]:
    """The processes that it started itself."""
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def open_files(pid: int) -> int:
    """How many descriptors it has."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def sockets(pid: int) -> set[int]:
    """The inodes of its sockets."""
    found = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{name}"))
        except FileNotFoundError:
            continue
        if match:
            found.add(int(match[1]))
    return found


Connection = tuple[int, int]
"""A TCP connection on loopback: the port it goes to, and the one it comes from."""


def connections(ports: set[int]) -> dict[Connection, int]:
    """All to these local ports, with the inode of their near side; 0 while nobody has accepted one."""
    found = {}
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        fields = line.split()
        near, far = (int(address[-4:], 16) for address in fields[1:3])
        if near in ports:
            found[near, far] = int(fields[9])
    return found


def listeners(ports: set[int]) -> set[int]:
    """The inodes of all sockets that listen on these local ports."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    return {int(fields[9]) for fields in lines if fields[3] == LISTEN and int(fields[1][-4:], 16) in ports}


class Memory:
    """Samples of processes, and what they say. `growth_kib` is what any of them may grow towards the end."""

    def __init__(self, growth_kib: float = GROWTH_KIB) -> None:
        self._growth_kib = growth_kib
        self._samples: dict[int, list[int]] = defaultdict(list)
        self._first: set[int] = set()
        self._last: set[int] = set()

    def sample(self, pids: list[int]) -> None:
        """Looks at those that are there."""
        found = {}
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found[pid] = rss_kib(pid)
        self.add(found)

    def add(self, found: dict[int, int]) -> None:
        """One sample of all of them, in KiB."""
        for pid, kib in found.items():
            self._samples[pid].append(kib)
        self._first = self._first or set(found)
        self._last = set(found)

    def thirds(self) -> dict[int, list[float]]:
        """For each process that is there and was long enough: the medians of the three parts of its life, in KiB."""
        return {
            pid: [statistics.median(found[len(found) * part // 3 : len(found) * (part + 1) // 3]) for part in range(3)]
            for pid, found in self._samples.items()
            if pid in self._last and len(found) >= FEWEST_SAMPLES
        }

    def faults(self) -> list[str]:
        """Those that grew towards the end.

        One that was started in place of another may grow as far as those are that were there all the time.
        """
        thirds = self.thirds()
        settled = max((last for pid, (_, _, last) in thirds.items() if pid in self._first), default=0)
        return [
            f"process {pid}: memory grew from {middle:.0f} KiB to {last:.0f} KiB in the last third"
            for pid, (_, middle, last) in thirds.items()
            if last > (middle if pid in self._first else max(middle, settled)) * (1 + GROWTH) + self._growth_kib
        ]
