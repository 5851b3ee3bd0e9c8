"""A running command whose configuration changes: on SIGHUP, or by itself with --watch; a bad one changes nothing."""

import asyncio
import os
import signal
import socket
from pathlib import Path

import aiohttp
import pytest

from proxy.demo.run import Demo

from .command import Command
from .conftest import Echo, Serve, Told
from .test_admin import TOKEN, scrape, value, wait_admin

WORKERS = pytest.mark.parametrize("workers", [1, 2])


def write(file: Path, upstream: str, path: str = "/", more: str = "") -> Path:
    """A configuration with one route, put in place as an editor does: beside it, and renamed."""
    beside = file.with_suffix(".new")
    beside.write_text(f"{more}\nroutes:\n  - path: {path}\n    upstream: {upstream}\n    strip_prefix: true\n")
    beside.replace(file)
    return file


async def status_of(session: aiohttp.ClientSession, url: str) -> int:
    async with session.get(url) as answer:
        return answer.status


async def reloaded(command: Command, times: int = 1) -> None:
    await command.wait_lines(r"message=\"reloaded: routes: ", times)


async def refused(command: Command, times: int = 1) -> str:
    """The message of the last refusal."""
    await command.wait_lines("the configuration before stays in force", times)
    return (await command.wait_lines("reload refused: ", times))[-1]


@WORKERS
async def test_sighup_changes_the_routes_and_open_streams_go_on(
    serve: Serve, demo: Demo, session: aiohttp.ClientSession, tmp_path: Path, workers: int
) -> None:
    """MUST. O1."""
    file = write(tmp_path / "proxy.yaml", demo.upstream_url, "/one/")
    command = serve("-c", str(file), "--workers", str(workers))
    url = await command.wait_url()
    streams = [Told() for _ in range(4)]
    reading = [asyncio.ensure_future(told.read(session, f"{url}/one", pace=20, tokens=30)) for told in streams]
    for told in streams:
        await told.wait_token()
    write(file, demo.upstream_url, "/two/")
    command.signal(signal.SIGHUP)
    await reloaded(command)
    for _ in range(4):  # new connections, whichever worker takes them
        async with aiohttp.ClientSession() as fresh:
            assert await status_of(fresh, f"{url}/one/demo/state") == 404
            assert await status_of(fresh, f"{url}/two/demo/state") == 200
    await asyncio.gather(*reading)
    assert [(told.is_whole, len(told.tokens)) for told in streams] == [(True, 30)] * 4
    command.signal(signal.SIGTERM)
    assert await command.wait_end() == 0


@WORKERS
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("routes:\n  - upstrem: http://a\n", "proxy.yaml:2:5: routes[0].upstrem: expected a known key"),
        ("routes: [", "proxy.yaml:"),
        ("tls: {cert: none.pem, key: none.pem}\nroutes: [{upstream: 'http://a'}]\n", "none.pem: no such file"),
    ],
    ids=["key", "yaml", "certificate"],
)
async def test_a_bad_configuration_is_refused_with_its_messages_and_the_old_one_stays(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path, text: str, said: str, workers: int
) -> None:
    """MUST. O1."""
    file = write(tmp_path / "proxy.yaml", echo.url)
    command = serve("-c", str(file), "--workers", str(workers))
    url = await command.wait_url()
    file.write_text(text)
    command.signal(signal.SIGHUP)
    assert said in await refused(command)
    assert await status_of(session, url) == 200
    write(file, echo.url, "/mended/")
    command.signal(signal.SIGHUP)
    await reloaded(command)
    assert await status_of(session, f"{url}/mended/") == 200
    assert await status_of(session, url) == 404


@WORKERS
async def test_a_port_that_is_taken_is_one_line_and_the_old_ones_stay(
    serve: Serve,
    launch: Serve,
    echo: Echo,
    session: aiohttp.ClientSession,
    tmp_path: Path,
    workers: int,
    unused_tcp_port: int,
) -> None:
    """MUST. O1."""
    more = "admin: off\nlisten: [{}]\nworkers: " + str(workers)
    own = f"127.0.0.1:{unused_tcp_port}"
    file = write(tmp_path / "proxy.yaml", echo.url, more=more.format(own))
    command = launch("serve", "-c", str(file))
    url = await command.wait_url()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        write(file, echo.url, more=more.format(f"'{own}', '127.0.0.1:0', '{taken}'"))
        command.signal(signal.SIGHUP)
        assert f"cannot listen on {taken}: address already in use" in await refused(command)
    assert await status_of(session, url) == 200
    write(file, echo.url, more=more.format("'127.0.0.1:0'"))
    command.signal(signal.SIGHUP)
    await reloaded(command)
    async with aiohttp.ClientSession() as fresh:
        with pytest.raises(aiohttp.ClientConnectorError):
            await fresh.get(url)


@WORKERS
async def test_what_needs_a_restart_is_named(
    serve: Serve, launch: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path, workers: int
) -> None:
    file = write(tmp_path / "a.yaml", echo.url, more=f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: {workers}")
    command = launch("serve", "-c", str(file))
    admin, url = await wait_admin(command), await command.wait_url()
    write(file, echo.url, "/new/", more="name: me\nlisten: 127.0.0.1:0\nadmin: off\nworkers: 3\nlog: {format: json}")
    command.signal(signal.SIGHUP)
    await reloaded(command)
    for key in ("name", "admin", "workers", "log"):
        await command.wait_match(f"`{key}` has changed, which needs a restart: it stays as it was until then")
    assert await status_of(session, f"{url}/new/") == 200
    assert await status_of(session, f"{admin}/healthz") == 200
    async with session.get(f"{url}/new/") as answer:
        assert answer.status == 200
    assert b"me" not in dict(echo.requests[-1].raw_headers)[b"Via"]
    assert value(await scrape(session, admin), "streamsafe_workers") == workers


@WORKERS
async def test_the_admin_listener_tells_of_reloads_and_wants_the_new_token(
    launch: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path, workers: int
) -> None:
    more = f"listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\nworkers: {workers}\nadmin_token: ${{file:token}}"
    (tmp_path / "token").write_text(TOKEN)
    more = more.replace("file:token", f"file:{tmp_path / 'token'}")
    (tmp_path / "token").chmod(0o600)
    file = write(tmp_path / "a.yaml", echo.url, more=more)
    command = launch("serve", "-c", str(file))
    admin = await wait_admin(command)
    (tmp_path / "token").write_text(TOKEN[::-1])
    command.signal(signal.SIGHUP)
    await reloaded(command)
    file.write_text("routes: 1")
    command.signal(signal.SIGHUP)
    await refused(command)
    asked = {token: {"Authorization": f"Bearer {token}"} for token in (TOKEN, TOKEN[::-1])}
    async with session.get(f"{admin}/status", headers=asked[TOKEN]) as answer:
        assert answer.status == 401
    async with session.get(f"{admin}/status", headers=asked[TOKEN[::-1]]) as answer:
        told = (await answer.json())["reloads"]
    assert (told["done"], told["refused"]) == (1, 1)
    assert told["last"].startswith("20")
    async with session.get(f"{admin}/metrics", headers=asked[TOKEN[::-1]]) as answer:
        page = await answer.text()
    assert 'streamsafe_reloads_total{result="done"} 1.0' in page
    assert 'streamsafe_reloads_total{result="refused"} 1.0' in page


async def test_the_key_of_a_command_line_is_read_again(serve: Serve, echo: Echo, tmp_path: Path) -> None:
    """Without a file there is still something that may have changed."""
    key = tmp_path / "key"
    key.write_text("sk-first-0123456789")
    key.chmod(0o600)
    command = serve(echo.url, "--api-key", f"@{key}")
    url = await command.wait_url()
    for number, secret in enumerate(("sk-second-0123456789", "sk-third-0123456789"), 1):
        key.write_text(secret)
        command.signal(signal.SIGHUP)
        await reloaded(command, number)
        async with aiohttp.ClientSession() as session:
            assert await status_of(session, f"{url}/{secret}") == 200
        assert echo.requests[-1].headers["Authorization"] == f"Bearer {secret}"
    await command.wait_lines("outcome=complete", 2)
    assert "-0123456789" not in command.stderr, "the log knows the secrets of every configuration"


async def test_a_demo_has_nothing_to_reload(launch: Serve) -> None:
    command = launch("demo", "--listen", "127.0.0.1:0", "--admin", "off")
    await command.wait_match("The demo is at")
    command.signal(signal.SIGHUP)
    await asyncio.sleep(0.2)
    command.signal(signal.SIGTERM)
    assert await command.wait_end() == 0


# --watch


@WORKERS
async def test_watch_notices_a_renamed_file(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path, workers: int
) -> None:
    """MUST. Again and again, and also after a bad one."""
    file = write(tmp_path / "proxy.yaml", echo.url)
    command = serve("-c", str(file), "--watch", "--workers", str(workers))
    url = await command.wait_url()
    for number in (1, 2):
        write(file, echo.url, f"/v{number}/")
        await reloaded(command, number)
        assert await status_of(session, f"{url}/v{number}/") == 200
    write(file, "nowhere")
    await refused(command)
    write(file, echo.url, "/v3/")
    await reloaded(command, 3)
    assert await status_of(session, f"{url}/v3/") == 200


async def test_watch_notices_what_is_written_in_place(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    file = write(tmp_path / "proxy.yaml", echo.url)
    command = serve("-c", str(file), "--watch")
    url = await command.wait_url()
    file.write_text(file.read_text().replace("path: /", "path: /in-place/"))
    await reloaded(command)
    assert await status_of(session, f"{url}/in-place/") == 200


async def test_watch_notices_a_mounted_configmap(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """MUST. The file is a link to `..data/`, which is a link that is swapped; no file of the folder is written."""
    mount = tmp_path / "etc"
    mount.mkdir()

    def publish(name: str, path: str) -> None:
        (mount / name).mkdir()
        write(mount / name / "proxy.yaml", echo.url, path)
        (mount / "..data_tmp").symlink_to(name)
        (mount / "..data_tmp").rename(mount / "..data")

    publish("..1", "/v1/")
    (mount / "proxy.yaml").symlink_to("..data/proxy.yaml")
    command = serve("-c", str(mount / "proxy.yaml"), "--watch")
    url = await command.wait_url()
    for number in (2, 3):
        publish(f"..{number}", f"/v{number}/")
        await reloaded(command, number - 1)
        assert await status_of(session, f"{url}/v{number}/") == 200


async def test_watch_follows_a_link_to_another_folder(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Both when the target is written and when the link is led elsewhere."""
    for name in ("here", "there", "link"):
        (tmp_path / name).mkdir()
    here = write(tmp_path / "here" / "a.yaml", echo.url)
    there = write(tmp_path / "there" / "b.yaml", echo.url, "/there/")
    link = tmp_path / "link" / "proxy.yaml"
    link.symlink_to(here)
    command = serve("-c", str(link), "--watch")
    url = await command.wait_url()
    write(here, echo.url, "/here/")
    await reloaded(command, 1)
    os.symlink(there, tmp_path / "link" / "new")
    os.replace(tmp_path / "link" / "new", link)
    await reloaded(command, 2)
    write(there, echo.url, "/there/again/")
    await reloaded(command, 3)
    assert await status_of(session, f"{url}/there/again/") == 200


async def test_watch_does_not_reload_for_the_same_content(
    serve: Serve, echo: Echo, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """Nor for other files of the folder, nor while the file is away for a moment."""
    file = write(tmp_path / "proxy.yaml", echo.url)
    command = serve("-c", str(file), "--watch")
    await command.wait_url()
    content = file.read_bytes()
    (tmp_path / "other.yaml").write_text("x")
    file.unlink()
    await asyncio.sleep(0.5)
    file.write_bytes(content)
    write(file, echo.url)
    await asyncio.sleep(0.5)
    write(file, echo.url, "/new/")
    await reloaded(command)
    assert len(await command.wait_lines("reload", 1)) == 1


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
async def test_nobody_is_refused_while_several_workers_reload(
    launch: Serve, echo: Echo, tmp_path: Path, unused_tcp_port: int, loop: str
) -> None:
    """MUST. A client that connects all the time, and then one more reload, a crash and a stop, on both loops."""
    kept = f"listen: 127.0.0.1:{unused_tcp_port}\nadmin: 127.0.0.1:0\nworkers: 2"
    file = write(tmp_path / "a.yaml", echo.url, more=kept)
    hidden = {}
    if loop == "asyncio":
        (tmp_path / "no-uvloop").mkdir()
        (tmp_path / "no-uvloop" / "uvloop.py").write_text("raise ImportError")
        hidden = {"PYTHONPATH": str(tmp_path / "no-uvloop")}
    command = launch("serve", "-c", str(file), environ=hidden)
    url, stop = await command.wait_url(), asyncio.Event()
    async with aiohttp.ClientSession() as session:
        assert value(await scrape(session, await wait_admin(command)), "streamsafe_build_info", loop=loop) == 1
    knocking = [asyncio.create_task(_knock(url, stop)) for _ in range(4)]
    for number in range(1, 11):
        write(file, echo.url, more=f"{kept}\ndrain: {number}s")
        command.signal(signal.SIGHUP)
        await reloaded(command, number)
    stop.set()
    statuses = [status for one in await asyncio.gather(*knocking) for status in one]
    assert len(statuses) > 40
    assert set(statuses) == {200}
    command.signal(signal.SIGTERM)
    assert await command.wait_end() == 0


async def _knock(url: str, stop: asyncio.Event) -> list[int]:
    """Statuses of requests, each on a connection of its own."""
    found = []
    while not stop.is_set():
        async with aiohttp.ClientSession() as fresh:
            found.append(await status_of(fresh, url))
    return found
