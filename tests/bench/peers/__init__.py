"""Who is measured beside us: each proxy set up so that it does its best at streaming, and none of them writes a log.

All of them keep their upstream connections, buffer no stream, compress nothing and have one process or thread that
works. What each configuration sets beyond its defaults is said in the peer's file and in docs/performance.md.

    nginx  haproxy  caddy       from the distribution
    node                        http-proxy-middleware and vite, which tests/bench/setup installs
    litellm                     LiteLLM's pass-through endpoints, where the command `litellm` is on the PATH
    ours                        streamsafe as a user starts it
"""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Site:
    """Where a peer stands: ports of this machine, a folder for its files, how many files it may open."""

    origin: int
    port: int
    folder: Path
    files: int

    def write(self, name: str, text: str) -> Path:
        """A configuration file, in which `<origin>`, `<port>`, `<folder>` and `<files>` are filled in.

        `<streams>` is how many those files are enough for, `<places>` an eighth more than the files.
        """
        file = self.folder / f"{self.port}-{name}"
        values = {"origin": self.origin, "port": self.port, "folder": self.folder, "files": self.files}
        for key, value in {**values, "streams": (self.files - 300) // 2, "places": self.files * 9 // 8}.items():
            text = text.replace(f"<{key}>", str(value))
        file.write_text(text, "utf-8")
        return file


@dataclass(frozen=True)
class Peer:
    """A proxy that can be started: `command` gives the words. `title` is what people call it."""

    name: str
    title: str
    version: str
    command: Callable[[Site], list[str]]
    streams: int | None = None
    """The most streams that it can be given at 40 events a second; None is as many as the measure has."""
    rounds: int | None = None
    """How often it is measured at most, where a start takes long."""


class Missing(Exception):
    """A peer cannot be measured here; the text says why, and how to change that."""


def version_of(command: list[str], words: int = 0) -> str:
    """What a program says of its version, the n-th word of its first line. Errors: Missing."""
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except OSError:
        raise Missing(f"{command[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Missing(f"{command[0]} does not tell its version") from None
    found = (told.stdout.strip() or told.stderr.strip()).partition("\n")[0].split()
    if told.returncode or not found:
        raise Missing(f"{command[0]} does not run: {told.stderr.strip()[-200:]}")
    return found[min(words, len(found) - 1)]
