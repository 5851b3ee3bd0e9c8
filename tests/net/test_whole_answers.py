"""An answer that is all here when its head is leaves in one write; what is large, or behind, has its relay."""

import pytest

from proxy.net.client_connection import ClientConnection
from proxy.net.relay import Relay
from proxy.net.upstream.response import WHOLE_BYTES

from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied, settles
from .origin import Connection, Script, fin, pushed, request, rst
from .responses import CHUNKED, OK, SSE, counted
from .test_backpressure import stalls
from .wire import chunk, head

JSON = b"Content-Type: application/json"
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")


@pytest.fixture
def relayed(monkeypatch: pytest.MonkeyPatch) -> list[Relay]:
    """The relays that were needed."""
    needed: list[Relay] = []
    begin = Relay.start

    def start(relay: Relay, *given) -> None:
        needed.append(relay)
        begin(relay, *given)

    monkeypatch.setattr(Relay, "start", start)
    return needed


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (OK, b"ok"),
        (counted(b"", JSON), b""),
        (head(b"HTTP/1.1 204 No Content"), b""),
        (CHUNKED + chunk(b"one") + chunk(b"two") + chunk(b""), b"onetwo"),
        (counted(b"x" * WHOLE_BYTES), b"x" * WHOLE_BYTES),
    ],
    ids=["counted", "empty", "no body", "chunked", "as large as may be"],
)
async def test_what_is_all_here_leaves_in_one_write(
    origin: MakeOrigin, proxy: MakeProxy, relayed: list[Relay], answer: bytes, body: bytes
):
    """MUST. And its figures are those that a relay would tell."""
    one = await origin([request, answer, request, answer])
    proxied = await proxy(one)
    client = await proxied.connect()
    for number in (1, 2):
        found = await client.ask_for_answer()
        assert (found.complete, found.body) == (True, body)
        assert len(client.reads) == number or len(answer) > 8192
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.bytes_out) == ("complete", len(body))
    assert exchange.head_at == exchange.first_byte_at == exchange.last_byte_at
    assert (len(one.connections), relayed) == (1, [])


async def test_the_answer_to_head_is_whole_without_its_body(origin: MakeOrigin, proxy: MakeProxy, relayed: list[Relay]):
    """MUST. RFC 9110 section 9.3.2."""
    one = await origin([request, head(b"HTTP/1.1 200 OK", b"Content-Length: 5")])
    client = await (await proxy(one)).connect()
    client.ask(b"HEAD")
    found = await client.answer()
    assert (found.status, found.body, relayed) == (200, b"", [])


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (counted(b"x" * (WHOLE_BYTES + 1)), b"x" * (WHOLE_BYTES + 1)),
        (CHUNKED + chunk(b"one") + b"0\r\nX-Sum: 1\r\n\r\n", b"one"),
        (SSE + chunk(b"data: 1\n\n") + chunk(b""), b"data: 1\n\n"),
    ],
    ids=["too large", "trailers", "a stream"],
)
async def test_anything_more_has_a_relay(
    origin: MakeOrigin, proxy: MakeProxy, relayed: list[Relay], answer: bytes, body: bytes
):
    one = await origin([request, answer])
    client = await (await proxy(one)).connect()
    found = await client.ask_for_answer()
    assert (found.body, len(relayed)) == (body, 1)


@pytest.mark.parametrize("ending", [fin, rst], ids=["fin", "reset"])
async def test_what_is_cut_off_is_not_whole(origin: MakeOrigin, proxy: MakeProxy, relayed: list[Relay], ending):
    """MUST. The client is told."""
    one = await origin([request, counted(b"whole")[:-1], ending])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    assert await client.wait_body_end(response) != "complete"
    assert len(relayed) == 1


async def test_a_client_that_reads_nothing_gets_no_more_answers_than_its_buffers_hold(
    origin: MakeOrigin, proxy: MakeProxy
):
    """MUST. None of them fills a buffer, all of them together would."""
    asked = 400
    script: Script = [step for _ in range(asked) for step in (request, counted(b"x" * WHOLE_BYTES))]
    one = await origin(script)
    client = await (await proxy(one)).connect(receive_buffer=4096)
    client.pause()
    for _ in range(asked):
        client.get()
    assert await settles(lambda: len(one.connections) == 1)
    upstream = one.connections[0]
    assert await stalls(lambda: len(upstream.requests)) < asked / 2
    client.resume()
    for _ in range(asked):
        assert (await client.answer()).size == WHOLE_BYTES


def is_behind(proxied: Proxied) -> bool:
    (connection,) = proxied.running._listening[0].server.connections
    assert isinstance(connection, ClientConnection)
    return connection.writing_paused


FLOODS = {
    "a stream": (SSE, chunk(b"x" * WHOLE_BYTES)),
    "a tunnel": (head(b"HTTP/1.1 101 Switching Protocols", *UPGRADE), b"x" * WHOLE_BYTES),
}


@pytest.mark.parametrize("case", FLOODS)
async def test_what_begins_behind_a_full_buffer_waits_for_it(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """MUST. T1. A loop tells of a full buffer once: who begins to write into one has to look, or it grows for ever."""
    start, piece = FLOODS[case]

    async def play(connection: Connection) -> None:
        while not connection.gone:
            await request(connection)
            if connection.gone or connection.request.target == b"/flood":
                break
            connection.send(counted(b"x" * WHOLE_BYTES))
        connection.send(start)
        await pushed(piece, 8192)(connection)

    one = await origin([play], kept=False)
    proxied = await proxy(one)
    client = await proxied.connect(receive_buffer=4096)
    client.pause()
    while not is_behind(proxied):
        client.get()
        await proxied.ended(len(client.methods))
    client.get(b"/flood", *UPGRADE)
    (upstream,) = one.connections
    await upstream.until(lambda: upstream.sent_bytes > 0, "the flood")
    assert await stalls(lambda: upstream.sent_bytes) < 64 * 1024 * 1024
    client.transport.abort()


async def test_what_ends_behind_a_full_buffer_has_the_clients_clock(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. T1. It is the client that is waited for, and only for as long as `client_write` says."""
    one = await origin([request, counted(b"x" * WHOLE_BYTES)] * 2000)
    proxied = await proxy(one, timeouts={"client_write": 0.3, "idle": 30.0})
    client = await proxied.connect(receive_buffer=4096)
    client.pause()
    while not is_behind(proxied):
        client.get()
        await proxied.ended(len(client.methods))
    client.get()
    assert (await proxied.ended(len(client.methods))).outcome == "client_stalled"
    client.transport.abort()
