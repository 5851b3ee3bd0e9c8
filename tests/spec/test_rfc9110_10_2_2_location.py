"""RFC 9110 sections 10.2.2 and 15.4: where an upstream sends the client is turned to us, and never gone to by us."""

from dataclasses import replace

import pytest

from proxy.core.cookies import Cookies
from proxy.core.routes import Match
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import route
from tests.net.origin import Connection, whole_request
from tests.net.wire import head

from .relayed import TODAY, answering, get, lines, relayed

P = b"http://localhost:9/p"
COOKIES = Cookies({b"api.example": b"localhost"}, {b"/": b"/p/"})
LOCATIONS = [
    (b"http://api.example/login?x=%2F#f", P + b"/login?x=%2F#f"),
    (b"http://api.example", P + b"/"),
    (b"http://api.example/", P + b"/"),
    (b"http://api.example?x", P + b"/?x"),
    (b"http://api.example#f", P + b"/#f"),
    (b"HTTP://API.example/A%2f//../b", P + b"/A%2f//../b"),
    (b"http://api.example:80/x", P + b"/x"),
    (b"//api.example/x", P + b"/x"),
    (b"/login?x", b"/p/login?x"),
    (b"/", b"/p/"),
    (b"https://api.example/x", None),
    (b"http://api.example:8080/x", None),
    (b"http://api.example.evil.example/x", None),
    (b"http://api.example@evil.example/x", None),
    (b"http://api.example:80@evil.example/x", None),
    (b"http://api.examplex", None),
    (b"http://www.api.example/", None),
    (b"http://evil.example/http://api.example/", None),
    (b"http://evil.example?http://api.example/", None),
    (b"//evil.example/x", None),
    (b"///api.example/x", None),
    (b"http:/api.example/x", None),
    (b"http:///api.example/x", None),
    (b"login", None),
    (b"../login", None),
    (b"?page=2", None),
    (b"#f", None),
    (b"", None),
    (b"mailto:a@api.example", None),
    (b"myapp://api.example/x", None),
    (b"\xe9t\xe9", None),
]


@pytest.mark.parametrize("status", [b"302 Found", b"201 Created"])
@pytest.mark.parametrize("rewrite", [True, False], ids=["rewrite", "pass"])
@pytest.mark.parametrize(("location", "turned"), LOCATIONS)
async def test_only_a_location_at_the_upstream_is_turned(
    origin: MakeOrigin, proxy: MakeProxy, location: bytes, turned: bytes | None, rewrite: bool, status: bytes
):
    """H24: a Location whose authority is the upstream's leads back to us, unless `redirects: pass`; others stay."""
    others = [b"Content-Location: http://api.example/x", b"Link: <http://api.example/x>", b"Refresh: 0; url=/x"]
    sent = [TODAY, *others, b"lOCATION: " + location, b"Content-Length: 0"]
    one = await origin([whole_request, head(b"HTTP/1.1 " + status, *sent)])
    made = route(one.port, match=Match(b"/p/"), strip_prefix=True, rewrite_redirects=rewrite)
    made = replace(made, upstream=replace(made.upstream, authority=b"api.example"))
    _, answer = await relayed(await proxy(made), one, get(b"/p/a", host=b"localhost:9"))
    expected = turned if turned is not None and rewrite else location
    shown = [b"lOCATION: " + expected if expected else b"lOCATION:"]
    assert lines(answer) == [TODAY, *others, *shown, b"Content-Length: 0"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"DELETE"])
@pytest.mark.parametrize("status", [b"300", b"301", b"302", b"303", b"307", b"308"])
@pytest.mark.parametrize("to", ["another origin", "the same upstream", "a path"])
async def test_a_redirect_is_the_clients_to_follow(
    origin: MakeOrigin, proxy: MakeProxy, method: bytes, status: bytes, to: str
):
    """H25: a redirect is relayed with status, body and Location, and we ask nobody a second time."""
    another = await origin(answering())

    def redirect(connection: Connection) -> None:
        targets = {"another origin": b"http://127.0.0.1:%d/x" % another.port, "a path": b"/x"}
        location = targets.get(to, b"http://127.0.0.1:%d/x" % connection.origin.port)
        body = b"" if method == b"HEAD" else b"moved"
        connection.send(head(b"HTTP/1.1 %b Go" % status, b"Location: " + location, b"Content-Length: 5") + body)

    one = await origin([whole_request, redirect, *answering()])
    client = await (await proxy(one)).connect()
    secrets = [b"Authorization: Basic dTpw", b"Cookie: a=1", b"X-Api-Key: key"]
    client.ask(method, b"/", *secrets, body=b"body" if method == b"POST" else None)
    answer = await client.answer()
    expected = {"another origin": b"http://127.0.0.1:%d/x" % another.port, "a path": b"/x"}
    assert answer.start == b"HTTP/1.1 %b Go" % status
    assert answer.get(b"location") == expected.get(to, b"http://localhost/x")
    assert answer.body == (b"" if method == b"HEAD" else b"moved")
    await client.ask_for_answer(b"/second")  # had anything been followed, it would have gone out before this
    (connection,) = one.connections
    assert [(asked.method, asked.target) for asked in connection.requests] == [(method, b"/"), (b"GET", b"/second")]
    assert not another.connections


async def test_cookies_are_turned_to_us_where_a_route_says_so(origin: MakeOrigin, proxy: MakeProxy):
    """The other half of H24: Domain and Path, line by line, and never a Domain for a cookie of the host's own."""
    sent = [b"Set-Cookie: a=1; Domain=api.example; Path=/; Secure", b"Set-Cookie: __Host-b=2; Path=/; Secure", TODAY]
    one = await origin(answering(head(b"HTTP/1.1 200 OK", *sent, b"Content-Length: 0")))
    _, answer = await relayed(await proxy(one, cookies=COOKIES), one, get(b"/"))
    assert lines(answer) == [
        *(b"Set-Cookie: a=1; Domain=localhost; Path=/p/; Secure", b"Set-Cookie: __Host-b=2; Path=/; Secure"),
        *(TODAY, b"Content-Length: 0"),
    ]
