"""RFC 6455 sections 4.2.2 and 10.2: any page may open a WebSocket to anywhere, so its origin is looked at."""

import json

import pytest

from proxy.core.cors import Cors
from proxy.core.guard import Hosts
from proxy.core.message import field
from proxy.core.routes import Credential
from tests.net.conftest import MakeOrigin, MakeProxy

from .tunnels import SWITCHING, asks, handshake, stands

KEYED = {"credential": Credential(field(b"Authorization", b"Bearer secret"), clears=frozenset({b"authorization"}))}
PAGES = {"cors": Cors(frozenset({b"https://app.example"}))}


@pytest.mark.parametrize(
    ("host", "origin_field", "given", "status"),
    [
        (b"evil.example", None, {}, 421),
        (b"evil.example", b"http://evil.example", {}, 421),
        (b"localhost", b"http://evil.example", {}, 403),
        (b"localhost", b"https://app.example", {}, 403),
        (b"localhost", b"null", {}, 403),
        (b"localhost", b"http://localhost.evil.example", {}, 403),
        (b"localhost", b"http://localhost:5173", {}, 101),
        (b"localhost", b"https://app.example", PAGES, 101),
        (b"localhost", b"https://other.example", PAGES, 403),
        (b"localhost", None, {}, 101),
        (b"localhost", b"http://localhost:5173", KEYED, 403),
        (b"localhost", b"http://evil.example", KEYED, 403),
        (b"localhost", b"https://app.example", KEYED | PAGES, 101),
        (b"localhost", None, KEYED, 101),
    ],
)
async def test_the_checks_of_any_request_are_made_of_a_handshake(
    origin: MakeOrigin, proxy: MakeProxy, host: bytes, origin_field: bytes | None, given: dict, status: int
):
    """U12: Host and Origin are looked at before the upstream hears of it, and strictly where a key would go along."""
    one = await origin(SWITCHING)
    proxied = await proxy(one, proxy={"hosts": Hosts()}, **given)
    sent = handshake(*([b"Origin: " + origin_field] if origin_field else []))
    sent = sent.replace(b"Host: localhost", b"Host: " + host)
    if status == 101:
        through = await stands(proxied, one, sent)
        carried = through.upstream.heads[0].get(b"authorization")
        assert carried == (b"Bearer secret" if "credential" in given else None)
        await through.carries()
        await through.close()
        return
    client = await asks(proxied, sent)
    assert (await client.head()).status == status
    assert await client.peer.wait_ended() == "fin"
    assert json.loads(client.left)["error"]["code"] == "http_request_denied"
    assert not one.connections
    assert (await proxied.ended()).outcome == "refused"
