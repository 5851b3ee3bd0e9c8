"""What somebody sees who starts the proxy on a terminal: a real one, made by the system."""

import asyncio
import contextlib
import os
import pty
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import aiohttp
import pytest

from .command import COMMAND, WAIT_LIMIT_S, environment
from .conftest import Echo


class OnTerminal:
    """`serve` with its stderr on a terminal."""

    def __init__(self, home: Path, *arguments: str, **environ: str) -> None:
        self._ours, theirs = pty.openpty()
        words = [*COMMAND, "serve", "--listen", "127.0.0.1:0", "--admin", "off", *arguments]
        self._process = subprocess.Popen(
            words, env=environment(home, environ), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=theirs
        )
        os.close(theirs)
        self._said = b""

    def wait_match(self, pattern: str) -> re.Match[str]:
        """The first match in what was shown. Runs in a thread; ends with the program at the latest."""
        while True:
            text = self._said.decode().replace("\r\n", "\n")
            if match := re.search(pattern, text, re.MULTILINE):
                return match
            data = os.read(self._ours, 4096)
            assert data, text
            self._said += data

    def end(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(WAIT_LIMIT_S)
        self._process.kill()
        self._process.wait()
        os.close(self._ours)


@pytest.fixture
def started() -> Iterator[list[OnTerminal]]:
    running: list[OnTerminal] = []
    yield running
    for one in running:
        one.end()


async def shown(command: OnTerminal) -> str:
    """The line of one exchange."""
    url = (await asyncio.to_thread(command.wait_match, r"listens on (http://[0-9.:]+)"))[1]
    async with aiohttp.ClientSession() as session, session.get(f"{url}/x") as answer:
        assert answer.status == 200
    return (await asyncio.to_thread(command.wait_match, r"^.*GET.*$"))[0]


async def test_a_terminal_gets_columns_and_colours(echo: Echo, tmp_path: Path, started: list[OnTerminal]) -> None:
    started.append(OnTerminal(tmp_path, echo.url, TERM="xterm"))
    line = await shown(started[0])
    assert "\x1b[32m200\x1b[0m  GET      default" in line
    assert "outcome=" not in line


async def test_no_color_leaves_the_columns(echo: Echo, tmp_path: Path, started: list[OnTerminal]) -> None:
    started.append(OnTerminal(tmp_path, echo.url, TERM="xterm", NO_COLOR="1"))
    line = await shown(started[0])
    assert "\x1b" not in line
    assert "  200  GET      default         complete  " in line


async def test_json_stays_json(echo: Echo, tmp_path: Path, started: list[OnTerminal]) -> None:
    started.append(OnTerminal(tmp_path, echo.url, "--log", "json", TERM="xterm"))
    assert (await shown(started[0])).startswith('{"time": ')


def test_a_terminal_that_is_closed_ends_the_proxy(tmp_path: Path) -> None:
    """That is a SIGHUP like one for a reload, but nobody is left who could want it."""
    terminal, theirs = pty.openpty()
    words = [*COMMAND, "serve", "http://127.0.0.1:9", "--listen", "127.0.0.1:0", "--admin", "off"]
    process = subprocess.Popen(
        # The leader of a new session gets the first terminal that it opens as its own.
        ["/bin/sh", "-c", 'exec 0<"$0"; exec "$@"', os.ttyname(theirs), *words],
        env=environment(tmp_path, {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = process.stderr
    os.close(theirs)
    try:
        _read_to(said, b"goes to")
        process.send_signal(signal.SIGHUP)
        _read_to(said, b"reloaded")
        os.close(terminal)
        _read_to(said, b"stopped")
        assert process.wait(WAIT_LIMIT_S) == 0
    finally:
        process.kill()
        process.wait()
        said.close()


def _read_to(said: IO[bytes], word: bytes) -> None:
    """Returns with the line that has this word. Errors: AssertionError if none has."""
    assert any(word in line for line in iter(said.readline, b"")), f"ended without {word!r}"
