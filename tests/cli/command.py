"""`python -m proxy` in a process of its own, its output in files, so that nobody has to read for it to go on."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

WAIT_LIMIT_S = 15.0
COMMAND = [sys.executable, "-W", "error", "-m", "proxy"]


def environment(home: Path, more: Mapping[str, str]) -> dict[str, str]:
    """Nothing of ours but the path: no proxy settings, no keys."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **more}


def run_once(home: Path, *arguments: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=home,
        env=environment(home, environ or {}),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=WAIT_LIMIT_S,
        check=False,
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    return done


class Command:
    """A command that runs until it is told to stop. Ended by `end` whatever happened."""

    def __init__(self, home: Path, arguments: tuple[str, ...], environ: Mapping[str, str]) -> None:
        self._outputs = [home / "stdout", home / "stderr"]
        with open(self._outputs[0], "wb") as out, open(self._outputs[1], "wb") as err:
            self._process = subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=home,
                env=environment(home, environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def resident_bytes(self) -> int:
        """Its memory, as Linux counts it."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("ascii")
        return int(re.findall(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)[0]) * 1024

    @property
    def threads(self) -> list[str]:
        """What each of its threads is called, as Linux lists them."""
        found = []
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                found.append((task / "comm").read_text("utf-8").strip())
        return found

    @property
    def stdout(self) -> str:
        return self._outputs[0].read_text("utf-8")

    @property
    def stderr(self) -> str:
        return self._outputs[1].read_text("utf-8")

    async def wait_match(self, pattern: str) -> re.Match[str]:
        """The first match in what was printed; fails at a deadline, or when the command has ended without one."""
        async with asyncio.timeout(WAIT_LIMIT_S):
            while True:
                ended = self._process.poll() is not None
                for text in (self.stdout, self.stderr):
                    if match := re.search(pattern, text, re.MULTILINE):
                        return match
                assert not ended, f"ended without {pattern!r}:\n{self.stderr}"
                await asyncio.sleep(0.01)  # another process: nobody is told what it does

    async def wait_url(self) -> str:
        """Where it listens, once it does."""
        return (await self.wait_match(r"listens on (https?://[^\s\"]+)"))[1]

    async def wait_lines(self, pattern: str, count: int) -> list[str]:
        """The lines of stderr that match, once there are so many."""
        async with asyncio.timeout(WAIT_LIMIT_S):
            while True:
                lines = [line for line in self.stderr.split("\n") if re.search(pattern, line)]
                if len(lines) >= count:
                    return lines
                await asyncio.sleep(0.01)  # another process: nobody is told what it does

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def wait_end(self, within_s: float = WAIT_LIMIT_S) -> int:
        """Its exit code, once it has ended by itself."""
        async with asyncio.timeout(within_s):
            while True:
                if (code := self._process.poll()) is not None:
                    return code
                await asyncio.sleep(0.01)  # another process: nobody is told what it does

    def end(self) -> None:
        """Kills what still runs; no command of ours ever shows a traceback."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(WAIT_LIMIT_S)
        assert "Traceback" not in self.stderr, self.stderr


class PipedCommand:
    """`serve` with its stderr in a pipe that is read to the addresses and then not until the end."""

    def __init__(self, upstream: str) -> None:
        listeners = ("--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
        self._process = subprocess.Popen(
            [*COMMAND, "serve", upstream, *listeners], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def wait_addresses(self) -> tuple[str, str]:
        """Where the proxy and its admin listener are."""
        assert self._process.stderr is not None
        lines = [self._process.stderr.readline() for _ in range(3)]
        found = re.findall(r"http://127\.0\.0\.1:\d+", "".join(lines))
        return found[0], found[1]

    def end_and_read(self) -> str:
        """Stops it, and reads what it has written meanwhile and writes at its end."""
        self._process.terminate()
        _, said = self._process.communicate(timeout=WAIT_LIMIT_S)
        assert self._process.returncode == 0
        return said

    def kill(self) -> None:
        """Ends it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
