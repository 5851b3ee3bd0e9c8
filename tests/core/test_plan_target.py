"""Rules of the target that goes upstream: prefix, rewrite, base path and query, all of it the bytes that came."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.plan import plan
from proxy.core.routes import Match
from tests.core.samples import CREDENTIAL, proxy, refused, request, route, sent_target, upstream

API, BARE = Match(b"/api/"), Match(b"/api")


@pytest.mark.parametrize(
    "target",
    [
        b"/",
        b"/a/b",
        b"//a///b/",
        b"/a/./b",
        b"/a/../b",
        b"/%2F%2f/%41/%zz/%",
        b"/%23%20%C3%A4",
        b"/https://a.example/b",
        b"/a;b=c,d/(e)*'f'!",
        b"/a\\b|c^d`e{f}",
        b"/a?",
        b"/a?b",
        b"/a?b=1&b=2;c&&=&%zz&d=%26",
        b"/a?b=/../c?d",
    ],
    ids=bytes.decode,
)
def test_path_and_query_go_out_as_they_came(target: bytes) -> None:
    """MUST. RFC 9110 section 7.7; P1, P2, P5."""
    assert sent_target(target) == target
    assert sent_target(b"/api" + target, match=BARE, strip_prefix=True) == target
    assert sent_target(b"/api" + target, match=API, strip_prefix=True) == target
    assert sent_target(target, upstream=upstream(base_path=b"/v1")) == b"/v1" + target


visible = st.binary(max_size=30).map(lambda data: bytes(0x21 + byte % 0x5E for byte in data))
harmless = visible.map(lambda data: data.replace(b"#", b"~").replace(b".", b"_").replace(b"%", b"!"))


@given(harmless)
def test_no_byte_is_ever_changed(rest: bytes) -> None:
    """MUST. RFC 9110 section 7.7; P1, P5: the law behind the table."""
    target = b"/" + rest
    assert sent_target(target) == target
    assert sent_target(b"/api" + target, match=API, strip_prefix=True) == target


@pytest.mark.parametrize(
    ("match", "base_path", "target", "told"),
    [
        pytest.param(API, b"", b"/api/x", b"/x", id="below"),
        pytest.param(API, b"", b"/api/", b"/", id="at it"),
        pytest.param(API, b"", b"/api", b"/", id="its slash missing"),
        pytest.param(API, b"", b"/api?a", b"/?a", id="its slash missing, a query"),
        pytest.param(BARE, b"", b"/api/x", b"/x", id="without slash, below"),
        pytest.param(BARE, b"", b"/api", b"/", id="without slash, at it"),
        pytest.param(BARE, b"", b"/api?a", b"/?a", id="without slash, a query"),
        pytest.param(API, b"", b"/api//x", b"//x", id="two slashes are two"),
        pytest.param(API, b"", b"/api/api/x", b"/api/x", id="once only"),
        pytest.param(API, b"/v1", b"/api/x", b"/v1/x", id="a base path"),
        pytest.param(API, b"/v1/", b"/api/x", b"/v1/x", id="a base path with slash"),
        pytest.param(API, b"/v1", b"/api", b"/v1/", id="a base path, its slash missing"),
        pytest.param(API, b"/v1", b"/api//x", b"/v1//x", id="a base path, two slashes"),
        pytest.param(Match(b"/"), b"", b"/x", b"/x", id="the root"),
        pytest.param(Match(b"/"), b"", b"//x", b"//x", id="the root, two slashes"),
        pytest.param(Match(b"/"), b"/v1", b"/", b"/v1/", id="the root and a base path"),
        pytest.param(Match(None, re.compile(b"^/a")), b"/v1", b"/api/x", b"/v1/api/x", id="an expression has none"),
    ],
)
def test_a_stripped_prefix_is_exchanged_for_the_base_path(
    match: Match, base_path: bytes, target: bytes, told: bytes
) -> None:
    """MUST. P1, P2, P3."""
    assert sent_target(target, match=match, strip_prefix=True, upstream=upstream(base_path=base_path)) == told


def test_a_prefix_that_is_not_stripped_stays() -> None:
    """MUST. P1."""
    assert sent_target(b"/api/x", match=API, upstream=upstream(base_path=b"/v1")) == b"/v1/api/x"
    assert sent_target(b"/api", match=API) == b"/api"


@pytest.mark.parametrize(
    ("pattern", "replacement", "target", "told"),
    [
        pytest.param(rb"^/old/(.*)", rb"/new/\1", b"/old/a%2Fb//c?d=e", b"/new/a%2Fb//c?d=e", id="a group"),
        pytest.param(rb"^/old", rb"/", b"/old", b"/", id="to the root"),
        pytest.param(rb"^/other", rb"/new", b"/old", b"/old", id="no match"),
        pytest.param(rb"b", rb"c", b"/bb", b"/cc", id="every match"),
        pytest.param(rb"^/(a)?(b)?$", rb"/x\1\2", b"/b", b"/xb", id="a group that took no part"),
        pytest.param(rb"old", rb"new", b"/a?old", b"/a?old", id="the query is no path"),
    ],
)
def test_a_rewrite_works_on_the_raw_path(pattern: bytes, replacement: bytes, target: bytes, told: bytes) -> None:
    """MUST. P12."""
    assert sent_target(target, rewrite=(re.compile(pattern), replacement)) == told


@pytest.mark.parametrize(
    "replacement",
    [b"new", b"", b"/a b", b"/a?b", b"/a#b", b"/\xc3"],
    ids=["no slash", "empty", "blank", "query", "#", "ä"],
)
def test_a_rewrite_that_gives_no_path_is_our_own_fault(replacement: bytes) -> None:
    """MUST. P12."""
    asked = proxy(route(rewrite=(re.compile(rb"^/old$"), replacement)))
    assert refused(plan(asked, request(b"GET /old HTTP/1.1"))) == (500, "proxy_configuration_error")


def test_a_rewrite_cannot_make_a_path_climb_out() -> None:
    """MUST. P7, P12: it may drop the very segments that the dots led out of."""
    covered = route(match=Match(b"/old/"), rewrite=(re.compile(rb"^/old/a/b/(.*)"), rb"/\1"))
    assert refused(plan(proxy(covered), request(b"GET /old/a/b/../../x HTTP/1.1")))[0] == 400


@pytest.mark.parametrize(
    ("query", "target", "told"),
    [
        (b"v=1", b"/a", b"/a?v=1"),
        (b"v=1", b"/a?", b"/a?v=1"),
        (b"v=1", b"/a?b=c&v=2", b"/a?v=1&b=c&v=2"),
        (b"", b"/a?b", b"/a?b"),
    ],
    ids=["only ours", "a lone question mark", "both", "only theirs"],
)
def test_the_upstreams_own_query_comes_first(query: bytes, target: bytes, told: bytes) -> None:
    """MUST. P4, P5."""
    assert sent_target(target, upstream=upstream(query=query)) == told


@pytest.mark.parametrize(
    ("target", "told"),
    [
        pytest.param(b"/a?key=mine", b"/a", id="alone"),
        pytest.param(b"/a?KEY=mine", b"/a", id="letter case"),
        pytest.param(b"/a?key", b"/a", id="no value"),
        pytest.param(b"/a?alt=sse&key=mine&b=c", b"/a?alt=sse&b=c", id="between others"),
        pytest.param(b"/a?key=1&access_token=2&api_key=3&api-key=4", b"/a", id="all of them"),
        pytest.param(b"/a?key=1&key=2&b", b"/a?b", id="twice"),
        pytest.param(b"/a?%6bey=mine&b", b"/a?b", id="encoded"),
        pytest.param(b"/a?b=%zz;c&&monkey=1&q=key", b"/a?b=%zz;c&&monkey=1&q=key", id="others stay as they came"),
        pytest.param(b"/a?b=1;key=mine", b"/a?b=1", id="behind a semicolon"),
        pytest.param(b"/a?key=mine;b=1&c", b"/a?b=1&c", id="before a semicolon"),
        pytest.param(b"/a?b;key=1;key=2;c", b"/a?b;c", id="between semicolons"),
        pytest.param(b"/a?", b"/a?", id="a lone question mark"),
        pytest.param(b"/a", b"/a", id="no query"),
        pytest.param(b"/key=mine", b"/key=mine", id="a path is no query"),
    ],
)
def test_where_a_key_is_injected_a_clients_own_leaves_the_query(target: bytes, told: bytes) -> None:
    """MUST. F13."""
    assert sent_target(target, credential=CREDENTIAL) == told


def test_where_none_is_injected_a_clients_own_key_passes() -> None:
    """MUST. P5, F13."""
    assert sent_target(b"/a?key=mine&access_token=x") == b"/a?key=mine&access_token=x"


def test_the_upstreams_own_query_may_hold_a_key() -> None:
    """MUST. F13: only what the client sent is cleared."""
    assert sent_target(b"/a?key=theirs", credential=CREDENTIAL, upstream=upstream(query=b"key=ours")) == b"/a?key=ours"


def test_a_route_by_regular_expression_takes_no_path_that_climbs() -> None:
    """MUST. P7: there is no prefix to stay below, so no climbing at all."""
    by_regex = Match(prefix=None, regex=re.compile(rb"^/v1/chat"))
    assert refused(plan(proxy(route(match=by_regex)), request(b"GET /v1/chat/../../admin HTTP/1.1")))[0] == 400
    assert sent_target(b"/v1/chat/x.y", match=by_regex) == b"/v1/chat/x.y"
