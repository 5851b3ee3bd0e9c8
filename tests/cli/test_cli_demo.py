"""`streamsafe demo`: one command, one URL, a page and streams that come through the proxy."""

import asyncio
import shlex
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from .command import run_once
from .conftest import Serve, Told


async def test_the_demo_prints_its_url_serves_its_page_and_streams_through_the_proxy(
    launch: Serve, session: aiohttp.ClientSession
) -> None:
    command = launch("demo", "--listen", "127.0.0.1:0", "--admin", "off")
    url = (await command.wait_match(r"^The demo is at (http://127\.0\.0\.1:\d+)/ \(Ctrl-C ends it\)\.$"))[1]
    assert url in command.stdout
    async with session.get(f"{url}/") as page:
        assert page.status == 200
        assert page.content_type == "text/html"
        assert "streamsafe" in await page.text()
    async with session.get(f"{url}/demo/config") as answer:
        assert (await answer.json())["proxied"] is True
    told = await Told().read(session, url, pace=25, tokens=15)
    assert told.is_whole
    assert len(told.tokens) == 15
    assert told.arrivals[0] < 0.25
    assert told.arrivals[-1] - told.arrivals[0] > 0.35
    command.signal(signal.SIGINT)
    assert await command.wait_end(within_s=5) == 0
    assert command.stdout.count("\n") == 1


async def test_the_inspector_of_the_demo_shows_what_passed(launch: Serve, session: aiohttp.ClientSession) -> None:
    command = launch("demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
    inspector = (await command.wait_match(r"^The inspector at (http://127\.0\.0\.1:\d+)/ shows each answer"))[1]
    url = (await command.wait_match(r"^The demo is at (http://[\d.:]+)/"))[1]
    told = await Told().read(session, url, pace=5, tokens=3)
    assert told.is_whole
    async with session.get(f"{inspector}/api/exchanges") as answer:
        [exchange] = (await answer.json())["exchanges"]
    assert (exchange["status"], exchange["outcome"], exchange["stream"]) == (200, "complete", "type")


async def test_the_demo_is_refused_an_admin_port_that_is_taken(launch: Serve, unused_tcp_port: int) -> None:
    with socket.create_server(("127.0.0.1", unused_tcp_port)):
        command = launch("demo", "--listen", "127.0.0.1:0", "--admin", f"127.0.0.1:{unused_tcp_port}")
        assert await command.wait_end() == 1
    assert f"cannot listen on 127.0.0.1:{unused_tcp_port}" in command.stderr
    assert command.stderr.count("\n") == 1


async def test_the_demo_is_refused_a_listen_address_that_is_none(launch: Serve) -> None:
    command = launch("demo", "--listen", "nowhere")
    assert await command.wait_end() == 2
    assert command.stderr.startswith("streamsafe: --listen: expected HOST:PORT")
    assert command.stderr.count("\n") == 1


async def test_the_page_of_the_demo_answers_only_for_names_of_this_machine(
    launch: Serve, session: aiohttp.ClientSession
) -> None:
    command = launch("demo", "--listen", "127.0.0.1:0", "--admin", "off")
    url = (await command.wait_match(r"^The demo is at (http://[\d.:]+)/"))[1]
    async with session.get(f"{url}/", headers={"Host": "rebound.example"}) as answer:
        assert answer.status == 421


async def test_a_misbehaving_upstream_is_what_the_doctor_says_it_is(launch: Serve, tmp_path: Path) -> None:
    command = launch("demo", "--misbehave", "wrong-type", "--listen", "127.0.0.1:0")
    url = (await command.wait_match(r"^An upstream that says text/plain is at (http://\S+) \(Ctrl-C ends it\)\.$"))[1]
    done = await asyncio.to_thread(run_once, tmp_path, "doctor", url)
    assert done.returncode == 3
    assert "wrong-media-type" in done.stdout
    command.signal(signal.SIGTERM)
    assert await command.wait_end(within_s=5) == 0


@pytest.mark.parametrize(
    ("kind", "finding", "code"), [("preflight", "preflight-failed", 3), ("tls-expired", "tls-expired", 1)]
)
async def test_the_command_that_it_prints_finds_it(
    launch: Serve, tmp_path: Path, kind: str, finding: str, code: int
) -> None:
    """With what the doctor has to be told: the page's origin, or whom to trust."""
    command = launch("demo", "--misbehave", kind, "--listen", "127.0.0.1:0")
    words = shlex.split((await command.wait_match(r"^Look at it: (.+)$"))[1])
    environ = dict(word.split("=", 1) for word in words[: words.index("streamsafe")])
    done = await asyncio.to_thread(run_once, tmp_path, *words[words.index("doctor") :], environ=environ)
    assert (done.returncode, finding in done.stdout) == (code, True)


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "unix:/tmp/x"])
def test_it_misbehaves_on_loopback_only(tmp_path: Path, listen: str) -> None:
    done = run_once(tmp_path, "demo", "--misbehave", "cut", "--listen", listen)
    assert done.returncode == 2
    assert "on loopback" in done.stderr
