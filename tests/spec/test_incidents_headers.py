"""Fields with which other proxies were fooled: each rule here is an advisory or a bug report of one of them."""

from ipaddress import ip_network

import pytest

from proxy.core.forwarding import Forwarding, Trusted
from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.routes import Credential
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import whole_request
from tests.net.responses import OK, SSE
from tests.net.wire import chunk, head

from .relayed import BARE, FORWARDED_BY_US, TODAY, VIA_US, answering, get, lines, relayed

EMPTY_FIRST = [
    [b"", b" X-One, X-Two"],
    [b" ", b" X-One", b"", b" X-Two"],
    [b"\t", b" x-two,X-ONE"],
    [b" ,", b" X-One,", b",X-Two"],
    [b"", b"", b" , ,", b"", b" X-One , X-Two"],
    [b" , keep-alive", b" ,X-One, ,X-Two"],
]


@pytest.mark.parametrize("connection", EMPTY_FIRST)
async def test_an_empty_connection_line_hides_nothing(origin: MakeOrigin, proxy: MakeProxy, connection: list[bytes]):
    """H3: a first Connection line without a member does not keep the later ones from being read. CVE-2021-33197."""
    fields = [b"X-One: 1", b"X-Two: 2", b"X-Three: 3", b"Content-Length: 0"]
    sent = [*(b"Connection:" + value for value in connection), *fields]
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", TODAY, *sent)])
    got, answer = await relayed(
        await proxy(one, forwarding=BARE), one, head(b"POST / HTTP/1.1", b"Host: localhost", *sent)
    )
    assert lines(got, b"host") == fields[2:]
    assert lines(answer) == [TODAY, *fields[2:]]


OURS = [b"X-Forwarded-For", b"x-forwarded-host", b"X-FORWARDED-PROTO", b"X-Real-IP", b"forwarded", b"Via"]
RULED = [b"x-rule", b"AUTHORIZATION"]


@pytest.mark.parametrize("trusted", [(), (ip_network("127.0.0.1"),)], ids=["stranger", "trusted"])
@pytest.mark.parametrize("forged", [False, True])
@pytest.mark.parametrize("together", [True, False])
async def test_connection_cannot_delete_what_we_add(
    origin: MakeOrigin, proxy: MakeProxy, trusted: tuple, forged: bool, together: bool
):
    """H4: the cleaning is over before our own fields come, so that no Connection can name them away. CVE-2024-45410."""
    names = [*OURS, *RULED]
    options = [b"Connection: " + b", ".join(names)] if together else [b"Connection: " + name for name in names]
    lies = [name + b": 6.6.6.6" for name in names] if forged else []
    hints = [
        b"Connection: X-Accel-Buffering, cache-control, X-Rule, Date",
        b"X-Rule: theirs",
        b"X-Accel-Buffering: yes",
    ]
    one = await origin([whole_request, head(SSE.removesuffix(b"\r\n\r\n"), *hints) + chunk(b"")])
    ruled = Rules(set=(field(b"X-Rule", b"ours"),))
    proxied = await proxy(
        one,
        forwarding=Forwarding(forwarded=True),
        request_rules=ruled,
        response_rules=ruled,
        credential=Credential(field(b"Authorization", b"Bearer key")),
        proxy={"trusted": Trusted(trusted)},
    )
    got, answer = await relayed(proxied, one, get(b"/", *options, *lies))
    forwarded = b'Forwarded: for=127.0.0.1;proto=http;host="localhost"'
    assert sorted(lines(got, b"host")) == sorted(
        [*FORWARDED_BY_US, forwarded, VIA_US, b"X-Rule: ours", b"Authorization: Bearer key"]
    )
    assert (answer.get(b"x-accel-buffering"), answer.get(b"x-rule")) == (b"no", b"ours")
    assert answer.get(b"cache-control") == b"no-cache, no-transform"
    assert answer.get(b"date")


NEVER_DOWN = [
    b'Alt-Svc: h3=":443"; ma=86400, h2="alt.example:443"',
    b"alt-SVC: clear",
    b"Keep-Alive: timeout=60",
    b"PROXY-authenticate: Negotiate",
    b'Proxy-Authenticate: Basic realm="them"',
]


@pytest.mark.parametrize("status", [b"200 OK", b"204 No Content", b"304 Not Modified", b"401 No", b"407 No", b"503 No"])
@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
async def test_an_answer_does_not_lead_the_client_around_us(
    origin: MakeOrigin, proxy: MakeProxy, status: bytes, named: bool
):
    """H7: Alt-Svc, Keep-Alive and Proxy-Authenticate of an upstream end here, in interim answers too; others pass."""
    connection = [b"Connection: Alt-Svc, Keep-Alive, Proxy-Authenticate"] if named else []
    kept = [b"WWW-Authenticate: Basic", b"Alt-Used: x", b"Authentication-Info: x"]
    sent = [kept[0], *NEVER_DOWN, *connection, *kept[1:]]
    length = [] if status[:1] == b"2" or status[:3] == b"304" else [b"Content-Length: 0"]
    body = [b"Content-Length: 0"] if status == b"200 OK" else length
    one = await origin(
        [whole_request, head(b"HTTP/1.1 103 Early Hints", *sent) + head(b"HTTP/1.1 " + status, TODAY, *sent, *body)]
    )
    client = await (await proxy(one)).connect()
    client.send(get(b"/"))
    assert lines(await client.answer()) == kept
    answer = await client.answer()
    assert answer.start == b"HTTP/1.1 " + status
    assert lines(answer) == [TODAY, *kept, *body]


@pytest.mark.parametrize("name", [b"Proxy", b"proxy", b"PROXY", b"pRoXy"])
@pytest.mark.parametrize("options", [[], [b"Connection: Proxy"], [b"Connection: close"]])
async def test_the_proxy_field_of_a_request_ends_here(
    origin: MakeOrigin, proxy: MakeProxy, name: bytes, options: list[bytes]
):
    """H17: no request brings a Proxy field to a CGI upstream, which would take it for HTTP_PROXY (httpoxy)."""
    sent = [name + b": http://evil.example:80/", b"Proxy-Like: stays", *options, name + b":", b"XProxy: stays"]
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", TODAY, b"X-Proxy: x", b"Content-Length: 0")])
    got, answer = await relayed(await proxy(one, forwarding=BARE), one, get(b"/", *sent))
    assert lines(got, b"host") == [b"Proxy-Like: stays", b"XProxy: stays"]
    assert answer.get(b"x-proxy") == b"x"


LEARNT = [
    b"Set-Cookie: session=alice; Path=/",
    b"Set-Cookie: __Host-token=alice; Secure; Path=/",
    b'WWW-Authenticate: Digest realm="r", nonce="n"',
    b"Authentication-Info: nextnonce=alice",
    b'ETag: "alice"',
    b"Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT",
]


@pytest.mark.parametrize("status", [b"200 OK", b"401 Unauthorized"])
async def test_nothing_learnt_from_one_client_is_sent_for_another(origin: MakeOrigin, proxy: MakeProxy, status: bytes):
    """H18: cookies and credentials of one exchange are in no other, on one upstream connection. GHSA-7vwr-g6pm-9hc8."""
    first = head(b"HTTP/1.1 " + status, TODAY, *LEARNT, b"Content-Length: 0")
    one = await origin([whole_request, first, *answering(OK)])
    proxied = await proxy(one)
    alice, bob = await proxied.connect(), await proxied.connect()
    said = [b"Cookie: session=alice", b"Authorization: Basic YWxpY2U6", b"X-Api-Key: alice", b"User-Agent: alice"]
    answers = [await alice.ask_for_answer(b"/", *said)]
    answers += [await bob.ask_for_answer(b"/"), await alice.ask_for_answer(b"/")]
    assert lines(answers[0]) == [TODAY, *LEARNT, b"Content-Length: 0"]
    (connection,) = one.connections
    assert lines(connection.requests[0], b"host") == [*said, *FORWARDED_BY_US, VIA_US]
    assert [lines(later, b"host") for later in connection.requests[1:]] == [[*FORWARDED_BY_US, VIA_US]] * 2
    assert b"alice" not in bob.raw
