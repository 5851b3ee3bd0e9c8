"""Rules of switching protocols: what a handshake is, whose pages may open one, and which 101 answers it."""

import pytest

from proxy.core.cors import Cors
from proxy.core.errors import ClientError, RequestRefused, UpgradeFailed
from proxy.core.guard import Hosts
from proxy.core.headers import NO_RULES, Rules
from proxy.core.message import field
from proxy.core.plan import plan
from proxy.core.upgrade import asks, check_origin, switched
from tests.core.samples import CREDENTIAL, forward, lines, proxy, refused, request, response, route, sent

HANDSHAKE = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: k",
    b"Sec-WebSocket-Protocol: x",
)
SWITCH = b"HTTP/1.1 101 Switching Protocols"


@pytest.mark.parametrize(
    ("line", "more", "asked"),
    [
        (b"GET / HTTP/1.1", HANDSHAKE, True),
        (b"GET / HTTP/1.1", (b"Upgrade: WebSocket", b"Connection: UPGRADE"), True),
        (b"GET / HTTP/1.1", (b"Upgrade: h2c, WebSocket", b"Connection: UPGRADE"), False),
        (b"GET / HTTP/1.1", (b"Upgrade: h2c", b"Upgrade: websocket", b"Connection: UPGRADE"), False),
        (b"GET / HTTP/1.1", (), False),
        (b"GET / HTTP/1.1", (b"Upgrade: websocket",), False),
        (b"GET / HTTP/1.1", (b"Upgrade: websockets", b"Connection: upgrade"), False),
        (b"GET / HTTP/1.1", (b"Upgrade: h2c", b"Connection: upgrade"), False),
        (b"POST / HTTP/1.1", HANDSHAKE, False),
        (b"GET / HTTP/1.0", HANDSHAKE, False),
    ],
    ids=[
        "handshake",
        "letter case",
        "in a list",
        "on a second line",
        "none",
        "no Connection",
        "longer name",
        "h2c",
        "POST",
        "1.0",
    ],
)
def test_only_a_get_for_websocket_is_a_handshake(line: bytes, more: tuple[bytes, ...], asked: bool) -> None:
    """MUST. U2, U13."""
    assert asks(request(line, *more)) is asked


@pytest.mark.parametrize("value", [b"web\xe9", b"web\x7fsocket", b"a\tb"], ids=["not ASCII", "DEL", "a control"])
def test_an_upgrade_with_unprintable_characters_is_refused_on_both_sides(value: bytes) -> None:
    """MUST. U4."""
    with pytest.raises(ClientError):
        asks(request(b"GET / HTTP/1.1", b"Upgrade: " + value, b"Connection: upgrade"))
    with pytest.raises(UpgradeFailed):
        switched(response(SWITCH, b"Upgrade: websocket, " + value, b"Connection: upgrade"), NO_RULES)


def test_a_handshake_goes_upstream_with_its_two_fields_made_anew() -> None:
    """MUST. U1, U7."""
    asked = request(b"GET /chat HTTP/1.1", *HANDSHAKE, b"TE: trailers")
    assert forward(plan(proxy(route()), asked)).tunnel
    assert sent(asked)[2:] == [
        *(b"Sec-WebSocket-Key: k", b"Sec-WebSocket-Protocol: x", b"Connection: upgrade", b"Upgrade: websocket")
    ]


@pytest.mark.parametrize("body", [b"Content-Length: 0", b"Content-Length: 5", b"Transfer-Encoding: chunked"])
def test_a_handshake_has_no_body(body: bytes) -> None:
    """MUST. RFC 6455 section 4.1: what follows it would be taken for the tunnel's."""
    assert refused(plan(proxy(route()), request(b"GET / HTTP/1.1", *HANDSHAKE, body)))[0] == 400


LISTED = Cors(frozenset({b"https://app.example"}))


@pytest.mark.parametrize(
    ("origins", "hosts", "may"),
    [
        ((), Hosts(), True),
        ((b"http://localhost:5173",), Hosts(), True),
        ((b"https://app.example",), Hosts(), True),
        ((b"https://evil.example",), Hosts(), False),
        ((b"https://app.example", b"https://evil.example"), Hosts(), False),
        ((b"null",), Hosts(), False),
        ((b"",), None, False),
        ((b"http://ws.example:1",), None, True),
        ((b"http://evil.example",), None, False),
    ],
)
def test_pages_of_other_hosts_open_nothing(origins: tuple[bytes, ...], hosts: Hosts | None, may: bool) -> None:
    """MUST. U12: without a Host check the page has to come from the host that is asked."""
    asked = request(b"GET / HTTP/1.1", *HANDSHAKE, *(b"Origin: " + origin for origin in origins))
    if may:
        check_origin(asked, b"ws.example", hosts, LISTED)
    else:
        with pytest.raises(RequestRefused):
            check_origin(asked, b"ws.example", hosts, LISTED)


def test_the_origin_check_is_in_the_plan_and_a_route_with_a_key_has_its_own() -> None:
    """MUST. U12, C9: another port of this machine may, but not where it would spend a key."""
    local, evil = b"Origin: http://localhost:5173", b"Origin: https://evil.example"
    site = b"Sec-Fetch-Site: same-site"
    assert forward(plan(proxy(route()), request(b"GET / HTTP/1.1", *HANDSHAKE, local, site))).tunnel
    assert refused(plan(proxy(route()), request(b"GET / HTTP/1.1", *HANDSHAKE, evil)))[0] == 403
    keyed = proxy(route(credential=CREDENTIAL))
    assert refused(plan(keyed, request(b"GET / HTTP/1.1", *HANDSHAKE, local, site)))[0] == 403
    assert forward(plan(keyed, request(b"GET / HTTP/1.1", *HANDSHAKE))).tunnel


def test_a_101_is_cleaned_and_ruled_like_any_answer() -> None:
    """MUST. H8, U1, U7."""
    head = response(
        SWITCH,
        *(b"Upgrade: WebSocket", b"Connection: Upgrade, x-hop", b"X-Hop: 1", b"Keep-Alive: timeout=5", b"Alt-Svc: h3"),
        *(b"Sec-WebSocket-Accept: a", b"Sec-WebSocket-Extensions: permessage-deflate", b"Server: s"),
    )
    rules = Rules(remove=frozenset({b"server"}), set=(field(b"X-Rule", b"1"),))
    assert lines(switched(head, rules)) == [
        *(b"Connection: upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Accept: a"),
        *(b"Sec-WebSocket-Extensions: permessage-deflate", b"X-Rule: 1"),
    ]


@pytest.mark.parametrize(
    "more",
    [
        (b"Connection: upgrade",),
        (b"Upgrade: websocket",),
        (b"Upgrade: h2c", b"Connection: upgrade"),
        (b"Upgrade: websocket, h2c", b"Connection: upgrade"),
        (b"Upgrade:", b"Connection: upgrade"),
    ],
    ids=["no Upgrade", "no Connection", "another", "two", "empty"],
)
def test_a_101_to_anything_else_is_refused(more: tuple[bytes, ...]) -> None:
    """MUST. U3."""
    with pytest.raises(UpgradeFailed):
        switched(response(SWITCH, *more), NO_RULES)
