"""Connections that do not come about: each reason has its code."""

import asyncio
import errno
import socket

import aiohappyeyeballs
import pytest

from proxy.core.routes import Tls
from proxy.net.upstream import dial

from .conftest import MakeOrigin, MakeProxy
from .test_failures import fails_with


async def test_nobody_listening_is_connection_refused(proxy: MakeProxy, dead_port: int):
    """MUST. A4."""
    await fails_with(await proxy(dead_port), 502, "connection_refused", "upstream_aborted")


async def test_a_name_without_address_is_dns_error(proxy: MakeProxy):
    """MUST. A4. `.invalid` never resolves: RFC 6761 section 6.4."""
    await fails_with(await proxy(80, host="name.invalid"), 502, "dns_error", "upstream_aborted")


async def test_a_resolver_that_says_nothing_is_dns_timeout(proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch):
    """MUST. A4, T1. Within timeouts.connect."""

    async def silent(*_: object) -> list:
        await asyncio.get_running_loop().create_future()
        return []

    monkeypatch.setattr(dial, "_resolve", silent)
    await fails_with(await proxy(80, timeouts={"connect": 0.1}), 504, "dns_timeout", "upstream_timeout")


@pytest.mark.parametrize(
    ("addresses", "code"),
    [
        (["255.255.255.255", "127.0.0.1"], "connection_refused"),
        (["255.255.255.255", "255.255.255.255"], "destination_ip_unroutable"),
    ],
)
async def test_several_addresses_that_fail_say_what_matters(
    proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, dead_port: int, addresses: list[str], code: str
):
    """MUST. A4, R9. Who was there and refused tells more than one that nobody can reach."""

    async def resolved(*_: object) -> list:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (each, dead_port)) for each in addresses]

    monkeypatch.setattr(dial, "_resolve", resolved)
    await fails_with(await proxy(dead_port), 502, code, "upstream_aborted")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError("Multiple exceptions: [Errno 101] away, [Errno 113] away"), "destination_ip_unroutable"),
        (OSError("Multiple exceptions: [Errno 101] away, [Errno 1] not allowed"), "destination_unavailable"),
        (OSError(errno.EMFILE, "Too many open files"), "destination_unavailable"),
        (OSError("something else"), "destination_unavailable"),
    ],
)
async def test_what_else_hinders_a_connection_has_a_code_too(
    proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, error: OSError, code: str
):
    """MUST. A4."""

    async def fails(*_: object, **__: object) -> socket.socket:
        raise error

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", fails)
    await fails_with(await proxy(80), 502, code, "upstream_aborted")


async def test_no_connection_in_time_is_connection_timeout(proxy: MakeProxy, deaf_port: int):
    """MUST. A4, T1. timeouts.connect."""
    proxied = await proxy(deaf_port, timeouts={"connect": 0.2})
    await fails_with(proxied, 504, "connection_timeout", "upstream_timeout")


async def test_a_tls_handshake_belongs_to_the_connect_timeout(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. A port that takes the connection and then says nothing."""
    one = await origin([], read=False)
    proxied = await proxy(one, timeouts={"connect": 0.2}, tls=Tls())
    await fails_with(proxied, 504, "connection_timeout", "upstream_timeout")


@pytest.mark.parametrize(
    ("number", "status", "code", "outcome"),
    [
        (errno.ETIMEDOUT, 504, "connection_timeout", "upstream_timeout"),
        (errno.EHOSTUNREACH, 502, "destination_ip_unroutable", "upstream_aborted"),
        (errno.ENETUNREACH, 502, "destination_ip_unroutable", "upstream_aborted"),
    ],
)
async def test_what_the_system_says_has_its_own_code(
    proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, number: int, status: int, code: str, outcome: str
):
    """MUST. A4. The kernel gives up by itself too, before any of our deadlines."""

    async def refuse(*given: object, **options: object) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(aiohappyeyeballs, "start_connection", refuse)
    await fails_with(await proxy(1), status, code, outcome)


async def test_a_name_that_cannot_be_one_is_dns_error(proxy: MakeProxy):
    """MUST. A4. A label has 63 bytes at most: RFC 1035 section 2.3.4."""
    await fails_with(await proxy(80, host="a" * 64 + ".example"), 502, "dns_error", "upstream_aborted")
