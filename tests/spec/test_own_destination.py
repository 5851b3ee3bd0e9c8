"""Rules of our own about where requests go, and what goes there: both are configured, never asked for."""

import json
from dataclasses import replace
from ipaddress import ip_network

import pytest

from proxy.core.forwarding import Trusted
from proxy.core.routes import Match
from proxy.net.upstream import dial
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import route
from tests.net.origin import request, whole_request
from tests.net.responses import OK
from tests.net.wire import head

from .relayed import answering, asked, configured, get, led_to, lines, refused, relayed

A = b"127.0.0.1:DECOY"
URL = b"http://" + A
TARGETS = [
    (URL + b"/a?b", b"/a?b"),
    (b"http://localhost:DECOY", b"/"),
    (b"https://localhost:DECOY/x", b"/x"),
    (b"HTTP://LOCALHOST:DECOY/" + URL, b"/" + URL),
    (b"/" + URL + b"/x", b"/" + URL + b"/x"),
    (b"//" + A + b"/x", b"//" + A + b"/x"),
    (b"///" + A + b"/x", b"///" + A + b"/x"),
    (b"/@" + A + b"/", b"/@" + A + b"/"),
    (b"/\\\\" + A, b"/\\\\" + A),
    (b"/:DECOY/x", b"/:DECOY/x"),
    (b"/.." + b"%00@" + A, b"/..%00@" + A),
    (b"/?url=" + URL + b"&target=" + A + b"&host=" + A, b"/?url=" + URL + b"&target=" + A + b"&host=" + A),
    (b"/v1/chat/completions?api_base=" + URL, b"/v1/chat/completions?api_base=" + URL),
]
NAMES = b"""X-Forwarded-Host X-Forwarded-Server X-Host X-Original-Host X-Original-URL X-Rewrite-URL X-Target X-Upstream
Destination Proxy X-Forwarded-Port Location Referer Origin Forwarded :authority X-HTTP-Host-Override Api-Base
Ark-Base-Url X-Stainless-Base-Url X-Accel-Redirect Refresh Content-Location""".split()
LURES = [
    [],
    *([name + b": " + value] for name in NAMES if name[:1] != b":" for value in (A, URL + b"/x")),
    [b"Forwarded: for=1.1.1.1;host=" + A + b";proto=https", b"Via: 1.1 " + A],
]


@pytest.mark.parametrize("preserve_host", [False, True])
@pytest.mark.parametrize("trusted", [False, True], ids=["stranger", "trusted"])
async def test_nothing_on_the_wire_says_where_we_connect(
    origin: MakeOrigin, proxy: MakeProxy, preserve_host: bool, trusted: bool
):
    """F11: no target form, Host, field, query or body moves a request away from the upstream of its route."""
    one, decoy = await origin(answering()), await origin(answering())
    believed = Trusted((ip_network("127.0.0.0/8"),)) if trusted else Trusted()
    # The decoy is an upstream too, of a path that no target here is under: its pool is there to be mistaken for ours.
    routes = route(one.port, preserve_host=preserve_host), route(decoy.port, name="decoy", match=Match(b"/decoy"))
    proxied = await proxy(*routes, proxy={"trusted": believed})
    assert (await asked(proxied, get(b"/decoy"))).status == 200
    body = json.dumps({"url": f"http://127.0.0.1:{decoy.port}", "api_base": f"http://127.0.0.1:{decoy.port}"}).encode()

    def aimed(text: bytes) -> bytes:
        return text.replace(b"DECOY", b"%d" % decoy.port)

    for target, expected, lure in [*((*entry, []) for entry in TARGETS), *((b"/x", b"/x", lure) for lure in LURES)]:
        for host in (A, b"localhost:DECOY"):
            length = b"Content-Length: %d" % len(body)
            start = aimed(b"POST %b HTTP/1.1" % target)
            sent = head(start, b"Host: " + aimed(host), *map(aimed, lure), length) + body
            got, answer = await relayed(proxied, one, sent)
            assert (answer.status, got.target, got.body) == (200, aimed(expected), body)
            if not preserve_host:
                assert got.get(b"host") == b"127.0.0.1:%d" % one.port
    (connection,) = decoy.connections
    assert len(connection.requests) == 1


KEY = "sk-0123456789-the-key-of-ours"
KEYED = """
routes:
- {name: keyed, path: /keyed/, upstream: 'http://keyed.example', strip_prefix: true, api_key: '${KEY}', preset: PRESET}
- {name: plain, path: /, upstream: 'http://plain.example'}
"""
PRESETS = [
    ("plain", b"Authorization: Bearer " + KEY.encode()),
    ("openai", b"Authorization: Bearer " + KEY.encode()),
    ("anthropic", b"x-api-key: " + KEY.encode()),
    ("gemini", b"x-goog-api-key: " + KEY.encode()),
    ("azure-openai", b"api-key: " + KEY.encode()),
]
MINE = [
    b"Authorization: Bearer mine",
    b"AUTHORIZATION: Basic bWluZTo=",
    b"X-Api-Key: mine",
    b"Api-Key: mine",
    b"x-goog-API-key: mine",
]
REFUSED = [
    ([b"Origin: http://evil.example"], b"localhost", 403),
    ([b"Origin: null"], b"localhost", 403),
    ([b"Origin: http://localhost:3000", b"Sec-Fetch-Site: same-site"], b"localhost", 403),
    ([b"Sec-Fetch-Site: cross-site"], b"localhost", 403),
    ([], b"evil.example", 421),
    ([], b"keyed.example", 421),
]


@pytest.mark.parametrize(("preset", "carrier"), PRESETS)
async def test_a_key_goes_to_its_own_upstream_only(origin: MakeOrigin, proxy: MakeProxy, preset: str, carrier: bytes):
    """F13: a key goes in after every check, in place of what the client sent, for one upstream; no redirect has it."""
    plain = await origin(answering())
    elsewhere = b"Location: http://127.0.0.1:%d/stolen" % plain.port
    redirect = head(b"HTTP/1.1 307 Temporary Redirect", elsewhere, b"Content-Length: 0")
    keyed = await origin([*[whole_request, redirect] * 3, whole_request, OK])
    first, second = configured(KEYED.replace("PRESET", preset), {"KEY": KEY}).routes
    proxied = await proxy(led_to(first, keyed.port), led_to(second, plain.port))
    for sent, host, status in REFUSED:
        assert (await refused(proxied, get(b"/keyed/x", *sent, host=host)))[0] == status
    assert not keyed.connections

    named = [b"Connection: Authorization, x-api-key, api-key, x-goog-api-key"]
    query = b"?a=1&key=mine&API_KEY=mine&%61ccess_token=mine&keys=kept&a=2&api-key"
    secrets = {b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"}
    for sent in (MINE, [*MINE, *named], MINE[::-1]):
        got, answer = await relayed(proxied, keyed, get(b"/keyed/x" + query, *sent, b"Cookie: c=1"))
        assert got.target == b"/x?a=1&keys=kept&a=2"
        assert [line for line in lines(got) if line.partition(b":")[0].lower() in secrets] == [carrier]
        assert got.get(b"cookie") == b"c=1"
        assert (answer.status, lines(answer, b"date")) == (307, [elsewhere, b"Content-Length: 0"])
    assert not plain.connections
    got, _ = await relayed(proxied, plain, get(b"/stolen?key=mine", *MINE[1:]))
    assert lines(got)[1:5] == MINE[1:]
    assert got.target == b"/stolen?key=mine"
    assert KEY.encode() not in plain.connections[0].raw
    assert not any(KEY.encode() in client.raw for client in proxied.clients)
    assert (await asked(proxied, get(b"/keyed/x"))).status == 200  # no field of the client's is needed for it
    assert keyed.connections[0].raw.count(KEY.encode()) == 4


@pytest.mark.parametrize(("allowed", "status"), [(False, 502), (True, 200)])
async def test_link_local_upstreams_are_reached_where_that_is_allowed(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, allowed: bool, status: int
):
    """`allow_link_local_upstream` is for those who mean it, and for the upstream of that route alone."""
    monkeypatch.setattr(dial, "is_prohibited", lambda address: address == "127.0.0.1")
    one = await origin([request, OK])
    served = route(one.port)
    upstream = replace(served.upstream, origin=replace(served.upstream.origin, link_local=allowed))
    client = await (await proxy(replace(served, upstream=upstream))).connect()
    assert (await client.ask_for_answer()).status == status
    assert len(one.connections) == int(allowed)
