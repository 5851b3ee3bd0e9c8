"""Rules of the head a client gets for a response of the upstream: what is stripped, added, and how the body ends."""

from typing import Any

import pytest

from proxy.core.answer import interim, trailers
from proxy.core.cors import Cors
from proxy.core.errors import ResponseMalformed, TransferCodingUnknown
from proxy.core.framing import Body, Framing, of_response
from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.plan import plan
from proxy.core.streams import StreamPolicy
from tests.core.samples import CREDENTIAL, answered, fields, forward, lines, proxy, request, response, route

NONE, LENGTH, CHUNKED, CLOSE = "none", "length", "chunked", "close"
EVENTS = b"Content-Type: text/event-stream"
OK = b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("method", "line", "more", "body"),
    [
        pytest.param(b"GET", OK, [b"Content-Length: 5"], Body(LENGTH, 5), id="length"),
        pytest.param(b"GET", OK, [b"Content-Length: 0"], Body(LENGTH, 0), id="length of none"),
        pytest.param(b"GET", OK, [b"Content-Length: " + b"9" * 18], Body(LENGTH, 10**18 - 1), id="the largest length"),
        pytest.param(b"GET", OK, [b"Transfer-Encoding: chunked"], Body(CHUNKED), id="chunked"),
        pytest.param(b"GET", OK, [b"transfer-encoding: CHUNKED"], Body(CHUNKED), id="chunked, letter case"),
        pytest.param(b"GET", OK, [], Body(CLOSE), id="neither"),
        pytest.param(b"GET", b"HTTP/1.0 200 OK", [], Body(CLOSE), id="neither in 1.0"),
        pytest.param(b"GET", b"HTTP/1.0 200 OK", [b"Content-Length: 5"], Body(LENGTH, 5), id="length in 1.0"),
        pytest.param(b"HEAD", OK, [b"Content-Length: 5"], Body(NONE, 5), id="HEAD with length"),
        pytest.param(b"HEAD", OK, [b"Transfer-Encoding: chunked"], Body(NONE), id="HEAD, chunked"),
        pytest.param(b"HEAD", OK, [], Body(NONE), id="HEAD with neither"),
        pytest.param(b"GET", b"HTTP/1.1 204 No Content", [], Body(NONE), id="204"),
        pytest.param(b"GET", b"HTTP/1.1 204 No Content", [b"Content-Length: 5"], Body(NONE, 5), id="204 with length"),
        pytest.param(
            b"GET", b"HTTP/1.1 204 No Content", [b"Transfer-Encoding: chunked"], Body(NONE), id="204, chunked"
        ),
        pytest.param(b"GET", b"HTTP/1.1 304 Not Modified", [b"Content-Length: 5"], Body(NONE, 5), id="304 with length"),
        pytest.param(b"GET", b"HTTP/1.1 205 Reset Content", [], Body(CLOSE), id="205 is as any other"),
        pytest.param(
            b"POST", b"HTTP/1.1 500 x", [b"Content-Length: 5"], Body(LENGTH, 5), id="an error is as any other"
        ),
    ],
)
def test_a_body_ends_as_method_status_and_framing_say(
    method: bytes, line: bytes, more: list[bytes], body: Body
) -> None:
    """MUST. RFC 9112 section 6.3; X9, X10."""
    assert of_response(method, response(line, *more)) == body


@pytest.mark.parametrize("method", [b"GET", b"HEAD"], ids=bytes.decode)
@pytest.mark.parametrize(
    "more",
    [
        pytest.param([b"Content-Length: 5", b"Content-Length: 6"], id="two lengths"),
        pytest.param([b"Content-Length: 5", b"Content-Length: 5"], id="the same length twice"),
        pytest.param([b"Content-Length: 5, 5"], id="a list of lengths"),
        pytest.param([b"Content-Length: -5"], id="minus sign"),
        pytest.param([b"Content-Length: +5"], id="plus sign"),
        pytest.param([b"Content-Length: 5 5"], id="a blank inside"),
        pytest.param([b"Content-Length:"], id="empty"),
        pytest.param([b"Content-Length: " + b"9" * 19], id="overflow"),
        pytest.param([b"Content-Length: 5", b"Transfer-Encoding: chunked"], id="length and chunked"),
        pytest.param([b"Content-Length: 5", b"Transfer-Encoding: gzip"], id="length and another coding"),
    ],
)
def test_an_ambiguous_length_is_the_upstreams_fault(method: bytes, more: list[bytes]) -> None:
    """MUST, stricter than RFC 9112 section 6.3 where the same length comes twice; M2, M16."""
    with pytest.raises(ResponseMalformed) as found:
        of_response(method, response(OK, *more))
    assert found.value.status == 502


def test_an_empty_transfer_coding_is_not_none() -> None:
    """MUST. RFC 9112 section 6.1; M16: whether a length beside it counts would be read differently."""
    with pytest.raises((TransferCodingUnknown, ResponseMalformed)):
        of_response(b"GET", response(OK, b"Transfer-Encoding:", b"Content-Length: 5"))
    with pytest.raises(TransferCodingUnknown):
        of_response(b"GET", response(OK, b"Transfer-Encoding:"))


@pytest.mark.parametrize(
    ("line", "more"),
    [
        pytest.param(OK, [b"Transfer-Encoding: gzip"], id="another"),
        pytest.param(OK, [b"Transfer-Encoding: gzip, chunked"], id="another before chunked"),
        pytest.param(OK, [b"Transfer-Encoding: chunked, identity"], id="identity behind chunked"),
        pytest.param(OK, [b"Transfer-Encoding: identity"], id="identity"),
        pytest.param(OK, [b"Transfer-Encoding: chunked, chunked"], id="chunked twice"),
        pytest.param(OK, [b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], id="chunked on two lines"),
        pytest.param(OK, [b"Transfer-Encoding: xchunked"], id="a look-alike"),
        pytest.param(b"HTTP/1.0 200 OK", [b"Transfer-Encoding: chunked"], id="chunked in 1.0"),
    ],
)
def test_a_transfer_coding_but_one_chunked_is_the_upstreams_fault(line: bytes, more: list[bytes]) -> None:
    """MUST, stricter in part. RFC 9112 section 6.1; M16."""
    with pytest.raises(TransferCodingUnknown) as found:
        of_response(b"GET", response(line, *more))
    assert found.value.token == "http_response_transfer_coding"


@pytest.mark.parametrize(
    ("line", "status", "more", "told", "framing"),
    [
        pytest.param(b"GET / HTTP/1.1", b"200 OK", [b"content-length: 5"], [b"content-length: 5"], LENGTH, id="length"),
        pytest.param(b"GET / HTTP/1.1", b"200 OK", [b"Content-Length: 0"], [b"Content-Length: 0"], LENGTH, id="none"),
        pytest.param(
            b"GET / HTTP/1.1",
            b"200 OK",
            [b"transfer-encoding: Chunked"],
            [b"Transfer-Encoding: chunked"],
            CHUNKED,
            id="chunked",
        ),
        pytest.param(b"GET / HTTP/1.1", b"200 OK", [], [b"Transfer-Encoding: chunked"], CHUNKED, id="until the end"),
        pytest.param(
            b"GET / HTTP/1.0", b"200 OK", [b"Content-Length: 5"], [b"Content-Length: 5"], LENGTH, id="1.0, length"
        ),
        pytest.param(b"GET / HTTP/1.0", b"200 OK", [b"Transfer-Encoding: chunked"], [], CLOSE, id="1.0, chunked"),
        pytest.param(b"GET / HTTP/1.0", b"200 OK", [], [], CLOSE, id="1.0, until the end"),
        pytest.param(
            b"HEAD / HTTP/1.1", b"200 OK", [b"Content-Length: 5"], [b"Content-Length: 5"], NONE, id="HEAD, length"
        ),
        pytest.param(b"HEAD / HTTP/1.1", b"200 OK", [b"Transfer-Encoding: chunked"], [], NONE, id="HEAD, chunked"),
        pytest.param(b"GET / HTTP/1.1", b"204 No Content", [], [], NONE, id="204"),
        pytest.param(b"GET / HTTP/1.1", b"204 No Content", [b"Content-Length: 5"], [], NONE, id="204, length"),
        pytest.param(
            b"GET / HTTP/1.1", b"204 No Content", [b"Transfer-Encoding: chunked"], [], NONE, id="204, chunked"
        ),
        pytest.param(
            b"GET / HTTP/1.1",
            b"304 Not Modified",
            [b"Content-Length: 5"],
            [b"Content-Length: 5"],
            NONE,
            id="304, length",
        ),
        pytest.param(
            b"GET / HTTP/1.1", b"304 Not Modified", [b"Transfer-Encoding: chunked"], [], NONE, id="304, chunked"
        ),
    ],
)
def test_the_framing_a_client_gets_is_made_anew(
    line: bytes, status: bytes, more: list[bytes], told: list[bytes], framing: Framing
) -> None:
    """MUST. RFC 9112 sections 6.1 to 6.3; M9, X9, X10, X11: the promise of the upstream, or as short a one as holds."""
    got = answered(
        response(b"HTTP/1.1 " + status, *more, b"Connection: content-length, transfer-encoding"), request(line)
    )
    assert lines(got.fields) == told
    assert got.body.framing is framing


def test_a_head_passes_as_it_came() -> None:
    """MUST. H11, H12, H13, H15, A1, X13, C14: unknown status, odd reason, odd names, order; nothing is invented."""
    received = [
        b"sERVER: odd/1",
        b"Set-Cookie: a=1",
        b"X-\xe4: \xff",
        b"Set-Cookie: b=2",
        b"Empty: ",
        b"Content-Encoding: gzip",
        b"Retry-After: 5",
        b"Content-Security-Policy: default-src 'none'",
        b"Cross-Origin-Resource-Policy: same-site",
        b"Accept-Ranges: bytes",
        b'ETag: "x"',
    ]
    got = answered(response(b"HTTP/1.1 599 \xe4 odd", *received, b"Content-Length: 5"))
    assert (got.status, got.reason) == (599, b"\xe4 odd")
    assert lines(got.fields) == [*received, b"Content-Length: 5"]
    assert got.stage is None
    assert got.stream is None


def test_an_empty_reason_stays_empty() -> None:
    """MUST. RFC 9112 section 4; H13."""
    assert answered(response(b"HTTP/1.1 200 ")).reason == b""


def test_what_is_hop_by_hop_or_an_order_to_a_proxy_stops_here() -> None:
    """MUST. RFC 9110 section 7.6.1; H1, H2, H3, H7, H23."""
    received = [
        b"Connection:",
        b"Connection: close, X-A, content-length",
        b"X-A: 1",
        b"Keep-Alive: timeout=5",
        b"Proxy-Authenticate: Basic",
        b"Trailer: X-B",
        b"Upgrade: h2c",
        b"Alt-Svc: h3=:443",
        b"X-Accel-Redirect: /secret",
        b"B: 2",
        b"Content-Length: 5",
    ]
    assert lines(answered(response(OK, *received)).fields) == [b"B: 2", b"Content-Length: 5"]


def test_the_head_received_is_left_alone() -> None:
    """MUST. H16: it is what logs and observers see."""
    received = (EVENTS, b"Connection: x-a", b"X-A: 1", b"Location: http://upstream.example/x")
    head = response(OK, *received)
    answered(head, cors=Cors(frozenset({b"x"})), response_rules=Rules(remove=frozenset({b"content-type"})))
    assert lines(head.fields) == list(received)


# Streams.


@pytest.mark.parametrize(
    ("received", "accept", "policy", "reason"),
    [
        pytest.param([EVENTS], b"*/*", StreamPolicy(), "type", id="type"),
        pytest.param([], b"text/event-stream", StreamPolicy(), "accept", id="accept"),
        pytest.param([], b"*/*", StreamPolicy("always"), "route", id="route"),
    ],
)
def test_a_stream_says_why_and_leaves_with_hints(
    received: list[bytes], accept: bytes, policy: StreamPolicy, reason: str
) -> None:
    """MUST. S2, S11, S12, S25."""
    got = answered(response(OK, *received), request(b"GET / HTTP/1.1", b"Accept: " + accept), stream=policy)
    assert got.stream == reason
    assert b"X-Accel-Buffering: no" in lines(got.fields)
    assert any(line.endswith(b"no-transform") for line in lines(got.fields))


@pytest.mark.parametrize(
    ("received", "policy"),
    [
        ([b"Content-Type: text/html"], StreamPolicy()),
        ([b"Content-Type: text/event-streamfoo"], StreamPolicy()),
        ([EVENTS], StreamPolicy("never")),
    ],
    ids=["another type", "a near miss", "the route says never"],
)
def test_what_is_no_stream_leaves_without_hints(received: list[bytes], policy: StreamPolicy) -> None:
    """MUST. S3, S13."""
    got = answered(response(OK, *received, b"Cache-Control: max-age=5", b"X-Accel-Buffering: yes"), stream=policy)
    assert got.stream is None
    assert lines(got.fields)[:3] == [*received, b"Cache-Control: max-age=5", b"X-Accel-Buffering: yes"]


# CORS.

APP = b"https://app.example"
CORS = Cors(frozenset({APP}), expose=b"x-request-id")
THEIRS = [b"Access-Control-Allow-Origin: *", b"ACCESS-control-Allow-Credentials: true", b"Vary: Accept"]


@pytest.mark.parametrize(
    ("changes", "origin", "told"),
    [
        pytest.param({}, APP, THEIRS, id="no CORS: theirs pass"),
        pytest.param({"credential": CREDENTIAL}, None, [b"Vary: Accept"], id="a key and no CORS: theirs go"),
        pytest.param(
            {"cors": CORS},
            APP,
            [
                b"Vary: Accept",
                b"Access-Control-Allow-Origin: https://app.example",
                b"Vary: Origin",
                b"Access-Control-Expose-Headers: x-request-id",
            ],
            id="CORS: ours instead of theirs",
        ),
        pytest.param(
            {"cors": CORS, "credential": CREDENTIAL},
            APP,
            [
                b"Vary: Accept",
                b"Access-Control-Allow-Origin: https://app.example",
                b"Vary: Origin",
                b"Access-Control-Expose-Headers: x-request-id",
            ],
            id="CORS and a key: ours instead of theirs",
        ),
        pytest.param(
            {"cors": CORS}, b"https://evil.example", [b"Vary: Accept", b"Vary: Origin"], id="a foreign origin"
        ),
        pytest.param({"cors": CORS}, None, [b"Vary: Accept", b"Vary: Origin"], id="no origin"),
    ],
)
def test_cors_fields_are_replaced_removed_or_passed(
    changes: dict[str, object], origin: bytes | None, told: list[bytes]
) -> None:
    """MUST. Fetch standard, section 3.2; C3, C4, C5."""
    asked = request(b"GET / HTTP/1.1", *([b"Origin: " + origin] if origin else []))
    got = answered(response(OK, b"Content-Length: 0", *THEIRS), asked, **changes)
    assert lines(got.fields) == [b"Content-Length: 0", *told]


def test_vary_of_a_streams_head_names_the_origin_once() -> None:
    """MUST. C4."""
    asked = request(b"GET / HTTP/1.1", b"Origin: " + APP)
    got = answered(response(OK, EVENTS, b"Vary: origin"), asked, cors=CORS)
    assert [line for line in lines(got.fields) if line.lower().startswith(b"vary")] == [b"Vary: origin"]


# The operator's rules.


def test_rules_run_last_and_win_over_hints_cors_and_redirects() -> None:
    """MUST. H22: what the operator wrote is what the client gets."""
    rules = Rules(
        remove=frozenset({b"x-accel-buffering"}),
        set=(
            field(b"Cache-Control", b"public"),
            field(b"Access-Control-Allow-Origin", b"https://other.example"),
            field(b"Location", b"/ruled"),
        ),
        add=(field(b"Vary", b"X-A"),),
    )
    head = response(b"HTTP/1.1 302 Found", EVENTS, b"Location: http://upstream.example/x", b"Content-Length: 0")
    got = answered(head, request(b"GET / HTTP/1.1", b"Origin: " + APP), cors=CORS, response_rules=rules)
    assert lines(got.fields) == [
        EVENTS,
        b"Content-Length: 0",
        b"Vary: Origin",
        b"Access-Control-Expose-Headers: x-request-id",
        b"Cache-Control: public",
        b"Access-Control-Allow-Origin: https://other.example",
        b"Location: /ruled",
        b"Vary: X-A",
    ]


def test_a_rule_is_too_late_to_make_a_response_a_stream() -> None:
    """MUST. H22, S13: what it is was decided by what the upstream said."""
    rules = Rules(set=(field(b"Content-Type", b"text/event-stream"),))
    got = answered(response(OK, b"Content-Type: text/html"), response_rules=rules)
    assert got.stream is None
    assert b"X-Accel-Buffering: no" not in lines(got.fields)


def test_a_rule_that_resolves_to_nothing_removes_the_field() -> None:
    """MUST. H10."""
    rules = Rules(set=(field(b"Server", b""),))
    got = answered(response(OK, b"Server: x", b"Content-Length: 0"), response_rules=rules)
    assert lines(got.fields) == [b"Content-Length: 0"]


# Interim responses.


def test_an_interim_head_is_cleaned_and_has_no_framing() -> None:
    """MUST. RFC 9110 section 15.2; X1, X10."""
    received = [
        b"Link: </a>; rel=preload",
        b"Link: </b>; rel=preload",
        b"Connection: x-a",
        b"X-A: 1",
        b"Content-Length: 5",
        b"Transfer-Encoding: chunked",
        b"Alt-Svc: h3=:443",
        b"X-Odd: \xff",
    ]
    assert lines(interim(response(b"HTTP/1.1 103 Early Hints", *received))) == [
        b"Link: </a>; rel=preload",
        b"Link: </b>; rel=preload",
        b"X-Odd: \xff",
    ]


@pytest.mark.parametrize(
    ("changes", "more", "received", "kept"),
    [
        ({}, [], [b"X-End: 1", b"Server-Timing: a", b"X-End: 2"], [b"X-End: 1", b"Server-Timing: a", b"X-End: 2"]),
        ({}, [], [b"content-TYPE: a/b", b"Set-Cookie: a", b"Host: a", b"Connection: x", b"ETag: 1"], [b"ETag: 1"]),
        ({}, [b"Connection: x-end, close"], [b"X-End: 1", b"X-A: 1"], [b"X-A: 1"]),
        ({"response_rules": Rules(remove=frozenset({b"x-end"}))}, [], [b"X-End: 1", b"X-A: 1"], [b"X-A: 1"]),
        ({}, [], [b"Access-Control-Allow-Origin: *"], [b"Access-Control-Allow-Origin: *"]),
        ({"credential": CREDENTIAL}, [], [b"Access-Control-Allow-Origin: *", b"X-A: 1"], [b"X-A: 1"]),
        ({"cors": Cors(frozenset({b"http://a"}))}, [], [b"Access-Control-Allow-Origin: *", b"X-A: 1"], [b"X-A: 1"]),
    ],
    ids=["others", "forbidden", "named by Connection", "removed by a rule", "CORS", "CORS and a key", "CORS of ours"],
)
def test_trailers_travel_on_but_for_those_that_had_to_come_first(
    changes: dict[str, Any], more: list[bytes], received: list[bytes], kept: list[bytes]
) -> None:
    """SHOULD. RFC 9110 section 6.5.1; X7."""
    decided = forward(plan(proxy(route(**changes)), request()))
    assert lines(trailers(decided, response(OK, *more), fields(*received))) == kept
