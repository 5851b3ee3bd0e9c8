"""Pages in the user's browser, which may send what they like but cannot forge Host, Origin and Sec-Fetch-Site."""

import pytest

from proxy.config.load import ConfigError, load_text
from tests.net.conftest import MakeOrigin
from tests.net.origin import request as origin_request
from tests.net.responses import SSE, counted
from tests.net.wire import chunk, head
from tests.spec.relayed import answering

from .world import BEARER, ENVIRON, EVIL, KEYED, TOKEN, code, granted, routes, world

APP = b"https://app.example"
CORS = ", cors: {origins: ['https://app.example']}"


async def test_a_foreign_host_is_misdirected(origin: MakeOrigin):
    """SEC-01: a page whose name was rebound to this machine asks as if it were ours, and nothing goes upstream."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        for line in (b"GET /k/x", b"GET /n/x", b"POST /k/x", b"OPTIONS *", b"GET /nowhere"):
            answer = await proxied.ask(line, host=b"Host: evil.example:8787")
            assert code(answer) == (421, "http_request_denied")
            assert b"evil" not in answer.body
        proxied.assert_untouched()


HOSTS = {
    **{host: {200} for host in ["localhost", "LOCALHOST:9999", "127.0.0.1", "[::1]:8787", "[::ffff:127.0.0.1]"]},
    **{host: {421} for host in ["localhost.evil.example", "127.0.0.1.nip.io", "0.0.0.0", "[::ffff:10.0.0.1]"]},
    **{host: {400, 421} for host in ["localhost@evil", "", "localhost:1:2", "localhost/x", "[::1", "2130706433"]},
}


@pytest.mark.parametrize("host", HOSTS, ids=lambda host: host or "empty")
async def test_only_loopback_names_are_ours(origin: MakeOrigin, host: str):
    """SEC-02: names that look like this machine to a careless reader, in every notation, are foreign."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        answer = await proxied.ask(b"GET /k/x", host=b"Host: " + host.encode())
        assert answer.status in HOSTS[host]
        assert len(proxied.received) == (answer.status == 200)


async def test_a_wildcard_address_is_nobodys_name(origin: MakeOrigin):
    """SEC-03: some systems take 0.0.0.0 for this machine; as a Host it is foreign wherever Hosts are checked."""
    one = await origin(answering())
    top = "listen: 0.0.0.0:0\nallowed_hosts: [llm.internal]\nclients: {tokens: ['${PROXY_TOKEN}']}\n"
    async with world(one, top + routes(one.port)) as proxied:
        assert code(await proxied.ask(b"GET /k/x", BEARER, host=b"Host: 0.0.0.0:8787"))[0] == 421
        assert code(await proxied.ask(b"GET /k/x", BEARER, host=b"Host: [::]"))[0] == 421
        proxied.assert_untouched()
        assert (await proxied.ask(b"GET /k/x", BEARER, host=b"Host: llm.internal")).status == 200
        assert (await proxied.ask(b"GET /k/x", BEARER)).status == 200


async def test_a_key_is_not_spent_for_who_names_no_host(origin: MakeOrigin):
    """SEC-04: HTTP/1.0 may leave Host out; the address of the socket is no substitute for what the client meant."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        answer = await proxied.raw(b"GET /k/x HTTP/1.0\r\n\r\n")
        assert code(answer) == (400, "http_request_error")
        proxied.assert_untouched()
        assert (await proxied.raw(b"GET /n/x HTTP/1.0\r\n\r\n")).status == 200


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (head(b"GET /k/x HTTP/1.1", b"Host: localhost", b"Host: localhost"), 400),
        (head(b"GET /k/x HTTP/1.1", b"Host: localhost", b"Host: evil.example"), 400),
        (head(b"GET http://evil.example/k/x HTTP/1.1", b"Host: localhost"), 421),
        (head(b"GET http://localhost/k/x HTTP/1.1", b"Host: localhost", b"Host: evil.example"), 400),
        (head(b"GET http://localhost@evil.example/k/x HTTP/1.1", b"Host: localhost"), 400),
    ],
    ids=["twice the same", "two", "another in the target", "two beside a target", "user information"],
)
async def test_hosts_that_disagree_are_refused(origin: MakeOrigin, sent: bytes, status: int):
    """SEC-05: two names for one request are read differently by two servers; neither is believed."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        answer = await proxied.raw(sent)
        assert code(answer)[0] == status
        if status == 400:
            assert answer.get(b"connection") == b"close"
        proxied.assert_untouched()


async def test_a_foreign_page_cannot_post(origin: MakeOrigin):
    """SEC-06: a form or a text needs no preflight, and would be paid for even if its answer could not be read."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        for kind in (b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x"):
            answer = await proxied.ask(b"POST /k/x", EVIL, b"Content-Type: " + kind, b"Content-Length: 2", body=b"{}")
            assert code(answer) == (403, "http_request_denied")
            assert b"cors.origins" in answer.body
        proxied.assert_untouched()


async def test_a_foreign_page_cannot_load(origin: MakeOrigin):
    """SEC-07: images, scripts and links carry no Origin; the browser's own word on where they come from counts."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        for site in (b"cross-site", b"same-site", b"anything"):
            assert code(await proxied.ask(b"GET /k/x", b"Sec-Fetch-Site: " + site))[0] == 403
        assert code(await proxied.ask(b"GET /k/x", b"Sec-Fetch-Site: none", b"Sec-Fetch-Site: cross-site"))[0] == 403
        proxied.assert_untouched()


async def test_another_port_of_this_machine_is_foreign_until_it_is_listed(origin: MakeOrigin):
    """SEC-08: for a browser all ports of localhost are one site, and other local services are no friends of a key."""
    one, page = await origin(answering()), (b"Origin: http://localhost:5173", b"Sec-Fetch-Site: same-site")
    async with world(one, routes(one.port)) as proxied:
        assert code(await proxied.ask(b"POST /k/x", *page))[0] == 403
        proxied.assert_untouched()
    for listed in ("http://localhost:5173", "http://localhost:*"):
        async with world(one, routes(one.port, f", cors: {{origins: ['{listed}']}}")) as proxied:
            assert (await proxied.ask(b"POST /k/x", *page)).status == 200


async def test_programs_are_not_browsers(origin: MakeOrigin):
    """SEC-09: an SDK and curl send neither field and pass; a page without an origin of its own does not."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        assert (await proxied.ask(b"POST /k/x", b"Content-Type: text/plain")).status == 200
        assert code(await proxied.ask(b"POST /k/x", b"Origin: null"))[0] == 403
        own = b"Origin: http://localhost"
        assert (await proxied.ask(b"POST /k/x", own)).status == 200
        assert code(await proxied.ask(b"POST /k/x", b"Origin: https://localhost"))[0] == 403


async def test_a_rewritten_host_does_not_clear_the_origin(origin: MakeOrigin):
    """SEC-10: behind a dev server that rewrites Host a rebound page still carries its own origin."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        page = (b"Origin: http://evil.example:5173", b"Sec-Fetch-Site: same-origin")
        assert code(await proxied.ask(b"POST /k/x", *page))[0] == 403
        proxied.assert_untouched()


PREFLIGHT = b"Access-Control-Request-Method: POST"


async def test_without_cors_a_keyed_route_grants_nothing(origin: MakeOrigin):
    """SEC-11: a preflight to a route with a key is ours to refuse, whatever its upstream would say."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        answer = await proxied.ask(b"OPTIONS /k/x", EVIL, PREFLIGHT)
        assert code(answer) == (403, "http_request_denied")
        assert granted(answer) == []
        proxied.assert_untouched()


async def test_a_preflight_of_a_listed_page_is_granted_by_name(origin: MakeOrigin):
    """SEC-12: what was asked for, exactly and never by a star, without a word to the upstream; no token is needed."""
    one = await origin(answering())
    text = f"clients: {{tokens: ['${{PROXY_TOKEN}}']}}\n{routes(one.port, CORS)}"
    async with world(one, text) as proxied:
        asked = (
            b"Origin: " + APP,
            PREFLIGHT,
            b"Access-Control-Request-Headers: authorization,x-stainless-lang",
            b"Access-Control-Request-Private-Network: true",
        )
        answer = await proxied.ask(b"OPTIONS /k/x", *asked)
        fields = dict(granted(answer))
        assert answer.status == 204
        assert fields[b"access-control-allow-origin"] == APP
        assert fields[b"access-control-allow-private-network"] == b"true"
        names = set(fields[b"access-control-allow-headers"].split(b", "))
        assert {b"authorization", b"x-stainless-lang", b"last-event-id"} <= names
        assert b"Origin" in (answer.get(b"vary") or b"").split(b", ")
        assert b"*" not in b"".join(value for _, value in granted(answer))
        refused = await proxied.ask(b"OPTIONS /k/x", EVIL, PREFLIGHT)
        assert (refused.status, granted(refused), refused.get(b"vary")) == (403, [], b"Origin")
        proxied.assert_untouched()


async def test_a_listed_page_reads_answers_and_errors(origin: MakeOrigin):
    """SEC-13: the fields leave with the head of a stream, before its first byte, and with every error of ours."""
    one = await origin([origin_request, SSE])
    keyed = f"{CORS[:-1]}, expose: [x-cost]}}, limits: {{request_body: 5, concurrent: 1}}"
    text = f"clients: {{tokens: ['${{PROXY_TOKEN}}']}}\n{routes(one.port, keyed)}"
    async with world(one, text) as proxied:
        client = await proxied.proxied.connect()
        client.get(b"/k/x", b"Origin: " + APP, BEARER)
        streaming = await client.next_head()
        assert not streaming.size
        errors = [
            await proxied.ask(b"GET /k/x", b"Origin: " + APP),
            await proxied.ask(b"GET /k/x", b"Origin: " + APP, BEARER),
            await proxied.ask(b"POST /k/x", b"Origin: " + APP, BEARER, b"Content-Length: 9", body=b"x" * 9),
        ]
        assert [error.status for error in errors] == [401, 503, 413]
        assert errors[0].get(b"www-authenticate") == b"Bearer"
        assert errors[1].get(b"retry-after") == b"1"
        for answer in (streaming, *errors):
            fields = dict(granted(answer))
            assert fields[b"access-control-allow-origin"] == APP
            exposed = fields[b"access-control-expose-headers"].split(b", ")
            assert {b"x-request-id", b"retry-after", b"x-ratelimit-remaining-tokens", b"x-cost"} <= set(exposed)
            assert answer.all(b"vary") == [b"Origin"]


UPSTREAM_OPEN = (
    b"Access-Control-Allow-Origin: *",
    b"Access-Control-Allow-Credentials: true",
    b"Vary: Accept",
    b"Access-Control-Expose-Headers: *",
)


async def test_an_upstream_opens_no_keyed_route(origin: MakeOrigin):
    """SEC-14: many APIs allow every page; with our key in front of them that would be everybody's key."""
    one = await origin(answering(counted(b"ok", *UPSTREAM_OPEN)))
    async with world(one, routes(one.port)) as proxied:
        assert granted(await proxied.ask(b"GET /k/x")) == []
        assert dict(granted(await proxied.ask(b"GET /n/x", EVIL)))[b"access-control-allow-origin"] == b"*"
    async with world(one, routes(one.port, CORS, CORS)) as proxied:
        for path in (b"/k/x", b"/n/x"):
            answer = await proxied.ask(b"GET " + path, b"Origin: " + APP)
            assert [value for name, value in granted(answer) if name.endswith(b"-origin")] == [APP]
            assert b"access-control-allow-credentials" not in dict(granted(answer))
            assert answer.all(b"vary") == [b"Accept", b"Origin"]
        other = await proxied.ask(b"GET /n/x", EVIL)
        assert (granted(other), other.all(b"vary")) == ([], [b"Accept", b"Origin"])


@pytest.mark.parametrize(
    ("cors", "secret"),
    [
        ("origins: ['*']", "api_key: '${KEY}'"),
        ("origins: ['null']", "api_key: '${KEY}'"),
        ("origins: ['*']", "headers: {request: {set: {authorization: 'Bearer ${KEY}'}}}"),
        ("origins: ['*'], credentials: true", ""),
        ("origins: ['null'], credentials: true", ""),
        ("origins: ['https://*.com']", ""),
    ],
)
def test_what_everybody_can_be_is_not_allowed_to_spend(cors: str, secret: str):
    """SEC-15: a star, `null` and a whole top-level domain are origins that anybody can have."""
    with pytest.raises(ConfigError) as caught:
        load_text(f"routes: [{{name: k, upstream: 'http://a', cors: {{{cors}}}, {secret}}}]", "f", ENVIRON)
    assert "routes.k.cors" in str(caught.value)


@pytest.mark.parametrize("how", ["never", "wrong", "cookie", "Basic", "query", "Proxy-Authorization", "the key"])
async def test_tokens_are_told_on_purpose_or_not_at_all(origin: MakeOrigin, how: str):
    """A token is only what a client says by itself: nothing that a browser would add to a foreign page's request."""
    lines = {
        "never": [],
        "wrong": [BEARER[:-1] + b"0"],
        "cookie": [b"Cookie: token=" + TOKEN.encode()],
        "Basic": [b"Authorization: Basic " + TOKEN.encode()],
        "query": [],
        "Proxy-Authorization": [b"Proxy-" + BEARER],
        "the key": [KEYED],
    }
    one = await origin(answering())
    text = f"clients: {{tokens: ['${{PROXY_TOKEN}}']}}\n{routes(one.port)}"
    async with world(one, text) as proxied:
        for path in (b"/k/x", b"/n/x"):
            target = path + b"?token=" + TOKEN.encode() if how == "query" else path
            answer = await proxied.ask(b"GET " + target, *lines[how])
            assert code(answer) == (401, "http_request_denied")
            assert answer.get(b"www-authenticate") == b"Bearer"
            assert b"clients.tokens" in answer.body
        proxied.assert_untouched()
        assert code(await proxied.ask(b"POST /k/x", BEARER, EVIL))[0] == 403
        proxied.assert_untouched()


async def test_a_token_that_was_right_before_does_not_let_a_wrong_one_in(origin: MakeOrigin):
    """What is remembered of a request that was allowed is of no use to one that differs in its token alone."""
    one = await origin(answering())
    text = f"clients: {{tokens: ['${{PROXY_TOKEN}}']}}\n{routes(one.port)}"
    async with world(one, text) as proxied:
        client = await proxied.proxied.connect()
        for _ in range(3):
            assert (await client.ask_for_answer(b"/k/x", BEARER)).status == 200
            assert (await client.ask_for_answer(b"/k/x", BEARER[:-1] + b"0")).status == 401
            assert (await client.ask_for_answer(b"/k/x")).status == 401
        assert [request.all(b"authorization") for request in proxied.received] == [[KEYED.partition(b": ")[2]]] * 3
        assert (await client.ask_for_answer(b"/n/x", b"x-proxy-token: " + TOKEN.encode())).status == 200
        assert TOKEN.encode() not in b"".join(connection.raw for connection in one.connections)


async def test_a_tokens_place_is_that_of_the_presets_sdk(origin: MakeOrigin):
    """The Anthropic SDK sends its key as x-api-key: that is where its users put the token."""
    one = await origin(answering())
    text = f"""
clients: {{tokens: ["${{PROXY_TOKEN}}"]}}
routes:
- {{path: /, preset: anthropic, upstream: 'http://127.0.0.1:{one.port}', api_key: '${{KEY}}'}}
- {{path: /own/, preset: anthropic, upstream: 'http://127.0.0.1:{one.port}'}}
"""
    async with world(one, text) as proxied:
        assert (await proxied.ask(b"GET /x", b"x-api-key: " + TOKEN.encode())).status == 200
        assert proxied.received[-1].all(b"x-api-key") == [ENVIRON["KEY"].encode()]
        assert (await proxied.ask(b"GET /own/x", b"x-api-key: sk-mine", BEARER)).status == 200
        assert proxied.received[-1].all(b"x-api-key") == [b"sk-mine"]
        assert (await proxied.ask(b"GET /x", b"x-goog-api-key: " + TOKEN.encode())).status == 401
        assert TOKEN.encode() not in b"".join(connection.raw for connection in one.connections)


async def test_a_stream_of_a_listed_page_below_a_name(origin: MakeOrigin):
    """Preview deployments have names of their own: one pattern lists them, and nobody else's."""
    one = await origin([origin_request, SSE + chunk(b"data: 1\n\n") + chunk(b"")])
    async with world(one, routes(one.port, ", cors: {origins: ['https://*.app.example']}")) as proxied:
        page = b"Origin: https://preview-7.app.example"
        answer = await proxied.ask(b"GET /k/x", page, b"Sec-Fetch-Site: cross-site")
        assert dict(granted(answer))[b"access-control-allow-origin"] == page[8:]
        assert answer.body == b"data: 1\n\n"
        assert code(await proxied.ask(b"GET /k/x", b"Origin: https://app.example.evil.example"))[0] == 403
