"""The log of a real run: a line for each exchange, whatever was in it, in text and in JSON."""

import asyncio
import json
import re
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.demo.run import Demo

from .command import Command
from .conftest import Echo, Serve, Told

_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|[^\s"]+)(?: |\Z)')
KEY = "sk-a-key-of-ours-0123456789"


def parsed(line: str) -> dict[str, Any]:
    """The pairs of a text line; fails where anything else stands in it."""
    pairs, end = {}, 0
    while end < len(line):
        match = _PAIR.match(line, end)
        assert match, f"no pair at {line[end:]!r}"
        pairs[match[1]] = json.loads(match[2]) if match[2].startswith('"') else match[2]
        end = match.end()
    return pairs


async def exchanges(command: Command, count: int, form: str = "text") -> list[dict[str, Any]]:
    """The exchanges that were logged, once there are so many; every line of the log has to be whole."""
    await command.wait_lines("outcome", count)
    lines = [
        json.loads(line) if form == "json" else parsed(line) for line in command.stderr.removesuffix("\n").split("\n")
    ]
    assert all({"time", "level"} <= set(line) for line in lines)
    return [line for line in lines if "outcome" in line]


async def send(url: str, request: bytes) -> bytes:
    """All that is answered to these bytes."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return answer


async def leave_early(session: aiohttp.ClientSession, url: str) -> None:
    document = {"model": "demo", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    async with session.post(f"{url}/v1/chat/completions", json=document) as response:
        await response.content.readany()
        response.close()


@pytest.mark.parametrize("form", ["text", "json"])
async def test_every_exchange_has_one_line_with_its_outcome(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, form: str
) -> None:
    command = serve(demo.upstream_url, "--log", form, "--strip-prefix", "/demo")
    url = await command.wait_url()
    await Told().read(session, f"{url}/demo", pace=0, tokens=5)
    await Told().read(session, f"{url}/demo", pace=0, fail="after=5")
    await leave_early(session, f"{url}/demo")
    async with session.get(f"{url}/elsewhere") as answer:
        assert answer.status == 404
    async with session.get(f"{url}/demo/", headers={"Host": "rebound.example"}) as answer:
        assert answer.status == 421
    assert (await send(url, b"GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
    lines = await exchanges(command, 6, form)
    assert sorted((line["outcome"], str(line["status"])) for line in lines) == [
        ("client_closed", "200"),
        ("complete", "200"),
        ("refused", "400"),
        ("refused", "404"),
        ("refused", "421"),
        ("upstream_aborted", "200"),
    ]
    assert {line["level"] for line in lines if line["outcome"] == "upstream_aborted"} == {"warning"}
    assert {line["level"] for line in lines if line["outcome"] != "upstream_aborted"} == {"info"}
    assert len({line["request_id"] for line in lines}) == len(lines)


async def test_json_lines_are_all_json_and_have_the_same_keys(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    command = serve(echo.url, "--log", "json", "--cors", "http://localhost:1", "--api-key", "env:K", environ={"K": KEY})
    url = await command.wait_url()
    for headers in ({}, {"Host": "rebound.example"}):
        async with session.get(f"{url}/x", headers=headers) as answer:
            await answer.read()
    answered, refused = await exchanges(command, 2, "json")
    assert list(answered) == list(refused)
    assert answered["upstream"] == echo.url
    assert answered["code"] is None
    assert (refused["route"], refused["upstream"], refused["code"]) == (None, None, "http_request_denied")
    others = [json.loads(line) for line in command.stderr.splitlines() if "outcome" not in line]
    assert {tuple(line) for line in others} == {("time", "level", "message")}
    assert any(line["level"] == "warning" and line["message"].startswith("security: ") for line in others)


async def test_times_of_one_exchange_follow_each_other(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    command = serve(echo.url, "--log", "json")
    url = await command.wait_url()
    for _ in range(20):
        async with session.get(url) as answer:
            await answer.read()
    for line in await exchanges(command, 20, "json"):
        assert 0 <= line["head_ms"] <= line["ttfb_ms"] <= line["duration_ms"]


async def test_an_upstream_that_is_not_there_is_a_warning(
    serve: Serve, session: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    command = serve(f"http://127.0.0.1:{unused_tcp_port}")
    async with session.get(await command.wait_url()) as answer:
        assert answer.status == 502
        assert (await answer.json())["error"]["code"] == "connection_refused"
    (line,) = await exchanges(command, 1)
    assert (line["outcome"], line["code"], line["level"]) == ("upstream_aborted", "connection_refused", "warning")
    assert "head_ms" not in line
    assert "ttfb_ms" not in line


async def test_log_level_warning_silences_what_is_fine(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    command = serve(demo.upstream_url, "--log-level", "warning", "--listen", f"127.0.0.1:{unused_tcp_port}")
    url = f"http://127.0.0.1:{unused_tcp_port}"
    await wait_answered(session, url)
    await Told().read(session, url, pace=0, fail="after=5")
    (line,) = await exchanges(command, 1)
    assert line["outcome"] == "upstream_aborted"
    assert command.stderr.count("\n") == 1


async def test_log_level_error_silences_broken_streams_too(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, unused_tcp_port: int
) -> None:
    command = serve(demo.upstream_url, "--log-level", "error", "--listen", f"127.0.0.1:{unused_tcp_port}")
    url = f"http://127.0.0.1:{unused_tcp_port}"
    await wait_answered(session, url)
    await Told().read(session, url, pace=0, fail="after=5")
    command.signal(signal.SIGTERM)
    assert await command.wait_end() == 0
    assert command.stderr == ""


async def wait_answered(session: aiohttp.ClientSession, url: str) -> None:
    """Until the proxy answers; for runs that do not say that they listen."""
    async with asyncio.timeout(15):
        while True:
            try:
                async with session.get(f"{url}/demo/state") as answer:
                    assert answer.status == 200
                    return
            except aiohttp.ClientConnectorError:
                await asyncio.sleep(0.01)


TARGETS = [
    b'/a"b=c\\d',
    b'/" outcome=complete level="',
    b"/x?" + b"'" * 3,
    b"/\xc3\xa9\xff\x80",
    b"/\xe2\x80\xa8\xc2\x85next",
    b"/%0d%0atime=now%20outcome=complete",
    b"/\x1b[31mred\x07",
    b"/\x00",
    b"/tab\there",
    b"/vertical\x0btab\x0cfeed",
    b"/\x7f",
    b"/{}[]<>|^`",
    b"/" + b"a" * 9000 + b'"',
]


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nothing_in_a_target_can_break_a_line_or_start_another(serve: Serve, echo: Echo, form: str) -> None:
    command = serve(echo.url, "--log", form)
    url = await command.wait_url()
    for target in TARGETS:
        answer = await send(url, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 400 ")), target
    lines = await exchanges(command, len(TARGETS), form)
    assert len(lines) == len(TARGETS)
    text = command.stderr.replace("\n", "")
    assert text.isprintable()
    assert text.isascii()
    assert {line["outcome"] for line in lines} <= {"complete", "refused"}


@pytest.mark.parametrize("form", ["text", "json"])
async def test_nothing_else_of_a_request_can_break_a_line_either(serve: Serve, echo: Echo, form: str) -> None:
    command = serve(echo.url, "--log", form)
    url = await command.wait_url()
    requests = [
        b'G"ET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
        b"G\x1bET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\xff\xfe / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b'GET http://a"b\\c/ HTTP/1.1\r\nHost: localhost\r\n\r\n',
        b'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: 1" outcome=x\r\n\r\n',
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ]
    for request in requests:
        await send(url, request)
    lines = await exchanges(command, len(requests), form)
    assert len(lines) == len(requests)
    assert command.stderr.replace("\n", "").isprintable()
    assert {line["client"] for line in lines} == {"127.0.0.1"}


async def test_what_a_trusted_proxy_passes_on_cannot_break_a_line(serve: Serve, echo: Echo, tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(f"trusted_proxies: [127.0.0.1]\nroutes: [{{upstream: '{echo.url}'}}]\n")
    command = serve("-c", str(file))
    url = await command.wait_url()
    hops = [
        b'192.0.2.1" a=b',
        b"192.0.2.1 level=error",
        b"::1%x level=error",
        b"fe80::1\\",
        b"192.0.2.7",
        b"[2001:db8::1]",
    ]
    for hop in hops:
        request = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: " + hop + b"\r\n\r\n"
        assert (await send(url, request)).startswith(b"HTTP/1.1 200 ")
    clients = [line["client"] for line in await exchanges(command, len(hops))]
    assert clients[-2:] == ["192.0.2.7", "2001:db8::1"]
    assert set(clients[:-2]) <= {"127.0.0.1", "::1"}


async def test_secrets_in_a_query_and_in_fields_are_not_logged(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    command = serve(echo.url, "--log-level", "debug", "--api-key", "env:K", environ={"K": KEY})
    url = await command.wait_url()
    mine = "secret-of-the-client"
    for query in ("key", "api_key", "access_token", "X-Amz-Signature", "client_secret", "password"):
        async with session.get(
            f"{url}/x?a=1&{query}={mine}&b=2", headers={"Authorization": mine, "Cookie": mine}
        ) as answer:
            assert answer.status == 200
    lines = await exchanges(command, 6)
    assert lines[0]["target"] == "/x?a=1&key=…&b=2"
    assert mine not in command.stderr
    assert KEY not in command.stderr
