"""Laws of plans and answers that hold for every head a parser can hand over, however odd."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.answer import Answer, answer, failure
from proxy.core.cors import Cors
from proxy.core.errors import UpstreamError
from proxy.core.forwarding import Forwarding
from proxy.core.framing import of_response
from proxy.core.headers import HOP_BY_HOP
from proxy.core.message import (
    Field,
    Peer,
    RequestHead,
    ResponseHead,
    field,
    request_head,
    response_bytes,
    response_head,
)
from proxy.core.plan import Forward, Refuse, Reply, plan
from proxy.core.routes import Match, Route
from tests.core.samples import CREDENTIAL, TRACE, proxy, route, upstream

NAMES = [
    *(
        b"Host",
        b"Connection",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Content-Length",
        b"Upgrade",
        b"HTTP2-Settings",
    ),
    *(b"Keep-Alive", b"Proxy-Authorization", b"Authorization", b"x-api-key", b"Via", b"Forwarded", b"X-Forwarded-For"),
    *(b"X-Real-IP", b"Origin", b"Sec-Fetch-Site", b"Expect", b"Max-Forwards", b"Accept", b"Accept-Encoding"),
    *(b"Content-Type", b"Access-Control-Request-Method", b"Cookie", b"X-A"),
]
VALUES = [
    *(b"", b"localhost", b"[::1]:80", b"evil.example", b"chunked", b"gzip, chunked", b"0", b"5", b"9" * 5000, b"-1"),
    *(b"trailers", b"close, host, content-length, x-a, authorization", b"websocket", b"1.1 here", b"1.2.3.4, garbage"),
    *(b"http://localhost", b"null", b"same-origin", b"100-continue", b"text/event-stream", b"identity;q=0", b"POST"),
    *(b"application/json", b"a=b", b"\xff\xe4", b'"', b",", b";q=", b"mine"),
]
TARGETS = [
    *(
        b"/",
        b"/api",
        b"/api/x",
        b"/api//x;a",
        b"/b?c",
        b"/api/x?key=mine&a=%zz",
        b"/api?%6bey=mine",
        b"/api/../x",
        b"/api/%2e%2e/x",
        b"*",
        b"//x",
        b"/a#b",
        b"",
    ),
    *(b"http://localhost/api/x", b"http:///x", b"https://evil.example?x", b"http://a@b/", b"/?access_token=mine&&"),
]
visible = st.binary(max_size=12).map(lambda data: bytes(byte for byte in data if byte >= 0x20 and byte != 0x7F).strip())
some_fields = st.lists(
    st.tuples(st.sampled_from(NAMES), st.one_of(st.sampled_from(VALUES), visible)).map(lambda pair: field(*pair)),
    max_size=7,
)
some_requests = st.builds(
    lambda method, target, version, host, received, ip: request_head(
        method, target, version, tuple([field(b"Host", b"localhost")] * host + received), Peer(ip, secure=False)
    ),
    st.sampled_from([b"GET", b"HEAD", b"POST", b"OPTIONS", b"DELETE", b"PUT", b"QUERY"]),
    st.sampled_from(TARGETS),
    st.sampled_from([(1, 1)] * 6 + [(1, 0), (2, 0)]),
    st.sampled_from([1] * 6 + [0]),
    some_fields,
    st.sampled_from(["127.0.0.1", "::1", ""]),
)
PLAIN = route(name="plain", forwarding=Forwarding(forwarded=True))
KEYED = route(
    name="keyed",
    match=Match(b"/api/"),
    strip_prefix=True,
    credential=CREDENTIAL,
    cors=Cors(frozenset({b"http://localhost"})),
    upstream=upstream(base_path=b"/v1", query=b"v=1"),
)
PROXY = proxy(PLAIN, KEYED)


def names(of: list[Field] | tuple[Field, ...]) -> list[bytes]:
    return [key for key, _, _ in of]


@given(some_requests)
def test_a_request_always_gets_a_plan(asked: RequestHead) -> None:
    """MUST. A16, Z5: nothing a client sends is an exception of ours."""
    assert isinstance(plan(PROXY, asked), Forward | Refuse | Reply)


@given(some_requests)
def test_a_head_that_goes_upstream_is_sound(asked: RequestHead) -> None:
    """MUST. RFC 9112; H1, M9, F11, F13: one Host, one framing, nothing hop-by-hop but ours, one key and it is ours."""
    decided = plan(PROXY, asked)
    if not isinstance(decided, Forward):
        return
    first, *told = decided.head(TRACE).removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, spoken = first.split(b" ")
    assert (method, spoken) == (decided.request.method, b"HTTP/1.1")
    assert target.startswith(b"/v1/" if decided.route is KEYED else b"/")
    sent = [line.partition(b":")[0].lower() for line in told]
    assert told[0] == b"Host: upstream.example"
    assert sent.count(b"host") == 1
    framed = sent.count(b"content-length") + sent.count(b"transfer-encoding")
    assert framed == 1 if decided.body.framing in ("length", "chunked") else framed <= 1
    assert set(sent) & HOP_BY_HOP <= {b"transfer-encoding", b"te", b"connection"}
    assert {b"TE: trailers", b"Connection: TE"} <= set(told) or not {b"te", b"connection"} & set(sent)
    if decided.route is KEYED:
        assert told.count(b"Authorization: Bearer injected") == sent.count(b"authorization") == 1
        assert b"x-api-key" not in sent
        assert b"mine" not in target


responses = st.builds(
    lambda status, reason, version, received: response_head(status, reason, version, tuple(received)),
    st.sampled_from([200, 204, 206, 302, 304, 404, 500, 599]),
    st.sampled_from([b"", b"OK", b"\xff odd"]),
    st.sampled_from([(1, 1), (1, 0)]),
    st.lists(
        st.tuples(
            st.sampled_from([b"Content-Encoding", b"Location", b"ETag", b"Cache-Control", b"Vary", *NAMES]),
            st.sampled_from([*VALUES, b"gzip", b"no-transform", b"http://upstream.example/v1?x", b"/v1", b"*"]),
        ).map(lambda pair: field(*pair)),
        max_size=7,
    ),
)


@pytest.mark.parametrize("covered", [PLAIN, KEYED], ids=["plain", "keyed"])
@given(head=responses, line=st.sampled_from([b"GET", b"HEAD", b"POST"]), version=st.sampled_from([(1, 0), (1, 1)]))
def test_a_head_that_goes_to_a_client_is_sound(
    covered: Route, head: ResponseHead, line: bytes, version: tuple[int, int]
) -> None:
    """MUST. RFC 9112 section 6; E5, M9, X9, X10, X11: framing is one thing or none, and label and bytes agree."""
    asked = request_head(line, b"/api/x", version, (field(b"Host", b"localhost"),), Peer("", secure=False))
    decided = plan(proxy(covered), asked)
    assert isinstance(decided, Forward)
    try:
        body = of_response(line, head)
    except UpstreamError:
        return
    got = answer(decided, head, body)
    told = names(got.fields)
    assert (got.status, got.reason) == (head.status, head.reason)
    assert told.count(b"transfer-encoding") == (got.body.framing == "chunked")
    assert told.count(b"content-length") <= 1
    assert not {b"transfer-encoding", b"content-length"} <= set(told)
    assert (got.body.framing == "length") <= (b"content-length" in told)
    assert got.body.framing != "chunked" or version >= (1, 1)
    assert not set(told) & (HOP_BY_HOP - {b"transfer-encoding"})
    assert head.status != 204 or b"content-length" not in told
    if got.stage is not None:
        assert b"content-encoding" not in told
    else:
        kept = [value for key, _, value in head.fields if key == b"content-encoding"]
        assert [value for key, _, value in got.fields if key == b"content-encoding"] == kept


@given(some_requests)
def test_a_refusal_is_an_answer_of_one_head(asked: RequestHead) -> None:
    """MUST. A2, A17, Z5: nothing that was sent to us can end our own head early."""
    decided = plan(PROXY, asked)
    if isinstance(decided, Refuse):
        got: Answer = failure(decided.error, asked, decided.route, b"here")
        written = response_bytes(got.status, got.reason, got.fields)
        assert written.count(b"\r\n") == len(got.fields) + 2
        assert written.count(b"\n") == written.count(b"\r") == len(got.fields) + 2
