"""The doctor in front of the programs that really hold streams back: nginx, and Express with its compression."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.cli.command import Command

from .planted import event, examined, ids, of

HERE = Path(__file__).parent
NGINX = """daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{
    listen 127.0.0.1:{port};
    location /as-it-comes/ {{ proxy_pass {origin}/; }}
    location /mended/ {{ proxy_pass {origin}/; proxy_buffering off; proxy_http_version 1.1; }}
    location /gzip/ {{ proxy_pass {origin}/; gzip on; gzip_types text/event-stream; gzip_http_version 1.0; }}
    location /gzip-unbuffered/ {{
      proxy_pass {origin}/; proxy_buffering off; gzip on; gzip_types text/event-stream;
    }}
    location /dead/ {{ proxy_pass http://127.0.0.1:1/; }}
  }}
}}
"""


async def _events(request: web.Request) -> web.StreamResponse:
    """`n` events of `size` bytes, `gap` seconds apart."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(int(request.query["n"])):
        await response.write(event(number, int(request.query.get("size", "0"))))
        await asyncio.sleep(float(request.query["gap"]))
    return response


@pytest.fixture
async def origin() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/", _events)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def _started(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE)


@asynccontextmanager
async def _listening(process: subprocess.Popen[bytes], port: int) -> AsyncIterator[None]:
    """Waits until it listens; ends it whatever happens."""
    try:
        async with asyncio.timeout(15):
            while True:
                assert process.poll() is None, "ended at once"
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except ConnectionError:
                    await asyncio.sleep(0.02)
                    continue
                writer.transport.abort()
                break
        yield
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture
async def nginx(origin: str, tmp_path: Path) -> AsyncIterator[str]:
    binary = shutil.which("nginx")
    if binary is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port, origin=origin))
    process = _started([binary, "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")], tmp_path)
    async with _listening(process, port):
        yield f"http://127.0.0.1:{port}"


async def test_nginx_as_it_comes_collects_a_short_stream(nginx: str) -> None:
    diagnosis = await examined(f"{nginx}/as-it-comes/?n=8&gap=0.2")
    assert (ids(diagnosis), diagnosis.verdict) == (["buffered", "head-held"], "does_not_stream")
    assert "Server: nginx" in of(diagnosis, "buffered")
    assert "proxy_buffering off" in of(diagnosis, "buffered")


async def test_nginx_as_it_comes_gives_a_long_stream_away_in_blocks(nginx: str) -> None:
    diagnosis = await examined(f"{nginx}/as-it-comes/?n=80&gap=0.02&size=300")
    assert (ids(diagnosis), diagnosis.verdict) == (["buffered-blocks"], "does_not_stream")
    assert "proxy_buffering off" in of(diagnosis, "buffered-blocks")


async def test_beside_the_server_itself_nginx_is_named_as_the_one_that_collects(nginx: str, origin: str) -> None:
    query = "?n=6&gap=0.1"  # too short for a verdict from one side alone
    diagnosis = await examined(f"{nginx}/as-it-comes/{query}", direct=f"{origin}/{query}")
    assert diagnosis.verdict == "does_not_stream"
    assert ids(diagnosis)[0] == "hop-buffers"
    assert diagnosis.findings[0].where == "between"
    assert "Server: nginx" in of(diagnosis, "hop-buffers")
    assert "6 chunks became 1" in of(diagnosis, "hop-reframes")
    assert "Server: nginx" in of(diagnosis, "hop-changes-fields")
    assert ids(await examined(f"{nginx}/as-it-comes/{query}")) == []  # and alone nobody is accused


async def test_nginx_with_the_mend_is_healthy(nginx: str, origin: str) -> None:
    query = "?n=8&gap=0.1"
    diagnosis = await examined(f"{nginx}/mended/{query}", direct=f"{origin}/{query}")
    assert diagnosis.verdict == "streams"
    assert [finding for finding in diagnosis.findings if finding.severity != "note"] == []


async def test_nginx_that_compresses_is_named(nginx: str, origin: str) -> None:
    query = "?n=8&gap=0.2"
    diagnosis = await examined(f"{nginx}/gzip/{query}", direct=f"{origin}/{query}")
    assert diagnosis.verdict == "does_not_stream"
    (found,) = [finding for finding in diagnosis.findings if finding.id == "compressed"]
    assert (found.severity, found.where) == ("fault", "between")
    assert "gzip off" in of(diagnosis, "compressed")
    assert "compresses and collects" in of(diagnosis, "hop-buffers")


async def test_nginx_that_compresses_and_flushes_is_a_warning(nginx: str) -> None:
    diagnosis = await examined(f"{nginx}/gzip-unbuffered/?n=8&gap=0.1")
    assert (ids(diagnosis), diagnosis.verdict) == (["compressed"], "streams")
    assert "come one by one" in of(diagnosis, "compressed")


async def test_nginx_in_front_of_nobody(nginx: str, origin: str) -> None:
    diagnosis = await examined(f"{nginx}/dead/", direct=f"{origin}/?n=1&gap=0")
    assert set(ids(diagnosis)) >= {"gateway-error", "hop-changes-status"}
    assert "Server: nginx" in of(diagnosis, "gateway-error")
    assert "answers 200, through the chain it is 502" in of(diagnosis, "hop-changes-status")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with Express and its compression."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed (apt-get install npm)")
    folder = tmp_path_factory.mktemp("express")
    for name in ("package.json", "package-lock.json", "server.js"):
        shutil.copy(HERE / "express" / name, folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(command, cwd=folder, check=True, timeout=50, stdout=subprocess.DEVNULL)
    return folder


@pytest.fixture
async def express(packages: Path) -> AsyncIterator[str]:
    process = _started(["node", "server.js"], packages)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    async with _listening(process, port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def streamsafe(tmp_path: Path, express: str) -> Iterator[Command]:
    command = Command(tmp_path, ("serve", express, "--listen", "127.0.0.1:0", "--admin", "off"), {})
    try:
        yield command
    finally:
        command.end()


async def test_express_that_compresses_is_named(express: str) -> None:
    diagnosis = await examined(f"{express}/compressed")
    assert (ids(diagnosis), diagnosis.verdict) == (["compressed", "buffered", "head-held"], "does_not_stream")
    told = of(diagnosis, "compressed")
    assert "X-Powered-By: Express" in told
    assert "res.flush()" in told
    assert "devServer: {compress: false}" in told
    assert "UMI_DEV_SERVER_COMPRESS=none" in told


async def test_express_that_flushes_streams_with_a_warning(express: str) -> None:
    diagnosis = await examined(f"{express}/flushed")
    assert (ids(diagnosis), diagnosis.verdict) == (["compressed"], "streams")


@pytest.mark.parametrize("path", ["plain", "spared"])
async def test_express_without_compression_is_healthy(express: str, path: str) -> None:
    diagnosis = await examined(f"{express}/{path}")
    assert (ids(diagnosis), diagnosis.verdict) == ([], "streams")


async def test_streamsafe_in_front_of_the_compressing_express_is_healthy(express: str, streamsafe: Command) -> None:
    """The mend that the doctor names: the proxy asks for no compression, and Express then flushes nothing late."""
    diagnosis = await examined(f"{await streamsafe.wait_url()}/compressed", direct=f"{express}/compressed")
    assert diagnosis.verdict == "streams"
    assert [finding for finding in diagnosis.findings if finding.severity != "note"] == []
