"""RFC 9110 sections 4.3.3 and 4.3.4: whom we believe an https upstream to be."""

import os
import ssl
from pathlib import Path

import pytest
import trustme

import proxy as package
from proxy.core.guard import Hosts
from proxy.core.routes import Tls
from tests.cli.command import Command
from tests.net.client import connect
from tests.net.conftest import MakeOrigin, MakeProxy

from .relayed import answering, asked, configured, get, refused, relayed


class Server:
    """The TLS side of an origin: a certificate of its own authority, and the names that clients ask for."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.authority = trustme.CA()
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.authority.issue_cert(*names).configure_cert(self.context)
        self.asked_for: list[str | None] = []
        self.context.sni_callback = lambda sock, name, context: self.asked_for.append(name)
        self.ca, self.client = str(folder / "ca.pem"), str(folder / "client.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        shown = self.authority.issue_cert("client")
        shown.private_key_and_cert_chain_pem.write_to_path(self.client)

    def ask_for_certificate(self) -> None:
        self.context.verify_mode = ssl.CERT_REQUIRED
        self.authority.configure_trust(self.context)


FRONT = "front.example"
NAMES = [
    # what the certificate says, what server_name says, whether it goes well, what is asked for
    ("localhost", None, True, "localhost"),
    (FRONT, None, False, "localhost"),
    ("other.example", "other.example", True, "other.example"),
    ("localhost", "other.example", False, "other.example"),
    (FRONT, FRONT, True, FRONT),
]


@pytest.mark.parametrize("preserve_host", [False, True])
@pytest.mark.parametrize(("certified", "server_name", "good", "name"), NAMES)
async def test_the_upstreams_name_is_checked_not_the_clients(
    origin: MakeOrigin, proxy: MakeProxy, tmp_path: Path, certified, server_name, good, name, preserve_host
):
    """F9: SNI and the certificate check use the upstream's name (or `server_name`), never what the client calls us."""
    server = Server(tmp_path, certified)
    one = await origin(answering(), tls=server.context)
    proxied = await proxy(
        one,
        host="localhost",
        tls=Tls(ca=server.ca, server_name=server_name),
        preserve_host=preserve_host,
        proxy={"hosts": Hosts(frozenset({FRONT.encode()}))},
    )
    if good:
        got, answer = await relayed(proxied, one, get(b"/", host=FRONT.encode()))
        assert answer.status == 200
        assert got.get(b"host") == (FRONT.encode() if preserve_host else b"localhost:%d" % one.port)
    else:
        assert await refused(proxied, get(b"/", host=FRONT.encode())) == (502, "tls_certificate_error")
        assert not any(connection.requests for connection in one.connections)
    assert server.asked_for == [name]


WAYS = {
    "": (False, False),
    "{verify: true}": (False, False),
    "{ca: CA}": (True, False),
    "{verify: false}": (True, True),
    "{verify: off}": (True, True),
    "{ca: CA, cert: CLIENT, key: CLIENT}": (True, False),
    "{ca: CA, cert: CLIENT}": (True, False),
    "{verify: false, cert: CLIENT}": (True, True),
}


@pytest.mark.parametrize("shown", [False, True], ids=["", "client certificate wanted"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_private_authority_has_to_be_named(
    origin: MakeOrigin, proxy: MakeProxy, tmp_path: Path, way: str, shown: bool
):
    """F10: an unknown authority is refused until `tls.ca` names it or checks are off; then each start warns once."""
    works, warned = WAYS[way]
    server = Server(tmp_path, "localhost")
    if shown:
        server.ask_for_certificate()
        works = works and "cert:" in way
    one = await origin(answering(), tls=server.context)
    tls = way.replace("CA", f"'{server.ca}'").replace("CLIENT", f"'{server.client}'") or "{}"
    text = f"routes: [{{name: private, upstream: 'https://localhost:{one.port}', tls: {tls}}}]"
    proxied = await proxy(*configured(text).routes)
    answer = await asked(proxied, get(b"/"))
    assert answer.status == (200 if works else 502)
    assert any(connection.requests for connection in one.connections) == works
    if not shown and warned:
        await warns_once(text, tmp_path)


async def warns_once(text: str, folder: Path) -> None:
    """Two starts of the command, with several requests each."""
    for number in range(2):
        home = folder / f"start-{number}"
        home.mkdir()
        (home / "proxy.yaml").write_text(f"listen: 127.0.0.1:0\n{text}\n")
        code = os.path.dirname(os.path.dirname(package.__file__))
        command = Command(home, ("serve", "-c", "proxy.yaml", "--admin", "off"), {"PYTHONPATH": code})
        try:
            url = await command.wait_url()
            for _ in range(3):
                client = await connect(int(url.rpartition(":")[2]))
                client.get()
                assert (await client.answer()).status == 200
                client.close()
                await client.wait_gone()
            await command.wait_lines(r"status=200", 3)
        finally:
            command.end()
        warnings = [line for line in command.stderr.split("\n") if "security:" in line and "certificate" in line]
        assert len(warnings) == 1, command.stderr
        assert "private" in warnings[0]
