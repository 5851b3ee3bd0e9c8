"""Sockets that several processes share: what is bound, and what is never touched to get it."""

import contextlib
import errno
import os
import socket
from pathlib import Path

import pytest

from proxy.app import CannotListen
from proxy.config.addresses import Address
from proxy.net import addresses
from proxy.net.addresses import bind, bind_at, bind_shared
from proxy.threads import in_thread

from .conftest import MakeOrigin, MakeProxy

HERE = socket.AF_INET


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path):
    """MUST. Whoever writes the path of something else into `listen` gets an error, and keeps what stood there."""
    file = tmp_path / "notes"
    file.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        bind_shared(None, 0, str(file))
    assert file.read_text() == "precious"


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path):
    """The twin: what a process that was killed has left is in nobody's way."""
    path = str(tmp_path / "left")
    for _ in range(2):
        (bound,) = bind_shared(None, 0, path)
        bound.close()


@pytest.mark.timeout(10)
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_a_socket_that_somebody_has_is_left_alone(tmp_path: Path, kind: socket.SocketKind):
    """MUST. Also if it is of another kind, or its queue is full: nobody waits until there is room."""
    path = str(tmp_path / "theirs")
    with socket.socket(socket.AF_UNIX, kind) as theirs, contextlib.ExitStack() as waiting:
        theirs.bind(path)
        inode = os.stat(path).st_ino
        if kind != socket.SOCK_DGRAM:
            theirs.listen(0)
            refused = 0
            while not refused:
                client = waiting.enter_context(socket.socket(socket.AF_UNIX, kind))
                client.setblocking(False)
                refused = client.connect_ex(path)
            assert refused == errno.EAGAIN
        with pytest.raises(OSError, match="in use"):
            bind_at(path)
        with pytest.raises(OSError, match="in use"):
            bind_shared(None, 0, path)
        assert os.stat(path).st_ino == inode


def test_a_path_of_which_nobody_can_tell_is_refused_as_it_is(tmp_path: Path):
    """The message is the system's own."""
    with pytest.raises(OSError, match="too long"):
        bind_at(str(tmp_path / ("x" * 200)))
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        bind_at(str(tmp_path / "file" / "socket"))


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_an_address_of_ipv6_takes_no_ipv4(unused_tcp_port: int):
    """MUST. Who listens on `[::]` alone has not said that IPv4 may come too, as with one process."""
    (bound,) = bind_shared("::", unused_tcp_port, None)
    with bound:
        bound.listen()
        with socket.create_connection(("::1", unused_tcp_port)), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", unused_tcp_port))


async def test_a_local_name_that_leads_elsewhere_is_not_listened_on(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """MUST. N1. What was decided for this machine alone is not shown to others because a hosts file says so."""
    monkeypatch.setattr(addresses, "resolved_name", lambda name: "0.0.0.0" if name == "localhost" else name)
    with pytest.raises(CannotListen, match="loopback"):
        await proxy(await origin([]), settings={"listen": (Address("localhost", 0),)})


@pytest.mark.parametrize("missing", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
async def test_a_name_is_listened_on_where_it_is_here(monkeypatch: pytest.MonkeyPatch, missing: int):
    """MUST. `localhost` is ::1 too, which a container may not have; a name that is nowhere here is refused."""
    found = [(family, 1, 6, "", (host, 0)) for family, host in [(HERE, "127.0.0.1"), (socket.AF_INET6, "::1")]]
    made, closed = socket.socket, []

    class Kernel(socket.socket):
        """One without IPv6."""

        def bind(self, where: object) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(missing, "not here")
            super().bind(where)  # type: ignore[arg-type]

        def close(self) -> None:
            closed.append(self.family)
            super().close()

    monkeypatch.setattr(socket, "socket", Kernel)
    for places in (found, found[::-1]):
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, places=places, **__: places)
        (bound,) = await bind("name.example", 0)
        assert bound.family == HERE
        made.close(bound)
        (shared,) = bind_shared("name.example", 0, None)
        made.close(shared)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[1:])
    with pytest.raises(OSError, match="not here"):
        await bind("name.example", 0)
    assert closed.count(socket.AF_INET6) == 5


async def test_where_one_address_of_a_name_is_taken_none_is_bound(
    monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
):
    """MUST. Half a name would be answered for by somebody else."""
    with socket.create_server(("127.0.0.2", unused_tcp_port)):
        found = [(HERE, 1, 6, "", (host, unused_tcp_port)) for host in ("127.0.0.1", "127.0.0.2")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        for binding in (bind, lambda host, port: in_thread("", bind_shared, host, port, None)):
            with pytest.raises(OSError, match="in use"):
                await binding("name.example", unused_tcp_port)
            with socket.socket() as free:  # without SO_REUSEADDR: what is bound and does not listen is in its way
                free.bind(("127.0.0.1", unused_tcp_port))
