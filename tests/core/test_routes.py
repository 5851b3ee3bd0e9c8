"""Rules of routes: what a request has to look like, and which of several routes it belongs to."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.headers import FRAMING, REQUEST_DROPPED
from proxy.core.routes import Credential, Match, Origin, Route, Sharing, Tls, Upstream, find, ordered
from proxy.core.tracing import NAMES
from tests.core.samples import CREDENTIAL, KEY, route, upstream


@pytest.mark.parametrize(
    ("path", "prefix", "covered"),
    [
        pytest.param(b"/", b"/", True, id="root"),
        pytest.param(b"/x", b"/", True, id="all is under the root"),
        pytest.param(b"/api/x", b"/api/", True, id="below"),
        pytest.param(b"/api/", b"/api/", True, id="at it"),
        pytest.param(b"/api", b"/api/", True, id="its own slash missing"),
        pytest.param(b"/apix", b"/api/", False, id="a longer word, prefix with slash"),
        pytest.param(b"/ap", b"/api/", False, id="a shorter word"),
        pytest.param(b"/api", b"/api", True, id="without slash, at it"),
        pytest.param(b"/api/", b"/api", True, id="without slash, its slash"),
        pytest.param(b"/api/x", b"/api", True, id="without slash, below"),
        pytest.param(b"/apix", b"/api", False, id="without slash, a longer word"),
        pytest.param(b"/api.x", b"/api", False, id="without slash, a dot"),
        pytest.param(b"/API/", b"/api/", False, id="letter case counts"),
        pytest.param(b"/api%2Fx", b"/api/", False, id="an encoded slash is no boundary"),
        pytest.param(b"/api%2Fx", b"/api", False, id="an encoded slash is no boundary, without slash"),
        pytest.param(b"//api/", b"/api/", False, id="two slashes in front"),
        pytest.param(b"/api//x", b"/api/", True, id="two slashes below"),
        pytest.param(b"", b"/", True, id="an empty path is the root"),
    ],
)
def test_a_prefix_ends_at_a_segment_boundary(path: bytes, prefix: bytes, covered: bool) -> None:
    """MUST. P8; a prefix's own final slash may be missing."""
    assert Match(prefix).covers(b"GET", b"localhost", path) is covered


segments = st.lists(st.sampled_from([b"a", b"ab", b"api", b""]), max_size=3).map(lambda names: b"/" + b"/".join(names))


@given(segments, segments)
def test_a_prefix_covers_what_segments_say(path: bytes, prefix: bytes) -> None:
    """MUST. P8: the law behind the table."""
    wanted = prefix.removesuffix(b"/").split(b"/")
    assert Match(prefix).covers(b"GET", b"localhost", path) is (path.split(b"/")[: len(wanted)] == wanted)


@pytest.mark.parametrize(
    ("wanted", "host", "covered"),
    [
        pytest.param(None, b"any.example", True, id="none"),
        pytest.param(None, b"", True, id="none, no host"),
        pytest.param(b"a.example", b"a.example", True, id="same"),
        pytest.param(b"a.example", b"A.Example", True, id="letter case"),
        pytest.param(b"a.example", b"a.example:8787", True, id="port"),
        pytest.param(b"a.example", b"a.example.", True, id="final dot"),
        pytest.param(b"a.example", b"a.example.:80", True, id="final dot and port"),
        pytest.param(b"a.example", b"evil-a.example", False, id="a longer name"),
        pytest.param(b"a.example", b"x.a.example", False, id="a name below"),
        pytest.param(b"a.example", b"a.example.evil.example", False, id="a name in front of another"),
        pytest.param(b"a.example", b"", False, id="HTTP/1.0 without host"),
        pytest.param(b"::1", b"[::1]:8787", True, id="IPv6"),
    ],
)
def test_a_host_has_to_be_the_same_but_for_case_port_and_final_dot(
    wanted: bytes | None, host: bytes, covered: bool
) -> None:
    """MUST. P8, and P10 for the missing one."""
    assert Match(host=wanted).covers(b"GET", host, b"/") is covered


@pytest.mark.parametrize(
    ("methods", "method", "covered"),
    [
        pytest.param(None, b"GET", True, id="all"),
        pytest.param(frozenset({b"GET", b"POST"}), b"POST", True, id="listed"),
        pytest.param(frozenset({b"GET"}), b"POST", False, id="not listed"),
        pytest.param(frozenset({b"GET"}), b"get", False, id="letter case counts"),
    ],
)
def test_methods_limit_a_route(methods: frozenset[bytes] | None, method: bytes, covered: bool) -> None:
    """MUST. RFC 9110 section 9.1: methods are case-sensitive."""
    assert Match(methods=methods).covers(method, b"", b"/") is covered


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [(rb"^/v\d+/", b"/v1/x", True), (rb"^/v\d+/", b"/vx/x", False), (rb"/chat$", b"/v1/chat", True)],
)
def test_a_regular_expression_is_searched_for_in_the_path(pattern: bytes, path: bytes, covered: bool) -> None:
    """MUST. The configuration's `path_regex`."""
    assert Match(None, re.compile(pattern)).covers(b"GET", b"", path) is covered


def test_a_match_of_neither_prefix_nor_expression_covers_nothing() -> None:
    """MUST. A mistake in the making of a route must not open it."""
    assert not Match(None, None).covers(b"GET", b"", b"/")


ORDER = [
    Match(b"/x", host=b"a.example", methods=frozenset({b"GET"})),
    Match(b"/x", host=b"a.example"),
    Match(b"/", host=b"a.example"),
    Match(None, re.compile(b"x"), methods=frozenset({b"GET"})),
    Match(None, re.compile(b"x")),
    Match(b"/long/", methods=frozenset({b"GET"})),
    Match(b"/long/"),
    Match(b"/x", methods=frozenset({b"GET"})),
    Match(b"/x"),
    Match(b"/", methods=frozenset({b"GET"})),
    Match(b"/"),
]


@given(st.permutations(ORDER))
def test_the_most_specific_route_is_tried_first(matches: list[Match]) -> None:
    """MUST. Host, then expression, then length of the prefix, then methods; in whichever order they were written."""
    assert [tried.match for tried in ordered(route(match=match) for match in matches)] == ORDER


def test_equally_specific_routes_are_tried_as_they_were_written() -> None:
    """MUST. The earlier wins."""
    names = [route(name=name, match=Match(prefix)) for name, prefix in (("a", b"/x/"), ("b", b"/y/"), ("c", b"/x/"))]
    assert [tried.name for tried in ordered(names)] == ["a", "b", "c"]


ROUTES = ordered(
    [
        route(name="rest", match=Match(b"/")),
        route(name="api", match=Match(b"/api/")),
        route(name="post", match=Match(b"/api/", methods=frozenset({b"POST"}))),
        route(name="chat", match=Match(b"/api/chat/")),
        route(name="versions", match=Match(None, re.compile(rb"^/v\d+/"))),
        route(name="host", match=Match(b"/api/", host=b"a.example")),
    ]
)


@pytest.mark.parametrize(
    ("method", "host", "path", "name"),
    [
        (b"GET", b"localhost", b"/", "rest"),
        (b"GET", b"localhost", b"/apix", "rest"),
        (b"GET", b"localhost", b"/api", "api"),
        (b"GET", b"localhost", b"/api/x", "api"),
        (b"POST", b"localhost", b"/api/x", "post"),
        (b"POST", b"localhost", b"/api/chat/x", "chat"),
        (b"GET", b"localhost", b"/v1/x", "versions"),
        (b"POST", b"A.example:80", b"/api/chat/x", "host"),
        (b"GET", b"a.example", b"/", "rest"),
    ],
)
def test_the_first_route_that_covers_a_request_takes_it(method: bytes, host: bytes, path: bytes, name: str) -> None:
    """MUST. P8."""
    found = find(ROUTES, method, host, path)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize("routes", [(), (route(match=Match(b"/api/")),)], ids=["no routes", "another route"])
def test_no_route_is_none(routes: tuple[Route, ...]) -> None:
    """MUST. `plan` makes a 404 of it."""
    assert find(routes, b"GET", b"localhost", b"/x") is None


@pytest.mark.parametrize(
    ("origin", "name"),
    [
        (Origin("a.example", 80), "http://a.example:80"),
        (Origin("a.example", 443, Tls()), "https://a.example:443"),
        (Origin("::1", 8080), "http://[::1]:8080"),
    ],
    ids=["http", "https", "IPv6"],
)
def test_an_origin_is_named_with_brackets_where_they_belong(origin: Origin, name: str) -> None:
    """MUST. F8."""
    assert origin.name == name


def test_connections_are_shared_only_between_equal_origins() -> None:
    """MUST. K4: scheme, host, port, TLS settings and server name."""
    origins = [
        Origin("a.example", 443),
        Origin("a.example", 443, Tls()),
        Origin("a.example", 443, Tls(verify=False)),
        Origin("a.example", 443, Tls(ca="/ca.pem")),
        Origin("a.example", 443, Tls(server_name="b.example")),
        Origin("a.example", 444, Tls()),
        Origin("b.example", 443, Tls()),
    ]
    again = [Origin(each.host, each.port, each.tls) for each in origins]
    assert len({*origins, *again}) == len(origins)
    assert [hash(each) for each in origins] == [hash(each) for each in again]


def test_what_never_travels_on_is_hop_by_hop_framing_and_a_clients_credentials() -> None:
    """MUST. H1, H5, F13."""
    assert route().request_dropped == REQUEST_DROPPED | FRAMING | NAMES
    assert route(credential=CREDENTIAL).request_dropped == REQUEST_DROPPED | FRAMING | NAMES | CREDENTIAL.clears


def test_a_credential_does_not_show_its_secret() -> None:
    """MUST. O8: not in a representation, wherever one is printed."""
    assert KEY[2] not in repr(Credential(KEY)).encode()
    assert "injected" not in repr(route(credential=CREDENTIAL))


def test_an_upstream_is_called_by_its_origin_unless_told_otherwise() -> None:
    one = upstream("a.example")
    assert (one.name, Upstream(one.origin, one.authority, name="second").name) == ("http://a.example:80", "second")


def test_an_upstream_is_the_same_whatever_its_weight_and_name() -> None:
    """What is known of it survives a reload that changes these."""
    one = upstream("a.example")
    assert one == Upstream(one.origin, one.authority, weight=7, name="second")


def test_a_route_knows_all_of_its_upstreams() -> None:
    one, two = upstream("a.example"), upstream("b.example")
    assert route(upstream=one).upstreams == (one,)
    several = route(upstream=one, sharing=Sharing((one, two)))
    assert several.upstreams == (one, two)
    assert [(way.upstream, way.sharing, way.ways) for way in several.ways] == [(one, None, ()), (two, None, ())]
    assert route(upstream=one, sharing=Sharing((one,))).ways == ()
