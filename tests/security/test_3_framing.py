"""Two readers of one connection that disagree on where a message ends: the second message would have our key."""

import asyncio
from pathlib import Path

import pytest

from tests.cli.command import run_once
from tests.net.conftest import MakeOrigin
from tests.net.origin import fin, request, whole_request
from tests.net.responses import OK, SSE, counted
from tests.net.wire import chunk, head
from tests.spec.relayed import answering

from .world import CANARY, HOST, code, routes, world

POST = b"POST /k/x HTTP/1.1"
HIDDEN = b"GET /k/hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
SMUGGLED: dict[str, tuple[bytes, set[int]]] = {
    "length and chunks": (head(POST, HOST, b"Content-Length: 4", CHUNKED) + b"0\r\n\r\n", {400}),
    "two lengths": (head(POST, HOST, b"Content-Length: 4", b"Content-Length: 5") + b"aaaa", {400}),
    "a list of lengths": (head(POST, HOST, b"Content-Length: 4, 4") + b"aaaa", {400}),
    "identity before chunks": (head(POST, HOST, b"Transfer-Encoding: identity, chunked") + b"0\r\n\r\n", {400, 501}),
    "another coding": (head(POST, HOST, b"Transfer-Encoding: xchunked") + b"0\r\n\r\n", {400, 501}),
    "chunked twice": (head(POST, HOST, b"Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n", {400, 501}),
    "a folded line": (head(POST, HOST, b"Transfer-Encoding:\r\n chunked") + b"0\r\n\r\n", {400}),
    "a bare CR in a value": (head(POST, HOST, b"A: b\rContent-Length: 4") + b"aaaa", {400}),
    "a blank before the colon": (head(POST, HOST, b"Content-Length : 4") + b"aaaa", {400}),
    "LF in a chunk extension": (head(POST, HOST, CHUNKED) + b"2;a\nx\r\nbb\r\n0\r\n\r\n", {400}),
    "no chunk size": (head(POST, HOST, CHUNKED) + b"0x2\r\nbb\r\n0\r\n\r\n", {400}),
    "an overflowing size": (head(POST, HOST, CHUNKED) + b"f" * 17 + b"\r\nbb\r\n0\r\n\r\n", {400}),
    "chunks in HTTP/1.0": (head(b"POST /k/x HTTP/1.0", HOST, CHUNKED) + b"0\r\n\r\n", {400}),
}


@pytest.mark.parametrize("case", SMUGGLED)
async def test_no_second_request_comes_out_of_one(origin: MakeOrigin, case: str):
    """SEC-20: what two parsers read differently is refused, and the connection ends with it."""
    sent, statuses = SMUGGLED[case]
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        client = await proxied.proxied.connect()
        client.methods.append(b"POST")
        client.send(sent + HIDDEN)
        answer = await client.answer()
        assert code(answer)[0] in statuses
        assert answer.get(b"connection") == b"close"
        assert await client.wait_ended() in ("fin", "reset")
        assert len(client.reader.messages) == 1
        assert b"hidden" not in b"".join(connection.raw for connection in one.connections)


async def test_a_cut_upload_leaves_no_connection_behind(origin: MakeOrigin):
    """SEC-21: what comes next on that connection would be read as the rest of the body."""
    one = await origin([request], answering())
    async with world(one, routes(one.port)) as proxied:
        client = await proxied.proxied.connect()
        client.send(head(POST, HOST, CHUNKED) + b"5\r\nab")
        await (await one.connection()).until(lambda: bool(one.connections[0].requests), "the head")
        client.reset()
        await one.connections[0].wait_ended()
        assert not one.connections[0].request.complete
        assert (await proxied.ask(b"GET /k/y")).body == b"ok"
        assert [[asked.target for asked in connection.requests] for connection in one.connections] == [[b"/x"], [b"/y"]]


async def test_pipelined_requests_wait_for_each_other(origin: MakeOrigin):
    """SEC-22: each client's answers come in its order, and never one's bytes inside another's."""
    gate = asyncio.Event()
    one = await origin([request, SSE, gate, chunk(b"first"), chunk(b""), whole_request, counted(b"second")])
    async with world(one, routes(one.port)) as proxied:
        client = await proxied.proxied.connect()
        client.send(head(b"GET /k/1 HTTP/1.1", HOST) + head(b"GET /k/2 HTTP/1.1", HOST))
        first = await client.next_head()
        assert [asked.target for asked in proxied.received] == [b"/1"]
        assert not first.size
        gate.set()
        assert await client.wait_body_end(first) == "complete"
        assert (first.body, (await client.answer()).body) == (b"first", b"second")
        assert [asked.target for asked in proxied.received] == [b"/1", b"/2"]


async def test_what_a_client_names_in_connection_cannot_remove_our_key(origin: MakeOrigin):
    """SEC-23: a hop's own list of what to drop is worked off before anything of ours is added."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        lists = [b"Connection:", b"cOnNeCtIoN: keep-alive, AUTHORIZATION", b"Connection: X-Forwarded-For ,x-own,, host"]
        assert (await proxied.ask(b"GET /k/x", *lists, b"X-Own: 1", b"X-Other: 2")).status == 200
        (got,) = proxied.received
        assert got.all(b"authorization") == [b"Bearer " + CANARY.encode()]
        assert got.all(b"x-forwarded-for") == [b"127.0.0.1"]
        assert (got.all(b"x-own"), got.all(b"x-other"), len(got.all(b"host"))) == ([], [b"2"], 1)


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\x00", b"\x01", b"\x7f"], ids=repr)
async def test_control_characters_are_no_part_of_a_value(origin: MakeOrigin, byte: bytes):
    """SEC-24: a value that ends its line begins a field, or a request, of the attacker's choice."""
    one = await origin(answering())
    async with world(one, routes(one.port)) as proxied:
        answer = await proxied.raw(head(b"GET /k/x HTTP/1.1", HOST, b"A: b" + byte + b"X-Injected: 1"))
        assert code(answer)[0] == 400
        proxied.assert_untouched()
        assert (await proxied.ask(b"GET /k/x", b"A: b%0d%0aX-Injected: 1")).status == 200
        assert proxied.received[0].all(b"x-injected") == []


HOSTILE: dict[str, bytes] = {
    "two lengths": head(b"HTTP/1.1 200 OK", b"Content-Length: 2", b"Content-Length: 3") + b"abc",
    "length and chunks": head(b"HTTP/1.1 200 OK", b"Content-Length: 2", CHUNKED) + b"0\r\n\r\n",
    "a control character": head(b"HTTP/1.1 200 OK", b"A: b\x01c", b"Content-Length: 0"),
    "a bare CR": head(b"HTTP/1.1 200 OK", b"A: b\rSet-Cookie: c", b"Content-Length: 0"),
    "a folded line": head(b"HTTP/1.1 200 OK", b"A: b\r\n c", b"Content-Length: 0"),
    "no name": head(b"HTTP/1.1 200 OK", b": b", b"Content-Length: 0"),
    "a huge field": head(b"HTTP/1.1 200 OK", b"A: " + b"b" * 70_000, b"Content-Length: 0"),
}


@pytest.mark.parametrize("case", HOSTILE)
async def test_a_hostile_head_becomes_an_error_and_nothing_else(origin: MakeOrigin, case: str):
    """SEC-25: what an upstream says about itself is rebuilt or refused; no byte of it can begin another answer."""
    one = await origin([request, HOSTILE[case] + POISON])
    async with world(one, routes(one.port)) as proxied:
        client = await proxied.proxied.connect()
        answer = await client.ask_for_answer(b"/k/x")
        assert code(answer)[0] == 502
        await one.connections[0].wait_ended()
        assert len(client.reader.messages) == 1
        assert b"poison" not in client.raw


POISON = counted(b"poison")


async def test_many_fields_and_a_large_one_pass(origin: MakeOrigin):
    """SEC-25 too, the other side: 200 fields and one of 20 KiB are unusual, and arrive."""
    fields = [b"X-%d: %d" % (number, number) for number in range(200)]
    one = await origin([request, counted(b"ok", *fields, b"Big: " + b"b" * 20_000)])
    async with world(one, routes(one.port)) as proxied:
        answer = await proxied.ask(b"GET /k/x")
        assert (answer.status, answer.all(b"x-199"), len(answer.all(b"big")[0])) == (200, [b"199"], 20_000)


UPGRADE = (b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: x")


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ((), (b"Connection: upgrade", b"Upgrade: websocket")),
        (UPGRADE, (b"Connection: upgrade", b"Upgrade: h2c")),
        (UPGRADE, (b"Connection: upgrade",)),
        (UPGRADE, (b"Connection: upgrade", b"Upgrade: websocket, h2c")),
    ],
    ids=["nobody asked", "another protocol", "none", "two"],
)
async def test_a_101_is_only_an_answer_to_what_was_asked(
    origin: MakeOrigin, asked: tuple[bytes, ...], answered: tuple[bytes, ...]
):
    """SEC-26: behind a 101 nothing is checked any more, so that it has to be the one that was meant."""
    one = await origin([request, head(b"HTTP/1.1 101 Switching Protocols", *answered) + OK, fin])
    async with world(one, routes(one.port)) as proxied:
        assert code(await proxied.ask(b"GET /k/x", *asked)) == (502, "http_upgrade_failed")
        assert await one.connections[0].wait_ended() != "open"


def test_the_strict_parser_is_not_optional(tmp_path: Path):
    """SEC-20 too: what aiohttp falls back to without its C extension is no parser to have in front of a key."""
    done = run_once(tmp_path, "serve", "http://127.0.0.1:1", environ={"AIOHTTP_NO_EXTENSIONS": "1"})
    assert done.returncode == 1
    assert "streamsafe: aiohttp's C extension is missing or switched off" in done.stderr
