"""Starts programs as their users would, and plays a stream through them piece by piece.

A program tells what it sees in JSON lines on stdout, each with `at`, seconds of the machine's monotonic clock; what one
says in plain words counts as an event. Orders go to its stdin, also as JSON lines. Everything is ended by its id.
"""

import asyncio
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent
NODE, PYTHON, CHAINS = HERE / "node", HERE / "python", HERE / "chains"
START_LIMIT_S = 90.0
"""The dev servers compile first, perhaps beside other work."""
LIMIT_S = 10.0
"""How long a piece may take that nothing holds."""
PATIENCE_S = 0.4
"""How long we wait for a piece that a peer is expected to hold. It is never what a test of ours depends on."""
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Told(NamedTuple):
    """What a program told, and when, in seconds of the monotonic clock."""

    value: Any
    at: float


class Program:
    """A program that runs until it is ended, with what it told so far."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.url = ""
        self.text = ""
        self._process = process
        self._told: dict[str, deque[Told]] = defaultdict(deque)
        self._changed = asyncio.Event()
        self._readers = [
            asyncio.create_task(self._read(stream, is_told), name=f"output of {name}")
            for stream, is_told in ((process.stdout, True), (process.stderr, False))
            if stream is not None
        ]

    async def told(self, key: str, within_s: float = LIMIT_S) -> Told:
        """The next thing told under this key. Fails at once if an error was told instead, or the program has ended.

        Errors: TimeoutError.
        """
        async with asyncio.timeout(within_s):
            while not self._told[key]:
                assert not self._told["error"], f"{self.name}: {self._told['error'][0].value}"
                assert not self.is_over(), f"{self.name} ended without telling of its {key}:\n{self.text}"
                await self._wait_change()
        return self._told[key].popleft()

    async def printed(self, pattern: str, within_s: float = START_LIMIT_S) -> re.Match[str]:
        """The first match in what was printed, colours left out."""
        try:
            async with asyncio.timeout(within_s):
                while (match := re.search(pattern, self.text)) is None:
                    assert not self.is_over(), f"{self.name} ended without printing {pattern!r}:\n{self.text}"
                    await self._wait_change()
        except TimeoutError:
            pytest.fail(f"{self.name} did not print {pattern!r}:\n{self.text}")
        return match

    async def ended(self, within_s: float = LIMIT_S) -> int:
        """Its exit code, once it has ended by itself and all it said has been read."""
        async with asyncio.timeout(within_s):
            await asyncio.gather(*self._readers)
            return await self._process.wait()

    async def order(self, **order: Any) -> None:
        """Sends it one JSON line."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()

    async def send(self, text: str) -> float:
        """Lets an origin send a piece on its latest answer; when it began to."""
        await self.order(send=text)
        return (await self.told("sent")).at

    async def finish(self, text: str = "") -> float:
        """Lets an origin end its latest answer, after a last piece; when it did."""
        if text:
            await self.order(send=text)
            await self.told("sent")
        await self.order(end=True)
        return (await self.told("ended")).at

    async def end(self) -> None:
        """Ends it and what it started, by the id of its own process group."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        for sign, within_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, sign)
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await self._process.wait()
                    await asyncio.gather(*self._readers)
                    return
        pytest.fail(f"{self.name} could not be ended")

    def is_over(self) -> bool:
        """Whether it has ended and all it said has been read."""
        return all(reader.done() for reader in self._readers)

    async def _wait_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _read(self, stream: asyncio.StreamReader, is_told: bool) -> None:
        try:
            while line := await stream.readline():
                text = _COLOURS.sub("", line.decode("utf-8", "replace"))
                self.text += text
                if is_told and text.strip():
                    self._take(text.rstrip("\r\n"))
                self._changed.set()
        finally:
            self._changed.set()

    def _take(self, text: str) -> None:
        try:
            document = json.loads(text)
            at = document.pop("at")
        except (ValueError, TypeError, AttributeError, KeyError):
            self._told["event"].append(Told(text, time.monotonic()))
            return
        for key, value in document.items():
            self._told[key].append(Told(value, at))


@dataclass
class Stage:
    """Where the programs of one test run: in this folder, without the environment's keys and proxies."""

    folder: Path
    programs: list[Program] = field(default_factory=list)

    async def run(self, *command: str, cwd: Path | None = None, environ: dict[str, str] | None = None) -> Program:
        """Starts a program; its first word may be a path or a name."""
        if shutil.which(command[0]) is None:
            left_out(f"{command[0]} is not installed")
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=cwd or self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "LANG": "C.UTF-8", **(environ or {})},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            limit=1 << 24,
        )
        self.programs.append(Program(" ".join(command[:3]), process))
        return self.programs[-1]

    async def node(self, script: str, *arguments: str) -> Program:
        """Runs a script of ours in Node."""
        if not (NODE / "node_modules").is_dir():
            left_out("the Node packages are not installed (make e2e does that)")
        return await self.run("node", str(NODE / script), *arguments)

    async def python(self, script: str, *arguments: str) -> Program:
        """Runs a script of ours in this Python."""
        if importlib.util.find_spec("mcp") is None:
            left_out("the Python packages are not installed (make e2e does that)")
        return await self.run(sys.executable, str(PYTHON / script), *arguments)

    async def client(self, name: str, *arguments: str) -> Program:
        """Runs a client by the name of its script, or curl."""
        if name == "curl":
            return await self.run("curl", "-sS", "-N", "--compressed", "-H", "Accept: text/event-stream", *arguments)
        return await (self.node if name.endswith(".mjs") else self.python)(name, *arguments)

    async def listening(self, program: Program) -> Program:
        """The same, once it has told its port."""
        told = (await program.told("listening", START_LIMIT_S)).value
        program.url = f"{told.get('scheme', 'http')}://127.0.0.1:{told['port']}"
        return program

    async def origin(self, kind: str = "http", *arguments: str) -> Program:
        """A gated origin, see the scripts."""
        run, script = (self.python, "origins.py") if kind in ("aiohttp", "starlette") else (self.node, "origins.mjs")
        return await self.listening(await run(script, kind, *arguments))

    async def peer(self, upstream: str = "http://127.0.0.1:9") -> Program:
        """Express with compression and http-proxy-middleware, as dev servers wire them; it also serves our page."""
        return await self.listening(await self.node("peer.mjs", upstream))

    async def streamsafe(self, *arguments: str) -> Program:
        """The proxy, by its command, on a port of its own choice; without the admin listener, whose port is fixed."""
        command = str(Path(sys.executable).with_name("streamsafe"))
        program = await self.run(command, "serve", "--listen", "127.0.0.1:0", "--admin", "off", *arguments)
        program.url = (await program.printed(r"listens on (http://[0-9.:]+)"))[1]
        return program

    async def nginx(self, servers: str, url: str) -> Program:
        """nginx with these server blocks and every default of its own; `url` is where they listen."""
        temporary = "client_body proxy fastcgi uwsgi scgi"
        paths = " ".join(f"{name}_temp_path {self.folder}/{name};" for name in temporary.split())
        config = self.folder / f"nginx-{len(self.programs)}.conf"
        config.write_text(
            f"daemon off; master_process off; pid {config}.pid; error_log stderr notice;\n"
            f"events {{}}\nhttp {{ access_log off; {paths}\n{servers}\n}}\n",
            "utf-8",
        )
        program = await self.run("nginx", "-p", str(self.folder), "-c", str(config), "-e", "stderr")
        program.url = url
        await reachable(url, program)
        return program

    async def plain_nginx(self, upstream: str, more: str = "") -> Program:
        """nginx that passes everything on, with its defaults: HTTP/1.0 upwards, buffering, no upgrades."""
        port = free_port()
        block = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass {upstream}; {more} }} }}"
        return await self.nginx(block, f"http://127.0.0.1:{port}")

    async def end(self) -> None:
        """Ends every program, the latest first."""
        await asyncio.gather(*[program.end() for program in reversed(self.programs)])


@dataclass
class Delivery:
    """How the pieces of a stream came to a client."""

    values: list[Any] = field(default_factory=list)
    """What the client told of, in its order."""
    in_time: list[bool] = field(default_factory=list)
    """For each: was it there after the origin sent its piece, and before the origin sent the next?"""


async def deliver(
    origin: Program, client: Program, pieces: Sequence[str], last: str = "", patience_s: float = LIMIT_S
) -> Delivery:
    """Sends each piece once the client has told of the one before, or once our patience is over; then ends the answer.

    Every piece makes one event; `last` goes with the end and makes none.
    """
    sent_at, events = [], []
    for piece in pieces:
        sent_at.append(await origin.send(piece))
        with suppress(TimeoutError):
            events.append(await client.told("event", patience_s))
    sent_at.append(await origin.finish(last))
    while len(events) < len(pieces):
        events.append(await client.told("event"))
    return Delivery(
        [event.value for event in events],
        [sent_at[number] <= event.at < sent_at[number + 1] for number, event in enumerate(events)],
    )


def left_out(reason: str) -> None:
    """Skips this test, and says why at the end of the run; in CI that fails the run."""
    pytest.skip(reason)


def free_port() -> int:
    """A port that nobody listens on just now, for programs that cannot choose one themselves."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def reachable(url: str, program: Program) -> None:
    """Returns once this program accepts connections there."""
    host, _, port = url.partition("://")[2].partition(":")
    async with asyncio.timeout(START_LIMIT_S):
        while True:
            assert not program.is_over(), f"{program.name} ended:\n{program.text}"
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, int(port))
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.02)
