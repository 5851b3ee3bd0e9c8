"""RFC 7239 and the older X-Forwarded fields: what an upstream is told about the client, and whom we believe."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
import trustme

from proxy.config.addresses import Address
from proxy.config.load import ConfigError
from proxy.core.forwarding import Forwarding, Trusted
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import Proxied, route
from tests.net.wire import Message

from .relayed import BARE, FORWARDED_BY_US, VIA_US, answering, client_of, configured, get, lines, listening, relayed

TELLING = (b"forwarded", b"x-real-ip")
ALL = Forwarding(forwarded=True)


def trusting(*networks: str, unix: bool = False) -> Trusted:
    return Trusted(tuple(ip_network(network) for network in networks), unix)


def told(message: Message) -> list[bytes]:
    """The lines that are about the client."""
    kept = [name.lower() for name in message.names if not name.lower().startswith(b"x-forwarded-")]
    return lines(message, *(name for name in kept if name not in TELLING))


def xff(address: bytes, host: bytes, scheme: bytes = b"http") -> list[bytes]:
    shown = [b"X-Forwarded-For: " + address, b"X-Forwarded-Proto: " + scheme, b"X-Real-IP: " + address]
    return [shown[0], b"X-Forwarded-Host: " + host, *shown[1:]]


FOR_US = b"Forwarded: for=127.0.0.1;proto=http;host="
SET = [
    ({}, b"localhost", b"/", FORWARDED_BY_US),
    ({}, b"LocalHost:8080", b"/", xff(b"127.0.0.1", b"LocalHost:8080")),
    ({}, b"[::1]:80", b"/", xff(b"127.0.0.1", b"[::1]:80")),
    ({}, b"localhost:1", b"http://127.0.0.1:2/x", xff(b"127.0.0.1", b"127.0.0.1:2")),
    ({"forwarded": True}, b"localhost:8", b"/", [*xff(b"127.0.0.1", b"localhost:8"), FOR_US + b'"localhost:8"']),
    ({"forwarded": True}, b"[::1]", b"/", [*xff(b"127.0.0.1", b"[::1]"), FOR_US + b'"[::1]"']),
    ({"x_forwarded": False}, b"localhost", b"/", [b"X-Real-IP: 127.0.0.1"]),
    ({"x_real_ip": False}, b"localhost", b"/", FORWARDED_BY_US[:3]),
    ({"x_real_ip": False, "x_forwarded": False, "forwarded": True}, b"a.localhost", b"/", [FOR_US + b'"a.localhost"']),
    ({"x_real_ip": False, "x_forwarded": False}, b"localhost", b"/", []),
]


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(("switches", "host", "target", "expected"), SET)
async def test_what_the_upstream_is_told(
    origin: MakeOrigin, proxy: MakeProxy, tmp_path: Path, switches: dict, host: bytes, target: bytes, expected, secure
):
    """F1: four fields are taken from the socket and from Host, Forwarded only on request, and each can be left out."""
    settings, tls = {}, None
    if secure:
        authority, file = trustme.CA(), str(tmp_path / "localhost.pem")
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(file)
        settings, tls = {"tls_cert": file, "tls_key": file}, ssl.create_default_context()
        authority.configure_trust(tls)
    one = await origin(answering())
    text = ", ".join(f"{name}: {str(on).lower()}" for name, on in switches.items())
    (made,) = configured(f"routes: [{{upstream: 'http://a', forwarding: {{{text}}}}}]").routes
    names = {"hosts": None}
    proxied = await proxy(one, forwarding=made.forwarding, settings=settings, proxy=names)
    client = await proxied.connect(tls=tls)
    client.send(get(target, b"X-A: 1", host=host))
    assert (await client.answer()).status == 200
    if secure:
        expected = [re.sub(rb"(?i)(proto: |proto=)http", rb"\1https", line) for line in expected]
    assert told(one.connections[0].request) == expected


SUFFIXES = b"For Host Proto Port Prefix Server Ssl Scheme By User Email Groups Client-Cert Access-Token -".split()
LIES = [
    *(b"X-Forwarded-%b: 6.6.6.6" % suffix for suffix in SUFFIXES),
    b"x-forwarded-for: 6.6.6.6, 7.7.7.7",
    b"X-FORWARDED-anything:",
    b"X-Forwarded-: 6.6.6.6",
    b"x-REAL-ip: 6.6.6.6",
    b"X-Real-IP: 6.6.6.6",
    b"forwarded: for=6.6.6.6;proto=https",
    b'Forwarded: for="[::6]"',
]


@pytest.mark.parametrize("forwarding", [Forwarding(), BARE, ALL], ids=["default", "off", "all"])
@pytest.mark.parametrize("trusted", [trusting(), trusting("10.0.0.0/8", "::/0", "127.0.0.2/32", unix=True)])
@pytest.mark.parametrize("backwards", [False, True])
async def test_a_strangers_word_is_dropped(
    origin: MakeOrigin, proxy: MakeProxy, forwarding: Forwarding, trusted: Trusted, backwards: bool
):
    """F2: what a peer that is not trusted says in such fields never gets past us, also where the route sets none."""
    one = await origin(answering())
    alike = [b"X-Forward-For: 1", b"XX-Forwarded-For: 1", b"X-Real-IPs: 1"]
    sent = [*(LIES[::-1] if backwards else LIES), *alike]
    got, _ = await relayed(await proxy(one, forwarding=forwarding, proxy={"trusted": trusted}), one, get(b"/", *sent))
    ours = [] if forwarding is BARE else [*FORWARDED_BY_US, VIA_US]
    if forwarding is ALL:
        ours.insert(4, FOR_US + b'"localhost"')
    assert lines(got, b"host") == [*alike, *ours]


KEPT = [b"X-Forwarded-Host: outer:8", b"x-forwarded-PROTO: https", b"X-Forwarded-Port: 8", b"X-Forwarded-Prefix: /a"]
DEFAULT, OURS = Forwarding(), b", 127.0.0.1"
EXTENDED = [
    (DEFAULT, [], FORWARDED_BY_US),
    (DEFAULT, [b"X-Forwarded-For: 1.1.1.1"], [b"X-Forwarded-For: 1.1.1.1" + OURS, *FORWARDED_BY_US[1:]]),
    (
        DEFAULT,
        [b"x-forwarded-for: 1.1.1.1,2.2.2.2", *KEPT, b"X-FORWARDED-FOR: 3.3.3.3", b"X-Real-IP: 1.1.1.1"],
        [*KEPT, b"X-Real-IP: 1.1.1.1", b"X-Forwarded-For: 1.1.1.1,2.2.2.2, 3.3.3.3" + OURS],
    ),
    (DEFAULT, [b"X-Forwarded-For: ::1", b"X-Forwarded-For: \xe9"], [b"X-Forwarded-For: ::1, \xe9" + OURS]),
    (DEFAULT, [b"X-Forwarded-For: unknown"], [b"X-Forwarded-For: unknown" + OURS]),
    (DEFAULT, [b"X-Forwarded-For:"], [b"X-Forwarded-For: 127.0.0.1"]),
    (DEFAULT, [b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-For:"], [b"X-Forwarded-For: 1.1.1.1" + OURS]),
    (DEFAULT, [b"Forwarded: for=1.1.1.1"], [b"Forwarded: for=1.1.1.1", *FORWARDED_BY_US]),
    (
        ALL,
        [b'Forwarded: for="[::2]:8"', b"forwarded: for=_x;by=y"],
        [b'Forwarded: for="[::2]:8", for=_x;by=y, ' + FOR_US[11:] + b'"localhost"'],
    ),
    (ALL, [b"Forwarded:"], [FOR_US + b'"localhost"']),
    (BARE, [b"X-Forwarded-For: 1.1.1.1", *KEPT], [b"X-Forwarded-For: 1.1.1.1", *KEPT]),
]


@pytest.mark.parametrize(("forwarding", "sent", "expected"), EXTENDED)
async def test_a_trusted_peers_word_is_kept_and_extended(
    origin: MakeOrigin, proxy: MakeProxy, forwarding: Forwarding, sent: list[bytes], expected: list[bytes]
):
    """F3: a proxy we trust is believed: its lists become one line with its address at the end, single values stay."""
    one = await origin(answering())
    trusted = {"trusted": trusting("10.0.0.0/8", "127.0.0.0/8")}
    got, _ = await relayed(await proxy(one, forwarding=forwarding, proxy=trusted), one, get(b"/", *sent))
    names = {line.partition(b":")[0].lower() for line in expected}
    shown = [line for line in told(got) if line.partition(b":")[0].lower() in names]
    assert sorted(shown) == sorted(expected)
    assert len(told(got)) == len({name.lower() for name in got.names if name.lower() not in (b"host", b"via")})


BELIEVING = [
    ("", [], ""),
    ("trusted_proxies: [unix]", [b"X-Forwarded-For: 1.1.1.1, 2.2.2.2"], "2.2.2.2"),
    ("trusted_proxies: ['0.0.0.0/0', '::/0']", [], ""),
    ("trusted_proxies: [2.2.2.2, 10.0.0.0/8, unix]", [b"X-Forwarded-For: 1.1.1.1, 2.2.2.2"], "1.1.1.1"),
]
NO_NETWORKS = ["10.0.0.1/8", "10.0.0.0/33", "example.com", "*", "unix:/a", "", "loopback", "[::1]", "1.2.3.4:5"]


@pytest.mark.parametrize(("text", "expected", "client_ip"), BELIEVING)
async def test_trust_is_told_by_networks_and_a_word(origin: MakeOrigin, tmp_path: Path, text: str, expected, client_ip):
    """F4: trusted_proxies holds networks and `unix`, nobody by default; a peer without address leaves no gap behind."""
    for wrong in NO_NETWORKS:
        with pytest.raises(ConfigError, match=r"spec.yaml:1:19: trusted_proxies\[0\]: expected a network"):
            configured(f"trusted_proxies: ['{wrong}']\nroutes: [{{upstream: 'http://a'}}]")
    trusted = configured(f"{text}\nroutes: [{{upstream: 'http://a'}}]").trusted
    one = await origin(answering())
    where = str(tmp_path / "proxy")
    said = [b"X-Forwarded-For: 1.1.1.1", b"X-Forwarded-For: 2.2.2.2", b"X-Forwarded-Proto: https"]
    async with (
        listening(Address(path=where), route(one.port, forwarding=ALL), trusted=trusted) as proxied,
        client_of(socket.AF_UNIX, where) as client,
    ):
        client.send(get(b"/", *said))
        assert (await client.answer()).status == 200
        assert (await proxied.ended()).client == client_ip
    got = one.connections[0].request
    joined = b", ".join(got.all(b"x-forwarded-for"))
    assert ([b"X-Forwarded-For: " + joined] if joined else []) == expected
    scheme = b"https" if expected else b"http"
    assert (got.get(b"x-forwarded-host"), got.get(b"x-forwarded-proto")) == (b"localhost", scheme)
    assert got.get(b"forwarded") == b'for=unknown;proto=http;host="localhost"'
    assert got.get(b"x-real-ip") is None


@asynccontextmanager
async def reached(proxied: Proxied, mapped: bool) -> AsyncIterator[tuple[socket.AddressFamily, tuple[str, int]]]:
    """Where a client connects: by IPv6, or by IPv4 to a socket that takes both, as a supervisor may hand one over."""
    if not mapped:
        yield socket.AF_INET6, ("::1", proxied.port)
        return
    made = socket.socket(socket.AF_INET6)
    made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    made.bind(("::", 0))
    (entry,) = proxied.running._listening
    server = await asyncio.get_running_loop().create_server(entry.server, sock=made)
    try:
        yield socket.AF_INET, ("127.0.0.1", made.getsockname()[1])
    finally:
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("said", [[], [b"X-Forwarded-For: 2001:db8::1"]], ids=["alone", "behind another"])
@pytest.mark.parametrize("mapped", [False, True], ids=["IPv6", "IPv4-mapped"])
async def test_addresses_are_written_as_each_field_wants_them(origin: MakeOrigin, mapped: bool, said: list[bytes]):
    """F5: an IPv6 client stands bare in X-Forwarded-For, quoted in Forwarded, an IPv4-mapped one as plain IPv4."""
    one = await origin(answering())
    trusted = trusting("::1", "127.0.0.1") if said else trusting()
    async with (
        listening(Address("::1", 0), route(one.port, forwarding=ALL), trusted=trusted) as proxied,
        reached(proxied, mapped) as (family, where),
        client_of(family, where) as client,
    ):
        client.send(get(b"/", *said, host=b"[::1]:8"))
        assert (await client.answer()).status == 200
    got = one.connections[0].request
    bare, quoted = (b"127.0.0.1", b"127.0.0.1") if mapped else (b"::1", b'"[::1]"')
    before = b"2001:db8::1, " if said else b""
    assert got.get(b"x-forwarded-for") == before + bare
    assert got.get(b"forwarded") == b'for=%b;proto=http;host="[::1]:8"' % quoted
    assert got.get(b"x-real-ip") == bare
    assert got.get(b"x-forwarded-host") == b"[::1]:8"


HOPS = [
    ((), b"6.6.6.6", "127.0.0.1"),
    (("10.0.0.0/8",), b"6.6.6.6", "127.0.0.1"),
    (("127.0.0.1",), b"", "127.0.0.1"),
    (("127.0.0.1",), b"6.6.6.6, 1.2.3.4", "1.2.3.4"),
    (("127.0.0.1", "10.0.0.0/8"), b"6.6.6.6, 1.2.3.4, 10.0.0.9,10.1.1.1", "1.2.3.4"),
    (("127.0.0.1", "10.0.0.0/8"), b"10.0.0.1, 10.0.0.2", "10.0.0.1"),
    (("127.0.0.1", "10.0.0.0/8"), b"6.6.6.6, unknown, 10.0.0.1", "10.0.0.1"),
    (("127.0.0.1", "10.0.0.0/8"), b"6.6.6.6, _hidden", "127.0.0.1"),
    (("127.0.0.1", "10.0.0.0/8"), b"6.6.6.6, , 1.2.3.4 ,, 10.0.0.1 ,", "1.2.3.4"),
    (("127.0.0.1", "10.0.0.0/8"), b"6.6.6.6|1.2.3.4|::ffff:10.0.0.1", "1.2.3.4"),
    (("127.0.0.1", "2001:db8::/32"), b"6.6.6.6, 2001:DB8:1::0:1", "6.6.6.6"),
    (("127.0.0.1",), b"6.6.6.6, [2001:db8::1]", "2001:db8::1"),
    (("127.0.0.1",), b"6.6.6.6, ::ffff:1.2.3.4", "1.2.3.4"),
    (("127.0.0.1",), b"6.6.6.6, 1.2.3.4.5", "127.0.0.1"),
    (("127.0.0.1",), b"6.6.6.6, \xd9\xa1.2.3.4", "127.0.0.1"),
]


@pytest.mark.parametrize(("networks", "hops", "expected"), HOPS)
async def test_the_client_is_the_last_whom_a_trusted_peer_saw(
    origin: MakeOrigin, proxy: MakeProxy, networks: tuple[str, ...], hops: bytes, expected: str
):
    """F6: the address we count and log is the rightmost that no trusted proxy has; left of it all is hearsay."""
    one = await origin(answering())
    proxied = await proxy(one, proxy={"trusted": trusting(*networks)})
    sent = [b"X-Forwarded-For: " + line for line in hops.split(b"|")]
    await relayed(proxied, one, get(b"/", *sent, b"X-Real-IP: 6.6.6.6"))
    assert (await proxied.ended()).client == expected
