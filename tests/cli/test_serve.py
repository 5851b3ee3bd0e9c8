"""`streamsafe serve`: what it does with a request, told by the command line alone or by a file."""

import asyncio
import re
import signal
import ssl
import sys
from pathlib import Path

import aiohttp
import pytest
import trustme

from proxy.demo.run import Demo
from tests.net.harness import settles

from .conftest import Echo, Serve, Told

README = Path(__file__).resolve().parents[2] / "README.md"
PACE, TOKENS = 25, 15
KEY = "sk-a-key-of-ours-0123456789"


async def test_an_upstream_on_the_command_line_streams_without_a_file(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    url = await serve(demo.upstream_url).wait_url()
    direct = await Told().read(session, demo.upstream_url, pace=0, tokens=TOKENS)
    proxied = await Told().read(session, url, pace=PACE, tokens=TOKENS)
    whole_s = (TOKENS - 1) / PACE
    assert proxied.tokens == direct.tokens
    assert proxied.is_whole
    assert proxied.arrivals[0] < 0.4 * whole_s
    assert proxied.arrivals[-1] - proxied.arrivals[0] > 0.6 * whole_s


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux lists threads")
async def test_beside_a_stream_no_second_thread_is_left(
    launch: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    """MUST. Each system call costs more beside one: what looks names up, reads certificates and logs ends with that."""
    upstream = demo.upstream_url.replace("127.0.0.1", "localhost")
    command = launch("serve", upstream, "--listen", "localhost:0", "--admin", "localhost:0")
    url = await command.wait_url()
    told = Told()
    reading = await told.begin(session, url, pace=20, tokens=80)
    assert await settles(lambda: len(command.threads) == 1), command.threads
    assert not reading.done()
    command.signal(signal.SIGHUP)
    await command.wait_match("reload")
    assert await settles(lambda: len(command.threads) == 1), command.threads
    assert (await reading).is_whole
    assert len(told.tokens) == 80


async def test_a_file_says_what_goes_where(
    serve: Serve, echo: Echo, demo: Demo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(
        f"listen: 127.0.0.1:1\nroutes:\n  - {{path: /echo/, upstream: '{echo.url}', strip_prefix: true}}\n"
        f"  - {{path: /, upstream: '{demo.upstream_url}'}}\n"
    )
    command = serve("-c", str(file))
    url = await command.wait_url()
    async with session.get(f"{url}/echo/x?y=1") as answer:
        assert await answer.json() == {"path": "/x?y=1"}
    assert (await Told().read(session, url, pace=0, tokens=3)).is_whole
    assert f"/echo/ goes to {echo.url}" in command.stderr


async def test_preflights_of_a_listed_origin_are_answered_by_the_proxy(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    url = await serve(echo.url, "--cors", "http://localhost:5173", "--cors", "http://other.example").wait_url()
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-mine"}
    for origin in ("http://localhost:5173", "http://other.example"):
        async with session.options(url, headers={**asked, "Origin": origin}) as answer:
            assert answer.status == 204
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert "x-mine" in answer.headers["Access-Control-Allow-Headers"]
    async with session.options(url, headers={**asked, "Origin": "http://evil.example"}) as answer:
        assert answer.status == 403
        assert "Access-Control-Allow-Origin" not in answer.headers
    assert echo.requests == []
    async with session.get(url, headers={"Origin": "http://localhost:5173"}) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "http://localhost:5173"


async def test_header_options_are_set_upstream_and_expand_variables(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    options = ["--header", "X-Team: ${TEAM} team", "--header", "X-Two: 1", "--header", "x-two:2"]
    url = await serve(echo.url, *options, environ={"TEAM": "blue"}).wait_url()
    async with session.get(url, headers={"X-Team": "mine", "X-Two": "0"}) as answer:
        assert answer.status == 200
    (request,) = echo.requests
    assert request.headers.getall("X-Team") == ["blue team"]
    assert request.headers.getall("X-Two") == ["1", "2"]


async def test_a_preset_sends_the_key_of_a_variable_its_own_way(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    command = serve(echo.url, "--preset", "anthropic", "--api-key", "env:MY_KEY", environ={"MY_KEY": KEY})
    url = await command.wait_url()
    async with session.get(url, headers={"x-api-key": "mine", "Authorization": "Bearer mine"}) as answer:
        assert answer.status == 200
    (request,) = echo.requests
    assert request.headers.getall("x-api-key") == [KEY]
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert "Authorization" not in request.headers
    assert KEY not in command.stderr + command.stdout


async def test_a_key_may_come_from_a_file_and_needs_no_preset(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    file.chmod(0o600)
    url = await serve(echo.url, "--api-key", f"@{file}").wait_url()
    async with session.get(url) as answer:
        assert answer.status == 200
    assert echo.requests[0].headers.getall("Authorization") == [f"Bearer {KEY}"]


async def test_strip_prefix_serves_below_a_path_and_takes_it_off(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    url = await serve(f"{echo.url}/v1", "--strip-prefix", "/openai").wait_url()
    async with session.get(f"{url}/openai/chat/completions?a=b") as answer:
        assert await answer.json() == {"path": "/v1/chat/completions?a=b"}
    async with session.get(f"{url}/elsewhere") as answer:
        assert answer.status == 404
        assert (await answer.json())["error"]["code"] == "destination_not_found"


async def test_a_preset_alone_is_enough_to_start(serve: Serve) -> None:
    command = serve("--preset", "openai")
    await command.wait_match(r"/ goes to https://api\.openai\.com/v1")


async def test_a_warning_about_safety_is_told_at_every_start(serve: Serve, echo: Echo) -> None:
    options = ["--cors", "http://localhost:5173", "--api-key", "env:MY_KEY"]
    command = serve(echo.url, *options, environ={"MY_KEY": KEY})
    await command.wait_match(r"level=warning message=\"security: route default: pages of http://localhost:5173 may")


async def test_a_unix_socket_can_be_listened_on(launch: Serve, echo: Echo, tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    command = launch("serve", echo.url, "--listen", f"unix:{path}", "--admin", "off")
    await command.wait_match(f"listens on unix:{path}")
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://localhost/x") as answer,
    ):
        assert await answer.json() == {"path": "/x"}


async def test_a_unix_socket_that_another_process_listens_on_is_not_taken_over(
    launch: Serve, echo: Echo, tmp_path: Path
) -> None:
    path = tmp_path / "proxy.sock"
    await launch("serve", echo.url, "--listen", f"unix:{path}", "--admin", "off").wait_match("listens on unix:")
    second = launch("serve", echo.url, "--listen", f"unix:{path}", "--admin", "off")
    assert await second.wait_end(within_s=5) == 1
    assert second.stderr == f"streamsafe: cannot listen on unix:{path}: address already in use\n"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://localhost/") as answer,
    ):
        assert answer.status == 200


async def test_a_unix_socket_that_nobody_listens_on_any_more_is_replaced(
    launch: Serve, echo: Echo, tmp_path: Path
) -> None:
    path = tmp_path / "proxy.sock"
    first = launch("serve", echo.url, "--listen", f"unix:{path}", "--admin", "off")
    await first.wait_match("listens on unix:")
    first.signal(signal.SIGKILL)
    await first.wait_end()
    assert path.exists()
    await launch("serve", echo.url, "--listen", f"unix:{path}", "--admin", "off").wait_match("listens on unix:")


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_what_was_warned_of_comes_before_why_it_cannot_start(
    launch: Serve, echo: Echo, tmp_path: Path, workers: str
) -> None:
    """MUST. A thread writes what is logged: the process waits for it before it says its last."""
    config = tmp_path / "taken.yaml"
    routes = "[{upstream: 'http://127.0.0.1:9', retry: {attempts: 3}}]"
    config.write_text(f"{{listen: '{echo.url.removeprefix('http://')}', admin: off, routes: {routes}}}")
    command = launch("serve", "-c", str(config), "--workers", workers)
    assert await command.wait_end(within_s=5) == 1
    warned, refused = command.stderr.splitlines()
    assert "level=warning" in warned
    assert "retry.attempts is 3" in warned
    assert refused.startswith("streamsafe: cannot listen on ")


async def test_one_worker_and_no_admin_listener_may_be_asked_for(serve: Serve, echo: Echo) -> None:
    await serve(echo.url, "--workers", "1", "--admin", "off").wait_url()


async def test_many_streams_at_once_are_each_whole(serve: Serve, demo: Demo, session: aiohttp.ClientSession) -> None:
    url = await serve(demo.upstream_url).wait_url()
    told = await asyncio.gather(*[Told().read(session, url, pace=50, tokens=10) for _ in range(60)])
    assert {"".join(one.tokens) for one in told} == {"".join(told[0].tokens)}
    assert all(one.is_whole for one in told)


async def test_the_port_and_the_form_of_the_log_win_over_the_file(serve: Serve, echo: Echo, tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(f"listen: 127.0.0.1:1\nlog: {{format: text}}\nroutes: [{{upstream: '{echo.url}'}}]\n")
    command = serve("-c", str(file), "--log", "json")
    match = await command.wait_match(r'^\{"time": .*listens on http://127\.0\.0\.1:(\d+)"\}$')
    assert match[1] != "1"


async def test_a_certificate_makes_it_https(serve: Serve, demo: Demo, tmp_path: Path) -> None:
    authority = trustme.CA()
    pem, file = tmp_path / "tls.pem", tmp_path / "proxy.yaml"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(pem))
    file.write_text(f"tls: {{cert: {pem}, key: {pem}}}\nroutes: [{{upstream: '{demo.upstream_url}'}}]\n")
    url = await serve("-c", str(file)).wait_url()
    assert url.startswith("https://127.0.0.1:")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as session:
        told = await Told().read(session, url, pace=PACE, tokens=TOKENS)
    assert told.is_whole
    assert told.arrivals[-1] - told.arrivals[0] > 0.6 * (TOKENS - 1) / PACE


async def test_a_preflight_is_answered_as_the_readme_shows(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    """Field by field; the date and the id are others."""
    (shown,) = re.findall(r"^HTTP/1\.1 204 .*\n((?:.+: .+\n)+)", README.read_text("utf-8"), re.MULTILINE)
    asked = {
        "Origin": "http://localhost:5173",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, content-type",
    }
    url = await serve(echo.url, "--cors", "http://localhost:5173").wait_url()
    async with session.options(f"{url}/v1/chat/completions", headers=asked) as answer:
        lines = [f"{name}: {value}" for name, value in answer.headers.items()]
    varying = re.compile("(?<=^Date: ).*|(?<=^X-Request-ID: ).*")
    assert [varying.sub("", line) for line in lines] == [varying.sub("", line) for line in shown.splitlines()]
