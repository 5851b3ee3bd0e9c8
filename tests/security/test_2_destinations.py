"""Where the proxy connects to: the configuration alone says it, and some addresses it may not say by accident."""

import socket

import pytest

from proxy.config.load import ConfigError, load_text
from proxy.net.upstream import dial
from tests.net.conftest import MakeOrigin
from tests.net.wire import head
from tests.spec.relayed import answering

from .world import ENVIRON, HOST, KEYED, code, routes, world


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head(b"GET http://169.254.169.254/latest/ HTTP/1.1", HOST), 421),
        (head(b"GET http://localhost@169.254.169.254/k/ HTTP/1.1", HOST), 400),
        (head(b"CONNECT 169.254.169.254:443 HTTP/1.1", b"Host: 169.254.169.254:443"), 405),
        (head(b"CONNECT localhost:443 HTTP/1.1", HOST), 405),
        (head(b"TRACE /k/x HTTP/1.1", HOST), 405),
        (head(b"GET ftp://localhost/k/ HTTP/1.1", HOST), 400),
        (head(b"GET //evil.example/k/ HTTP/1.1", HOST), 404),
    ],
    ids=["absolute", "user information", "CONNECT", "CONNECT to us", "TRACE", "another scheme", "two slashes"],
)
async def test_a_request_line_chooses_no_destination(
    origin: MakeOrigin, monkeypatch: pytest.MonkeyPatch, sent: bytes, status: int
):
    """SEC-16: an open relay would reach cloud metadata and the rest of this network in our name."""
    dialled = []
    monkeypatch.setattr(dial, "_resolve", dialled.append)
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        answer = await proxied.raw(sent)
        assert code(answer)[0] == status
        assert dialled == []


async def test_no_field_chooses_a_destination(origin: MakeOrigin):
    """SEC-17: fields that gateways take for orders are a client's words here, and go to the same place as all else."""
    one, elsewhere = await origin(answering()), await origin(answering())
    there = b"http://127.0.0.1:%d" % elsewhere.port
    orders = [
        b"X-Forwarded-Host: 127.0.0.1:%d" % elsewhere.port,
        b"Forwarded: host=127.0.0.1:%d" % elsewhere.port,
        b"X-Original-URL: " + there,
        b"X-Rewrite-URL: " + there,
        b"X-Portkey-Custom-Host: " + there,
        b"X-Host: 127.0.0.1:%d" % elsewhere.port,
    ]
    async with world(one, routes(one.port)) as proxied:
        for line in orders:
            assert (await proxied.ask(b"GET /k/x?api_base=" + there, line)).status == 200
        assert {request.get(b"host") for request in proxied.received} == {b"127.0.0.1:%d" % one.port}
        assert not elsewhere.connections


def address(ip: str, port: int) -> tuple[object, ...]:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    return (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, port, 0, 0) if ":" in ip else (ip, port))


METADATA = ["169.254.169.254", "fe80::1", "fd00:ec2::254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"]


@pytest.mark.parametrize("ip", METADATA)
async def test_a_name_cannot_come_to_mean_a_metadata_service(
    origin: MakeOrigin, monkeypatch: pytest.MonkeyPatch, ip: str
):
    """SEC-18: the address that is dialled is the one that was looked at, however the name resolved a moment ago."""
    one = await origin(answering())
    told = [address("127.0.0.1", one.port)]

    async def resolve(to: object) -> list[tuple[object, ...]]:
        return list(told)

    monkeypatch.setattr(dial, "_resolve", resolve)
    url = f"upstream: 'http://rebound.example:{one.port}', api_key: '${{KEY}}'"
    async with world(one, f"routes: [{{{url}}}]") as proxied:
        assert (await proxied.ask(b"GET /x", b"Connection: close")).status == 200
        one.connections[0].close()  # so that the next one has to be dialled
        await one.connections[0].wait_gone()
        told[:] = [address(ip, one.port)]
        answer = await proxied.ask(b"GET /x")
        assert code(answer) == (502, "destination_ip_prohibited")
        assert b"allow_link_local_upstream" in answer.body
        assert ip.encode() not in answer.body
        told[:] = [address(ip, one.port), address("127.0.0.1", one.port)]
        assert (await proxied.ask(b"GET /x")).status == 200
    with pytest.raises(ConfigError, match="link-local"):
        load_text(f"routes: [{{upstream: 'http://{f'[{ip}]' if ':' in ip else ip}'}}]", "f", {})


async def test_the_proxy_is_not_its_own_upstream(origin: MakeOrigin):
    """SEC-19: a request to itself would go round for ever, with our key in it."""
    for text in (
        "routes: [{upstream: 'http://localhost:8787'}]",
        "listen: 0.0.0.0:80\nroutes: [{upstream: 'http://127.0.0.1'}]",
    ):
        with pytest.raises(ConfigError, match="this proxy's own listener"):
            load_text(text, "f", ENVIRON)
    one = await origin(answering())
    async with world(one, f"name: here\n{routes(one.port)}") as proxied:
        assert code(await proxied.ask(b"GET /k/x", b"Via: 1.1 there, 1.1 here")) == (502, "proxy_loop_detected")
        proxied.assert_untouched()
        await proxied.ask(b"GET /k/x")
        assert proxied.received[0].all(b"via") == [b"1.1 here"]
        assert proxied.received[0].all(b"authorization") == [KEYED.partition(b": ")[2]]
