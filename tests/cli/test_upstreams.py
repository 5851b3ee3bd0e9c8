"""Several upstreams in a configuration file: what an operator sees of them, with one worker and with several."""

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest

from .conftest import Echo, Serve
from .test_admin import scrape, value, wait_admin
from .test_workers import status


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_upstream_that_is_down_is_seen_everywhere_and_costs_no_request(
    launch: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path, workers: int
) -> None:
    """MUST. Log, metrics and status say so; clients get answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        file = tmp_path / "proxy.yaml"
        file.write_text(
            f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: {workers}\nroutes:\n  - name: llm\n"
            f"    upstream: [{dead}, {{url: '{echo.url}', weight: 2}}]\n"
            "    health: {path: /up, every: 50ms}\n    retry: {attempts: 2}\n"
        )
        command = launch("serve", "-c", str(file))
        url, admin = await command.wait_url(), await wait_admin(command)
        for _ in range(6):
            async with aiohttp.ClientSession() as fresh, fresh.get(url) as answer:
                assert answer.status == 200
        await command.wait_lines(f"upstream {dead} is unhealthy", workers)
        async with asyncio.timeout(10):
            while True:
                (route,) = (await status(session, admin))["routes"]
                states = {one["name"]: one["state"] for one in route["upstreams"]}
                if states == {dead: "unhealthy", echo.url: "up"}:
                    break
                await asyncio.sleep(0.02)
        found = await scrape(session, admin)
        assert value(found, "streamsafe_upstream_up", route="llm", upstream=dead) == 0
        assert value(found, "streamsafe_upstream_up", route="llm", upstream=echo.url) == 1
        assert value(found, "streamsafe_upstream_ejections_total", route="llm", upstream=dead) >= workers
        assert [one["name"] for one in (await status(session, admin))["upstreams"]] == [dead, echo.url]
        assert {request.path for request in echo.requests} == {"/", "/up"}
