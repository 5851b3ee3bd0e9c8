"""A listener listens on all of its sockets or on none."""

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest

from proxy.app.errors import CannotListen
from proxy.app.listener import Listener
from proxy.config.addresses import Address
from proxy.config.compile import Settings
from proxy.net.addresses import bind_shared
from proxy.net.server import Server, listen_on
from proxy.net.tap import Tap
from proxy.net.upstream import Upstreams
from tests.net.harness import route, settings_of, settles


def listener_of(settings: Settings) -> Listener:
    return Listener(settings.sites[0], settings, Upstreams(), Tap())


async def taken_by(listener: Listener, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Waits until the listener has that connection, its only one, and then until it has lost it."""
    assert await settles(lambda: not listener.is_quiet)
    writer.close()
    assert await settles(lambda: listener.is_quiet)


async def break_off(listener: Listener, turns: int, bound: Sequence[socket.socket] = ()) -> None:
    """Gives up after so many turns of the loop, in which it may have begun to listen or not."""
    opening = asyncio.create_task(listener.open(None, bound))
    for _ in range(turns):
        await asyncio.sleep(0)
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await opening
    listener.close()


@pytest.mark.parametrize("bad", [0, 1, 2])
async def test_where_one_socket_fails_nobody_is_taken(monkeypatch: pytest.MonkeyPatch, bad: int):
    """What listened before it is closed again, and so is what would have come after it."""
    listener = listener_of(settings_of(route(9)))
    sockets = [bind_shared("127.0.0.1", 0, None)[0] for _ in range(3)]
    ports = [one.getsockname()[1] for one in sockets]

    async def listens(server: Server, bound: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Server:
        if bound is sockets[bad]:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        return await listen_on(server, bound, tls)

    monkeypatch.setattr("proxy.app.listener.listen_on", listens)
    with pytest.raises(CannotListen):
        await listener.open(None, sockets)
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
    assert await settles(lambda: all(one.fileno() < 0 for one in sockets))


@pytest.mark.parametrize("turns", range(1, 4))
async def test_a_listener_that_is_not_wanted_any_more_takes_nobody(turns: int):
    """MUST. A stop may come while a reload begins to listen; whoever gets the number of that socket next is served."""
    listener = listener_of(settings_of(route(9)))
    bound = bind_shared("127.0.0.1", 0, None)
    number, port = bound[0].fileno(), bound[0].getsockname()[1]
    await break_off(listener, turns, bound)
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    other = listener_of(settings_of(route(9)))
    made = [bind_shared("127.0.0.1", 0, None)[0] for _ in range(8)]
    (again,) = [one for one in made if one.fileno() == number]
    for one in made:
        if one is not again:
            one.close()
    await other.open(None, [again])
    await taken_by(other, *await asyncio.open_connection("127.0.0.1", other.where.port))
    other.close()


async def test_a_socket_file_that_is_not_wanted_any_more_takes_nobody(tmp_path: Path):
    """MUST. The same of a path."""
    path = str(tmp_path / "socket")
    for turns in range(1, 4):
        listener = listener_of(settings_of(route(9), listen=(Address(path=path),)))
        await break_off(listener, turns)
        with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
            await asyncio.open_unix_connection(path)


async def test_where_descriptors_have_run_out_it_listens_on_as_before(monkeypatch: pytest.MonkeyPatch):
    """MUST. A reload that needs more of them is refused."""
    listener = listener_of(settings_of(route(9)))
    await listener.open(None, [bind_shared("127.0.0.1", 0, None)[0] for _ in range(2)])
    made: list[int] = []

    def dup(number: int, really=os.dup) -> int:
        if made:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        made.append(really(number))
        return made[0]

    with monkeypatch.context() as full:
        full.setattr(os, "dup", dup)
        with pytest.raises(CannotListen, match="too many open files"):
            await listener.again(None)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made[0])
    await taken_by(listener, *await asyncio.open_connection("127.0.0.1", listener.where.port))
    listener.close()


async def test_a_socket_file_stays_when_it_is_listened_on_anew(tmp_path: Path):
    """MUST. TLS that a reload switches on, or would have if it had not been refused. Loops remove it from 3.13 on."""
    path = str(tmp_path / "socket")
    listener = listener_of(settings_of(route(9), listen=(Address(path=path),)))
    await listener.open(None)
    for in_force in (True, False):
        servers = await listener.again(None)
        if in_force:
            listener.switch(servers, None)
        else:
            for server in servers:
                server.close()
        await taken_by(listener, *await asyncio.open_unix_connection(path))
    listener.close()
