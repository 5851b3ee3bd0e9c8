"""Rules of our own about fields: framing that nobody can name away, what is never added, the operator's rules."""

from ipaddress import ip_network

import pytest

from proxy.config.load import ConfigError, load_text
from proxy.core.forwarding import Trusted
from proxy.core.headers import Rules
from proxy.core.routes import Match
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import INSTANCE
from tests.net.origin import fin, request, whole_request
from tests.net.responses import OK, SSE, counted
from tests.net.wire import chunk, head

from .relayed import BARE, FORWARDED_BY_US, TODAY, VIA_US, answering, configured, get, led_to, lines, refused, relayed

NAMED = [
    [b"Connection: Host, Content-Length"],
    [b"Connection: host,CONTENT-LENGTH,transfer-encoding"],
    [b"Connection: Transfer-Encoding", b"connection: connection, Host"],
    [b"Connection: Transfer-Encoding, upgrade"],
    [b"Connection: close, Host, Content-Length, Transfer-Encoding"],
]


@pytest.mark.parametrize("connection", NAMED)
@pytest.mark.parametrize("chunked", [False, True], ids=["counted", "chunked"])
@pytest.mark.parametrize("preserve_host", [False, True])
async def test_host_and_framing_cannot_be_named_away(
    origin: MakeOrigin, proxy: MakeProxy, connection: list[bytes], chunked: bool, preserve_host: bool
):
    """H5: Host, Content-Length and Transfer-Encoding are written by us for each side, whatever Connection says."""
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 4"
    body = chunk(b"body") + chunk(b"") if chunked else b"body"
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", framing, *connection, b"Host: x", TODAY) + body])
    proxied = await proxy(one, forwarding=BARE, preserve_host=preserve_host)
    got, answer = await relayed(
        proxied, one, head(b"POST / HTTP/1.1", *connection, b"Host: localhost:1", framing, b"X-A: 1") + body
    )
    host = b"localhost:1" if preserve_host else b"127.0.0.1:%d" % one.port
    assert sorted(lines(got)) == sorted([b"Host: " + host, b"X-A: 1", framing])
    assert sorted(lines(answer, b"connection", b"host")) == sorted([framing, TODAY])
    assert (got.body, answer.body) == (b"body", b"body")


NAMELESS = [b": 1", b":", b" : 1", b"\t: 1", b":X-A: 1"]


async def test_fields_need_a_name_but_no_value(origin: MakeOrigin, proxy: MakeProxy):
    """H10: a line without a name is refused from either side; an empty value arrives empty, unless a rule made it."""
    bad = [[whole_request, head(b"HTTP/1.1 200 OK", b"X-A: 1", line, b"Content-Length: 0")] for line in NAMELESS]
    one = await origin(*bad)
    proxied = await proxy(one)
    for line in NAMELESS:
        assert await refused(proxied, get(b"/", b"X-A: 1", line)) == (400, "http_request_error")
    assert not one.connections
    for _ in NAMELESS:
        assert await refused(proxied, get(b"/")) == (502, "http_protocol_error")

    empty = [b"X-Empty:", b"x-blank:   \t ", b"X-Empty: ", b"Accept:", b"Server:", b"X-Gone: a", b"X-Gone:"]
    other = await origin([whole_request, head(b"HTTP/1.1 200 OK", *empty, TODAY, b"Content-Length: 0")])
    rules = "{set: {X-Gone: '${NOTHING:-}', X-Kept: '${SOMETHING}'}, add: {X-New: '${NOTHING:-}', X-Empty: x}}"
    forwarding = "{x_forwarded: false, x_real_ip: false, via: false}"
    headers = f"headers: {{request: {rules}, response: {rules}}}"
    text = f"routes: [{{upstream: 'http://a', forwarding: {forwarding}, {headers}}}]"
    (route,) = configured(text, {"SOMETHING": "1"}).routes
    got, answer = await relayed(await proxy(led_to(route, other.port)), other, get(b"/", *empty))
    expected = [b"X-Empty:", b"x-blank:", b"X-Empty:", b"Accept:", b"Server:"]
    ruled = [b"X-Kept: 1", b"X-Empty: x"]
    assert lines(got, b"host") == [*expected, *ruled]
    assert lines(answer, b"content-length") == [*expected, TODAY, *ruled]


ADDED = [*FORWARDED_BY_US, VIA_US]
PLAIN = [
    (b"GET", [], None, []),
    (b"HEAD", [], None, []),
    (b"DELETE", [b"User-Agent: "], None, [b"User-Agent:"]),
    (b"OPTIONS", [b"user-AGENT: \xe9 (x)"], None, [b"user-AGENT: \xe9 (x)"]),
    (b"POST", [], b"body", [b"Content-Length: 4"]),
    (b"PUT", [b"Content-Type: x"], b"body", [b"Content-Type: x", b"Content-Length: 4"]),
    (b"PATCH", [], None, [b"Content-Length: 0"]),
    (b"GET", [b"Accept-Encoding: br"], None, [b"Accept-Encoding: br"]),
    (b"GET", [b"Connection: keep-alive"], None, []),
    (b"GET", [b"Connection: close"], None, []),
]


@pytest.mark.parametrize(("method", "sent", "body", "expected"), PLAIN)
async def test_requests_get_nothing_but_what_is_ours(
    origin: MakeOrigin, proxy: MakeProxy, method: bytes, sent: list[bytes], body: bytes | None, expected: list[bytes]
):
    """H14: User-Agent passes and none is made up; beside Host, framing, Via and forwarding fields nothing is added."""
    one = await origin(answering(counted(b"")))
    proxied = await proxy(one)
    length = [] if body is None else [b"Content-Length: %d" % len(body)]
    request = head(method + b" / HTTP/1.1", b"Host: localhost", *sent, *length)
    for _ in range(2):  # on a new upstream connection and on a kept one
        got, _ = await relayed(proxied, one, request + (body or b""))
        assert got.start == method + b" / HTTP/1.1"
        assert sorted(lines(got)) == sorted([b"Host: 127.0.0.1:%d" % one.port, *expected, *ADDED])
    assert len(one.connections) == 1


async def test_the_head_as_received_is_never_changed(origin: MakeOrigin, proxy: MakeProxy):
    """H16: a second attempt is byte for byte the first, and observers are told the request as it came."""
    one = await origin([whole_request, OK, whole_request, fin], answering())
    proxied = await proxy(
        one, match=Match(b"/p/"), strip_prefix=True, base_path=b"/b", query=b"k=v", proxy={"trusted": TRUSTED}
    )
    client = await proxied.connect()
    await client.ask_for_answer(b"/p/1")
    said = [b"X-Forwarded-For: 1.2.3.4", b"Via: 1.0 other", b"Connection: X-Gone", b"X-Gone: 1", b"TE: trailers"]
    await client.ask_for_answer(b"/p/%2e/x?a=1", *said)
    first, second = one.connections[0].requests[1], one.connections[1].requests[0]
    assert (first.start, first.fields) == (second.start, second.fields)
    assert second.start == b"GET /b/%2e/x?k=v&a=1 HTTP/1.1"
    assert lines(second, b"host") == [
        b"X-Forwarded-For: 1.2.3.4, 127.0.0.1",
        b"X-Forwarded-Host: localhost",
        b"X-Forwarded-Proto: http",
        b"X-Real-IP: 127.0.0.1",
        b"Via: 1.0 other, 1.1 " + INSTANCE,
        b"TE: trailers",
        b"Connection: TE",
    ]
    told = await proxied.ended(2)
    assert (told.method, told.target, told.client, told.attempts) == ("GET", "/p/%2e/x?a=1", "1.2.3.4", 2)


TRUSTED = Trusted((ip_network("127.0.0.1"),))
FORBIDDEN = ["Host", "host", "CONNECTION", "Connection", "Content-Length", "content-length", "Transfer-Encoding"]
FORMS = ["set: {X-A: a, @: b}", "add: {@: b}", "remove: [X-A, @]", "rename: {@: X-B}", "rename: {X-A: @}"]
RULED = """
routes:
  - upstream: http://a
    forwarding: {x_real_ip: false, via: false}
    headers:
      request: &rules
        remove: [x-forwarded-HOST, X-Gone]
        rename: {x-old: X-New}
        set: {X-Set: [1, 2], x-forwarded-proto: ours, TE-Like: x}
        add: {Set-Cookie: c=3, X-Added: 1}
      response:
        remove: [server, X-GONE]
        rename: {x-old: X-New, Date: X-Date}
        set: {X-Set: [1, 2], Alt-Svc: clear, X-Accel-Buffering: 'yes'}
        add: {Set-Cookie: c=3, X-Added: 1}
"""


async def test_rules_run_after_the_cleaning_and_leave_framing_alone(origin: MakeOrigin, proxy: MakeProxy):
    """H22: the operator's rules have the last word, but none can be loaded that sets Host, Connection or framing."""
    sent = [
        b"Connection: X-Set, X-Added, X-Hop",
        b"X-Hop: 1",
        b"X-Set: 0",
        b"x-OLD: 1",
        b"Set-Cookie: a=1",
        b"X-Gone: 1",
        b"X-Old: 2",
    ]
    answer_head = [b"Alt-Svc: theirs", b"Server: them", b"Date: theirs", b"Content-Length: 0"]
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", *sent, *answer_head)])
    (route,) = configured(RULED.replace("&rules", "")).routes
    got, answer = await relayed(await proxy(led_to(route, one.port)), one, get(b"/", *sent))
    expected = [b"X-New: 1", b"Set-Cookie: a=1", b"X-New: 2"]
    sets, adds = [b"X-Set: 1", b"X-Set: 2"], [b"Set-Cookie: c=3", b"X-Added: 1"]
    forwarded = [*expected, b"X-Forwarded-For: 127.0.0.1", *sets, b"x-forwarded-proto: ours", b"TE-Like: x", *adds]
    assert lines(got, b"host") == forwarded
    down = [b"X-Date: theirs", b"Content-Length: 0", *sets, b"Alt-Svc: clear", b"X-Accel-Buffering: yes", *adds]
    assert lines(answer, b"date") == [*expected, *down]
    for side in ("request", "response"):
        for name in FORBIDDEN:
            for form in FORMS:
                rule = form.replace("@", name)
                text = f"routes:\n- upstream: http://a\n  headers:\n    {side}: {{{rule}}}\n"
                with pytest.raises(ConfigError) as caught:
                    load_text(text, "spec.yaml", {})
                column = text.split("\n")[3].rindex(name) + 1
                assert str(caught.value).startswith(f"spec.yaml:4:{column}: routes[0].headers.{side}."), rule


ORDERS = [b"X-Accel-Redirect: /secret", b"x-accel-EXPIRES: 5", b"X-Accel-Limit-Rate: 1", b"X-ACCEL-CHARSET: x"]


@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found", b"304 Not Modified"])
async def test_orders_to_a_proxy_in_front_end_here(origin: MakeOrigin, proxy: MakeProxy, status: bytes):
    """H23: an upstream commands nobody in front of us: X-Accel-* but -Buffering, and X-Sendfile, end here."""
    kept = [b"X-Accel-Buffering: yes", b"X-Accelerate: 1"]
    sent = [kept[0], *ORDERS, *ORDERS, b"x-SendFile: /etc/passwd", kept[1]]
    early = head(b"HTTP/1.1 103 Early Hints", *sent)
    body = [] if status[:3] == b"304" else [b"Content-Length: 0"]
    one = await origin([whole_request, early + head(b"HTTP/1.1 " + status, TODAY, *sent, *body)])
    client = await (await proxy(one, forwarding=BARE)).connect()
    client.send(get(b"/", *sent))
    assert lines(await client.answer()) == kept
    assert lines(await client.answer()) == [TODAY, *kept, *body]
    assert lines(one.connections[0].request, b"host") == sent  # they are orders in answers only


class Broken(Rules):
    """Rules with a fault that no check at load has found."""

    def apply(self, fields):
        raise RuntimeError("this rule is broken")


@pytest.mark.logs_errors
@pytest.mark.parametrize("answer", [SSE, SSE + chunk(b"data: 1\n\n"), counted(b"whole")[:-1]], ids=len)
async def test_a_rule_that_fails_is_our_own_fault(origin: MakeOrigin, proxy: MakeProxy, answer: bytes):
    """H26: where a response rule breaks the client is told 500, and the upstream's body is not left running."""
    one = await origin([request, answer])
    proxied = await proxy(one, response_rules=Broken())
    assert await refused(proxied, get(b"/")) == (500, "proxy_internal_error")
    await one.until(lambda: not one.open_connections, "the upstream connection to be closed")
    told = await proxied.ended()
    assert (told.status, told.code) == (500, "proxy_internal_error")
