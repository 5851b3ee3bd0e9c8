"""Several workers: one port, one account of all, and a crash of one that the streams of the others never notice."""

import asyncio
import os
import re
import signal
import socket
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proxy.demo.run import Demo

from .command import Command
from .conftest import Echo, Serve, Told
from .test_admin import scrape, value, wait_admin
from .test_stop import every_signal, wait_refused

TWO = ("--workers", "2", "--admin", "127.0.0.1:0")


async def status(session: aiohttp.ClientSession, admin: str) -> dict[str, Any]:
    async with session.get(f"{admin}/status") as answer:
        assert answer.status == 200
        return await answer.json()


async def pids(session: aiohttp.ClientSession, admin: str) -> list[int]:
    return [worker["pid"] for worker in (await status(session, admin))["workers"]]


async def on_every_worker(url: str, admin: str, demo: Demo, **more: Any) -> tuple[list[Told], list[asyncio.Future]]:
    """Streams that are open on both workers: the kernel decides who gets a connection."""
    told, reading = [], []
    async with aiohttp.ClientSession() as session:
        for _ in range(40):
            for _ in range(2):
                one = Told()
                told.append(one)
                reading.append(asyncio.ensure_future(_read_alone(one, url, more)))
                await one.wait_token()
            if all(worker["open_streams"] for worker in (await status(session, admin))["workers"]):
                return told, reading
    raise AssertionError("one worker gets every connection")


async def _read_alone(told: Told, url: str, more: dict[str, Any]) -> Told:
    """On a connection of its own."""
    async with aiohttp.ClientSession() as session:
        return await told.read(session, url, **more)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def wait_dead(*gone: int) -> None:
    async with asyncio.timeout(10):
        while True:
            if not any(map(alive, gone)):
                return
            await asyncio.sleep(0.01)


async def test_all_workers_serve_one_port_and_are_counted_as_one(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    """MUST. The sums are right whichever worker was asked, and each is shown by itself."""
    command = serve(echo.url, *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    assert "the inspector, /healthz, " in command.stderr
    for _ in range(40):
        async with aiohttp.ClientSession() as fresh, fresh.get(url) as answer:
            assert answer.status == 200
    found = await scrape(session, admin)
    assert value(found, "streamsafe_exchanges_total", outcome="complete", status="2xx") == 40
    assert value(found, "streamsafe_duration_seconds_count", route="default") == 40
    assert value(found, "streamsafe_duration_seconds_bucket", route="default", le="+Inf") == 40
    assert value(found, "streamsafe_workers") == 2
    assert value(found, "streamsafe_build_info") == 1
    told = await status(session, admin)
    assert told["routes"][0]["outcomes"] == {"complete": 40}
    assert told["upstreams"][0]["ended"] == 40
    assert told["listeners"] == [url]
    assert [worker["number"] for worker in told["workers"]] == [1, 2]
    assert len({told["pid"], *(worker["pid"] for worker in told["workers"])}) == 3
    assert len(await command.wait_lines("outcome=complete", 40)) == 40
    async with session.get(f"{admin}/metrics", headers={"Accept": "application/openmetrics-text"}) as answer:
        assert (await answer.text()).endswith("# EOF\n")


async def test_workers_share_the_connections(serve: Serve, demo: Demo, session: aiohttp.ClientSession) -> None:
    """MUST. Also what is open: in the figures, and in the list, the oldest first."""
    command = serve(demo.upstream_url, *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    told, reading = await on_every_worker(url, admin, demo, pace=20, tokens=1200)
    document = await status(session, admin)
    assert sum(worker["open_streams"] for worker in document["workers"]) == len(told) == len(document["open"])
    ages = [one["age_s"] for one in document["open"]]
    assert ages == sorted(ages, reverse=True)
    assert value(await scrape(session, admin), "streamsafe_open_streams", route="default") == len(told)
    for one in reading:
        one.cancel()
    await asyncio.gather(*reading, return_exceptions=True)


async def test_the_name_of_the_instance_is_that_of_all_workers(serve: Serve, echo: Echo) -> None:
    """MUST. Else two in a row could not tell a loop, or would see one where none is."""
    url = await serve(echo.url, "--workers", "3").wait_url()
    for _ in range(30):
        async with aiohttp.ClientSession() as fresh, fresh.get(url):
            pass
    assert len({request.headers["Via"] for request in echo.requests}) == 1
    assert len({request.headers["X-Request-ID"] for request in echo.requests}) == 30


async def test_a_killed_worker_is_started_again_and_the_others_streams_go_on(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    """MUST. Its own streams are visibly cut, new requests are served all the time, and no counter goes back."""
    command = serve(demo.upstream_url, *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    for _ in range(20):
        async with aiohttp.ClientSession() as fresh, fresh.get(f"{url}/demo/state") as answer:
            assert answer.status == 200
    told, reading = await on_every_worker(url, admin, demo, pace=20, tokens=60)
    before = value(await scrape(session, admin), "streamsafe_exchanges_total", outcome="complete", status="2xx")
    first, second = await pids(session, admin)
    document = await status(session, admin)
    lost = document["workers"][0]["open_streams"]
    os.kill(first, signal.SIGKILL)
    await command.wait_match(
        rf"worker 1 \({first}\) was killed by SIGKILL after [\d.]+ s: it is started again in 0\.1 s"
    )
    await command.wait_match(r"worker 1 \(\d+\) serves")
    again, same = await pids(session, admin)
    assert same == second
    assert again not in (first, second)
    await asyncio.gather(*reading)
    assert sum(not one.is_whole for one in told) == lost
    assert all(len(one.tokens) == 60 for one in told if one.is_whole)
    found = await scrape(session, admin)
    complete = value(found, "streamsafe_exchanges_total", outcome="complete", status="2xx")
    assert complete == before + len(told) - lost
    assert value(found, "streamsafe_worker_restarts_total") == 1
    for _ in range(20):
        async with aiohttp.ClientSession() as fresh, fresh.get(f"{url}/demo/state") as answer:
            assert answer.status == 200


async def test_a_worker_that_dies_again_and_again_is_waited_for_longer_each_time(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession
) -> None:
    """MUST. Back-off: what crashes at once shall not take the machine."""
    command = serve(echo.url, *TWO)
    admin = await wait_admin(command)
    _, other = await pids(session, admin)
    for number, pause in enumerate(("0.1", "0.2", "0.4"), 1):
        victim = (await pids(session, admin))[0]
        os.kill(victim, signal.SIGKILL)
        await command.wait_match(rf"worker 1 \({victim}\) was killed .* again in {pause} s")
        await command.wait_lines(r"worker 1 \(\d+\) serves", number)
    assert (await pids(session, admin))[1] == other
    assert value(await scrape(session, admin), "streamsafe_worker_restarts_total") == 3


async def test_a_worker_that_is_started_again_has_the_reloaded_configuration(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text(f"routes: [{{upstream: '{echo.url}'}}]")
    command = serve("-c", str(file), *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    file.write_text(f"routes: [{{path: /new/, upstream: '{echo.url}'}}]")
    command.signal(signal.SIGHUP)
    await command.wait_match("reloaded: ")
    file.write_text("broken: [")
    for number, pid in enumerate(await pids(session, admin), 1):
        os.kill(pid, signal.SIGKILL)
        await command.wait_match(rf"worker {number} \(\d+\) serves")
    for _ in range(10):
        async with aiohttp.ClientSession() as fresh, fresh.get(f"{url}/new/") as answer:
            assert answer.status == 200
        async with aiohttp.ClientSession() as fresh, fresh.get(f"{url}/old/") as answer:
            assert answer.status == 404


@every_signal
async def test_a_stop_waits_for_the_streams_of_all_workers(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, number: signal.Signals
) -> None:
    """MUST. Exit code 0, nobody is left, and the admin listener says so to the end."""
    command = serve(demo.upstream_url, *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    told, reading = await on_every_worker(url, admin, demo, pace=20, tokens=60)
    workers = await pids(session, admin)
    command.signal(number)
    await command.wait_match(rf"stopping: up to 30 s for what is open \({len(told)}\), the oldest for \d+\.\d s")
    await wait_refused(url)
    async with session.get(f"{admin}/readyz") as answer:
        assert (answer.status, await answer.text()) == (
            503,
            "draining: the proxy is stopping and takes no new requests\n",
        )
    assert value(await scrape(session, admin), "streamsafe_ready") == 0
    await asyncio.gather(*reading)
    assert [(one.is_whole, len(one.tokens)) for one in told] == [(True, 60)] * len(told)
    assert await command.wait_end() == 0
    await wait_dead(*workers)
    assert command.stderr.endswith('message="stopped"\n')


@every_signal
async def test_a_second_signal_ends_all_workers_at_once(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, number: signal.Signals
) -> None:
    """MUST. The clients can tell."""
    command = serve(demo.upstream_url, *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    told, reading = await on_every_worker(url, admin, demo, pace=20, tokens=1200)
    workers = await pids(session, admin)
    command.signal(number)
    await command.wait_match("stopping: ")
    command.signal(number)
    assert await command.wait_end(within_s=5) == 0
    await asyncio.gather(*reading)
    assert not any(one.is_whole for one in told)
    await wait_dead(*workers)
    await command.wait_match(rf'message="stopped: open exchanges cut: {len(told)}"$')
    assert len(await command.wait_lines("outcome=drained", len(told))) == len(told)


async def test_a_signal_to_the_whole_group_is_one_signal(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    """MUST. A terminal and systemd signal every process: the first is the first for all of them."""
    command = serve(demo.upstream_url, *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    told, reading = await on_every_worker(url, admin, demo, pace=20, tokens=40)
    for pid in await pids(session, admin):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(pid, number)
    command.signal(signal.SIGINT)
    await asyncio.gather(*reading)
    assert all(one.is_whole for one in told)
    assert await command.wait_end() == 0


async def test_workers_follow_a_supervisor_that_was_killed(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession
) -> None:
    """MUST. They let their streams end first; nobody keeps the port."""
    command = serve(demo.upstream_url, *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    told, reading = await on_every_worker(url, admin, demo, pace=20, tokens=40)
    workers = await pids(session, admin)
    command.signal(signal.SIGKILL)
    await asyncio.gather(*reading)
    assert all(one.is_whole for one in told)
    await wait_dead(*workers)
    await wait_refused(url)


async def test_a_taken_port_is_one_line_also_if_it_is_shared(launch: Serve, echo: Echo) -> None:
    """MUST. Two proxies of several workers would else share their clients without a word."""
    command = launch("serve", echo.url, "--listen", "127.0.0.1:0", "--admin", "off", "--workers", "2")
    where = (await command.wait_url()).removeprefix("http://")
    for workers in ("1", "2"):
        second = launch("serve", echo.url, "--listen", where, "--admin", "off", "--workers", workers)
        assert await second.wait_end() == 1
        assert second.stderr == f"streamsafe: cannot listen on {where}: address already in use\n"


async def test_what_workers_fail_with_at_the_start_is_told_once(launch: Serve, echo: Echo, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(
        f"listen: 127.0.0.1:0\nadmin: off\nworkers: 2\ntls: {{cert: a.pem, key: a.pem}}\n"
        f"routes: [{{upstream: '{echo.url}'}}]"
    )
    command = launch("serve", "-c", str(file))
    assert await command.wait_end() == 2
    assert command.stderr == "streamsafe: tls: a.pem: no such file or directory\n"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        admin = f"127.0.0.1:{taken.getsockname()[1]}"
        command = launch("serve", echo.url, "--listen", "127.0.0.1:0", "--admin", admin, "--workers", "2")
        assert await command.wait_end() == 1
    assert re.fullmatch(
        rf"streamsafe: cannot listen on {admin}: address already in use \(that is .*\)\n", command.stderr
    )


async def test_workers_share_a_unix_socket_too(launch: Serve, echo: Echo, tmp_path: Path) -> None:
    path = tmp_path / "proxy.sock"
    command = launch("serve", echo.url, "--listen", f"unix:{path}", "--admin", "off", "--workers", "2")
    await command.wait_match("goes to")
    for _ in range(10):
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            session.get("http://localhost/") as answer,
        ):
            assert answer.status == 200
    command.signal(signal.SIGTERM)
    assert await command.wait_end() == 0


async def test_auto_is_a_worker_for_each_core(serve: Serve, echo: Echo, session: aiohttp.ClientSession) -> None:
    command = serve(echo.url, "--workers", "auto", "--admin", "127.0.0.1:0")
    found = await scrape(session, await wait_admin(command))
    assert value(found, "streamsafe_workers") == len(os.sched_getaffinity(0))


async def test_all_listen_within_half_a_second_more_or_less(launch: Serve, echo: Echo) -> None:
    """The target is half a second on an idle machine; the figure is printed by `make bench`, this only finds a hang."""
    clock = asyncio.get_running_loop().time
    started = clock()
    command: Command = launch("serve", echo.url, "--listen", "127.0.0.1:0", "--admin", "off", "--workers", "4")
    await command.wait_url()
    assert clock() - started < 5


async def test_without_the_nursery_the_proxy_stops(serve: Serve, demo: Demo, session: aiohttp.ClientSession) -> None:
    """Nobody could start a worker again: whoever runs the proxy has to see it end, when the streams have."""
    command = serve(demo.upstream_url, *TWO)
    url, admin = await command.wait_url(), await wait_admin(command)
    told, reading = await on_every_worker(url, admin, demo, pace=20, tokens=40)
    supervisor = (await status(session, admin))["pid"]
    (nursery,) = children(supervisor)
    os.kill(nursery, signal.SIGKILL)
    await command.wait_match("the process that starts workers is gone: stopping")
    await asyncio.gather(*reading)
    assert all(one.is_whole for one in told)
    assert await command.wait_end(40) == 1


@pytest.mark.parametrize("workers", ["0", "-1", "many"])
async def test_other_numbers_are_refused(launch: Serve, workers: str) -> None:
    command = launch("serve", "http://a", "--workers", workers)
    assert await command.wait_end() == 2
    assert command.stderr.startswith("streamsafe: --workers: expected a whole number from 1, or auto")
