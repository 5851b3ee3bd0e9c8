"""RFC 9112 section 3.2: the forms of a request target, and the Host that goes with it."""

import pytest

from proxy.core.guard import Hosts
from proxy.core.routes import Match
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import route
from tests.net.wire import head

from .relayed import answering, asked, configured, get, led_to, refused, relayed

MALFORMED = (400, "http_request_error")
BAD_BYTES = [
    b"#",
    b" ",
    *(bytes([number]) for number in (*range(0x20), *range(0x7F, 0x100))),
    "é".encode(),
    "／".encode(),  # a slash to whoever normalises Unicode
    b"\xe2\x80\xa8",
    b"\xc0\xaf",
]
PLACES = [b"/a%b", b"/%b", b"/a%bb", b"/x?a=%bb", b"http://localhost/a%b", b"http://localhost%b/a", b"/a%bHTTP/1.1"]


@pytest.mark.parametrize("place", PLACES)
async def test_a_target_is_visible_ascii(origin: MakeOrigin, proxy: MakeProxy, place: bytes):
    """P6: `#`, blanks, control characters and everything beyond ASCII are 400 anywhere in a target, not forwarded."""
    one = await origin(answering())
    proxied = await proxy(one)
    for bad in BAD_BYTES:
        if bad == b" " and place.endswith(b"%b"):
            continue  # a second blank before the version is no part of the target: RFC 9112 section 3
        assert await refused(proxied, get(place % bad)) == MALFORMED, bad
    assert not one.connections


FORMS = [
    # the target, Host, where it goes and as what; or the status
    (b"http://localhost/x?y", b"localhost", "any", b"/x?y"),
    (b"http://localhost", b"localhost", "any", b"/"),
    (b"http://localhost:8787", b"x.localhost", "any", b"/"),
    (b"http://localhost/", b"localhost", "any", b"/"),
    (b"http://localhost?y=/z", b"localhost", "any", b"/?y=/z"),
    (b"http://localhost?", b"localhost", "any", b"/?"),
    (b"HTTPS://LOCALHOST/X%2f//..a?http://b", b"localhost", "any", b"/X%2f//..a?http://b"),
    (b"http://[::1]:80//x", b"localhost", "any", b"//x"),
    (b"http://alpha.localhost/x", b"localhost", "alpha", b"/x"),
    (b"http://ALPHA.localhost.:99/x", b"beta.localhost", "alpha", b"/x"),
    (b"http://localhost/x", b"alpha.localhost", "any", b"/x"),
    (b"http://localhost/x", b"evil.example", "any", b"/x"),
    (b"http://evil.example/x", b"localhost", 421, b""),
    (b"https://evil.example", b"localhost", 421, b""),
    (b"http://localhost.evil.example/x", b"localhost", 421, b""),
    (b"http://127.0.0.1.evil.example:80?@localhost", b"localhost", 421, b""),
    (b"http://user@localhost/x", b"localhost", 400, b""),
    (b"http://evil.example@localhost/x", b"localhost", 400, b""),
    (b"http://localhost@evil.example/x", b"localhost", 400, b""),
    (b"http://localhost:x/", b"localhost", 400, b""),
    (b"http:///x", b"localhost", 400, b""),
    (b"http://", b"localhost", 400, b""),
    (b"http:/x", b"localhost", 400, b""),
    (b"http:x", b"localhost", 400, b""),
    (b"ftp://localhost/x", b"localhost", 400, b""),
    (b"ws://localhost/x", b"localhost", 400, b""),
    (b"localhost/x", b"localhost", 400, b""),
    (b"localhost:80", b"localhost", 400, b""),
    (b"x", b"localhost", 400, b""),
    (b"?x", b"localhost", 400, b""),
    (b"*", b"localhost", 400, b""),
    (b"\\\\localhost/x", b"localhost", 400, b""),
]


@pytest.mark.parametrize(("target", "host", "outcome", "sent"), FORMS)
async def test_the_absolute_form_names_a_host_and_no_destination(
    origin: MakeOrigin, proxy: MakeProxy, target: bytes, host: bytes, outcome: str | int, sent: bytes
):
    """P9: a whole URL is taken as path and query; its authority stands in for Host, and one that is not ours is 421."""
    upstreams = {"any": await origin(answering()), "alpha": await origin(answering())}
    routes = route(upstreams["any"].port), route(upstreams["alpha"].port, match=Match(b"/", host=b"alpha.localhost"))
    names = Hosts(frozenset({b"alpha.localhost", b"beta.localhost", b"x.localhost"}))
    proxied = await proxy(*routes, proxy={"hosts": names})
    if isinstance(outcome, int):
        assert (await refused(proxied, get(target, host=host)))[0] == outcome
        assert not any(one.connections for one in upstreams.values())
        return
    got, _ = await relayed(proxied, upstreams[outcome], get(target, host=host))
    assert got.target == sent
    assert got.get(b"x-forwarded-host") == target.partition(b"//")[2].partition(b"/")[0].partition(b"?")[0]
    assert got.get(b"host") == b"127.0.0.1:%d" % upstreams[outcome].port


BAD_HOSTS = [
    [],
    [b"Host:"],
    [b"Host: \t "],
    [b"Host: localhost", b"Host: localhost"],
    [b"Host: localhost", b"host: evil.example"],
    [b"HOST: localhost", b"X-A: 1", b"Host:"],
    *(
        [b"Host: " + value]
        for value in (
            b"localhost:80:80 localhost@localhost user:pw@localhost localhost/ localhost/x http://localhost localhost?x"
            b" localhost#x localhost:x localhost:-1 :80 [::1 ::1 [::1]x [] [::1]:x [localhost] [1:2] [::1::] local%zz"
            b' "localhost" <localhost> local|host {localhost} local^host local`host localhost\\evil [::1].evil.example'
        ).split(b" ")
    ),
    [b"Host: localhost, localhost"],
    [b"Host: local host"],
    [b"Host: local\thost"],
    [b"Host: local\x01host"],
    [b"Host: localh\xc3\xb6st"],
    [b"Host: localhost\xa0"],
]
KEYED = """
routes:
- {path: /keyed/, upstream: 'http://a', api_key: '${KEY}'}
- {path: /named/, upstream: 'http://a', host: alpha.localhost}
- {path: /, upstream: 'http://a'}
"""


@pytest.mark.parametrize("target", [b"/keyed/", b"/named/", b"http://localhost/"])
@pytest.mark.parametrize("lines", BAD_HOSTS, ids=lambda lines: str(b" ".join(lines)))
async def test_there_is_one_host_and_it_is_one(origin: MakeOrigin, proxy: MakeProxy, lines: list[bytes], target: bytes):
    """P10: HTTP/1.1 without exactly one good Host is 400; HTTP/1.0 may have none, except where a key is injected."""
    one = await origin(answering())
    routes = configured(KEYED, {"KEY": "sk-0123456789"}).routes
    for hosts in (Hosts(), None):  # also where no name is checked, as on listeners for everybody
        proxied = await proxy(*(led_to(made, one.port) for made in routes), proxy={"hosts": hosts})
        assert await refused(proxied, head(b"GET %b HTTP/1.1" % target, *lines)) == MALFORMED
        assert not one.connections
    if lines or not target.startswith(b"/"):
        return
    without = head(b"GET %b HTTP/1.0" % target, b"Connection: keep-alive")
    if target == b"/keyed/":
        assert await refused(proxied, without) == MALFORMED
    else:  # the route of everything, as there is no name for one that has a host
        got, _ = await relayed(proxied, one, without)
        assert (got.start, got.get(b"host")) == (b"GET %b HTTP/1.1" % target, b"a")
        assert got.get(b"x-forwarded-host") is None
        assert (await proxied.ended(2)).route == "/"


ASTERISKS = [
    (b"OPTIONS * HTTP/1.1", [b"Host: localhost"], b"", 204),
    (b"OPTIONS * HTTP/1.1", [b"Host: localhost", b"Content-Length: 4"], b"body", 204),
    (b"OPTIONS * HTTP/1.1", [b"Host: localhost", b"Max-Forwards: 3"], b"", 204),
    (b"OPTIONS * HTTP/1.0", [], b"", 204),
    (
        b"OPTIONS * HTTP/1.1",
        [b"Host: localhost", b"Origin: http://evil.example", b"Access-Control-Request-Method: GET"],
        b"",
        204,
    ),
    (b"OPTIONS * HTTP/1.1", [b"Host: evil.example"], b"", 421),
    (b"OPTIONS * HTTP/1.1", [], b"", 400),
    (b"OPTIONS *?x HTTP/1.1", [b"Host: localhost"], b"", 400),
    (b"OPTIONS ** HTTP/1.1", [b"Host: localhost"], b"", 400),
    (b"OPTIONS */x HTTP/1.1", [b"Host: localhost"], b"", 400),
    (b"GET * HTTP/1.1", [b"Host: localhost"], b"", 400),
    (b"POST * HTTP/1.1", [b"Host: localhost", b"Content-Length: 0"], b"", 400),
]


@pytest.mark.parametrize(("start", "lines", "body", "status"), ASTERISKS)
async def test_options_of_the_server_are_ours(
    origin: MakeOrigin, proxy: MakeProxy, start: bytes, lines: list[bytes], body: bytes, status: int
):
    """P11: `OPTIONS *` asks about the proxy, which answers 204 itself; no other method has that target."""
    one = await origin(answering())
    proxied = await proxy(one)
    answer = await asked(proxied, head(start, *lines) + body)
    assert answer.status == status
    if status == 204:
        assert (answer.body, answer.get(b"access-control-allow-origin")) == (b"", None)
        assert b"OPTIONS" in (answer.get(b"allow") or b"").split(b", ")
        if b"/1.1" in start:
            again = proxied.clients[0]
            again.send(get(b"/after"))
            assert ((await again.answer()).status, one.connections[0].request.target) == (200, b"/after")
            return
    assert not one.connections
