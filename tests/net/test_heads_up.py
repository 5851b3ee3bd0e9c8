"""The request head that reaches the upstream: what passes as it came, what stops here, what we add."""

import re

import pytest

from proxy.core.forwarding import Forwarding, Trusted
from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.routes import Credential, Match

from .conftest import MakeOrigin, MakeProxy
from .harness import INSTANCE
from .origin import Origin, request, whole_request
from .responses import OK
from .wire import Message, head

OURS = {b"host", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip", b"via"}


@pytest.fixture
async def echo(origin: MakeOrigin) -> Origin:
    """An origin that answers and shows what it was asked."""
    return await origin([step for _ in range(40) for step in (whole_request, OK)])


async def received(proxied, echo: Origin, *lines: bytes, method: bytes = b"GET", target: bytes = b"/") -> Message:
    """The request as the upstream got it."""
    client = await proxied.connect()
    client.ask(method, target, *lines)
    assert (await client.answer()).status == 200
    return echo.connections[-1].request


def foreign(message: Message) -> list[tuple[bytes, bytes]]:
    """The fields that are not ours."""
    return [entry for entry in message.fields if entry[0].lower() not in OURS]


async def test_order_case_and_number_of_fields_stay(echo: Origin, proxy: MakeProxy):
    """SHOULD, MUST for lines of one name. H11, H12. RFC 9110 section 5.3."""
    lines = [
        b"x-LOWER: 1",
        b"User-Agent: me",
        b"ACCEPT: */*",
        b"Cookie: a=1",
        b"X-lower: 2",
        b"Cookie: b=2",
        b"X-Empty:",
    ]
    got = await received(await proxy(echo), echo, *lines)
    assert [b"%b: %b" % entry if entry[1] else entry[0] + b":" for entry in foreign(got)] == lines


async def test_bytes_above_ascii_pass_in_values(echo: Origin, proxy: MakeProxy):
    """SHOULD. H12. RFC 9110 section 5.5: obs-text is opaque data."""
    values = [b"\x80\xff", "né€".encode(), "né".encode("latin-1"), b"a\tb"]
    got = await received(await proxy(echo), echo, *(b"X-Raw: " + value for value in values))
    assert got.all(b"x-raw") == values


async def test_blanks_around_a_value_are_trimmed(echo: Origin, proxy: MakeProxy):
    """MUST. RFC 9112 section 5.1."""
    got = await received(await proxy(echo), echo, b"X-A: \t a b \t ")
    assert got.get(b"x-a") == b"a b"


HOP_BY_HOP = [
    b"Proxy-Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"Proxy-Authenticate: x",
    b"Proxy-Authorization: x",
    b"TE: gzip",
    b"Trailer: x",
    b"Upgrade: h2c",
    b"HTTP2-Settings: x",
    b"Proxy: http://evil",
]


@pytest.mark.parametrize("line", HOP_BY_HOP)
async def test_a_hop_by_hop_field_stops_here(echo: Origin, proxy: MakeProxy, line: bytes):
    """MUST. H1, H17, U2. RFC 9110 section 7.6.1; named by Connection or not."""
    got = await received(await proxy(echo), echo, line, b"X-Kept: 1")
    assert foreign(got) == [(b"X-Kept", b"1")]


@pytest.mark.parametrize(
    "connection", [[b"X-One, X-Two"], [b"x-one", b"X-TWO"], [b"", b"X-One ,, X-Two"], [b"close, X-One,X-Two"]]
)
async def test_a_field_named_by_connection_stops_here(echo: Origin, proxy: MakeProxy, connection: list[bytes]):
    """MUST. H2, H3. Any line, letter case and spacing; an empty first line hides no second (CVE-2021-33197)."""
    lines = [b"Connection: " + value for value in connection]
    got = await received(await proxy(echo), echo, *lines, b"X-One: 1", b"X-Two: 2", b"X-Three: 3")
    assert foreign(got) == [(b"X-Three", b"3")]


async def test_connection_cannot_name_what_is_ours(echo: Origin, proxy: MakeProxy):
    """MUST. H4, H5. CVE-2024-45410."""
    names = b"Connection: Host, Content-Length, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, X-Real-IP, Via"
    client = await (await proxy(echo)).connect()
    client.ask(b"POST", b"/", names, body=b"body")
    await client.answer()
    got = echo.connections[0].request
    assert {name.lower() for name in got.names} == OURS | {b"content-length"}
    assert got.body == b"body"


async def test_only_the_trailers_of_te_go_on(echo: Origin, proxy: MakeProxy):
    """MUST. H6. RFC 9110 section 10.1.4, RFC 9112 section 7.4."""
    got = await received(await proxy(echo), echo, b"TE: gzip;q=0.5, Trailers", b"Connection: TE", b"Trailers: no hop")
    assert (got.get(b"te"), got.get(b"connection"), got.get(b"trailers")) == (b"trailers", b"TE", b"no hop")


async def test_the_host_is_the_upstreams(echo: Origin, proxy: MakeProxy):
    """MUST. F7. With its port, as it is not the default."""
    got = await received(await proxy(echo), echo)
    assert got.get(b"host") == b"127.0.0.1:%d" % echo.port


async def test_preserve_host_sends_the_clients(echo: Origin, proxy: MakeProxy):
    """MUST. F7."""
    assert (await received(await proxy(echo, preserve_host=True), echo)).get(b"host") == b"localhost"


async def test_a_stranger_says_nothing_about_forwarding(echo: Origin, proxy: MakeProxy):
    """MUST. F1, F2."""
    lies = [b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: https", b"X-Forwarded-Port: 1"]
    got = await received(await proxy(echo), echo, *lies, b"X-Real-IP: 1.2.3.4", b"Forwarded: for=1.2.3.4")
    assert foreign(got) == []
    expected = {b"x-forwarded-for": b"127.0.0.1", b"x-forwarded-host": b"localhost", b"x-forwarded-proto": b"http"}
    assert {name: got.get(name) for name in expected} == expected
    assert got.get(b"x-real-ip") == b"127.0.0.1"


async def test_a_trusted_peer_is_believed_and_extended(echo: Origin, proxy: MakeProxy):
    """MUST. F3."""
    from ipaddress import ip_network

    proxied = await proxy(echo, proxy={"trusted": Trusted((ip_network("127.0.0.0/8"),))})
    said = [b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-For: 5.6.7.8", b"X-Forwarded-Proto: https"]
    got = await received(proxied, echo, *said, b"X-Forwarded-Host: outside")
    assert got.get(b"x-forwarded-for") == b"1.2.3.4, 5.6.7.8, 127.0.0.1"
    assert (got.get(b"x-forwarded-host"), got.get(b"x-forwarded-proto")) == (b"outside", b"https")
    assert (await proxied.ended()).client == "5.6.7.8"


async def test_forwarding_can_be_switched_off(echo: Origin, proxy: MakeProxy):
    """MUST. F1."""
    got = await received(await proxy(echo, forwarding=Forwarding(False, False, False, False)), echo)
    assert got.names == [b"Host"]


async def test_forwarded_can_be_switched_on(echo: Origin, proxy: MakeProxy):
    """MUST. F1. RFC 7239 section 4."""
    got = await received(await proxy(echo, forwarding=Forwarding(forwarded=True)), echo)
    assert got.get(b"forwarded") == b'for=127.0.0.1;proto=http;host="localhost"'


async def test_via_is_extended(echo: Origin, proxy: MakeProxy):
    """MUST. H19. RFC 9110 section 7.6.3."""
    got = await received(await proxy(echo), echo, b"Via: 1.0 first, 1.1 second")
    assert got.get(b"via") == b"1.0 first, 1.1 second, 1.1 " + INSTANCE


async def test_a_request_that_was_here_before_is_a_loop(echo: Origin, proxy: MakeProxy):
    """MUST. H20."""
    client = await (await proxy(echo)).connect()
    response = await client.ask_for_answer(b"/", b"Via: 1.1 other, 1.1 " + INSTANCE)
    assert (response.status, response.get(b"proxy-status")) == (502, INSTANCE + b"; error=proxy_loop_detected")
    assert not echo.connections


RAW_TARGETS = [
    b"/a%2Fb/%2e/c",
    b"//double//slash//",
    b"/a;b=c;d?x;y&x=1&x=2",
    b"/%zz?%zz=%",
    b"/?",
    b"/a??b",
    b"/https://else.where/x",
    b"/~!$&'()*+,;=:@-._",
    b"/a%20b?q=%C3%A9+%26",
    b"/./a/../b",
    b'/[x]|{y}\\^`"<>',
]


@pytest.mark.parametrize("target", RAW_TARGETS)
async def test_a_target_goes_out_as_it_came(echo: Origin, proxy: MakeProxy, target: bytes):
    """MUST. P1, P2, P4, P5. RFC 9110 section 7.7. No decoding, encoding or normalising."""
    assert (await received(await proxy(echo), echo, target=target)).target == target


@pytest.mark.parametrize(
    ("base", "query", "target", "sent"),
    [
        (b"/base", b"", b"/p/x", b"/base/x"),
        (b"/base/", b"", b"/p/x", b"/base/x"),
        (b"", b"", b"/p", b"/"),
        (b"", b"", b"/p?a=1", b"/?a=1"),
        (b"/base", b"k=v", b"/p/x?a=1", b"/base/x?k=v&a=1"),
        (b"/base", b"k=v", b"/p/x", b"/base/x?k=v"),
        (b"/base%2F", b"", b"/p/%2F", b"/base%2F/%2F"),
    ],
)
async def test_prefix_base_path_and_query_are_joined(
    echo: Origin, proxy: MakeProxy, base: bytes, query: bytes, target: bytes, sent: bytes
):
    """MUST. P3, P4."""
    proxied = await proxy(echo, base_path=base, query=query, match=Match(b"/p/"), strip_prefix=True)
    assert (await received(proxied, echo, target=target)).target == sent


async def test_the_absolute_form_is_sent_on_as_a_path(echo: Origin, proxy: MakeProxy):
    """MUST. P9, F11. RFC 9112 section 3.2.2. Its authority never decides where we connect."""
    got = await received(await proxy(echo), echo, target=b"http://localhost:1/a?b")
    assert (got.target, got.get(b"host")) == (b"/a?b", b"127.0.0.1:%d" % echo.port)


@pytest.mark.parametrize("target", [b"http://evil.example/", b"https://evil.example"])
async def test_the_absolute_form_of_another_host_is_421(echo: Origin, proxy: MakeProxy, target: bytes):
    """MUST. P9, C2."""
    assert (await (await (await proxy(echo)).connect()).ask_for_answer(target)).status == 421
    assert not echo.connections


async def test_rules_run_and_a_secret_replaces_what_the_client_sent(echo: Origin, proxy: MakeProxy):
    """MUST. F13, H22."""
    credential = Credential(field(b"Authorization", b"Bearer secret"), clears=frozenset({b"x-api-key"}))
    rules = Rules(remove=frozenset({b"x-gone"}), set=(field(b"X-Set", b"1"),))
    proxied = await proxy(echo, credential=credential, request_rules=rules)
    got = await received(proxied, echo, b"Authorization: mine", b"X-Api-Key: mine", b"X-Gone: 1", b"X-Set: 0")
    assert (got.get(b"authorization"), got.get(b"x-api-key"), got.get(b"x-gone")) == (b"Bearer secret", None, None)
    assert got.get(b"x-set") == b"1"


@pytest.mark.parametrize(
    ("lines", "method", "sent"),
    [
        ([b"Accept: text/event-stream", b"Accept-Encoding: gzip, br"], b"GET", b"identity"),
        ([b"Accept: text/event-stream"], b"GET", b"identity"),
        ([b"Content-Type: application/json", b"Accept-Encoding: gzip"], b"POST", b"identity"),
        ([b"Accept-Encoding: gzip, br"], b"GET", b"gzip, br"),
        ([b"Accept: text/event-stream", b"Accept-Encoding: gzip, identity;q=0"], b"GET", b"gzip, identity;q=0"),
        ([b"Accept: text/event-stream", b"Accept-Encoding: gzip, *;q=0"], b"GET", b"gzip, *;q=0"),
        ([], b"GET", None),
    ],
)
async def test_what_may_stream_is_asked_for_uncompressed(
    echo: Origin, proxy: MakeProxy, lines: list[bytes], method: bytes, sent: bytes | None
):
    """MUST. E1, E2. One line, unless the client refuses identity."""
    assert (await received(await proxy(echo), echo, *lines, method=method)).get(b"accept-encoding") == sent


async def test_expect_is_forwarded_and_its_100_relayed(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. X3. RFC 9110 section 10.1.1. We make none up."""
    one = await origin([request, head(b"HTTP/1.1 100 Continue"), whole_request_of(1), OK])
    client = await (await proxy(one)).connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Expect: 100-Continue", b"Content-Length: 4"))
    assert (await client.answer()).status == 100
    client.send(b"body")
    assert (await client.answer()).status == 200
    got = one.connections[0].request
    assert (got.get(b"expect"), got.body) == (b"100-Continue", b"body")


def whole_request_of(number: int):
    async def wait(connection) -> None:
        await connection.until(lambda: connection.requests[number - 1].complete, "the body")

    return wait


async def test_a_final_answer_to_an_unread_expect_closes(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. X6. RFC 9112 section 9.3. What the client sends next cannot be told apart."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Expect: 100-continue", b"Content-Length: 4"))
    assert (await client.answer()).get(b"connection") == b"close"


async def test_an_upgrade_that_is_not_tunnelled_is_dropped(echo: Origin, proxy: MakeProxy):
    """MUST. U2. Any Upgrade that is not tunnelled is dropped and the request goes on as plain HTTP."""
    got = await received(await proxy(echo), echo, b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"X-A: 1")
    assert foreign(got) == [(b"X-A", b"1")]


async def test_a_request_id_of_the_clients_passes(echo: Origin, proxy: MakeProxy):
    """SHOULD. O13."""
    assert (await received(await proxy(echo), echo, b"X-Request-ID: abc")).get(b"x-request-id") == b"abc"


async def test_nothing_else_is_added(echo: Origin, proxy: MakeProxy):
    """MUST. H14. No User-Agent, no Accept, no Connection."""
    got = await received(await proxy(echo), echo)
    assert {name.lower() for name in got.names} == OURS
    assert re.match(rb"GET / HTTP/1\.1\Z", got.start)
