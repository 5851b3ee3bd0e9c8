"""Rules of what happens to a request: what is answered by us, and the whole head of what is forwarded."""

import pytest

from proxy.core.cors import Cors
from proxy.core.forwarding import Forwarding, Trusted
from proxy.core.guard import Hosts
from proxy.core.message import Peer, RequestHead
from proxy.core.plan import Proxy, plan
from proxy.core.routes import Match
from tests.core.samples import (
    CREDENTIAL,
    TRACE,
    forward,
    lines,
    proxy,
    refused,
    reply,
    request,
    route,
    sent,
    upstream,
)

APP = b"https://app.example"
CORS = Cors(frozenset({APP}))
METHODS = b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


def preflight(*more: bytes, origin: bytes = APP, target: bytes = b"/", method: bytes = b"POST") -> RequestHead:
    return request(
        b"OPTIONS %b HTTP/1.1" % target, b"Origin: " + origin, b"Access-Control-Request-Method: " + method, *more
    )


def test_a_plain_request_goes_out_as_these_bytes() -> None:
    """MUST. H12, H14, F1, F7, H19: nothing is there but what came, Host, the forwarding fields and Via."""
    asked = request(
        b"GET /a%2Fb?c=d&c HTTP/1.1",
        b"user-AGENT: curl",
        b"X-Odd: \xff\xe4",
        b"Cookie: a=1",
        b"cookie: b=2",
        b"Empty: ",
        peer=Peer("192.0.2.1", secure=True),
    )
    planned = forward(plan(proxy(route(forwarding=Forwarding(), upstream=upstream("up.example:8080"))), asked))
    assert planned.head(TRACE) == (
        b"GET /a%2Fb?c=d&c HTTP/1.1\r\n"
        b"Host: up.example:8080\r\n"
        b"user-AGENT: curl\r\n"
        b"X-Odd: \xff\xe4\r\n"
        b"Cookie: a=1\r\n"
        b"cookie: b=2\r\n"
        b"Empty: \r\n"
        b"X-Forwarded-For: 192.0.2.1\r\n"
        b"X-Forwarded-Host: localhost\r\n"
        b"X-Forwarded-Proto: https\r\n"
        b"X-Real-IP: 192.0.2.1\r\n"
        b"Via: 1.1 here\r\n"
        b"X-Request-ID: 4bf92f3577b34da6a3ce929d0e0e4736\r\n"
        b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
        b"\r\n"
    )


def test_a_forward_tells_route_request_framing_and_the_host_asked_for() -> None:
    """MUST. H16: the request is kept as it was received."""
    asked, covered = request(b"GET / HTTP/1.1", b"TE: gzip", host=b"localhost:8787"), route()
    planned = forward(plan(proxy(covered), asked))
    assert (planned.route, planned.request, planned.body.framing, planned.host) == (
        covered,
        asked,
        "none",
        b"localhost:8787",
    )


def test_the_same_request_gives_the_same_plan() -> None:
    """MUST. H16, H18: nothing is learned from one request for the next."""
    asked = request(b"GET /x HTTP/1.1", b"Cookie: a=1", b"Connection: x-a", b"X-A: 1")
    decider = proxy(route(credential=CREDENTIAL))
    assert plan(decider, asked) == plan(decider, asked)


def test_options_about_the_server_itself_is_answered_by_us() -> None:
    """SHOULD. RFC 9112 section 3.2.4; P11."""
    answer = reply(plan(proxy(), request(b"OPTIONS * HTTP/1.1")))
    assert (answer.status, lines(answer.fields), answer.route) == (204, [METHODS], None)


def test_an_asterisk_is_for_options_only() -> None:
    """MUST. RFC 9112 section 3.2.4."""
    assert refused(plan(proxy(), request(b"GET * HTTP/1.1"))) == (400, "http_request_error")


def test_options_about_the_server_needs_no_route() -> None:
    """SHOULD. P11."""
    assert reply(plan(Proxy(b"here", ()), request(b"OPTIONS * HTTP/1.1"))).status == 204


def test_options_with_no_hop_left_is_answered_by_us() -> None:
    """MUST. RFC 9110 section 7.6.2; H21."""
    answer = reply(plan(proxy(), request(b"OPTIONS /x HTTP/1.1", b"Max-Forwards: 0")))
    assert (answer.status, lines(answer.fields)) == (204, [METHODS])


@pytest.mark.parametrize(
    ("line", "received", "told"),
    [
        (b"OPTIONS / HTTP/1.1", b"Max-Forwards: 1", b"Max-Forwards: 0"),
        (b"OPTIONS / HTTP/1.1", b"max-forwards: 10", b"max-forwards: 9"),
        (b"OPTIONS / HTTP/1.1", b"Max-Forwards: x", b"Max-Forwards: x"),
        (b"OPTIONS / HTTP/1.1", b"Max-Forwards: ", b"Max-Forwards: "),
        (b"OPTIONS / HTTP/1.1", b"Max-Forwards: " + b"9" * 5000, b"Max-Forwards: " + b"9" * 18),
        (b"OPTIONS / HTTP/1.1", b"Max-Forwards: " + b"0" * 40 + b"5", b"Max-Forwards: 4"),
        (b"GET / HTTP/1.1", b"Max-Forwards: 0", b"Max-Forwards: 0"),
        (b"GET / HTTP/1.1", b"Max-Forwards: 5", b"Max-Forwards: 5"),
    ],
    ids=[
        "one",
        "ten",
        "no number",
        "empty",
        "more than can be",
        "zeros in front",
        "another method, none left",
        "another method",
    ],
)
def test_options_has_one_hop_less_to_go(line: bytes, received: bytes, told: bytes) -> None:
    """MUST. RFC 9110 section 7.6.2; H21: of other methods it may be ignored."""
    assert told in sent(request(line, received))


@pytest.mark.parametrize("hops", [b"00", b"000"], ids=bytes.decode)
def test_no_hop_left_may_be_written_with_several_zeros(hops: bytes) -> None:
    """MUST. RFC 9110 section 7.6.2: it is a number."""
    assert reply(plan(proxy(), request(b"OPTIONS / HTTP/1.1", b"Max-Forwards: " + hops))).status == 204


# Preflights.


def test_a_preflight_to_a_route_with_cors_is_answered_by_us() -> None:
    """MUST. Fetch standard, section 3.2; C1, C6: with the exact origin, every name asked for, and no star."""
    covered = route(cors=CORS, credential=CREDENTIAL)
    answer = reply(plan(proxy(covered), preflight(b"Access-Control-Request-Headers: authorization, x-stainless-lang")))
    assert (answer.status, answer.route) == (204, covered)
    assert lines(answer.fields) == [
        b"Access-Control-Allow-Origin: https://app.example",
        b"Access-Control-Allow-Methods: POST",
        b"Access-Control-Allow-Headers: authorization, x-stainless-lang, content-type, last-event-id",
        b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
        b"Access-Control-Request-Private-Network",
        b"Access-Control-Max-Age: 600",
    ]


@pytest.mark.parametrize(
    ("changes", "origin"),
    [
        pytest.param({"cors": CORS}, b"https://evil.example", id="an origin that is not listed"),
        pytest.param({"cors": CORS}, b"null", id="null"),
        pytest.param({"cors": CORS, "credential": CREDENTIAL}, b"https://evil.example", id="not listed, with a key"),
        pytest.param({"credential": CREDENTIAL}, APP, id="a key and no CORS"),
    ],
)
def test_any_other_preflight_to_such_a_route_is_refused(changes: dict[str, object], origin: bytes) -> None:
    """MUST. C1, C3."""
    assert refused(plan(proxy(route(**changes)), preflight(origin=origin))) == (403, "http_request_denied")


def test_a_preflight_to_a_plain_route_is_forwarded() -> None:
    """MUST. C1: the upstream may have rules of its own."""
    assert sent(preflight())[0] == b"OPTIONS / HTTP/1.1"


@pytest.mark.parametrize(
    "more",
    [[], [b"Origin: https://app.example"], [b"Access-Control-Request-Method: POST"]],
    ids=["plain", "without the method asked for", "without origin"],
)
def test_any_other_options_is_forwarded(more: list[bytes]) -> None:
    """MUST. C1."""
    assert sent(request(b"OPTIONS /x HTTP/1.1", *more), route(cors=CORS))[0] == b"OPTIONS /x HTTP/1.1"


POST_ONLY = Match(b"/", methods=frozenset({b"POST"}))


def test_a_preflight_belongs_to_the_route_of_the_request_it_asks_for() -> None:
    """MUST. C1: a route for POST alone sees its preflights, which are OPTIONS."""
    covered = route(cors=CORS, match=POST_ONLY)
    assert reply(plan(proxy(covered), preflight())).route == covered
    assert refused(plan(proxy(covered), preflight(method=b"PUT")))[0] == 404


def test_a_preflight_of_a_route_with_a_key_is_refused_whatever_methods_it_takes() -> None:
    """MUST. C1: it must not fall through to another route, or to none."""
    keyed, rest = route(name="keyed", credential=CREDENTIAL, match=POST_ONLY), route(name="rest")
    assert refused(plan(proxy(keyed), preflight()))[0] == 403
    assert refused(plan(proxy(keyed, rest), preflight()))[0] == 403


def test_a_preflight_asks_the_most_specific_route_first() -> None:
    """MUST. C1."""
    posted, rest = route(name="post", cors=CORS, match=POST_ONLY), route(name="rest", credential=CREDENTIAL)
    assert reply(plan(proxy(rest, posted), preflight())).route == posted
    assert refused(plan(proxy(rest, posted), preflight(method=b"PUT")))[0] == 403


def test_a_preflight_for_a_plain_route_is_routed_as_the_options_it_is() -> None:
    """MUST. C1: where the preflight is not ours, it is an ordinary request."""
    posted, asked = route(name="post", match=POST_ONLY), route(name="options", upstream=upstream("other.example"))
    assert b"Host: other.example" in sent(preflight(), posted, asked)


# The host asked for.


def test_the_upstream_gets_its_own_authority_as_host() -> None:
    """MUST. F7, F8, H5: first, exactly once, whatever the client sent."""
    asked = request(b"GET / HTTP/1.1", b"Connection: host", host=b"llm.example:8787")
    told = sent(asked, route(upstream=upstream("up.example:8080")), hosts=None)
    assert told[1] == b"Host: up.example:8080"
    assert sum(line.lower().startswith(b"host:") for line in told) == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (request(host=b"localhost:8787"), b"Host: localhost:8787"),
        (request(b"GET http://LOCALHOST:1/ HTTP/1.1", host=b"localhost"), b"Host: LOCALHOST:1"),
        (request(b"GET / HTTP/1.0", host=None), b"Host: upstream.example"),
    ],
    ids=["Host", "absolute form", "1.0 without"],
)
def test_a_route_may_preserve_the_host_asked_for(asked: RequestHead, told: bytes) -> None:
    """MUST. F7, P9."""
    assert sent(asked, route(preserve_host=True))[1] == told


@pytest.mark.parametrize(
    ("target", "told"),
    [
        (b"http://localhost/a?b", b"GET /a?b HTTP/1.1"),
        (b"https://LOCALHOST:99/a//b", b"GET /a//b HTTP/1.1"),
        (b"http://127.0.0.1", b"GET / HTTP/1.1"),
        (b"http://[::1]?b", b"GET /?b HTTP/1.1"),
    ],
    ids=["path and query", "another scheme and port", "no path", "only a query"],
)
def test_an_absolute_form_is_forwarded_in_origin_form(target: bytes, told: bytes) -> None:
    """MUST. RFC 9112 section 3.2.2; P9, F11: and it never chooses where we connect."""
    head = sent(request(b"GET %b HTTP/1.1" % target))
    assert head[:2] == [told, b"Host: upstream.example"]


def test_the_authority_of_an_absolute_form_replaces_host() -> None:
    """MUST. RFC 9112 section 3.2.2; P9: for routing, and for what the upstream is told."""
    named = route(match=Match(b"/", host=b"llm.example"), forwarding=Forwarding(via=False, x_real_ip=False))
    asked = request(b"GET http://llm.example/ HTTP/1.1", host=b"localhost")
    planned = forward(plan(proxy(named, hosts=Hosts(frozenset({b"llm.example"}))), asked))
    assert planned.host == b"llm.example"
    assert b"\r\nX-Forwarded-Host: llm.example\r\n" in planned.head(TRACE)


@pytest.mark.parametrize(
    "asked",
    [
        request(b"GET http://evil.example/ HTTP/1.1"),
        request(b"GET http://169.254.169.254/latest/ HTTP/1.1"),
        request(host=b"evil.example"),
        request(b"GET http://localhost.evil.example/ HTTP/1.1"),
        request(b"OPTIONS * HTTP/1.1", host=b"evil.example"),
    ],
    ids=["absolute", "absolute, metadata", "Host", "a longer name", "OPTIONS *"],
)
def test_a_foreign_authority_is_misdirected(asked: RequestHead) -> None:
    """MUST. RFC 9110 section 15.5.20; C2, P9."""
    assert refused(plan(proxy(), asked)) == (421, "http_request_denied")


def test_where_no_host_check_applies_any_host_is_served() -> None:
    """MUST. C2: on listeners beyond loopback that list no names."""
    assert sent(request(host=b"any.example"), hosts=None)[0] == b"GET / HTTP/1.1"


def test_http_1_0_without_host_takes_the_route_without_one() -> None:
    """MUST. P10."""
    named = route(name="named", match=Match(b"/", host=b"localhost"), upstream=upstream("named.example"))
    assert sent(request(b"GET /x HTTP/1.0", host=None), named, route())[:2] == [
        b"GET /x HTTP/1.1",
        b"Host: upstream.example",
    ]


# What the upstream is told.


def test_what_is_stripped_is_stripped_before_ours_is_added() -> None:
    """MUST. H4 (CVE-2024-45410): naming our fields in Connection cannot delete them."""
    covered = route(forwarding=Forwarding())
    received = [b"Connection: close, x-forwarded-for, X-Real-IP, via, x-a", b"X-A: 1", b"X-Forwarded-For: 6.6.6.6"]
    assert sent(request(b"GET / HTTP/1.1", *received), covered)[1:] == [
        b"Host: upstream.example",
        b"X-Forwarded-For: 127.0.0.1",
        b"X-Forwarded-Host: localhost",
        b"X-Forwarded-Proto: http",
        b"X-Real-IP: 127.0.0.1",
        b"Via: 1.1 here",
    ]


def test_the_word_of_a_trusted_peer_is_kept() -> None:
    """MUST. F3."""
    covered = route(forwarding=Forwarding(x_real_ip=False, via=False))
    asked = request(b"GET / HTTP/1.1", b"X-Forwarded-For: 1.2.3.4", peer=Peer("", secure=False))
    assert b"X-Forwarded-For: 1.2.3.4" in sent(asked, covered, trusted=Trusted(unix=True))
    assert b"X-Forwarded-For: 1.2.3.4" not in sent(asked, covered)


def test_via_can_be_switched_off_and_keeps_what_others_said() -> None:
    """MUST. H19."""
    asked = request(b"GET / HTTP/1.1", b"Via: 1.0 fred")
    assert sent(asked)[2:] == [b"Via: 1.0 fred"]
    assert sent(asked, route(forwarding=Forwarding(x_forwarded=False, x_real_ip=False)))[2:] == [
        b"Via: 1.0 fred, 1.1 here"
    ]


@pytest.mark.parametrize(
    ("te", "told"),
    [
        ([b"TE: trailers"], [b"TE: trailers", b"Connection: TE"]),
        ([b"te: gzip, trailers", b"Connection: te"], [b"TE: trailers", b"Connection: TE"]),
        ([b"TE: gzip"], []),
        ([], []),
    ],
    ids=["alone", "among others", "another", "none"],
)
def test_te_goes_on_only_as_trailers(te: list[bytes], told: list[bytes]) -> None:
    """MUST. RFC 9110 section 10.1.4; H6."""
    assert sent(request(b"GET / HTTP/1.1", *te))[2:] == told


@pytest.mark.parametrize(
    ("line", "told"),
    [(b"GET / HTTP/1.1", [b"Expect: 100-continue"]), (b"GET / HTTP/1.0", [])],
    ids=["1.1", "1.0"],
)
def test_an_expectation_is_forwarded_unless_it_came_in_1_0(line: bytes, told: list[bytes]) -> None:
    """MUST. RFC 9110 section 10.1.1; X3, X5: we speak 1.1 upstream, where it would count."""
    assert sent(request(line, b"Expect: 100-continue"))[2:] == told


@pytest.mark.parametrize(
    "line", [b"Early-Data: 1", b"Origin: https://app.example", b"Range: bytes=0-"], ids=bytes.decode
)
def test_what_concerns_only_the_ends_passes(line: bytes) -> None:
    """MUST. F16, H27, X13."""
    assert sent(request(b"GET / HTTP/1.1", line))[2:] == [line]


@pytest.mark.parametrize(
    ("line", "upgrade"),
    [(b"GET / HTTP/1.1", b"h2c"), (b"POST / HTTP/1.1", b"websocket"), (b"GET / HTTP/1.0", b"websocket")],
    ids=["h2c", "not a GET", "1.0"],
)
def test_an_upgrade_that_is_none_goes_on_without_its_fields(line: bytes, upgrade: bytes) -> None:
    """MUST. RFC 9110 section 7.8; U2, U13."""
    more = [b"Upgrade: " + upgrade, b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABk"]
    assert sent(request(line, *more, b"Content-Length: 5"))[2:] == [b"Content-Length: 5"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"QUERY", b"PROPFIND", b"M-SEARCH"], ids=bytes.decode)
def test_methods_pass_as_they_are(method: bytes) -> None:
    """MUST. RFC 9110 section 9.1; X12."""
    assert sent(request(method + b" / HTTP/1.1"))[0] == method + b" / HTTP/1.1"
