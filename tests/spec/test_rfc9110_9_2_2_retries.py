"""RFC 9110 section 9.2.2: what a proxy may send twice, and what it must not, whoever asks for it."""

import asyncio
import os
import socket

import pytest

from proxy.net.upstream.pool import Pool
from tests.net.client import Client
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import Proxied
from tests.net.origin import Connection, Origin, Script, fin, request, rst, whole_request
from tests.net.responses import OK, SSE
from tests.net.test_failures import assert_is_our_error
from tests.net.wire import chunk, head

REPEATED = [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"]
NOT_REPEATED = [b"POST", b"PATCH", b"QUERY", b"PROPFIND", b"MKCOL"]
ONCE_MORE: list[Script] = [[request, OK, whole_request, fin], [whole_request, OK] * 3]


async def warmed(origin: MakeOrigin, proxy: MakeProxy, *scripts: Script, **changes) -> tuple[Client, Origin, Proxied]:
    """A client whose next request goes out on a connection that has been used before."""
    one = await origin(*scripts)
    proxied = await proxy(one, **changes)
    client = await proxied.connect()
    assert (await client.ask_for_answer(b"/first")).body == b"ok"
    return client, one, proxied


def asked(one: Origin, target: bytes = b"/again") -> int:
    """How often an origin was asked for that."""
    return sum(message.target == target for connection in one.connections for message in connection.requests)


@pytest.mark.parametrize("method", [*REPEATED, *NOT_REPEATED])
async def test_which_methods_are_repeated(origin: MakeOrigin, proxy: MakeProxy, method: bytes):
    """R1: only what may be done twice is sent again when a kept connection takes it and ends; all else is a 502."""
    client, one, proxied = await warmed(origin, proxy, *ONCE_MORE)
    client.ask(method, b"/again", body=b"{}" if method in (b"PUT", b"POST", b"PATCH") else None)
    response = await client.answer()
    exchange = await proxied.ended(2)
    if method in REPEATED:
        assert (response.status, asked(one), exchange.attempts) == (200, 2, 2)
    else:
        assert_is_our_error(response, 502, "connection_terminated", "upstream")
        assert (asked(one), exchange.attempts) == (1, 1)


def shut_both_ways(connection: Connection) -> None:
    """What a server that closes does at once: FIN now, RST to whatever is still sent. Nothing is acknowledged then."""
    with socket.socket(fileno=os.dup(connection.transport.get_extra_info("socket").fileno())) as made:
        made.shutdown(socket.SHUT_RDWR)


def closes_under_the_request(one: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The origin closes between our last look at a kept connection and the request: the race of every pool."""
    take = Pool.take

    def take_and_close(pool: Pool):
        connection = take(pool)
        if connection is not None:
            shut_both_ways(one.connections[-1])
        return connection

    monkeypatch.setattr(Pool, "take", take_and_close)


UNSENT = ["refused", "unknown name", "closed before it was looked at"]


@pytest.mark.parametrize("case", [*UNSENT, "half a status line", "an interim answer", "a whole body later"])
async def test_what_was_never_applied(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """R2: a POST of which no byte was written may find another connection; after a byte of an answer nothing may."""
    if case == "unknown name":
        proxied = await proxy(80, host="name.invalid")
        client = await proxied.connect()
        client.ask(b"POST", b"/again", body=b"{}")
        assert (await client.answer()).status == 502
        assert (await proxied.ended()).bytes_in == 0
        return
    if case in UNSENT:
        client, one, proxied = await warmed(origin, proxy, [request, OK], [whole_request, OK])
        shut_both_ways(one.connections[0])  # the proxy's loop has had no turn since
        if case == "refused":
            one._server.close()
        client.ask(b"POST", b"/again", body=b"{}")
        assert (await client.answer()).status == (502 if case == "refused" else 200)
        assert asked(one) == (0 if case == "refused" else 1)
        return
    said = {"half a status line": b"HTTP/1.1 2", "an interim answer": head(b"HTTP/1.1 102 Processing")}
    client, one, proxied = await warmed(
        origin, proxy, [request, OK, whole_request, said.get(case, SSE), fin], [whole_request, OK]
    )
    client.get(b"/again")
    response = await client.next_head()
    if response.status == 102:
        response = await client.next_head()
    assert response.status == (200 if case == "a whole body later" else 502)
    await proxied.ended(2)
    assert (asked(one), len(one.connections)) == (1, 1)


TAKEN: dict[str, Script] = {
    "read, then closed": [request, OK, whole_request, fin],
    # A reset leaves before the acknowledgement that TCP delays, so that the count of acknowledged bytes is no proof.
    "read, then reset": [request, OK, whole_request, rst],
}


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
@pytest.mark.parametrize("case", ["closed as it was sent", *TAKEN])
async def test_a_post_is_repeated_only_if_nobody_had_it(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, case: str, method: bytes
):
    """R3: of which the peer's TCP took no byte goes out once more; what a server has read is never sent again."""
    client, one, proxied = await warmed(origin, proxy, TAKEN.get(case, [request, OK]), [whole_request, OK])
    if case not in TAKEN:
        closes_under_the_request(one, monkeypatch)
    client.ask(method, b"/again", body=b"{}")
    response = await client.answer()
    assert asked(one) == 1
    if case in TAKEN:
        assert_is_our_error(response, 502, "connection_terminated", "upstream")
        assert (len(one.connections), (await proxied.ended(2)).attempts) == (1, 1)
    else:
        assert (response.status, response.body) == (200, b"ok")
        assert one.connections[1].request.body == b"{}"


BODIES = {0: 200, 1: 200, 1000: 200, 64 * 1024: 200, 64 * 1024 + 1: 502, 1024 * 1024: 502}


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [*BODIES, "still on its way", "once", "other idle connections"])
async def test_how_it_is_repeated(origin: MakeOrigin, proxy: MakeProxy, size: int | str, framing: str):
    """R4: with all of a body that is no larger than 64 KiB, on a new connection, and one time only."""
    if size == "other idle connections":
        return await on_a_new_connection(origin, proxy)
    again: Script = [whole_request, fin] if size == "once" else [whole_request, OK]
    first: Script = [request, OK, request if size == "still on its way" else whole_request, fin]
    client, one, proxied = await warmed(origin, proxy, first, again, [whole_request, OK])
    body = b"x" * (size if isinstance(size, int) else 10)
    client.methods.append(b"PUT")
    length = b"Content-Length: %d" % (len(body) + 10 * (size == "still on its way"))
    if framing == "chunked":
        length = b"Transfer-Encoding: chunked"
        end = b"" if size == "still on its way" else chunk(b"")
        client.send(head(b"PUT /again HTTP/1.1", b"Host: localhost", length) + (chunk(body) if body else b"") + end)
    else:
        client.send(head(b"PUT /again HTTP/1.1", b"Host: localhost", length) + body)
    response = await client.answer()
    exchange = await proxied.ended(2)
    if isinstance(size, int) and BODIES[size] == 200:
        assert (response.status, exchange.attempts) == (200, 2)
        assert [connection.request.body for connection in one.connections] == [body, body]
    elif size == "once":
        assert (response.status, asked(one), len(one.connections), exchange.attempts) == (502, 2, 2, 2)
    else:
        assert (response.status, len([made for made in one.connections[1:] if made.request.complete])) == (502, 0)
    return None


async def on_a_new_connection(origin: MakeOrigin, proxy: MakeProxy) -> None:
    """Another kept connection may be as dead as the first was."""
    gate = asyncio.Event()
    stale: Script = [request, gate, OK, whole_request, fin]
    one = await origin(stale, stale, [whole_request, OK])
    proxied = await proxy(one)
    clients = [await proxied.connect() for _ in range(2)]
    for client in clients:
        client.get(b"/first")
    await one.until(lambda: len(one.connections) == 2, "two connections")
    gate.set()
    for client in clients:
        assert (await client.answer()).body == b"ok"
    clients[0].get(b"/again")
    assert (await clients[0].answer()).body == b"ok"
    assert [len(connection.requests) for connection in one.connections].count(2) == 1
    assert asked(one) == 2
    assert one.connections[2].request.target == b"/again"


NAME = "several.example"
INTERIMS = [b"100 Continue", b"102 Processing", b"103 Early Hints", b"199 Anything"]


@pytest.mark.parametrize("ending", [fin, rst], ids=["fin", "rst"])
@pytest.mark.parametrize("interim", [*INTERIMS, b"head", b"body"])
async def test_nothing_is_repeated_behind_a_byte(origin: MakeOrigin, proxy: MakeProxy, interim: bytes, ending):
    """R5: once a byte went to the client, of an interim answer too, a repeatable request is not repeated either."""
    gate = asyncio.Event()
    said = {b"head": SSE, b"body": SSE + chunk(b"data: 1\n\n")}.get(interim, head(b"HTTP/1.1 " + interim))
    client, one, proxied = await warmed(origin, proxy, [request, OK, request, said, gate, ending], [request, OK])
    client.get(b"/again")
    response = await client.next_head()
    gate.set()
    if interim in (b"head", b"body"):
        assert await client.wait_body_end(response) == "fin"
    else:
        assert [response.status, (await client.answer()).status] == [int(interim[:3]), 502]
    assert (asked(one), len(one.connections), (await proxied.ended(2)).attempts) == (1, 1, 1)


@pytest.mark.parametrize("ending", [fin, rst], ids=["fin", "rst"])
@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"GET", b"PUT"])
async def test_a_fresh_connection_that_took_it(origin: MakeOrigin, proxy: MakeProxy, method: bytes, ending):
    """R6: connected, sent and closed upon: a POST is the client's to repeat, a GET at most once ours."""
    one = await origin([whole_request, ending], [whole_request, OK])
    client = await (await proxy(one)).connect()
    client.ask(method, b"/again", body=None if method == b"GET" else b"{}")
    response = await client.answer()
    if method in (b"POST", b"PATCH"):
        assert_is_our_error(response, 502, "connection_terminated", "upstream")
        assert asked(one) == 1
    else:
        assert (response.status, asked(one)) in ((502, 1), (200, 2))


def resolver(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Makes one name have these addresses, in this order."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: str, port: int, **options: int) -> list:
        if host != NAME:
            return resolve(host, port, **options)
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address, _ in addresses]
        where = [(*address, 0, 0) if ":" in address[0] else address for address in addresses]
        return [(family, socket.SOCK_STREAM, 6, "", to) for family, to in zip(families, where, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def deaf_v6():
    """A port of ::1 at which connections are neither accepted nor refused."""
    with socket.socket(socket.AF_INET6) as listening:
        listening.bind(("::1", 0))
        listening.listen(0)
        waiting = []
        for _ in range(3):
            one = socket.socket(socket.AF_INET6)
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
            waiting.append(one)
        yield listening.getsockname()[1]
        for one in waiting:
            one.close()


def unused(family: socket.AddressFamily, host: str) -> int:
    """A port at which nobody listens."""
    with socket.socket(family) as made:
        made.bind((host, 0))
        return made.getsockname()[1]


@pytest.mark.parametrize("case", ["refused first", "silent first", "interleaved", "none in time"])
async def test_a_name_with_several_addresses(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, deaf_port: int, deaf_v6: int, case: str
):
    """R9: all are tried within timeouts.connect, the families in turn, and a POST goes to the first that takes it."""
    one = await origin([whole_request, OK])
    good, silent = ("127.0.0.1", one.port), [("::1", deaf_v6)]
    lists = {
        "refused first": [
            ("127.0.0.1", unused(socket.AF_INET, "127.0.0.1")),
            ("::1", unused(socket.AF_INET6, "::1")),
            good,
        ],
        "silent first": [("127.0.0.1", deaf_port), good],
        "interleaved": [*silent * 4, good],  # a quarter of a second for each that is silent: the last would be too late
        "none in time": [("127.0.0.1", deaf_port), *silent, ("127.0.0.1", deaf_port)],
    }
    resolver(monkeypatch, *lists[case])
    proxied = await proxy(one.port, host=NAME, timeouts={"connect": 0.6})
    client = await proxied.connect()
    client.ask(b"POST", b"/again", body=b"{}")
    response = await client.answer()
    if case == "none in time":
        assert_is_our_error(response, 504, "connection_timeout", "upstream")
        assert (await proxied.ended()).ended - (await proxied.ended()).started < 0.6 + 0.4
    else:
        assert (response.body, asked(one)) == (b"ok", 1)
