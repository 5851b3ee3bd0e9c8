"""The response head that reaches the client: what passes as it came, what stops here, what we add."""

import pytest

from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.routes import Match

from .conftest import MakeOrigin, MakeProxy
from .origin import Connection, fin, request
from .responses import OK, SSE, UNTIL_CLOSE, counted
from .wire import Message, chunk, head


async def answered(
    origin: MakeOrigin, proxy: MakeProxy, *lines: bytes, start: bytes = b"HTTP/1.1 200 OK", **route
) -> Message:
    """The answer to a GET, as the client got it; Date is the upstream's."""
    one = await origin([request, head(start, b"Date: today", *lines, b"Content-Length: 0")])
    return await (await (await proxy(one, **route)).connect()).ask_for_answer()


async def test_order_case_and_number_of_fields_stay(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD, MUST for lines of one name. H11, H12. Set-Cookie is never merged."""
    lines = [b"SERVER: them", b"Set-Cookie: a=1; Path=/", b"x-lower: 1", b"set-cookie: b=2", b"X-Lower: 2", b"X-Empty:"]
    response = await answered(origin, proxy, *lines)
    shown = [b"%b: %b" % entry if entry[1] else entry[0] + b":" for entry in response.fields]
    assert shown == [b"Date: today", *lines, b"Content-Length: 0"]


async def test_bytes_above_ascii_pass_in_values(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. H12."""
    values = [b"\x80\xff", "né€".encode(), "né".encode("latin-1")]
    response = await answered(origin, proxy, *(b"X-Raw: " + value for value in values))
    assert response.all(b"x-raw") == values


async def test_nothing_is_invented_but_a_date(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. H15. RFC 9110 section 6.6.1. No Server, no Content-Type, no Via."""
    one = await origin([request, OK])
    response = await (await (await proxy(one)).connect()).ask_for_answer()
    assert sorted(response.names) == [b"Content-Length", b"Date"]
    date = response.get(b"date") or b""
    assert len(date) == 29
    assert date.endswith(b" GMT")


@pytest.mark.parametrize(
    "line",
    [
        b"Keep-Alive: timeout=5",
        b"Proxy-Authenticate: Basic",
        b"Proxy-Connection: keep-alive",
        b"Upgrade: h2c",
        b"Trailer: X-End",
        b"TE: trailers",
        b'Alt-Svc: h3=":443"',
        b"X-Accel-Redirect: /secret",
        b"X-Sendfile: /secret",
    ],
)
async def test_a_hop_by_hop_field_stops_here(origin: MakeOrigin, proxy: MakeProxy, line: bytes):
    """MUST. H1, H7, H23."""
    response = await answered(origin, proxy, line, b"X-Kept: 1")
    assert response.names == [b"Date", b"X-Kept", b"Content-Length"]


@pytest.mark.parametrize("connection", [[b"X-One, x-two"], [b"x-ONE", b"X-Two"], [b"", b" X-Two ,,X-One"]])
async def test_a_field_named_by_connection_stops_here(origin: MakeOrigin, proxy: MakeProxy, connection: list[bytes]):
    """MUST. H2, H3, H5. Content-Length cannot be named away."""
    named = [b"Connection: %b, Content-Length" % value for value in connection]
    response = await answered(origin, proxy, *named, b"X-One: 1", b"X-Two: 2", b"X-Three: 3")
    assert response.names == [b"Date", b"X-Three", b"Content-Length"]


async def test_an_answer_that_offers_an_upgrade_is_an_ordinary_answer(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. U2. Apache offers h2c on every answer."""
    response = await answered(origin, proxy, b"Upgrade: h2,h2c", b"Connection: Upgrade")
    assert (response.status, response.get(b"upgrade"), response.get(b"connection")) == (200, None, None)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 200 All Right Then",
        b"HTTP/1.1 200 \xe9t\xe9",
        b"HTTP/1.1 299 Odd",
        b"HTTP/1.1 404 Not Found",
        b"HTTP/1.1 418 Teapot",
        b"HTTP/1.1 500 Oops",
        b"HTTP/1.1 529 Overloaded",
        b"HTTP/1.1 599 ",
        b"HTTP/1.1 425 Too Early",
    ],
)
async def test_status_and_reason_pass(origin: MakeOrigin, proxy: MakeProxy, start: bytes):
    """MUST. H13, A1. RFC 9112 section 4. Unknown codes, odd and empty reasons."""
    assert (await answered(origin, proxy, start=start)).start == start


async def test_a_missing_reason_becomes_an_empty_one(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. RFC 9112 section 4: the blank before an absent reason is not optional, though servers leave it out."""
    assert (await answered(origin, proxy, start=b"HTTP/1.1 200")).start == b"HTTP/1.1 200 "


@pytest.mark.parametrize("lines", [[b"Connection: keep-alive"], []])
@pytest.mark.parametrize("start", [SSE, UNTIL_CLOSE])
async def test_an_http_1_0_client_gets_no_chunks_and_a_close(
    origin: MakeOrigin, proxy: MakeProxy, start: bytes, lines: list[bytes]
):
    """MUST. X11. RFC 9112 sections 6.1 and 9.3; keep-alive asked or not."""
    body = chunk(b"body") + chunk(b"") if start is SSE else b"body"
    one = await origin([request, start + body, fin])
    client = await (await proxy(one)).connect()
    client.send(head(b"GET / HTTP/1.0", b"Host: localhost", *lines))
    response = await client.answer()
    assert (response.body, response.get(b"transfer-encoding"), response.get(b"connection")) == (b"body", None, b"close")
    assert await client.wait_ended() == "fin"
    assert one.connections[0].request.start.endswith(b"HTTP/1.1")


async def test_an_http_1_0_client_keeps_a_length_and_loses_its_connection(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. X11."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(head(b"GET / HTTP/1.0", b"Host: localhost", b"Connection: keep-alive"))
    response = await client.answer()
    assert (response.framing, response.body) == ("length", b"ok")
    assert await client.wait_ended() == "fin"


async def test_a_client_that_asks_for_a_close_gets_one(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. K11. RFC 9112 section 9.6."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    response = await client.ask_for_answer(b"/", b"Connection: close")
    assert response.get(b"connection") == b"close"
    assert await client.wait_ended() == "fin"


async def test_interim_answers_are_relayed_with_their_own_fields(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. X1. RFC 9110 section 15.2. Several in a row, cleaned, and without a trace in the final head."""
    hints = head(b"HTTP/1.1 103 Early Hints", b"Link: </a.css>", b"Connection: X-Hop", b"X-Hop: 1")
    odd = head(b"HTTP/1.1 199 Odd")
    one = await origin([request, hints + hints + odd, OK])
    client = await (await proxy(one)).connect()
    client.get()
    answers = [await client.answer() for _ in range(4)]
    assert [answer.status for answer in answers] == [103, 103, 199, 200]
    assert answers[0].fields == [(b"Link", b"</a.css>")]
    assert answers[2].fields == []
    assert answers[3].get(b"link") is None


async def test_an_http_1_0_client_gets_no_interim_answer(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. X2."""
    one = await origin([request, head(b"HTTP/1.1 103 Early Hints") + OK])
    client = await (await proxy(one)).connect()
    client.send(head(b"GET / HTTP/1.0", b"Host: localhost"))
    assert (await client.answer()).status == 200
    assert client.raw.count(b"HTTP/1.1") == 1


async def test_a_204_has_no_framing_field(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. X10. RFC 9110 section 8.6, whatever the upstream put there."""
    response = await answered(origin, proxy, start=b"HTTP/1.1 204 No Content")
    assert response.names == [b"Date"]


async def test_stream_hints_are_on_streams(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. S11, S12. They join what is there, quoted values included."""
    one = await origin(
        [
            request,
            head(
                b"HTTP/1.1 200 OK",
                b"Content-Type: Text/Event-Stream; charset=utf-8",
                b'Cache-Control: private="a,b"',
                b"Cache-Control: max-age=0",
                b"X-Accel-Buffering: yes",
                b"Content-Length: 0",
            ),
        ]
    )
    proxied = await proxy(one)
    response = await (await proxied.connect()).ask_for_answer()
    assert response.get(b"cache-control") == b'private="a,b", max-age=0, no-cache, no-transform'
    assert response.get(b"x-accel-buffering") == b"no"
    assert (await proxied.ended()).stream == "type"


@pytest.mark.parametrize("media_type", [b"application/json", b"text/event-streamfoo", b"text/event-stream nonsense"])
async def test_other_answers_leave_without_hints(origin: MakeOrigin, proxy: MakeProxy, media_type: bytes):
    """MUST. S3, S13."""
    response = await answered(origin, proxy, b"Content-Type: " + media_type)
    assert (response.get(b"cache-control"), response.get(b"x-accel-buffering")) == (None, None)


async def test_a_response_rule_wins_over_a_hint(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. H22. Rules of the route run last."""
    rules = Rules(remove=frozenset({b"x-accel-buffering"}), add=(field(b"X-Added", b"1"),))
    response = await answered(origin, proxy, b"Content-Type: text/event-stream", response_rules=rules)
    assert (response.get(b"x-accel-buffering"), response.get(b"x-added")) == (None, b"1")


REDIRECTS = [
    (b"http://127.0.0.1:PORT/login?x", b"http://localhost/p/login?x"),
    (b"/login", b"/p/login"),
    (b"http://else.where/login", b"http://else.where/login"),
    (b"//else.where/login", b"//else.where/login"),
]


@pytest.mark.parametrize(("location", "expected"), REDIRECTS)
async def test_a_redirect_to_the_upstream_is_turned_to_us(
    origin: MakeOrigin, proxy: MakeProxy, location: bytes, expected: bytes
):
    """SHOULD. H24, H25. Relayed, never followed; another authority stays."""

    def redirect(connection: Connection) -> None:
        sent = location.replace(b"PORT", b"%d" % connection.origin.port)
        connection.send(counted(b"", b"Location: " + sent, status=b"302 Found"))

    one = await origin([request, redirect])
    client = await (await proxy(one, match=Match(b"/p/"), strip_prefix=True)).connect()
    response = await client.ask_for_answer(b"/p/x")
    assert (response.status, response.get(b"location")) == (302, expected)
    assert len(one.connections[0].requests) == 1


async def test_an_http_1_0_upstream_is_understood(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M17. RFC 9112 section 2.3. The client is spoken to in our own version."""
    one = await origin([request, head(b"HTTP/1.0 200 OK", b"Content-Type: text/plain") + b"until the end", fin])
    response = await (await (await proxy(one)).connect()).ask_for_answer()
    assert (response.body, response.framing) == (b"until the end", "chunked")
    assert response.start == b"HTTP/1.1 200 OK"
