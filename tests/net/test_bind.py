"""Sockets that several processes share: what is bound, and what is never touched to get it."""

import socket
from pathlib import Path

import pytest

from proxy.app import CannotListen
from proxy.config.addresses import Address
from proxy.net import server
from proxy.net.server import bind

from .conftest import MakeOrigin, MakeProxy


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path):
    """MUST. Whoever writes the path of something else into `listen` gets an error, and keeps what stood there."""
    file = tmp_path / "notes"
    file.write_text("precious")
    with pytest.raises(OSError, match="in use"):
        bind(None, 0, str(file))
    assert file.read_text() == "precious"


def test_a_socket_that_nobody_listens_on_is_replaced(tmp_path: Path):
    """The twin: what a process that was killed has left is in nobody's way."""
    path = str(tmp_path / "left")
    for _ in range(2):
        (bound,) = bind(None, 0, path)
        bound.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="there is no IPv6")
def test_an_address_of_ipv6_takes_no_ipv4(unused_tcp_port: int):
    """MUST. Who listens on `[::]` alone has not said that IPv4 may come too, as with one process."""
    (bound,) = bind("::", unused_tcp_port, None)
    with bound:
        bound.listen()
        with socket.create_connection(("::1", unused_tcp_port)), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", unused_tcp_port))


async def test_a_local_name_that_leads_elsewhere_is_not_listened_on(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """MUST. N1. What was decided for this machine alone is not shown to others because a hosts file says so."""
    monkeypatch.setattr(server, "resolved_name", lambda name: "0.0.0.0" if name == "localhost" else name)
    with pytest.raises(CannotListen, match="loopback"):
        await proxy(await origin([]), settings={"listen": (Address("localhost", 0),)})
