"""Rules of what is refused, with which status, and what goes first where several things are wrong."""

import pytest

from proxy.core.cors import Cors
from proxy.core.guard import Hosts, tokens
from proxy.core.message import RequestHead
from proxy.core.plan import Refuse, plan
from proxy.core.routes import Limits, Match, Route
from tests.core.samples import CREDENTIAL, proxy, refused, reply, request, route, sent

PLAIN = route()
KEYED = route(name="keyed", credential=CREDENTIAL)
LISTED = route(credential=CREDENTIAL, cors=Cors(frozenset({b"http://localhost:5173"})))
BELOW = route(match=Match(b"/api/"))
EVIL_PAGE = b"Origin: https://evil.example"
TIGHT = route(limits=Limits(request_head=100, request_body=10))


@pytest.mark.parametrize(
    ("covered", "asked", "answer"),
    [
        pytest.param(PLAIN, request(b"CONNECT a.example:443 HTTP/1.1"), (405, "http_request_error"), id="CONNECT"),
        pytest.param(PLAIN, request(b"TRACE / HTTP/1.1"), (405, "http_request_error"), id="TRACE"),
        pytest.param(PLAIN, request(b"TRACK / HTTP/1.1"), (405, "http_request_error"), id="TRACK"),
        pytest.param(PLAIN, request(b"GET / HTTP/2.0"), (505, "http_request_error"), id="HTTP/2.0"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.2"), (505, "http_request_error"), id="HTTP/1.2"),
        pytest.param(PLAIN, request(b"GET / HTTP/0.9"), (505, "http_request_error"), id="HTTP/0.9"),
        pytest.param(PLAIN, request(b"GET a HTTP/1.1"), (400, "http_request_error"), id="no slash in front"),
        pytest.param(PLAIN, request(b"GET /a#b HTTP/1.1"), (400, "http_request_error"), id="a fragment"),
        pytest.param(PLAIN, request(b"GET /\xc3\xa4 HTTP/1.1"), (400, "http_request_error"), id="non-ASCII"),
        pytest.param(PLAIN, request(b"GET http:///x HTTP/1.1"), (400, "http_request_error"), id="an empty authority"),
        pytest.param(PLAIN, request(host=None), (400, "http_request_error"), id="no host"),
        pytest.param(PLAIN, request(host=b""), (400, "http_request_error"), id="an empty host"),
        pytest.param(PLAIN, request(host=b"localhost@evil"), (400, "http_request_error"), id="an invalid host"),
        pytest.param(
            PLAIN, request(b"GET / HTTP/1.1", b"Host: localhost"), (400, "http_request_error"), id="two hosts"
        ),
        pytest.param(PLAIN, request(host=b"evil.example"), (421, "http_request_denied"), id="a foreign host"),
        pytest.param(BELOW, request(b"GET /x HTTP/1.1"), (404, "destination_not_found"), id="no route"),
        pytest.param(BELOW, request(b"GET /apix HTTP/1.1"), (404, "destination_not_found"), id="a longer segment"),
        pytest.param(BELOW, request(b"GET /api/../x HTTP/1.1"), (400, "http_request_error"), id="out of the prefix"),
        pytest.param(BELOW, request(b"GET /api/%2e%2e/x HTTP/1.1"), (400, "http_request_error"), id="out, encoded"),
        pytest.param(BELOW, request(b"GET /api/..;x/y HTTP/1.1"), (400, "http_request_error"), id="out, parameter"),
        pytest.param(
            BELOW, request(b"GET /api/a\\..\\..\\x HTTP/1.1"), (400, "http_request_error"), id="out, backslash"
        ),
        pytest.param(PLAIN, request(b"GET /../x HTTP/1.1"), (400, "http_request_error"), id="out of the root"),
        pytest.param(
            route(match=Match(b"/api")),
            request(b"GET /api/../x HTTP/1.1"),
            (400, "http_request_error"),
            id="out, no slash",
        ),
        pytest.param(
            PLAIN, request(b"GET / HTTP/1.1", b"Expect: 200-ok"), (417, "http_request_error"), id="another expectation"
        ),
        pytest.param(
            PLAIN,
            request(b"GET / HTTP/1.1", b"Expect: 100-continue, x"),
            (417, "http_request_error"),
            id="an expectation too many",
        ),
        pytest.param(
            TIGHT, request(b"GET /" + b"a" * 100 + b" HTTP/1.1"), (431, "http_request_error"), id="a long target"
        ),
        pytest.param(
            TIGHT, request(b"GET / HTTP/1.1", b"A: " + b"a" * 100), (431, "http_request_error"), id="a large head"
        ),
        pytest.param(
            TIGHT, request(b"POST / HTTP/1.1", b"Content-Length: 11"), (413, "http_request_error"), id="a large body"
        ),
        pytest.param(KEYED, request(b"GET / HTTP/1.0", host=None), (400, "http_request_error"), id="a key, no host"),
        pytest.param(KEYED, request(b"GET / HTTP/1.0", host=b""), (400, "http_request_error"), id="a key, empty host"),
        pytest.param(
            KEYED,
            request(b"POST / HTTP/1.1", b"Origin: https://evil.example", b"Content-Type: text/plain"),
            (403, "http_request_denied"),
            id="a key, a foreign page",
        ),
        pytest.param(
            KEYED, request(b"GET / HTTP/1.1", b"Origin: null"), (403, "http_request_denied"), id="a key, a page of null"
        ),
        pytest.param(
            KEYED,
            request(b"GET / HTTP/1.1", b"Sec-Fetch-Site: cross-site"),
            (403, "http_request_denied"),
            id="a key, an image",
        ),
        pytest.param(
            KEYED,
            request(b"GET / HTTP/1.1", b"Origin: http://localhost:5173", b"Sec-Fetch-Site: same-site"),
            (403, "http_request_denied"),
            id="a key, another local page",
        ),
        pytest.param(
            route(websocket=False),
            request(b"GET / HTTP/1.1", b"Upgrade: WebSocket", b"Connection: upgrade"),
            (403, "http_request_denied"),
            id="a WebSocket where there are none",
        ),
        pytest.param(
            PLAIN, request(b"GET / HTTP/1.1", b"Via: 1.1 here"), (502, "proxy_loop_detected"), id="been here before"
        ),
        pytest.param(
            PLAIN,
            request(b"GET / HTTP/1.1", b"Via: 1.1 here", b"Connection: via"),
            (502, "proxy_loop_detected"),
            id="been here before, hidden by Connection",
        ),
    ],
)
def test_what_is_refused_has_its_status_and_its_token(
    covered: Route, asked: RequestHead, answer: tuple[int, str]
) -> None:
    """MUST. RFC 9209 section 2.3; C2, C9, H20, H21, M17, P6 to P10, U12, X5, Z1, Z2."""
    assert refused(plan(proxy(covered), asked)) == answer


@pytest.mark.parametrize(
    ("covered", "asked"),
    [
        pytest.param(BELOW, request(b"GET /api/a/../b HTTP/1.1"), id="dots that stay"),
        pytest.param(PLAIN, request(b"GET /x?/../../ HTTP/1.1"), id="dots in the query"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", b"Expect: 100-Continue"), id="Expect in any letter case"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.0", b"Expect: weird"), id="HTTP/1.0 has no expectations"),
        pytest.param(TIGHT, request(b"POST / HTTP/1.1", b"Content-Length: 10"), id="a body of exactly the limit"),
        pytest.param(TIGHT, request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked"), id="a body of unknown length"),
        pytest.param(
            route(limits=Limits(request_head=None)), request(b"GET / HTTP/1.1", b"A: " + b"a" * 99_999), id="no limit"
        ),
        pytest.param(PLAIN, request(b"GET / HTTP/1.0", host=None), id="HTTP/1.0 without host"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", b"Origin: https://evil.example"), id="a foreign page, no key"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", b"Sec-Fetch-Site: cross-site"), id="an image, no key"),
        pytest.param(KEYED, request(b"POST / HTTP/1.1", b"Content-Type: text/plain"), id="a program that sends text"),
        pytest.param(
            LISTED,
            request(b"GET / HTTP/1.1", b"Origin: http://localhost:5173", b"Sec-Fetch-Site: same-site"),
            id="a listed page",
        ),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", b"Upgrade: h2c"), id="an upgrade that is dropped"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", b"Upgrade: websockets"), id="an upgrade of a longer name"),
        pytest.param(PLAIN, request(b"POST / HTTP/1.1", b"Upgrade: websocket"), id="a WebSocket by POST"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.0", b"Upgrade: websocket"), id="a WebSocket in 1.0"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", b"Via: 1.1 there"), id="another proxy before us"),
    ],
)
def test_what_is_right_is_not_refused(covered: Route, asked: RequestHead) -> None:
    """MUST. The other side of the table."""
    assert sent(asked, covered)


def test_the_limit_of_a_head_is_the_last_size_that_passes() -> None:
    """MUST. Z1."""
    asked = request(b"GET / HTTP/1.1", b"A: b")
    assert sent(asked, route(limits=Limits(request_head=asked.size)))
    assert refused(plan(proxy(route(limits=Limits(request_head=asked.size - 1))), asked))[0] == 431


TOKENS = tokens([b"token-0123456789abcdef"])
BEARER = b"Authorization: Bearer token-0123456789abcdef"
PREFLIGHT = (b"Origin: http://localhost:5173", b"Access-Control-Request-Method: POST")


@pytest.mark.parametrize(
    ("covered", "asked", "status"),
    [
        pytest.param(PLAIN, request(), 401, id="no token"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", b"Authorization: Bearer x"), 401, id="a wrong token"),
        pytest.param(KEYED, request(b"GET / HTTP/1.1", EVIL_PAGE, BEARER), 403, id="a token opens no origin"),
        pytest.param(KEYED, request(b"GET / HTTP/1.1", EVIL_PAGE), 403, id="origin before token"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", b"Via: 1.1 here"), 502, id="the loop before the token"),
        pytest.param(PLAIN, request(b"OPTIONS / HTTP/1.1", *PREFLIGHT), 401, id="a preflight that is forwarded"),
        pytest.param(
            PLAIN,
            request(b"GET / HTTP/1.1", b"Upgrade: websocket", b"Connection: upgrade"),
            401,
            id="a WebSocket without token",
        ),
        pytest.param(BELOW, request(b"GET /x HTTP/1.1"), 404, id="the route before the token"),
    ],
)
def test_where_tokens_are_asked_for_nothing_is_forwarded_without_one(
    covered: Route, asked: RequestHead, status: int
) -> None:
    """MUST. RFC 9110 section 15.5.2."""
    assert refused(plan(proxy(covered, tokens=TOKENS), asked))[0] == status


def test_a_preflight_of_ours_needs_no_token() -> None:
    """MUST. Fetch standard, section 3.2.2: browsers send none; C1."""
    assert reply(plan(proxy(LISTED, tokens=TOKENS), request(b"OPTIONS / HTTP/1.1", *PREFLIGHT))).status == 204


@pytest.mark.parametrize("line", [BEARER, b"x-proxy-token: token-0123456789abcdef"], ids=["Bearer", "own field"])
@pytest.mark.parametrize("covered", [PLAIN, KEYED], ids=["plain", "keyed"])
def test_a_token_opens_a_route_and_goes_no_further(covered: Route, line: bytes) -> None:
    """MUST. Whoever is upstream must not be able to use the proxy with it."""
    told = sent(request(b"GET / HTTP/1.1", b"A: b", line), covered, tokens=TOKENS)
    assert b"A: b" in told
    assert not [entry for entry in told if b"token-0" in entry]


def test_a_clients_own_key_passes_beside_a_token() -> None:
    """MUST. On a route that injects nothing."""
    asked = request(b"GET / HTTP/1.1", b"Authorization: Bearer sk-own", b"X-Proxy-Token: token-0123456789abcdef")
    assert sent(asked, PLAIN, tokens=TOKENS)[2:] == [b"Authorization: Bearer sk-own"]


def test_a_field_of_the_tokens_name_passes_where_no_tokens_are_asked_for() -> None:
    """MUST. H13."""
    assert sent(request(b"GET / HTTP/1.1", b"X-Proxy-Token: a"), PLAIN)[2:] == [b"X-Proxy-Token: a"]


RULED = route(name="ruled", injects=True)


@pytest.mark.parametrize(
    "more",
    [[b"Origin: https://evil.example"], [b"Sec-Fetch-Site: cross-site"], [b"Origin: null"]],
    ids=["origin", "fetch metadata", "null"],
)
def test_a_secret_in_a_rule_guards_its_route_as_a_key_does(more: list[bytes]) -> None:
    """MUST. C9: what is spent is the operator's, however it is written."""
    assert RULED.guarded
    assert refused(plan(proxy(RULED), request(b"GET / HTTP/1.1", *more)))[0] == 403
    assert refused(plan(proxy(RULED), request(b"OPTIONS / HTTP/1.1", *PREFLIGHT)))[0] == 403
    assert refused(plan(proxy(RULED), request(b"GET / HTTP/1.0", host=None)))[0] == 400
    assert sent(request(b"GET / HTTP/1.1", b"Authorization: own"), RULED)[2:] == [b"Authorization: own"]


TWO_LENGTHS = (b"Content-Length: 1", b"Content-Length: 1")


@pytest.mark.parametrize(
    ("covered", "asked", "status"),
    [
        pytest.param(PLAIN, request(b"TRACE a HTTP/3.0", host=None), 405, id="method before version, target and host"),
        pytest.param(PLAIN, request(b"GET a HTTP/3.0", *TWO_LENGTHS, host=None), 505, id="version before all else"),
        pytest.param(PLAIN, request(b"GET / HTTP/1.1", *TWO_LENGTHS, host=b""), 400, id="either is malformed"),
        pytest.param(BELOW, request(b"GET /x HTTP/1.1", *TWO_LENGTHS), 400, id="framing before the route"),
        pytest.param(
            PLAIN,
            request(b"OPTIONS * HTTP/1.1", b"Transfer-Encoding: gzip, chunked"),
            501,
            id="framing before OPTIONS *",
        ),
        pytest.param(PLAIN, request(b"OPTIONS * HTTP/1.1", host=b"evil.example"), 421, id="host before OPTIONS *"),
        pytest.param(
            PLAIN,
            request(b"OPTIONS / HTTP/1.1", b"Max-Forwards: 0", host=b"evil.example"),
            421,
            id="host before Max-Forwards",
        ),
        pytest.param(BELOW, request(b"GET /x HTTP/1.1", host=b"evil.example"), 421, id="host before the route"),
        pytest.param(
            TIGHT,
            request(b"GET / HTTP/1.1", b"A: " + b"a" * 100, host=b"evil.example"),
            421,
            id="host before the limits",
        ),
        pytest.param(KEYED, request(b"GET / HTTP/1.1", EVIL_PAGE, host=b"evil.example"), 421, id="host before origin"),
        pytest.param(
            TIGHT,
            request(b"POST / HTTP/1.1", b"A: " + b"a" * 100, b"Content-Length: 99"),
            431,
            id="head before body",
        ),
        pytest.param(
            TIGHT, request(b"POST / HTTP/1.1", b"Content-Length: 99", b"Expect: x"), 413, id="body before expectation"
        ),
        pytest.param(KEYED, request(b"GET /../x HTTP/1.1", EVIL_PAGE), 400, id="path before origin"),
        pytest.param(KEYED, request(b"GET / HTTP/1.1", EVIL_PAGE, b"Via: 1.1 here"), 403, id="origin before the loop"),
        pytest.param(
            KEYED,
            request(b"OPTIONS /../x HTTP/1.1", EVIL_PAGE, b"Access-Control-Request-Method: POST"),
            400,
            id="path before preflight",
        ),
    ],
)
def test_of_several_wrongs_the_first_in_order_is_answered(covered: Route, asked: RequestHead, status: int) -> None:
    """MUST. Method, version, framing, host, route, size, expectation, path, origin, loop: the cheap ones first."""
    assert refused(plan(proxy(covered), asked))[0] == status


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        (request(b"GET /x HTTP/1.1"), False),
        (request(b"GET /api/ HTTP/1.1", host=b"evil.example"), False),
        (request(b"GET /api/../x HTTP/1.1"), True),
    ],
    ids=["no route", "host", "path"],
)
def test_a_refusal_names_its_route_once_there_is_one(asked: RequestHead, known: bool) -> None:
    """MUST. A2, C8: its CORS fields and its name belong into the answer."""
    decided = plan(proxy(BELOW), asked)
    assert isinstance(decided, Refuse)
    assert decided.route == (BELOW if known else None)


def test_a_listed_host_is_one_of_ours() -> None:
    """MUST. C2."""
    assert sent(request(host=b"llm.example"), hosts=Hosts(frozenset({b"llm.example"})))
