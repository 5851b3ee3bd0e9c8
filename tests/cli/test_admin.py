"""The admin listener of a running program: who may read it, what it says, and that it outlives the streams."""

import asyncio
import json
import re
import signal
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from proxy.demo.run import Demo

from .command import Command, PipedCommand, run_once
from .conftest import Echo, Serve, Told

TOKEN = "0123456789abcdef0123456789abcdef"


async def wait_admin(command: Command) -> str:
    """Where the admin listener is, once it is there."""
    return (await command.wait_match(r"/status are at (http://[^\s\"]+)"))[1]


def parsed(text: str) -> dict[str, Metric]:
    """The families of a page by name; fails where the parser does."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float | None:
    """The sample of that name with these labels, or None."""
    for family in families.values():
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


async def scrape(session: aiohttp.ClientSession, admin: str) -> dict[str, Metric]:
    async with session.get(f"{admin}/metrics") as answer:
        assert answer.status == 200
        return parsed(await answer.text())


async def test_by_default_it_is_on_loopback_and_says_where(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    """SEC-41."""
    admin = await wait_admin(serve(echo.url, "--admin", "127.0.0.1:0"))
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", admin)
    for path, said in (("/healthz", "ok\n"), ("/readyz", "ready\n")):
        async with session.get(admin + path) as answer:
            assert (answer.status, await answer.text()) == (200, said)
    async with session.get(f"{admin}/") as answer:
        assert answer.content_type == "text/html"
        assert "inspector" in await answer.text()


async def test_without_the_inspector_the_first_page_is_a_list_of_the_others(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(f"inspector: off\nroutes: [{{upstream: '{echo.url}'}}]")
    admin = await wait_admin(serve("-c", str(file), "--admin", "127.0.0.1:0"))
    async with session.get(f"{admin}/") as answer:
        assert {"/healthz", "/readyz", "/metrics", "/status"} == set(re.findall('href="([^"]+)"', await answer.text()))
    async with session.get(f"{admin}/api/exchanges") as answer:
        assert answer.status == 404


def test_the_default_is_port_8788(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("routes: [{upstream: 'http://a'}]")
    assert "admin: 127.0.0.1:8788\n" in run_once(tmp_path, "check", "-c", "a.yaml", "--print").stdout


async def test_metrics_say_what_happened(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, unused_tcp_port: int, tmp_path: Path
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(
        f"routes: [{{name: llm, upstream: '{demo.upstream_url}'}}, "
        f"{{name: gone, path: /gone, upstream: 'http://127.0.0.1:{unused_tcp_port}'}}]"
    )
    command = serve("-c", str(file), "--admin", "127.0.0.1:0")
    url, admin = await command.wait_url(), await wait_admin(command)
    before = await scrape(session, admin)
    assert value(before, "streamsafe_duration_seconds_count", route="llm") == 0, "a route begins with zero"
    await Told().read(session, url, pace=0, tokens=5)
    await Told().read(session, url, pace=0, fail="after=5")
    async with session.get(f"{url}/gone/{'x' * 50}", headers={"X-Request-ID": "not-a-label"}) as answer:
        assert answer.status == 502
    async with session.get(url, headers={"Host": "rebound.example"}) as answer:
        assert answer.status == 421
    await command.wait_lines("outcome=", 4)
    after = await scrape(session, admin)
    counted = [
        (labels["route"], labels["outcome"], labels["status"], number)
        for _, labels, number, *_ in after["streamsafe_exchanges"].samples
    ]
    assert sorted(counted) == [
        ("", "refused", "4xx", 1),
        ("gone", "upstream_aborted", "5xx", 1),
        ("llm", "complete", "2xx", 1),
        ("llm", "upstream_aborted", "2xx", 1),
    ]
    assert value(after, "streamsafe_failures_total", route="gone", code="connection_refused") == 1
    assert value(after, "streamsafe_streams_total", route="llm", reason="type") == 2
    assert value(after, "streamsafe_first_byte_seconds_count", route="llm") == 2
    assert value(after, "streamsafe_first_byte_seconds_count", route="gone") == 0
    assert value(after, "streamsafe_largest_gap_seconds_count", route="llm") == 2
    assert value(after, "streamsafe_upstream_attempts_total", route="gone") == 1
    assert (value(after, "streamsafe_response_bytes_total", route="llm") or 0) > 500
    assert (value(after, "streamsafe_request_bytes_total", route="llm") or 0) > 100
    assert value(after, "streamsafe_log_lines_total") == command.stderr.count("\n")
    assert value(after, "streamsafe_log_lines_dropped_total") == 0
    assert value(after, "streamsafe_ready") == 1
    labels = {text for family in after.values() for sample in family.samples for text in sample.labels.values()}
    assert not [text for text in labels if "rebound" in text or "not-a-label" in text or "xxx" in text]


async def test_open_streams_are_counted_while_they_are_open(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    command = serve(demo.upstream_url, "--admin", "127.0.0.1:0")
    url, admin = await command.wait_url(), await wait_admin(command)
    told = Told()
    reading = await told.begin(session, url, pace=20, tokens=1200)
    during = await scrape(session, admin)
    assert value(during, "streamsafe_open_exchanges", route="default") == 1
    assert value(during, "streamsafe_open_streams", route="default") == 1
    assert (value(during, "streamsafe_client_connections") or 0) >= 1
    async with session.get(f"{admin}/status") as answer:
        document: dict[str, Any] = await answer.json()
    (one,) = document["open"]
    assert (one["route"], one["method"], one["stream"], one["status"]) == ("default", "POST", "type", 200)
    assert one["silent_s"] < 2
    assert document["routes"][0]["open_streams"] == document["upstreams"][0]["open"] == 1
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await command.wait_lines("outcome=client_closed", 1)
    after = await scrape(session, admin)
    assert value(after, "streamsafe_open_exchanges", route="default") == 0
    async with session.get(f"{admin}/status") as answer:
        assert (await answer.json())["open"] == [], "MUST. O11"


async def test_metrics_in_both_forms_of_prometheus(serve: Serve, echo: Echo, session: aiohttp.ClientSession) -> None:
    command = serve(echo.url, "--admin", "127.0.0.1:0")
    admin = await wait_admin(command)
    async with session.get(await command.wait_url()) as answer:
        await answer.read()
    asked = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with session.get(f"{admin}/metrics", headers=asked) as answer:
        assert answer.content_type == "application/openmetrics-text"
        families = {family.name for family in open_metrics(await answer.text())}
    assert families == set(await scrape(session, admin))


async def test_while_it_drains_it_is_alive_and_not_ready(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    """MUST. O2: and the stream that is waited for comes to its end."""
    command = serve(demo.upstream_url, "--admin", "127.0.0.1:0")
    url, admin = await command.wait_url(), await wait_admin(command)
    told = Told()
    reading = await told.begin(session, url, pace=20, tokens=150)
    command.signal(signal.SIGTERM)
    await command.wait_match("stopping: ")
    async with session.get(f"{admin}/readyz") as answer:
        assert answer.status == 503
        assert "draining" in await answer.text()
    async with session.get(f"{admin}/healthz") as answer:
        assert answer.status == 200
    assert value(await scrape(session, admin), "streamsafe_ready") == 0
    assert not told.is_whole, "too slow a machine to tell whether the stream was still open"
    await reading
    assert told.is_whole
    assert await command.wait_end(within_s=3) == 0


async def asked(admin: str, request: bytes) -> bytes:
    """What raw bytes are answered."""
    host, _, port = admin.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


PAGES = ("/metrics", "/status", "/none", "/api/exchanges", "/api/exchanges/1", "/api/events")
FILES = ("/", "/inspector/app.js")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.nip.io", "localhost@evil", "[::ffff:10.0.0.1]", ""])
async def test_a_foreign_host_reads_nothing_but_the_probes(serve: Serve, echo: Echo, host: str) -> None:
    """SEC-41, THR-1."""
    admin = await wait_admin(serve(echo.url, "--admin", "127.0.0.1:0"))
    for path in (*PAGES, *FILES):
        answer = await asked(admin, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 421 "), path
        assert b"streamsafe_" not in answer
    for path in ("/healthz", "/readyz"):
        answer = await asked(admin, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 200 "), "a kubelet comes with the pod's address"


async def test_only_a_target_without_an_authority_of_its_own_is_answered(serve: Serve, echo: Echo) -> None:
    admin = await wait_admin(serve(echo.url, "--admin", "127.0.0.1:0"))
    for host in ("evil.example", "localhost"):
        request = f"GET http://{host}/metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        assert (await asked(admin, request.encode())).startswith(b"HTTP/1.1 421 ")


async def test_what_is_no_http_is_one_short_line(serve: Serve, echo: Echo) -> None:
    """MUST. O9."""
    command = serve(echo.url, "--admin", "127.0.0.1:0")
    admin = await wait_admin(command)
    for request in (b"GARBAGE\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"GET / HTTP/1.1\r\nbad header\r\n\r\n"):
        assert (await asked(admin, request)).startswith(b"HTTP/1.0 400 ")
    (line, *_) = await command.wait_lines("what is no HTTP", 1)
    assert line.endswith('level=info message="the admin listener was sent what is no HTTP"')
    assert "level=error" not in command.stderr


async def test_without_the_token_nothing_is_read_but_the_probes(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """SEC-42: missing, wrong, of another scheme, or in the query."""
    file = tmp_path / "proxy.yaml"
    file.write_text(f"admin: 0.0.0.0:0\nadmin_token: ${{TOKEN}}\nroutes: [{{upstream: '{echo.url}'}}]")
    arguments = ("serve", "--listen", "127.0.0.1:0", "-c", str(file))
    command = serve(*arguments[3:], "--admin", "0.0.0.0:0", environ={"TOKEN": TOKEN})
    admin = (await wait_admin(command)).replace("0.0.0.0", "127.0.0.1")
    await command.wait_match("security: the admin listener is on 0.0.0.0:0, which other machines can reach")
    for wrong in ({}, {"Authorization": f"Basic {TOKEN}"}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN}):
        for path in (*PAGES, f"/metrics?token={TOKEN}"):
            async with session.get(admin + path, headers=wrong) as answer:
                assert answer.status == 401
                assert answer.headers["WWW-Authenticate"] == "Bearer"
                assert (await answer.json())["error"]["code"] == "unauthorized"
    for path in ("/healthz", "/readyz", *FILES):  # a browser can send a token only once it has the page
        async with session.get(admin + path) as answer:
            assert answer.status == 200
    for path in ("/metrics", "/status", "/api/exchanges"):
        async with session.get(admin + path, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200
            assert TOKEN not in await answer.text()
    assert TOKEN not in command.stderr


async def test_it_is_read_by_get_only_and_lets_no_page_read_it(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    """SEC-43, O11."""
    admin = await wait_admin(serve(echo.url, "--admin", "127.0.0.1:0"))
    for path in ("/", "/healthz", "/metrics", "/status"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            async with session.request(method, admin + path, headers={"Origin": "https://evil.example"}) as answer:
                assert answer.status == 405
                assert not [name for name in answer.headers if name.lower().startswith("access-control-")]
        async with session.get(admin + path) as answer:
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "Server" not in answer.headers
    async with session.get(f"{admin}/none") as answer:
        assert (answer.status, (await answer.json())["error"]["code"]) == (404, "not_found")


async def test_off_means_that_nothing_listens_but_the_proxy(serve: Serve, echo: Echo) -> None:
    command = serve(echo.url)
    await command.wait_match("goes to")
    assert "/healthz" not in command.stderr


async def test_a_taken_address_is_one_line_that_says_what_to_do(serve: Serve, echo: Echo, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = serve(echo.url, "--admin", address)
        assert await command.wait_end(within_s=5) == 1
    assert command.stderr == (
        f"streamsafe: cannot listen on {address}: address already in use "
        "(that is the admin listener: choose another with --admin HOST:PORT or `admin:`, or switch it off)\n"
    )


async def test_it_may_be_a_unix_socket(serve: Serve, echo: Echo, tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    command = serve(echo.url, "--admin", f"unix:{path}")
    await command.wait_match(f"are at unix:{path}")
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
        session.get("http://localhost/status") as answer,
    ):
        assert json.loads(await answer.text())["ready"] is True
    second = serve(echo.url, "--admin", f"unix:{path}")
    assert await second.wait_end(within_s=5) == 1
    assert second.stderr.startswith(f"streamsafe: cannot listen on unix:{path}: address already in use")
    (tmp_path / "a.yaml").write_text(f"admin: unix:{path}\nroutes: [{{upstream: 'http://a'}}]")
    assert (await asyncio.to_thread(run_once, tmp_path, "check", "-c", "a.yaml", "--health")).returncode == 0


async def test_health_is_asked_where_the_file_says(
    serve: Serve, echo: Echo, tmp_path: Path, unused_tcp_port: int
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(f"admin: 127.0.0.1:{unused_tcp_port}\nroutes: [{{upstream: '{echo.url}'}}]")

    async def check(*more: str) -> tuple[int, str, str]:
        done = await asyncio.to_thread(run_once, tmp_path, "check", "-c", "proxy.yaml", "--health", *more)
        return done.returncode, done.stdout, done.stderr

    code, out, said = await check()
    assert (code, out) == (1, "")
    assert said.startswith(f"streamsafe: 127.0.0.1:{unused_tcp_port} does not answer: ")
    command = serve("-c", str(file), "--admin", f"127.0.0.1:{unused_tcp_port}")
    await wait_admin(command)
    assert await check() == (0, "healthy\n", "")
    assert await check("--admin", f"localhost:{unused_tcp_port}") == (0, "healthy\n", "")
    assert (await check("--admin", "off"))[0] == 2
    assert (await check("--admin", "127.0.0.1:0"))[0] == 2
    command.signal(signal.SIGTERM)
    assert await command.wait_end() == 0
    assert (await check())[0] == 1


async def test_a_status_that_is_not_200_is_not_healthy(tmp_path: Path) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 503 Unavailable\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        (tmp_path / "a.yaml").write_text(f"admin: {address}\nroutes: [{{upstream: 'http://a'}}]")
        done = await asyncio.to_thread(run_once, tmp_path, "check", "-c", "a.yaml", "--health")
    assert (done.returncode, done.stderr) == (1, f"streamsafe: {address} answers /healthz with 503\n")


async def test_a_log_that_nobody_reads_is_counted_and_delays_no_answer(
    echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """MUST. S19: stderr is a pipe that stays full, and answers keep their pace."""
    command = PipedCommand(echo.url)
    try:
        url, admin = await asyncio.to_thread(command.wait_addresses)
        long = "x" * 7000
        clock, slowest = time.monotonic, 0.0
        for _ in range(400):  # 2.8 MB of lines: the pipe's 64 KiB and what waits, 1 MiB, are full
            asked_at = clock()
            async with session.get(f"{url}/{long}") as answer:
                assert answer.status == 200
                await answer.read()
            slowest = max(slowest, clock() - asked_at)
        assert slowest < 1.0
        async with asyncio.timeout(10):
            while True:
                dropped = value(await scrape(session, admin), "streamsafe_log_lines_dropped_total") or 0
                if dropped > 50:
                    break
                await asyncio.sleep(0.02)  # another process: nobody is told what it drops
        async with session.get(f"{admin}/status") as answer:
            assert (await answer.json())["log"]["dropped"] >= dropped
        said = await asyncio.to_thread(command.end_and_read)
    finally:
        command.kill()
    assert re.search(r'level=warning message="log lines dropped, as nobody took them: \d+"', said)
