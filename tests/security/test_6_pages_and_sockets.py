"""What is shown to people, what listens, and handshakes that no preflight protects."""

import json
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from proxy.config.load import load_text
from proxy.config.messages import ConfigError
from tests.cli.command import Command
from tests.edge.inspector_browser import browser, needs_browser
from tests.edge.inspector_world import inspected
from tests.net.client import connect
from tests.net.conftest import MakeOrigin
from tests.net.origin import request
from tests.net.wire import head
from tests.spec.relayed import answering

from . import browser as chromium
from .browser import Browser
from .world import BEARER, ENVIRON, EVIL, HOST, TOKEN, code, routes, world

__all__ = ["browser"]


async def test_a_log_line_is_one_line_of_plain_characters(
    origin: MakeOrigin, launch: Callable[..., Command], tmp_path: Path
):
    """SEC-40: terminals obey escapes, and whoever reads logs believes lines; nothing from the wire makes either."""
    one = await origin(answering())
    (tmp_path / "proxy.yaml").write_text(f"listen: 127.0.0.1:0\nadmin: off\n{routes(one.port)}")
    command = launch("serve", "-c", str(tmp_path / "proxy.yaml"), environ=ENVIRON)
    port = int((await command.wait_url()).rpartition(":")[2])
    hostile = [
        b"GET /n/%1b]0;owned%07?a=\x1b[2J HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /n/\u202egnp.exe\u200b HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b'GET /n/"%0alevel=error HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
        b"G\x1b[31mET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    for sent in hostile:
        client = await connect(port)
        client.reader = None
        client.send(sent)
        await client.wait_ended()
        client.transport.abort()
        await client.wait_gone()
    await command.wait_lines("outcome=", len(hostile))
    lines = command.stderr.splitlines()
    assert all(line.isascii() and line.isprintable() and line.startswith("time=") for line in lines)
    assert not [line for line in lines if re.search(r"^\S+ level=error", line)]


def listeners() -> set[tuple[str, int]]:
    """Who listens on TCP in this network namespace."""
    found = set()
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{name}").read_text("ascii").splitlines()[1:]:
            _, local, _, state = line.split()[:4]
            address, port = local.split(":")
            if state == "0A":
                words = struct.pack(
                    f"={len(address) // 8}I", *(int(address[at : at + 8], 16) for at in range(0, len(address), 8))
                )
                found.add((socket.inet_ntop(family, words), int(port, 16)))
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="listeners are read from /proc")
@pytest.mark.parametrize("listen", ["127.0.0.1", "localhost", "app.localhost"])
async def test_by_default_nothing_listens_beyond_this_machine(
    origin: MakeOrigin, launch: Callable[..., Command], listen: str
):
    """SEC-41: one socket, on loopback, by whichever name of this machine it is asked for."""
    one = await origin(answering())
    before = listeners()
    command = launch("serve", f"http://127.0.0.1:{one.port}", "--listen", f"{listen}:0")
    port = int((await command.wait_url()).rpartition(":")[2])
    new = listeners() - before
    assert port in {number for _, number in new}
    assert {address for address, number in new if number == port} <= {"127.0.0.1", "::1"}
    client = await connect(port)
    client.send(head(b"GET /x HTTP/1.1", b"Host: %b:%d" % (listen.encode(), port)))
    assert (await client.answer()).status == 200
    client.close()
    await client.wait_gone()
    assert command.stderr.count("security:") == 0


async def test_a_loopback_name_that_leads_elsewhere_is_not_listened_on(
    origin: MakeOrigin, launch: Callable[..., Command], monkeypatch: pytest.MonkeyPatch
):
    """SEC-41 too: what was allowed because it is loopback must be, when it comes to it."""
    from proxy import app
    from proxy.app import listener

    one = await origin(answering())
    monkeypatch.setattr(listener, "is_loopback", lambda address: False)
    with pytest.raises(app.CannotListen, match="no loopback address"):
        async with world(one, routes(one.port)):
            pass


PAGES = ("/metrics", "/status", "/api/exchanges", "/api/events", "/api/exchanges/1", "/api/exchanges/1/har")


async def test_beyond_loopback_the_admin_listener_wants_a_token_in_a_field(origin: MakeOrigin):
    """SEC-42: without one it does not start; missing, wrong or in the query, it is a 401 on every page with data."""
    one = await origin(answering())
    with pytest.raises(ConfigError, match="admin_token"):
        load_text(f"admin: 0.0.0.0:0\nlisten: 127.0.0.1:0\n{routes(one.port)}", "security.yaml", ENVIRON)
    async with inspected(one, "admin_token: '${PROXY_TOKEN}'") as it:
        for path in PAGES:
            for given in (
                {},
                {"Authorization": "Bearer wrong"},
                {"Authorization": f"Basic {TOKEN}"},
                {"Cookie": f"token={TOKEN}"},
            ):
                for query in ("", f"?token={TOKEN}", f"?admin_token={TOKEN}", f"?access_token={TOKEN}"):
                    async with it.session.get(it.admin + path + query, headers=given) as answer:
                        assert answer.status == 401, (path, query, given)
        await it.world.ask(b"GET /n/x")
        for path in PAGES:
            async with it.session.get(it.admin + path, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
                assert answer.status == 200, path


FETCHES = """
(async () => {
  const found = [];
  for (const path of PATHS) for (const method of ['GET', 'POST']) for (const mode of ['cors', 'no-cors']) {
    try {
      const answer = await fetch('ADMIN' + path, {method, mode, body: method === 'POST' ? 'x' : undefined,
        signal: AbortSignal.timeout(2000)});
      found.push([path, method, answer.type, answer.status, (await answer.text()).length]);
    } catch { found.push([path, method, 'refused', 0, 0]); }
  }
  return found;
})()
"""


@needs_browser
async def test_a_foreign_page_reads_and_changes_nothing_of_the_admin_listener(origin: MakeOrigin, browser: Browser):
    """SEC-43: simple requests of another origin, as any page may send them, to every address there is."""
    one = await origin(answering())
    paths = ["/", "/inspector/app.js", "/healthz", "/readyz", *PAGES]
    async with inspected(one) as it, chromium.site() as port:
        await it.world.ask(b"GET /n/x")
        before = await it.get("/api/exchanges")
        page = await browser.page(f"http://localhost:{port}/")
        told = await page.run(FETCHES.replace("PATHS", json.dumps(paths)).replace("ADMIN", it.admin))
        assert len(told) == 4 * len(paths)
        assert {(kind, status, size) for _, _, kind, status, size in told} <= {("refused", 0, 0), ("opaque", 0, 0)}
        assert await it.get("/api/exchanges") == before
        for path in paths:
            async with it.session.post(it.admin + path, data=b"x") as answer:
                assert answer.status == 405


HANDSHAKE = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: eA==")
OPEN = head(b"HTTP/1.1 101 Switching Protocols", b"Connection: upgrade", b"Upgrade: websocket")
OWN_PAGE = b"Origin: http://localhost"
TOKENS = "clients: {tokens: ['${PROXY_TOKEN}']}\n"


@pytest.mark.parametrize(
    ("path", "lines", "host", "status"),
    [
        (b"/k/x", (*HANDSHAKE, EVIL), HOST, 403),
        (b"/n/x", (*HANDSHAKE, EVIL), HOST, 403),
        (b"/k/x", (*HANDSHAKE, b"Origin: null"), HOST, 403),
        (b"/n/x", (*HANDSHAKE, b"Origin: null"), HOST, 403),
        (b"/k/x", (*HANDSHAKE, b"Origin: http://localhost:5173", b"Sec-Fetch-Site: same-site"), HOST, 403),
        (b"/k/x", (*HANDSHAKE, b"Sec-Fetch-Site: cross-site"), HOST, 403),
        (b"/k/x", (*HANDSHAKE, OWN_PAGE), b"Host: evil.example", 421),
        (b"/off/x", HANDSHAKE, HOST, 403),
    ],
    ids=["foreign", "foreign, no key", "null", "null, no key", "another port", "metadata", "rebound", "switched off"],
)
async def test_a_foreign_page_opens_no_socket(
    origin: MakeOrigin, path: bytes, lines: tuple[bytes, ...], host: bytes, status: int
):
    """SEC-44: browsers ask nobody before they open one, so that the handshake itself is checked."""
    one = await origin([request, OPEN])
    off = f"- {{name: without, path: /off/, upstream: 'http://127.0.0.1:{one.port}', websocket: false}}\n"
    async with world(one, routes(one.port) + off) as proxied:
        assert code(await proxied.ask(b"GET " + path, *lines, host=host))[0] == status
        proxied.assert_untouched()


async def test_a_socket_needs_a_token_too_and_other_protocols_are_dropped(origin: MakeOrigin):
    """SEC-44 too: what holds for a request holds for a handshake, and h2c would be a way around every rule."""
    one = await origin([request, OPEN], answering())
    async with world(one, TOKENS + routes(one.port)) as proxied:
        assert code(await proxied.ask(b"GET /k/x", *HANDSHAKE))[0] == 401
        proxied.assert_untouched()
        client = await proxied.proxied.connect()
        client.get(b"/k/x", *HANDSHAKE, BEARER)
        assert (await client.next_head()).status == 101
        assert BEARER not in one.connections[0].raw
        client.reset()
        dropped = await proxied.ask(
            b"GET /k/x", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA", BEARER
        )
        assert dropped.status == 200
        assert not [name for name in proxied.received[-1].names if name.lower() in (b"upgrade", b"http2-settings")]
