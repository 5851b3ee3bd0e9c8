"""Where the figures come from, without which they mean nothing; and how many files this machine lets us open."""

import contextlib
import os
import platform
import resource
from importlib import metadata
from pathlib import Path

WANTED_FILES = 40_960  # where the hard limit is none, as on macOS, this much is asked for
LIBRARIES = ("aiohttp", "httptools", "uvloop")


def raise_file_limit() -> int:
    """Raises the soft limit of open files as far as it goes; gives what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard if hard != resource.RLIM_INFINITY else WANTED_FILES, WANTED_FILES, 10_240):
        with contextlib.suppress(ValueError, OSError):  # macOS calls it unlimited and has another limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
            break
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def described(files: int) -> dict[str, str]:
    """What to write beside every figure. `files` is how many one process may open."""
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        lines = cpus.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    return {
        "cpu": f"{os.cpu_count()} cores, {model}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": ", ".join(f"{name} {version}" for name in LIBRARIES if (version := _version(name))),
        "open files": f"{files:,} a process",
        "load average before": f"{load_average():.2f}",
    }


def load_average() -> float:
    """How many processes wanted a core in the last minute, before ours do."""
    return os.getloadavg()[0]


def _version(name: str) -> str:
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return ""
