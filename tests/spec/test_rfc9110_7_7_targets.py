"""RFC 9110 section 7.7: path and query reach the upstream as the bytes that came."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.wire import head

from .relayed import answering, configured, get, led_to, relayed


async def sent_on(origin: MakeOrigin, proxy: MakeProxy, text: str, *targets: bytes, environ=None) -> list[bytes]:
    """The targets that the one upstream of a configuration gets for these, each on a connection of its own."""
    one = await origin(answering())
    routes = configured(text, environ).routes
    proxied = await proxy(*(led_to(route, one.port) for route in routes))
    return [(await relayed(proxied, one, get(target)))[0].target for target in targets]


RAW = [
    b"/",
    b"/x",
    b"/a%2Fb%2fc%5Cd",
    b"/%41%7e%7E~",
    b"/a/../b/./c/.../..d/e..",
    b"/a/%2e%2e/%2E/b",
    b"/a/b/..%2f..%2Fc",
    b"//a///b//",
    b"/./",
    b"/a;b=1;c=/d;/e",
    b"/%zz%%%2",
    b"/%00%0d%0a%20%7f%80%ff",
    b"/%C3%A9%E2%82%AC",
    b"/%c3%28",
    b"/a+b%20c%2Bd",
    b"/!$&'()*+,;=:@-._~",
    b'/"<>[]\\^`{|}',
    b"/a:b@c:80/http://d/",
    b"/%252e%2525",
    b"/a/?/../b?c",
    b"/x?%2F/../%2e%2e//",
    b"/x?a=/b/../c&d=%2e#"[:-1],
    b"/x?\"<>[]\\^`{|}'",
    b"/" + b"long/" * 1500 + b"x?" + b"q" * 8000,
]


@pytest.mark.parametrize("target", RAW, ids=lambda target: str(target[:40]))
async def test_path_and_query_are_never_normalised(origin: MakeOrigin, proxy: MakeProxy, target: bytes):
    """P1: the prefix is exchanged and every other byte of path and query is the one that came."""
    upstream = "upstream: 'http://up.example"
    whole = f"routes: [{{{upstream}'}}]"
    stripped = f"routes: [{{{upstream}', path: /p/, strip_prefix: true}}]"
    exchanged = f"routes: [{{{upstream}/New%2fbase', path: /p, strip_prefix: true}}]"
    kept = f"routes: [{{{upstream}/b', path: /p/}}]"
    assert await sent_on(origin, proxy, whole, target) == [target]
    assert await sent_on(origin, proxy, stripped, b"/p" + target) == [target]
    assert await sent_on(origin, proxy, exchanged, b"/p" + target) == [b"/New%2fbase" + target]
    assert await sent_on(origin, proxy, kept, b"/p" + target) == [b"/b/p" + target]


BASES = ["/b%2Fc", "/b//c", "//b", "/https://other.example/v1", "/b%23c%20d%C3%A9", "/b/%2e%2e/c", "/b;c=1"]
BELOW = [b"/a%2Fb", b"//a//b", b"/https://c.example//d", b"/%23%20%C3%A9%25", b"/https:/e", b"/%3Fa%3D1?%3F"]


@pytest.mark.parametrize("base", [*BASES, *(f"{base}/" for base in BASES), "/fetch/https://", "/b//"])
async def test_hard_paths_survive_on_both_sides_of_the_join(origin: MakeOrigin, proxy: MakeProxy, base: str):
    """P2: escaped and doubled slashes, whole URLs and escapes live on, in the upstream's own path and the request's."""
    text = f"routes: [{{upstream: 'http://up.example{base}', path: /p, strip_prefix: true}}]"
    expected = [base.encode().removesuffix(b"/") + below for below in BELOW]
    assert await sent_on(origin, proxy, text, *(b"/p" + below for below in BELOW)) == expected


JOINS = [
    # the upstream's path, our prefix, what is asked for, what is sent
    ("", "/p", b"/p", b"/"),
    ("", "/p", b"/p/", b"/"),
    ("", "/p/", b"/p", b"/"),
    ("", "/p/", b"/p/", b"/"),
    ("/", "/p", b"/p", b"/"),
    ("/", "/p/", b"/p/x", b"/x"),
    ("/", "/p/", b"/p?a", b"/?a"),
    ("/b", "/p", b"/p/x", b"/b/x"),
    ("/b/", "/p", b"/p/x", b"/b/x"),
    ("/b", "/p/", b"/p/x", b"/b/x"),
    ("/b/", "/p/", b"/p/x", b"/b/x"),
    ("/b/", "/p/", b"/p/x/", b"/b/x/"),
    ("/b", "/p", b"/p?a", b"/b/?a"),
    ("/b/", "/p/", b"/p/", b"/b/"),
    ("/b/c", "/p/q/", b"/p/q/x", b"/b/c/x"),
    ("/b", "/", b"/", b"/b/"),
    ("/b/", "/", b"/x", b"/b/x"),
]


@pytest.mark.parametrize("strip", [True, False], ids=["strip", "keep"])
@pytest.mark.parametrize(("base", "prefix", "target", "expected"), JOINS)
async def test_one_slash_stands_between_base_and_rest(
    origin: MakeOrigin, proxy: MakeProxy, base: str, prefix: str, target: bytes, expected: bytes, strip: bool
):
    """P3: however the upstream's path ends and the rest begins, they meet at a single slash."""
    text = f"routes: [{{upstream: 'http://up.example{base}', path: {prefix}, strip_prefix: {str(strip).lower()}}}]"
    kept = base.encode().removesuffix(b"/") + target
    assert await sent_on(origin, proxy, text, target) == [expected if strip else kept]


QUERIES = [
    ("", b"", b""),
    ("", b"?", b"?"),
    ("", b"?a=1", b"?a=1"),
    ("", b"??", b"??"),
    ("", b"?&", b"?&"),
    ("?k=v", b"", b"?k=v"),
    ("?k=v", b"?a=1", b"?k=v&a=1"),
    ("?k=v", b"?k=w&k=", b"?k=v&k=w&k="),
    ("?k=%2F;%zz&k", b"?%2f;a&", b"?k=%2F;%zz&k&%2f;a&"),
    ("?k=v", b"?a?b", b"?k=v&a?b"),
    ("?k=v", b"?&a", b"?k=v&&a"),
    ("?", b"?a=1", b"?a=1"),
    ("?", b"", b""),
]


@pytest.mark.parametrize("path", [b"/", b"/x", b"/%3F"])
@pytest.mark.parametrize(("own", "asked", "expected"), QUERIES)
async def test_the_queries_of_both_are_joined(
    origin: MakeOrigin, proxy: MakeProxy, path: bytes, own: str, asked: bytes, expected: bytes
):
    """P4: the upstream's own query comes first, then `&`, then the request's; one alone stays alone, `?` stays `?`."""
    text = f"routes: [{{upstream: 'http://up.example/b{own}', path: /p, strip_prefix: true}}]"
    assert await sent_on(origin, proxy, text, b"/p" + path + asked) == [b"/b" + path + expected]


MESSY = [
    b"a=1&a=2&b=3&a=1",
    b"a;b=1;a=2&c",
    b"%zz=%&%=1&%u0041",
    b"a=1&&b=2&",
    b"=&==&&=a",
    b"a[]=1&a[]=2&a%5B%5D=3",
    b"a=b+c%20d%2Be",
    b"path=/keyed/x&/keyed/x",
    b"/keyed/../keyed/",
    b"a=/../../..&%2e%2e/",
    b"x=http://evil.example/?b=c",
    b"_method=DELETE&host=evil.example",
    b"a=%26b%3D1%23",
    b"\"'<>{}|\\^`[]",
    b"?/keyed/",
]


@pytest.mark.parametrize("query", MESSY)
async def test_a_query_is_not_ours_to_read(origin: MakeOrigin, proxy: MakeProxy, query: bytes):
    """P5: keys repeat, `;` and broken escapes stand, order stays, and no query ever decides about route or refusal."""
    other = await origin(answering())
    one = await origin(answering())
    text = """
routes:
- {path: /keyed/, upstream: 'http://a', api_key: '${KEY}'}
- {path: /other/, upstream: 'http://a'}
- {path_regex: '[?]|keyed.*other', upstream: 'http://a'}
- {path: /, upstream: 'http://a'}
"""
    routes = configured(text, {"KEY": "sk-0123456789"}).routes
    ports = {"/keyed/": one.port, "/": one.port}
    proxied = await proxy(*(led_to(route, ports.get(route.name, other.port)) for route in routes))
    for path in (b"/keyed/x", b"/", b"/x"):
        target = path + b"?" + query
        got, _ = await relayed(proxied, one, get(target))
        assert got.target == target
        assert (got.get(b"authorization") is not None) == path.startswith(b"/keyed/")
    got, _ = await relayed(proxied, one, head(b"POST /x?%b HTTP/1.1" % query, b"Host: localhost", b"Content-Length: 0"))
    assert got.start == b"POST /x?%b HTTP/1.1" % query
    assert not other.connections
