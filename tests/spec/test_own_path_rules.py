"""Rules of our own about paths: which route one belongs to, that it cannot climb out of it, what a rewrite may make."""

import re

import pytest

from proxy.config.load import ConfigError
from tests.net.conftest import MakeOrigin, MakeProxy

from .relayed import answering, configured, get, led_to, refused, relayed

UPS = [b"..", b"%2e%2e", b".%2E", b"%2e.", b"%2E%2e"]
DISGUISED = [
    b"..;a=1",
    b"..%3bx",
    b"%252e%252e",
    b"%2e%252E",
    b"..%5cx",
    b"..\\x",
    b"..%2fx",
    b"%2e%2e%2Fx",
    b"..%252fx",
]
LEAVING = [
    *(b"/" + up for up in UPS),
    *(b"/" + up + b"/other/x" for up in (*UPS, *DISGUISED)),
    *(b"/a/b/../" + up + b"/" + up + b"/other" for up in UPS),
    b"/a/../../api/x",
    b"/./../x",
    b"/%2e/%2e%2e/x",
    b"/.../../../x",
    b"/a%2f../../../x",
    b"/a/..%2f..%2fother",
    b"/x;/../../other",
]
STAYING = [
    b"/a/..",
    b"/a/../",
    b"/a/%2e%2e/b",
    b"/a/b/../../c",
    b"/.",
    b"/%2e/./x",
    b"/...",
    b"/..a/a../.a./%2e%2ea",
    b"/x?/../../..",
    b"/x?%2e%2e/%2e%2e/",
    b"/a/..;x/b",
    b"/%2fx",
]


@pytest.mark.parametrize("prefix", ["/api/", "/api", "/", "/api/v1/"])
@pytest.mark.parametrize("strip", [True, False], ids=["strip", "keep"])
async def test_dot_segments_cannot_leave_the_prefix(origin: MakeOrigin, proxy: MakeProxy, prefix: str, strip: bool):
    """P7: a path that some server behind us would read as outside of its route's prefix is 400, never forwarded."""
    one = await origin(answering())
    text = f"routes: [{{path: {prefix}, upstream: 'http://a', strip_prefix: {str(strip).lower()}}}]"
    proxied = await proxy(*(led_to(made, one.port) for made in configured(text).routes))
    base = prefix.rstrip("/").encode()
    for rest in LEAVING:
        for target in (base + rest, b"http://localhost" + base + rest, base + rest + b"?x"):
            assert await refused(proxied, get(target)) == (400, "http_request_error"), target
    assert not one.connections
    for rest in STAYING:
        got, _ = await relayed(proxied, one, get(base + rest))
        assert got.target == (rest if strip else base + rest)


PATHS = [
    (b"/api", "api"),
    (b"/api/", "api"),
    (b"/api/x", "api"),
    (b"/api?x", "api"),
    (b"/api//x", "api"),
    (b"/api/v1/x", "v1"),
    (b"/api/v1", "v1"),
    (b"/api/v1?/", "v1"),
    (b"/api/v10", "api"),
    (b"/api/v1%2Fx", "api"),
    (b"/apix", "any"),
    (b"/api-x/y", "any"),
    (b"/api%2Fx", "any"),
    (b"/api;v=1/x", "any"),
    (b"/api.", "any"),
    (b"/API/x", "any"),
    (b"/%61pi/x", "any"),
    (b"//api/x", "any"),
    (b"/x/api/", "any"),
    (b"/?/api/x", "any"),
]
HOSTS = [
    (b"alpha.localhost", "alpha"),
    (b"ALPHA.LocalHost", "alpha"),
    (b"alpha.localhost:8787", "alpha"),
    (b"alpha.localhost:", "alpha"),
    (b"alpha.localhost.", "alpha"),
    (b"Alpha.localhost.:80", "alpha"),
    (b"evil-alpha.localhost", "any"),
    (b"xalpha.localhost", "any"),
    (b"x.alpha.localhost", "any"),
    (b"alpha.localhost.evil.example", "any"),
    (b"alpha.localhostx", "any"),
    (b"alpha", "any"),
    (b"localhost", "any"),
    (b"alpha.localhost..", "any"),
    (b"[::1]", "six"),
    (b"[::1]:8787", "six"),
    (b"127.0.0.1", "any"),
]
ROUTES = """
routes:
- {name: any, path: /, upstream: 'http://a'}
- {name: api, path: /api, upstream: 'http://a'}
- {name: v1, path: /api/v1/, upstream: 'http://a'}
- {name: alpha, host: Alpha.localhost, upstream: 'http://a'}
- {name: six, host: '::1', upstream: 'http://a'}
"""


@pytest.mark.parametrize(
    ("path", "host", "expected"),
    [*((path, b"localhost", name) for path, name in PATHS), *((b"/x", host, name) for host, name in HOSTS)],
)
async def test_prefixes_match_segments_and_hosts_match_exactly(
    origin: MakeOrigin, proxy: MakeProxy, path: bytes, host: bytes, expected: str
):
    """P8: a prefix takes whole segments as they are written; a host the same name, whatever case, port or final dot."""
    routes = configured(ROUTES).routes
    origins = {made.name: await origin(answering()) for made in routes}
    proxied = await proxy(*(led_to(made, origins[made.name].port) for made in routes), proxy={"hosts": None})
    got, _ = await relayed(proxied, origins[expected], get(path, host=host))
    assert got.target == path
    assert (await proxied.ended()).route == expected
    assert [name for name, one in origins.items() if one.connections] == [expected]


REWRITES = [
    # from, to, what is asked for, what is sent or what is answered
    ("^/old/(.*)", r"/new/\1", b"/old/a%2Fb//c?/old/x", b"/new/a%2Fb//c?/old/x"),
    ("^/old/(.*)", r"/new/\1", b"/older/x", b"/older/x"),
    ("%2F", "/", b"/a%2Fb%2fc?%2F", b"/a/b%2fc?%2F"),
    ("/x/", "/", b"/x/x/a/x/?/x/", b"/x/a/?/x/"),
    ("^/a$", "/b", b"/a?", b"/b?"),
    ("[?].*", "/c", b"/a?b", b"/a?b"),
    ("^", "/b", b"http://localhost?x", b"/b/?x"),
    ("$", "%20%23", b"/a", b"/a%20%23"),
    ("^/old/(.*)", r"\1", b"/old/x", 500),
    ("^/old/(.*)", r"\1", b"/old/http://evil.example/", 500),
    ("^/(.*)", r"\1", b"/", 500),
    ("^/", "http://evil.example/", b"/x", 500),
    ("^/.*", "*", b"/x", 500),
    ("^/old", r"/a\040b", b"/old", 500),
    ("^/old", r"/a\tb", b"/old", 500),
    ("^/old", r"/a\r\nX-Injected: 1".replace(" ", ""), b"/old", 500),
    ("^/old", r"/a\000b", b"/old", 500),
    ("^/old", r"/a\177b", b"/old", 500),
    ("^/old", r"/a\043b", b"/old", 500),
    ("^/old", r"/a\077b=c", b"/old", 500),
    ("^/old", r"/a\351b", b"/old", 500),
    ("^/old/", "/../", b"/old/x", 400),
    ("^/o(.)d/", r"/\1\1/", b"/o.d/x", 400),
]
UNLOADED = ["/a b", "/a?b", "/a#b", "/\xe9", r"/\2", r"/\q", "/(\\g<nobody>)"]


@pytest.mark.parametrize(("pattern", "to", "asked", "expected"), REWRITES)
async def test_a_rewrite_sees_raw_bytes_and_makes_a_path(
    origin: MakeOrigin, proxy: MakeProxy, pattern: str, to: str, asked: bytes, expected: bytes | int
):
    """P12: a rewrite works on the undecoded path without the query, and what it makes is checked before it is sent."""
    one = await origin(answering())
    text = f"routes: [{{upstream: 'http://a', rewrite: {{from: '{pattern}', to: '{to}'}}}}]"
    proxied = await proxy(*(led_to(made, one.port) for made in configured(text).routes))
    if isinstance(expected, bytes):
        got, _ = await relayed(proxied, one, get(asked))
        assert got.start == b"GET %b HTTP/1.1" % expected
    else:
        code = "proxy_configuration_error" if expected == 500 else "http_request_error"
        assert await refused(proxied, get(asked)) == (expected, code)
        assert not one.connections
    for wrong in UNLOADED:
        with pytest.raises(ConfigError, match=re.escape("routes[0].rewrite.to: expected a replacement")):
            configured(text.replace(f"to: '{to}'", f"to: '{wrong}'"))
