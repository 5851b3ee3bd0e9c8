"""A chunk that comes alone is handed on as it came; nothing else is ever taken for one."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ProxyError
from proxy.net.upstream.connection import Connection
from proxy.net.upstream.response import ResponseReader

from .conftest import MakeOrigin, MakeProxy
from .origin import Script, fin, request
from .responses import SSE
from .wire import chunk

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Body:
    """A receiver that writes down what it is given."""

    def __init__(self) -> None:
        self.data = b""
        self.chunks: list[bytes] = []
        self.ended = False
        self.error: ProxyError | None = None

    def receive(self, data: bytes, last: bool, chunk: bytes = b"") -> None:
        self.data += data
        self.ended = self.ended or last
        if chunk:
            assert chunk == b"%x\r\n%b\r\n" % (len(data), data)
            self.chunks.append(chunk)

    def failed(self, error: ProxyError) -> None:
        self.error = error


def begun() -> tuple[Connection, Body]:
    connection, body = Connection(asyncio.new_event_loop()), Body()
    connection._loop.close()
    connection.begin(b"GET", None)
    arrive(connection, HEAD)
    connection.attach(body)
    return connection, body


def arrive(connection: Connection, data: bytes) -> None:
    """One read, as a loop does it."""
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


def coded(data: bytes, form: str) -> bytes:
    size = {"plain": b"%x", "upper": b"%X", "zeros": b"00%x", "extended": b"%x;name=value"}[form] % len(data)
    return b"%b\r\n%b\r\n" % (size, data)


forms = st.sampled_from(["plain", "plain", "plain", "upper", "zeros", "extended"])
# Data that looks like framing, and of lengths on both sides of those that are compared.
pieces = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"5\r\nhello\r\n", b"\r\n", b"0\r\n\r\n", b"a\r\n0123456789\r\n", b"1", b"x" * 15, b"x" * 16]),
    st.integers(1000, 1040).map(lambda size: b"y" * size),
)


@given(
    chunks=st.lists(st.tuples(pieces, forms), max_size=8),
    splits=st.sets(st.integers(0, 3000), max_size=12),
    whole=st.booleans(),
)
def test_any_chunks_in_any_reads_give_the_same_body(
    chunks: list[tuple[bytes, str]], splits: set[int], whole: bool
) -> None:
    """MUST. A read is one of ours only if the next byte began a chunk, which `splits` puts to the test."""
    stream = b"".join(coded(data, form) for data, form in chunks) + b"0\r\n\r\n"
    ends = {sum(len(coded(*each)) for each in chunks[:number]) for number in range(len(chunks) + 1)} if whole else set()
    cuts = sorted({0, len(stream)} | {at for at in splits | ends if at < len(stream)})
    connection, body = begun()
    for start, end in pairwise(cuts):
        arrive(connection, stream[start:end])
    assert (body.data, body.ended, body.error) == (b"".join(data for data, _ in chunks), True, None)


@pytest.mark.parametrize(
    "reads",
    [
        [b"3\r\nabc\r\n1", b"5\r\nhello\r\n", b"x" * 14 + b"\r\n"],
        [b"3\r\nabc\r\n", b"20\r\nabc", b"5\r\nhello\r\n", b"x" * 19 + b"\r\n"],
        [b"3\r\nabc\r\n5\r\n", b"1\r\nx\r", b"\r\n"],
        [b"3\r\nabc\r\n", b"1;a\r\nx\r\n"],
        [b"3\r\nabc\r\n", b"01\r\nx\r\n"],
        [b"3\r\nabc\r\n", b"4\r\nab\r\n\r\n"],
    ],
)
def test_what_only_looks_like_a_lone_chunk_is_read_by_the_parser(reads: list[bytes]) -> None:
    """MUST. In the middle of a chunk, or of its size line, the same bytes are something else."""
    connection, body = begun()
    for read in reads:
        arrive(connection, read)
    assert body.chunks == ([] if b"4\r\n" not in reads[-1] else [reads[-1]])
    arrive(connection, b"0\r\n\r\n")
    assert (body.ended, body.error) == (True, None)


@pytest.mark.parametrize(
    "wrong", [b"5\r\nhell\r\n", b"5\r\nhelloo\r\n", b"\r\nhello\r\n", b"-5\r\nhello\r\n", b"g\r\n\r\n"]
)
def test_a_chunk_whose_size_is_wrong_is_no_lone_chunk(wrong: bytes) -> None:
    """MUST. Its framing fails, or goes on being waited for."""
    connection, body = begun()
    arrive(connection, b"3\r\nabc\r\n")
    arrive(connection, wrong)
    assert not body.chunks
    assert not body.ended


async def test_events_of_their_own_chunk_leave_as_they_came(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MUST. Each at once; the parser reads the first one and the end."""
    fed: list[int] = []
    feed = ResponseReader.feed

    def counted(reader: ResponseReader, data: memoryview) -> ProxyError | None:
        fed.append(len(data))
        return feed(reader, data)

    monkeypatch.setattr(ResponseReader, "feed", counted)
    events = [b"data: %d\n\n" % number for number in range(20)]
    gates = [asyncio.Event() for _ in events]
    script: Script = [request, SSE]
    for event, gate in zip(events, gates, strict=True):
        script = [*script, gate, chunk(event)]
    one = await origin([*script, chunk(b""), *script, fin])
    client = await (await proxy(one)).connect()
    for ending in ("complete", "fin"):
        for gate in gates:
            gate.clear()
        client.get()
        response = await client.next_head()
        for number, gate in enumerate(gates):
            gate.set()
            await client.wait_body(response, len(b"".join(events[: number + 1])))
        assert await client.wait_body_end(response) == ending
        assert response.chunks == events
    assert len(fed) <= 6


def test_what_another_connection_read_says_nothing_of_this_one() -> None:
    """MUST. In the middle of a chunk, behind the end of somebody else's."""
    connection, body = begun()
    other, others = begun()
    arrive(connection, b"3\r\nabc\r\n20\r\nabc")
    arrive(other, b"3\r\nabc\r\n")
    for read in (b"xyz\r\n", b"5\r\nhello\r\n", b"x" * 14 + b"\r\n0\r\n\r\n"):
        arrive(connection, read)
    assert (body.data, body.ended) == (b"abcabcxyz\r\n5\r\nhello\r\n" + b"x" * 14, True)
    assert (others.data, body.chunks) == (b"abc", [])


@pytest.mark.parametrize("together", [True, False])
async def test_a_version_is_that_of_its_own_head(origin: MakeOrigin, proxy: MakeProxy, together: bool) -> None:
    """MUST. HTTP/1.0 has no chunks, whatever an interim answer in front of it says of itself. RFC 9112 section 6.1."""
    interim, final = b"HTTP/1.1 103 Early Hints\r\n\r\n", HEAD.replace(b"1.1", b"1.0") + chunk(b"body") + chunk(b"")
    one = await origin([request, interim + final, fin] if together else [request, final, fin])
    client = await (await proxy(one)).connect()
    client.get()
    response = await client.next_head()
    assert (await client.next_head() if response.status == 103 else response).status == 502
