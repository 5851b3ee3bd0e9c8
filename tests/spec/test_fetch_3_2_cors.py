"""Fetch, section 3.2: which pages of other origins may ask, and which may read; a real browser is in tests/security."""

import pytest

from proxy.config.load import ConfigError, load_text
from tests.net.conftest import MakeOrigin
from tests.net.origin import request, whole_request
from tests.net.responses import SSE, counted
from tests.net.wire import chunk
from tests.security.world import BEARER, EVIL, World, code, granted, routes, world
from tests.spec.relayed import answering

APP = b"Origin: https://app.example"
LISTED = ", cors: {origins: ['https://app.example', 'http://localhost:*', 'https://*.dev.example']}"
ASKS = b"Access-Control-Request-Method: POST"
ALLOWED = b"access-control-allow-origin"


async def test_a_preflight_is_ours_where_cors_or_a_key_is(origin: MakeOrigin):
    """C1: 204 where the origin is listed, else 403, and no token is asked for; without CORS and key it is forwarded."""
    one = await origin(answering())
    text = "clients: {tokens: ['${PROXY_TOKEN}']}\n"
    async with world(one, text + routes(one.port, plain=LISTED)) as proxied:
        assert (await proxied.ask(b"OPTIONS /n/x", APP, ASKS)).status == 204
        assert code(await proxied.ask(b"OPTIONS /n/x", EVIL, ASKS))[0] == 403
        assert code(await proxied.ask(b"OPTIONS /k/x", APP, ASKS))[0] == 403
        proxied.assert_untouched()
        assert (await proxied.ask(b"OPTIONS /n/x", APP, BEARER)).status == 200
    async with world(one, routes(one.port)) as proxied:
        assert (await proxied.ask(b"OPTIONS /n/x", APP, ASKS)).status == 200
    assert [asked.method for asked in proxied.received] == [b"OPTIONS"] * 2


async def test_a_foreign_host_is_421_before_all_else(origin: MakeOrigin):
    """C2: also for a preflight, a listed page and a path that no route takes."""
    one = await origin(answering())
    async with world(one, routes(one.port, LISTED)) as proxied:
        for line, more in ((b"OPTIONS /k/x", (APP, ASKS)), (b"GET /k/x", (APP,)), (b"GET /nowhere", ())):
            assert code(await proxied.ask(line, *more, host=b"Host: rebound.example"))[0] == 421
        proxied.assert_untouched()


ORIGINS = {
    b"https://app.example": True,
    b"http://localhost:1234": True,
    b"https://preview.dev.example": True,
    b"https://dev.example": False,
    b"https://app.example.evil.example": False,
    b"https://app.example:444": False,
    b"null": False,
}


@pytest.mark.parametrize("page", ORIGINS, ids=bytes.decode)
async def test_an_origin_is_named_exactly_or_not_at_all(origin: MakeOrigin, page: bytes):
    """C3: the one that asked if it is listed; a star only for everybody, without credentials and without a secret."""
    one = await origin(answering())
    async with world(one, routes(one.port, plain=LISTED)) as proxied:
        answer = await proxied.ask(b"GET /n/x", b"Origin: " + page)
        assert dict(granted(answer)).get(ALLOWED) == (page if ORIGINS[page] else None)
    async with world(one, routes(one.port, plain=", cors: {origins: ['*']}")) as proxied:
        answer = await proxied.ask(b"GET /n/x", b"Origin: " + page)
        assert dict(granted(answer)).get(ALLOWED) == (None if page == b"null" else b"*")
    for wrong in ("origins: ['*'], credentials: true", "origins: ['null'], credentials: true"):
        with pytest.raises(ConfigError, match="credentials"):
            load_text(f"routes: [{{upstream: 'http://a', cors: {{{wrong}}}}}]", "f", {})


@pytest.mark.parametrize("cors", [LISTED, ", cors: {origins: ['*']}"], ids=["listed", "everybody"])
@pytest.mark.parametrize("theirs", [[], [b"Accept"], [b"Accept, ORIGIN"], [b"Accept", b"origin"], [b"*"]], ids=repr)
async def test_vary_says_origin_on_every_answer(origin: MakeOrigin, cors: str, theirs: list[bytes]):
    """C4: also where no origin was sent or none is allowed, merged with the upstream's, and never twice."""
    one = await origin(answering(counted(b"ok", *[b"Vary: " + value for value in theirs])))
    async with world(one, routes(one.port, plain=cors)) as proxied:
        for lines in ((), (APP,), (EVIL,), (b"Origin: null",)):
            vary = (await proxied.ask(b"GET /n/x", *lines)).all(b"vary")
            names = b",".join(vary).lower().replace(b" ", b"").split(b",")
            assert names.count(b"origin") + names.count(b"*") == 1
            assert vary[: len(theirs)] == theirs


async def test_the_upstreams_fields_are_replaced(origin: MakeOrigin):
    """C5: never two of a name, also in trailers; without CORS they pass, except where a key is spent."""
    theirs = (b"Access-Control-Allow-Origin: https://app.example", b"ACCESS-CONTROL-Allow-Credentials: true")
    trailers = b"0\r\nAccess-Control-Allow-Origin: *\r\nX-T: 1\r\n\r\n"
    one = await origin(
        [request, SSE.replace(b"\r\n\r\n", b"\r\n" + b"\r\n".join(theirs) + b"\r\n\r\n") + chunk(b"a") + trailers]
    )
    async with world(one, routes(one.port, plain=LISTED)) as proxied:
        client = await proxied.proxied.connect()
        client.get(b"/n/x", APP)
        answer = await client.answer()
        assert [name for name, _ in granted(answer)] == [ALLOWED, b"access-control-expose-headers"]
        assert client.raw.lower().count(b"access-control-allow-origin") == 1
        assert b"X-T: 1" in client.raw
    one = await origin(answering(counted(b"ok", *theirs)))
    async with world(one, routes(one.port)) as proxied:
        assert len(granted(await proxied.ask(b"GET /n/x", APP))) == 2
        assert granted(await proxied.ask(b"GET /k/x")) == []


async def preflight(proxied: World, *lines: bytes) -> dict[bytes, bytes]:
    answer = await proxied.ask(b"OPTIONS /n/x", APP, ASKS, *lines)
    assert answer.status == 204
    return dict(granted(answer))


async def test_authorization_is_granted_by_name(origin: MakeOrigin):
    """C6: as the star never covers it; Last-Event-ID and Content-Type too, and what was asked for."""
    one = await origin(answering())
    async with world(one, routes(one.port, plain=LISTED)) as proxied:
        default = (await preflight(proxied))[b"access-control-allow-headers"].split(b", ")
        assert {b"authorization", b"content-type", b"last-event-id"} <= set(default)
        asked = await preflight(proxied, b"Access-Control-Request-Headers: x-stainless-os,anthropic-version")
        assert {b"x-stainless-os", b"anthropic-version"} <= set(asked[b"access-control-allow-headers"].split(b", "))


async def test_what_pages_want_to_read_is_exposed_by_name(origin: MakeOrigin):
    """C7: rate limits, request ids, Retry-After, Proxy-Status, and what the route adds."""
    one = await origin(answering())
    async with world(one, routes(one.port, plain=f"{LISTED[:-1]}, expose: [x-own]}}")) as proxied:
        exposed = dict(granted(await proxied.ask(b"GET /n/x", APP)))[b"access-control-expose-headers"].split(b", ")
        assert b"*" not in exposed
        assert {b"retry-after", b"proxy-status", b"x-request-id", b"request-id", b"x-own"} <= set(exposed)
        assert {b"x-ratelimit-remaining-requests", b"anthropic-ratelimit-tokens-reset"} <= set(exposed)


async def test_our_own_errors_can_be_read(origin: MakeOrigin):
    """C8: by pages that may read answers, whatever went wrong, once it is known which route they asked for."""
    one = await origin([])
    await one.close()
    async with world(one, routes(one.port, plain=f"{LISTED}, limits: {{request_body: 5}}")) as proxied:
        errors = [
            await proxied.ask(b"GET /n/x", APP),
            await proxied.ask(b"POST /n/x", APP, b"Content-Length: 6", body=b"abcdef"),
            await proxied.ask(b"GET /n/../x", APP),
            await proxied.ask(b"GET /n/x", APP, b"Expect: the-best"),
        ]
        assert [code(error)[0] for error in errors] == [502, 413, 400, 417]
        assert [dict(granted(error))[ALLOWED] for error in errors] == [b"https://app.example"] * 4
        other = await proxied.ask(b"GET /n/x", EVIL)
        assert (code(other)[0], granted(other), other.all(b"vary")) == (502, [], [b"Origin"])


FOREIGN = [(EVIL,), (b"Origin: null",), (b"Sec-Fetch-Site: cross-site",), (b"Sec-Fetch-Site: same-site",)]


@pytest.mark.parametrize("lines", FOREIGN, ids=repr)
@pytest.mark.parametrize("secret", ["a key", "a rule"])
async def test_a_foreign_page_spends_no_secret(origin: MakeOrigin, secret: str, lines: tuple[bytes, ...]):
    """C9: 403 before any upstream is asked, whether the secret is a key or a header rule."""
    one = await origin(answering())
    rule = ", headers: {request: {set: {x-team-token: '${KEY}'}}}"
    async with world(one, routes(one.port, plain=rule)) as proxied:
        answer = await proxied.ask(b"GET /k/x" if secret == "a key" else b"GET /n/x", *lines)
        assert code(answer) == (403, "http_request_denied")
        proxied.assert_untouched()


@pytest.mark.parametrize("kind", [b"text/plain", b"application/json", b"multipart/form-data; boundary=a"], ids=repr)
async def test_the_media_type_plays_no_part(origin: MakeOrigin, kind: bytes):
    """C10: a foreign page's POST is refused whatever it holds, and a program's passes whatever it holds."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        sent = (b"Content-Type: " + kind, b"Content-Length: 1")
        assert code(await proxied.ask(b"POST /k/x", EVIL, *sent, body=b"a"))[0] == 403
        proxied.assert_untouched()
        assert (await proxied.ask(b"POST /k/x", *sent, body=b"a")).status == 200


@pytest.mark.parametrize(("more", "age"), [("", b"600"), (", max_age: 5s", b"5"), (", max_age: off", None)])
async def test_a_preflight_is_remembered(origin: MakeOrigin, more: str, age: bytes | None):
    """C11: for ten minutes, or as long as the route says."""
    one = await origin(answering())
    async with world(one, routes(one.port, plain=f"{LISTED[:-1]}{more}}}")) as proxied:
        assert (await preflight(proxied)).get(b"access-control-max-age") == age


async def test_a_private_network_is_granted_to_listed_pages_that_ask(origin: MakeOrigin):
    """C12: never unasked, and never to everybody."""
    one, asks = await origin(answering()), b"Access-Control-Request-Private-Network: true"
    private = b"access-control-allow-private-network"
    async with world(one, routes(one.port, plain=LISTED)) as proxied:
        assert (await preflight(proxied, asks)).get(private) == b"true"
        assert private not in await preflight(proxied)
    async with world(one, routes(one.port, plain=", cors: {origins: ['*']}")) as proxied:
        assert private not in await preflight(proxied, asks)


async def test_the_bridge_goes_nowhere_else(origin: MakeOrigin):
    """C13: a target is the operator's word; a page that names another one is misdirected or finds no route."""
    one, other = await origin(answering()), await origin(answering())
    there = b"http://127.0.0.1:%d/x" % other.port
    async with world(one, routes(one.port, plain=LISTED)) as proxied:
        assert code(await proxied.ask(b"GET /" + there, APP))[0] == 404
        assert code(await proxied.ask(b"GET http://other.example/n/x", APP))[0] == 421
        assert (await proxied.ask(b"GET /n/" + there, APP, b"X-Forwarded-Host: other.example")).status == 200
        assert proxied.received[0].target == b"/" + there
        assert not other.connections


async def test_what_is_between_page_and_upstream_passes(origin: MakeOrigin):
    """C14: Last-Event-ID and cookies on the way up, the page's isolation policies on the way down."""
    policies = [b"Cross-Origin-Resource-Policy: same-site", b"Cross-Origin-Opener-Policy: same-origin"]
    policies += [b"Cross-Origin-Embedder-Policy: require-corp", b"Content-Security-Policy: default-src 'self'"]
    one = await origin([whole_request, counted(b"ok", *policies)])
    async with world(one, routes(one.port, plain=LISTED)) as proxied:
        answer = await proxied.ask(b"GET /n/x", APP, b"Last-Event-ID: 7", b"Cookie: a=b")
        assert [b"%b: %b" % entry for entry in answer.fields][: len(policies)] == policies
        (asked,) = proxied.received
        assert (asked.get(b"last-event-id"), asked.get(b"cookie"), asked.get(b"origin")) == (b"7", b"a=b", APP[8:])
