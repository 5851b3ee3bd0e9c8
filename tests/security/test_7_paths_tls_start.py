"""Paths that climb, names on the way up, certificates, and starts that must not succeed."""

import asyncio
import datetime
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from proxy.config.load import load_text
from proxy.config.warnings import warnings
from tests.cli.command import Command, run_once
from tests.net.certificates import serving
from tests.net.conftest import MakeOrigin
from tests.net.wire import head
from tests.spec.relayed import answering

from .world import BEARER, CANARY, ENVIRON, HOST, code, world


def based(port: int) -> str:
    return f"""
routes:
- {{path: /v1/, upstream: "http://127.0.0.1:{port}/base", strip_prefix: true, api_key: "${{KEY}}"}}
"""


CLIMBING = {
    **{path: {400} for path in (b"/v1/../admin", b"/v1/%2e%2e/x", b"/v1/..%2fx", b"/v1/%252e%252e/x")},
    **{path: {400} for path in (b"/v1/..;/x", b"/v1/a/../../x", b"/v1/#@evil", b"/v1/a b", b"/v1/..%5cx")},
    **{path: {404} for path in (b"/v1x", b"/v1\\..\\x", b"/V1/x", b"/", b"//v1/x", b"/%76%31/x")},
}


@pytest.mark.parametrize("path", CLIMBING, ids=repr)
async def test_no_path_leaves_its_route(origin: MakeOrigin, path: bytes):
    """SEC-45: whichever way an upstream reads a path, it stays below what the route was given, or is refused."""
    one = await origin(answering())
    async with world(one, based(one.port)) as proxied:
        answer = await proxied.raw(head(b"GET " + path + b" HTTP/1.1", HOST))
        assert code(answer)[0] in CLIMBING[path]
        assert not [asked for asked in proxied.received if not asked.target.startswith(b"/base/")]
        assert not proxied.received


@pytest.mark.parametrize("rest", [b"a%2Fb", b"/a//b", b"a;b=c?d;e&f", b"%C3%A4?%C3%A4", b"a%zz?%zz", b"a/./b?x=../y"])
async def test_what_is_odd_and_harmless_arrives_as_it_was_sent(origin: MakeOrigin, rest: bytes):
    """SEC-46: cleaning up a path is how two servers come to read it differently."""
    one = await origin(answering())
    async with world(one, based(one.port)) as proxied:
        assert (await proxied.ask(b"GET /v1/" + rest)).status == 200
        assert proxied.received[0].target == b"/base/" + rest


async def test_the_upstream_is_called_by_its_configured_name(
    origin: MakeOrigin, authority: trustme.CA, authority_file: str
):
    """SEC-47: Host, SNI and the name in the certificate are the operator's words, whatever a client says."""
    asked: list[str | None] = []
    context = serving(authority, "localhost")
    context.sni_callback = lambda connection, name, used: asked.append(name)
    one = await origin(answering(), tls=context)
    text = f"routes: [{{upstream: 'https://localhost:{one.port}', api_key: '${{KEY}}', tls: {{ca: {authority_file}}}}}]"
    async with world(one, text) as proxied:
        answer = await proxied.ask(b"GET /x", b"X-Forwarded-Host: evil.example", host=b"Host: 127.0.0.1:9")
        assert answer.status == 200
        assert proxied.received[0].get(b"host") == b"localhost:%d" % one.port
        assert proxied.received[0].get(b"x-forwarded-host") == b"127.0.0.1:9"
        assert asked == ["localhost"]


def expired(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    authority.issue_cert("localhost", not_after=yesterday).configure_cert(context)
    return context


@pytest.mark.parametrize("fault", ["unknown authority", "expired", "another name"])
async def test_a_key_is_not_sent_to_who_cannot_prove_a_name(
    origin: MakeOrigin, authority: trustme.CA, authority_file: str, fault: str
):
    """SEC-48: whoever stands between gets an alert, and not one byte of a request."""
    context = (
        expired(authority) if fault == "expired" else serving(authority, "other" if "name" in fault else "localhost")
    )
    one = await origin([], read=False, tls=context)
    ca = "" if fault == "unknown authority" else f", tls: {{ca: {authority_file}}}"
    async with world(
        one, f"routes: [{{upstream: 'https://localhost:{one.port}', api_key: '${{KEY}}'{ca}}}]"
    ) as proxied:
        assert code(await proxied.ask(b"GET /x")) == (502, "tls_certificate_error")
        assert not [connection.raw for connection in one.connections if connection.raw]


@pytest.mark.parametrize(
    ("route", "told"),
    [
        (
            "upstream: 'https://a.example', tls: {verify: false}",
            "the certificate of a.example is not checked; name its",
        ),
        ("upstream: 'http://a.example'", "the key is sent to a.example without encryption"),
        ("upstream: 'http://10.1.2.3:80'", "the key is sent to 10.1.2.3:80 without encryption"),
    ],
)
def test_a_key_that_can_be_overheard_is_told_at_every_start(route: str, told: str):
    """SEC-48 too: it is the operator's to decide, with the route's name in the warning and no way not to see it."""
    config = load_text(f"routes: [{{name: r, {route}, api_key: '${{KEY}}'}}]", "f", ENVIRON)
    assert [warning for warning in warnings(config) if warning.startswith(f"security: route r: {told}")]
    local = load_text("routes: [{upstream: 'http://127.0.0.1:1', api_key: '${KEY}'}]", "f", ENVIRON)
    assert warnings(local) == []


OPEN = "listen: 0.0.0.0:0\nroutes: [{name: k, upstream: 'http://127.0.0.1:1', api_key: '${KEY}'}]\n"


async def test_an_open_keyed_proxy_does_not_start_by_accident(tmp_path: Path, launch: Callable[..., Command]):
    """SEC-50: others would spend the key; it takes tokens, or a word that nobody says by accident."""
    (tmp_path / "open.yaml").write_text(OPEN)
    done = run_once(tmp_path, "serve", "-c", "open.yaml", environ=ENVIRON)
    assert done.returncode == 2
    assert "routes.k injects a secret, listener 0.0.0.0:0 is not loopback and no client tokens are set" in done.stderr
    assert CANARY not in done.stderr

    (tmp_path / "said.yaml").write_text(f"allow_unauthenticated: true\n{OPEN}")
    said = run_once(tmp_path, "check", "-c", "said.yaml", environ=ENVIRON)
    assert said.returncode == 0
    assert said.stderr.count("security: route k: anyone who reaches 0.0.0.0:0 can spend its key") == 1

    guarded = f"clients: {{tokens: ['${{PROXY_TOKEN}}']}}\n{OPEN}"
    (tmp_path / "guarded.yaml").write_text(guarded)
    checked = run_once(tmp_path, "check", "-c", "guarded.yaml", environ=ENVIRON)
    assert checked.returncode == 0
    assert "anyone who reaches" not in checked.stderr
    (tmp_path / "served.yaml").write_text("admin: off\n" + guarded.replace("0.0.0.0", "127.0.0.1"))
    served = launch("serve", "-c", str(tmp_path / "served.yaml"), environ=ENVIRON)
    port = int((await served.wait_url()).rpartition(":")[2])
    for lines, status in (((), b"401"), ((BEARER,), b"502")):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(b"GET / HTTP/1.1", b"Host: localhost", b"Connection: close", *lines))
        assert (await asyncio.wait_for(reader.read(), 5)).split(b" ")[1] == status
        writer.close()
        await writer.wait_closed()
