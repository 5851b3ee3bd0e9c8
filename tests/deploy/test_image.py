"""The image: what the Dockerfile says, and its very commands run in a folder of their own, without an engine."""

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from proxy.demo.run import start

from .dockerfile import Stage, listed, stages

ROOT = Path(__file__).resolve().parents[2]
BUILD, FINAL = stages(ROOT / "Dockerfile")
INSTALLED = "/opt/streamsafe"
CONFIGURATION = "/etc/streamsafe/proxy.yaml"


def test_nothing_of_the_build_is_left_but_what_was_installed() -> None:
    assert BUILD.base == FINAL.base == "python:${PYTHON}-slim"
    assert FINAL.only("COPY") == f"--from={BUILD.name} {INSTALLED} {INSTALLED}"
    assert FINAL.all("RUN") == []


def test_it_runs_as_nobody_and_needs_no_shell() -> None:
    user, group = FINAL.only("USER").split(":")
    assert int(user) > 0
    assert int(group) > 0
    for name in ("ENTRYPOINT", "CMD", "HEALTHCHECK"):
        assert "sh" not in [Path(word).name for word in FINAL.words(name)]
    assert FINAL.only("STOPSIGNAL") == "SIGTERM"
    assert FINAL.environment["PYTHONDONTWRITEBYTECODE"] == "1"


def test_health_is_asked_of_the_configuration_that_is_served() -> None:
    assert FINAL.words("CMD") == ["serve", "-c", CONFIGURATION]
    assert FINAL.words("HEALTHCHECK") == [*FINAL.words("ENTRYPOINT"), "check", "--health", "-c", CONFIGURATION]


def test_the_context_holds_what_is_copied_and_no_secret() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    assert ignored[0] == "*"
    let_in = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    copied = {name for arguments in BUILD.all("COPY") for name in arguments.split()[:-1]}
    assert {name.removeprefix("./") for name in copied} == let_in
    assert all((ROOT / name).exists() for name in let_in)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the build stage makes, in a folder: its own COPY and RUN, with the paths of the image replaced."""
    home = tmp_path_factory.mktemp("image")
    source = home / "src"
    source.mkdir()
    for arguments in BUILD.all("COPY"):
        *names, target = arguments.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source / target)
    for arguments in BUILD.all("RUN"):
        words = [word.replace(INSTALLED, str(home / "opt")) for word in listed(arguments)]
        done = subprocess.run(words, cwd=source, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    shutil.rmtree(source)  # the final stage does not have it
    return home


def command(name: str, home: Path, configuration: Path) -> list[str]:
    return [
        word.replace(INSTALLED, str(home / "opt")).replace(CONFIGURATION, str(configuration))
        for word in FINAL.words(name)
    ]


def environment(stage: Stage, home: Path) -> dict[str, str]:
    return {name: value.replace(INSTALLED, str(home / "opt")) for name, value in stage.environment.items()}


class Run:
    """The image's commands on a configuration, in a folder that cannot be written to."""

    def __init__(self, home: Path, folder: Path) -> None:
        self.configuration = folder / "proxy.yaml"
        self._home = home
        self._cwd = folder / "cwd"
        self._cwd.mkdir(0o555)
        self._files = self._stamps()
        self._process: subprocess.Popen[str] | None = None

    def _stamps(self) -> dict[Path, int]:
        return {path: path.lstat().st_mtime_ns for path in (*self._home.rglob("*"), *self._cwd.rglob("*"))}

    @property
    def wrote(self) -> bool:
        """Whether anything of the image, or where it runs, was written to."""
        return self._stamps() != self._files

    def _start(self, *names: str) -> "subprocess.Popen[str]":
        words = [word for name in names for word in command(name, self._home, self.configuration)]
        return subprocess.Popen(
            words, cwd=self._cwd, env=environment(FINAL, self._home), stderr=subprocess.PIPE, text=True
        )

    def health(self) -> int:
        """The exit code of the HEALTHCHECK."""
        asking = self._start("HEALTHCHECK")
        asking.communicate(timeout=20)
        return asking.returncode

    def serve(self) -> None:
        """Starts what the image starts."""
        self._process = self._start("ENTRYPOINT", "CMD")

    def wait_healthy(self) -> None:
        """Returns once it is. Errors: AssertionError where it has ended."""
        assert self._process is not None
        while self.health() != 0:
            assert self._process.poll() is None, self._process.communicate()[1]

    def stop(self) -> tuple[int, str]:
        """Its exit code and its log, once it has ended by the image's own signal."""
        assert self._process is not None
        self._process.send_signal(getattr(signal, FINAL.only("STOPSIGNAL")))
        _, said = self._process.communicate(timeout=20)
        return self._process.returncode, said

    def end(self) -> None:
        """Kills it if it still runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()


@pytest.fixture
def ran(image: Path, tmp_path: Path) -> Iterator[Run]:
    run = Run(image, tmp_path)
    yield run
    run.end()


@pytest.mark.timeout(300)
async def test_the_commands_of_the_image_serve_are_healthy_and_drain(
    ran: Run, unused_tcp_port_factory: Callable[[], int]
) -> None:
    listen, admin = unused_tcp_port_factory(), unused_tcp_port_factory()
    async with await start() as upstream:
        ran.configuration.write_text(
            f"listen: 127.0.0.1:{listen}\nadmin: 127.0.0.1:{admin}\nlog: {{format: json}}\n"
            f"routes: [{{upstream: '{upstream.upstream_url}'}}]"
        )
        assert await asyncio.to_thread(ran.health) == 1
        ran.serve()
        async with asyncio.timeout(30), aiohttp.ClientSession() as session:
            await asyncio.to_thread(ran.wait_healthy)
            async with session.get(f"http://127.0.0.1:{listen}/demo/state") as answer:
                assert answer.status == 200
            async with session.get(f"http://127.0.0.1:{admin}/readyz") as answer:
                assert answer.status == 200
        code, said = await asyncio.to_thread(ran.stop)
    assert code == 0, said
    assert await asyncio.to_thread(ran.health) == 1
    assert not ran.wrote, "the file system of the image is read-only"
