"""Rules of redirects: a Location that points at the upstream is turned to us, any other passes."""

import re
from typing import Any

import pytest

from proxy.core.message import Peer, RequestHead
from proxy.core.routes import Match
from tests.core.samples import answered, request, response, route, upstream

API = Match(b"/api/")
PLAIN: dict[str, Any] = {}
STRIPPED: dict[str, Any] = {"match": API, "strip_prefix": True}
BASED: dict[str, Any] = {"upstream": upstream(base_path=b"/v1")}
BOTH: dict[str, Any] = {**STRIPPED, "upstream": upstream(base_path=b"/v1/")}
PORT: dict[str, Any] = {"upstream": upstream("upstream.example:8080")}
TLS: dict[str, Any] = {"upstream": upstream(tls=True)}
EXPRESSION: dict[str, Any] = {"match": Match(None, re.compile(b"^/a")), "strip_prefix": True}


def turned(
    location: bytes, changes: dict[str, Any], status: bytes = b"302 Found", asked: RequestHead | None = None
) -> bytes:
    prefix = b"/api/x" if route(**changes).match == API else b"/a"
    asked = asked or request(b"GET %b HTTP/1.1" % prefix, host=b"localhost:8787")
    head = response(b"HTTP/1.1 " + status, b"Location: " + location, b"Content-Length: 0")
    return next(value for key, _, value in answered(head, asked, **changes).fields if key == b"location")


@pytest.mark.parametrize(
    ("changes", "location", "told"),
    [
        pytest.param(PLAIN, b"http://upstream.example/x", b"http://localhost:8787/x", id="absolute"),
        pytest.param(PLAIN, b"HTTP://UPSTREAM.example/x", b"http://localhost:8787/x", id="absolute, letter case"),
        pytest.param(PLAIN, b"http://upstream.example", b"http://localhost:8787/", id="no path"),
        pytest.param(PLAIN, b"http://upstream.example/x?y#z", b"http://localhost:8787/x?y#z", id="query and fragment"),
        pytest.param(PLAIN, b"http://upstream.example/%2F//x", b"http://localhost:8787/%2F//x", id="bytes stay"),
        pytest.param(PORT, b"http://upstream.example:8080/x", b"http://localhost:8787/x", id="a port"),
        pytest.param(TLS, b"https://upstream.example/x", b"http://localhost:8787/x", id="https upstream, plain client"),
        pytest.param(
            STRIPPED, b"http://upstream.example/x", b"http://localhost:8787/api/x", id="stripped prefix is back"
        ),
        pytest.param(
            STRIPPED, b"http://upstream.example", b"http://localhost:8787/api/", id="stripped prefix, no path"
        ),
        pytest.param(BASED, b"http://upstream.example/v1/x", b"http://localhost:8787/x", id="base path is gone"),
        pytest.param(BASED, b"http://upstream.example/v1", b"http://localhost:8787/", id="base path alone"),
        pytest.param(BASED, b"http://upstream.example/v1?x", b"http://localhost:8787/?x", id="base path and query"),
        pytest.param(BASED, b"http://upstream.example/v1#x", b"http://localhost:8787/#x", id="base path and fragment"),
        pytest.param(BOTH, b"http://upstream.example/v1/x", b"http://localhost:8787/api/x", id="base path for prefix"),
        pytest.param(PLAIN, b"/x", b"/x", id="a path"),
        pytest.param(STRIPPED, b"/x?y", b"/api/x?y", id="a path, stripped prefix is back"),
        pytest.param(BASED, b"/v1/x", b"/x", id="a path, base path is gone"),
        pytest.param(BOTH, b"/v1/x", b"/api/x", id="a path, base path for prefix"),
        pytest.param(EXPRESSION, b"/x", b"/x", id="an expression has no prefix"),
        pytest.param(
            EXPRESSION, b"http://upstream.example/x", b"http://localhost:8787/x", id="an expression, absolute"
        ),
    ],
)
def test_a_location_that_points_at_the_upstream_is_turned_to_us(
    changes: dict[str, Any], location: bytes, told: bytes
) -> None:
    """SHOULD. H24: it would lead the client around us."""
    assert turned(location, changes) == told


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        pytest.param(PLAIN, b"http://other.example/x", id="another host"),
        pytest.param(PLAIN, b"https://upstream.example/x", id="another scheme"),
        pytest.param(TLS, b"http://upstream.example/x", id="another scheme, https upstream"),
        pytest.param(PLAIN, b"http://upstream.example:8080/x", id="another port"),
        pytest.param(PORT, b"http://upstream.example/x", id="the default port"),
        pytest.param(PORT, b"http://upstream.example:80801/x", id="a longer port"),
        pytest.param(PLAIN, b"http://upstream.example.evil.example/x", id="a longer name"),
        pytest.param(PLAIN, b"http://upstream.example@evil.example/x", id="user information"),
        pytest.param(PLAIN, b"http://user@upstream.example/x", id="user information before"),
        pytest.param(PLAIN, b"//other.example/x", id="another host, without scheme"),
        pytest.param(STRIPPED, b"//other.example/x", id="another host, without scheme, prefix"),
        pytest.param(PLAIN, b"x/y", id="relative"),
        pytest.param(STRIPPED, b"x/y", id="relative, prefix"),
        pytest.param(STRIPPED, b"../x", id="relative, upwards"),
        pytest.param(STRIPPED, b"?x", id="only a query"),
        pytest.param(STRIPPED, b"#x", id="only a fragment"),
        pytest.param(PLAIN, b"", id="empty"),
        pytest.param(PLAIN, b"mailto:a@upstream.example", id="another scheme altogether"),
        pytest.param(BASED, b"http://upstream.example/x", id="outside the base path"),
        pytest.param(BASED, b"http://upstream.example/v1x", id="a longer word than the base path"),
        pytest.param(BASED, b"http://upstream.example", id="above the base path"),
        pytest.param(BASED, b"/x", id="a path outside the base path"),
        pytest.param({**PLAIN, "rewrite_redirects": False}, b"http://upstream.example/x", id="switched off"),
        pytest.param({**STRIPPED, "rewrite_redirects": False}, b"/x", id="switched off, a path"),
    ],
)
def test_any_other_location_passes(changes: dict[str, Any], location: bytes) -> None:
    """MUST. H24, H25: it is relayed, never followed."""
    assert turned(location, changes) == location


@pytest.mark.parametrize(
    ("status", "told"),
    [
        *(
            (status, b"http://localhost:8787/x")
            for status in (b"201 x", b"301 x", b"302 x", b"303 x", b"307 x", b"308 x")
        ),
        *((status, b"http://upstream.example/x") for status in (b"404 x", b"500 x")),
    ],
    ids=lambda value: value.decode().partition(" ")[0] if b" " in value else "",
)
def test_a_location_is_turned_on_created_and_on_redirects(status: bytes, told: bytes) -> None:
    """SHOULD. RFC 9110 section 10.2.2: elsewhere the field has no meaning."""
    assert turned(b"http://upstream.example/x", PLAIN, status) == told


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        pytest.param(
            request(b"GET /a HTTP/1.1", host=b"localhost", peer=Peer("127.0.0.1", secure=True)),
            b"https://localhost/x",
            id="a client that speaks TLS",
        ),
        pytest.param(request(b"GET http://LOCALHOST:1/a HTTP/1.1"), b"http://LOCALHOST:1/x", id="absolute form"),
        pytest.param(request(b"GET /a HTTP/1.0", host=None), b"/x", id="1.0 without host: a path"),
    ],
)
def test_our_own_address_is_the_one_that_was_asked_for(asked: RequestHead, told: bytes) -> None:
    """SHOULD. H24, P9."""
    assert turned(b"http://upstream.example/x", PLAIN, asked=asked) == told


def test_a_query_without_a_path_is_one_of_the_root() -> None:
    """SHOULD. H24: for a client without Host, whose Location is a path, it must not become relative."""
    asked = request(b"GET /a HTTP/1.0", host=None)
    assert turned(b"http://upstream.example?x", PLAIN, asked=asked) == b"/?x"


def test_only_location_is_turned() -> None:
    """MUST. H15, H24."""
    received = [b"Content-Location: http://upstream.example/x", b"Refresh: 0; url=http://upstream.example/"]
    got = answered(response(b"HTTP/1.1 302 Found", *received, b"Content-Length: 0"))
    assert [b"%b: %b" % (name, value) for _, name, value in got.fields][:2] == received
