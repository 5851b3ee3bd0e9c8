"""What the built image is: small, without what built it, and a proxy that streams on a read-only root as nobody.

Not for `make test`: it needs root and about a minute. `make image-test` runs it.
"""

import asyncio
import struct
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from tests.deploy.dockerfile import stages
from tests.image.build import ROOT, Builder, Image
from tests.image.sandbox import CONFIGURATION, SHELLS, Sandbox

pytestmark = pytest.mark.timeout(700)  # the first one makes the base and builds

EVENTS = 20
INSTALLED = "/opt/streamsafe"
PYTHON = f"{INSTALLED}/bin/python"
TOOLS = {"cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "cargo", "rustc", "git", "curl", "wget"}


def base_name() -> str:
    """The base as the Dockerfile names it when nobody says otherwise."""
    version = next(line[11:] for line in (ROOT / "Dockerfile").read_text().split("\n") if line[:11] == "ARG PYTHON=")
    return stages(ROOT / "Dockerfile")[-1].base.replace("${PYTHON}", version)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Image, Image]]:
    """The base, and what the Dockerfile makes of it."""
    builder = Builder(tmp_path_factory.mktemp("images"))
    try:
        builder.base(base_name())
        builder.build("streamsafe")
        yield builder.open(base_name()), builder.open("streamsafe")
    finally:
        builder.close()


@pytest.fixture(scope="module")
def image(images: tuple[Image, Image]) -> Image:
    return images[1]


@pytest.fixture(scope="module")
def added(images: tuple[Image, Image]) -> dict[str, Path]:
    """The files that are not of the base."""
    base, image = (one.files() for one in images)
    return {name: image[name] for name in image.keys() - base.keys()}


@pytest.fixture
def sandbox(image: Image, tmp_path: Path) -> Iterator[Sandbox]:
    made = Sandbox(image, tmp_path / "proxy.yaml")
    (tmp_path / "proxy.yaml").write_text("routes: [{upstream: 'http://127.0.0.1:9'}]")
    yield made
    made.end()


# What is in it


def test_it_adds_the_environment_to_its_base_and_nothing_else(added: dict[str, Path]) -> None:
    """In particular not the sources, nor what pip was set up with."""
    assert added
    assert {name for name in added if not name.startswith(f"{INSTALLED}/")} - {CONFIGURATION} == set()


def test_it_is_small(added: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    size = sum(path.lstat().st_size for path in added.values())
    with capsys.disabled():
        print(f"\nthe image adds {size / 1e6:.1f} MB in {len(added)} files to {base_name()}")
    assert size < 100e6


def test_nothing_that_builds_is_left(image: Image, added: dict[str, Path]) -> None:
    """No compiler in all of the image; no pip, wheel or cache in what we add."""
    programs = {name.rpartition("/")[2] for name in image.files() if "/bin/" in name or "/sbin/" in name}
    assert programs & TOOLS == set()
    assert [name for name in added if "/pip/" in name or name.endswith((".whl", ".tar.gz", ".c", ".o"))] == []
    assert not (image.root / "root/.cache").exists()


def test_its_bytecode_is_made_and_does_not_go_by_times_of_files(added: dict[str, Path]) -> None:
    """Layers keep rounded seconds, and nothing can be written: modules would else be compiled anew at every start."""
    modules = {name: path for name, path in added.items() if "/site-packages/" in name and name.endswith(".py")}
    assert len([name for name in modules if "/proxy/" in name]) > 50
    for name, path in modules.items():
        (made,) = (path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.pyc")
        (flags,) = struct.unpack("<4xL", made.read_bytes()[:8])
        assert flags == 1, f"{name}: expected a hash that is not checked (PEP 552)"


def test_everything_in_it_is_readable_for_its_user_and_writable_for_root_alone(added: dict[str, Path]) -> None:
    for name, path in added.items():
        if not path.is_symlink():
            mode = path.stat().st_mode
            assert (path.stat().st_uid, mode & 0o022, mode & 0o004) == (0, 0, 0o004), name


# How it runs


def test_the_sandbox_is_as_strict_as_it_says(sandbox: Sandbox) -> None:
    """Else the tests below would show nothing: nobody's user, no capability, nothing to write to, no shell."""
    asked = "import os; print(os.getuid(), os.getgid(), os.getpid(), open('/proc/self/status').read())"
    told = sandbox.run(PYTHON, "-c", asked)
    assert told.stdout.startswith("65532 65532 1 "), told.stderr
    assert "CapEff:\t0000000000000000\n" in told.stdout
    assert "NoNewPrivs:\t1\n" in told.stdout
    for folder in ("/", "/tmp", "/etc/streamsafe", INSTALLED):
        assert "Read-only file system" in sandbox.run(PYTHON, "-c", f"open('{folder}/x', 'w')").stderr
    for shell in SHELLS:
        assert "PermissionError" in sandbox.run(PYTHON, "-c", f"import os; os.execl('/bin/{shell}', 'sh')").stderr


def test_its_commands_say_what_is_wrong_in_one_line(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "proxy.yaml").write_text("routes: [{upstrem: 'http://a'}]")
    done = sandbox.run(f"{INSTALLED}/bin/streamsafe", "serve", "-c", CONFIGURATION)
    assert done.returncode == 2
    assert f"{CONFIGURATION}:1:11: routes[0].upstrem: expected a known key" in done.stderr
    assert "Traceback" not in done.stderr


class Origin:
    """An event stream that goes on only when the client has the event before."""

    def __init__(self) -> None:
        self.received = asyncio.Semaphore(0)
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(EVENTS):
            await response.write(f"data: {number}\n\n".encode())
            await self.received.acquire()
        return response


@pytest.fixture
async def origin(aiohttp_raw_server: Callable[..., Awaitable[RawTestServer]]) -> Origin:
    made = Origin()
    made.url = str((await aiohttp_raw_server(made.answer)).make_url("")).rstrip("/")
    return made


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_streams_is_healthy_and_drains(
    sandbox: Sandbox, origin: Origin, tmp_path: Path, unused_tcp_port_factory: Callable[[], int], workers: int
) -> None:
    """MUST. Every event arrives before the next is made; a stop in the middle lets the stream end, with exit code 0."""
    listen, admin = unused_tcp_port_factory(), unused_tcp_port_factory()
    (tmp_path / "proxy.yaml").write_text(
        f"listen: 127.0.0.1:{listen}\nadmin: 127.0.0.1:{admin}\nworkers: {workers}\nlog: {{format: json}}\n"
        f"drain: 20s\nroutes: [{{upstream: '{origin.url}'}}]"
    )
    assert await asyncio.to_thread(sandbox.health) == 1
    sandbox.serve()
    async with asyncio.timeout(60), aiohttp.ClientSession() as session:
        await asyncio.to_thread(sandbox.wait_healthy)
        arrived = []
        async with session.get(f"http://127.0.0.1:{listen}/") as response:
            async for line in response.content:
                if not line.startswith(b"data: "):
                    continue
                arrived.append(int(line[6:]))
                if len(arrived) == EVENTS // 2:
                    sandbox.signal_stop()
                    await _wait_draining(session, f"http://127.0.0.1:{admin}/readyz")
                origin.received.release()
        assert arrived == list(range(EVENTS))
        code, said = await asyncio.to_thread(sandbox.wait_end)
    assert code == 0, said
    assert "Traceback" not in said
    assert await asyncio.to_thread(sandbox.health) == 1


async def _wait_draining(session: aiohttp.ClientSession, readyz: str) -> None:
    while True:
        async with session.get(readyz) as answer:
            if answer.status == 503:
                return
        await asyncio.sleep(0.01)
