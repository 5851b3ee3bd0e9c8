"""Large reads go into one buffer that all connections share, small ones do not; the bytes are the same."""

import random
import zlib

import pytest
import trustme

from proxy.core.framing import LONE_BYTES
from proxy.core.routes import Tls
from proxy.net.upstream.buffer import MUCH_BYTES, IntoBuffer
from proxy.net.upstream.connection import Connection

from .certificates import serving
from .conftest import MakeOrigin, MakeProxy
from .origin import pushed, whole_request
from .responses import CHUNKED, OK, SSE
from .wire import chunk, head

MUCH = random.Random(1).randbytes(8 * MUCH_BYTES)


def head_of(times: int) -> bytes:
    return head(b"HTTP/1.1 200 OK", b"Content-Length: %d" % (len(MUCH) * times))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """How each read came, in their order."""
    ways: list[str] = []
    small, large = Connection.data_received, IntoBuffer.buffer_updated

    def received(connection: Connection, data: bytes) -> None:
        ways.append("small")
        small(connection, data)

    def updated(reader: IntoBuffer, nbytes: int) -> None:
        large(reader, nbytes)
        if ways[-1:] == ["small"] and nbytes < LONE_BYTES:
            ways.pop()  # what is small out of the buffer is handed on as such
        ways.append("large")

    monkeypatch.setattr(Connection, "data_received", received)
    monkeypatch.setattr(IntoBuffer, "buffer_updated", updated)
    return ways


async def test_a_connection_that_brings_much_reads_into_the_buffer_until_its_next_request(
    origin: MakeOrigin, proxy: MakeProxy, reads: list[str]
):
    """MUST. From the head of what is no stream, or else from its first large read; one connection brings both."""
    large = b"%x\r\n" % len(MUCH * 8)
    counted = [whole_request, OK, whole_request, head_of(8), pushed(MUCH, 8)]
    growing = [whole_request, OK, whole_request, CHUNKED + large, pushed(MUCH, 8), b"\r\n" + chunk(b"")]
    streamed = [whole_request, OK, whole_request, SSE + large, pushed(MUCH, 8), b"\r\n" + chunk(b"")]
    one = await origin([*counted, *streamed, *growing, *streamed])
    client = await (await proxy(one)).connect()
    for _ in range(4):
        assert (await client.ask_for_answer()).status == 200
        assert set(reads) == {"small"}
        reads.clear()
        answer = await client.ask_for_answer()
        assert answer.body == MUCH * 8
        first = reads.index("large")
        assert set(reads[first:]) == {"large"}
        assert reads.count("large") > 8
        reads.clear()
    assert len(one.connections) == 1


async def test_events_come_as_small_reads_until_one_is_large(origin: MakeOrigin, proxy: MakeProxy, reads: list[str]):
    """MUST. One large piece changes the way, no number of small ones does."""
    sizes = [1, 1, 100, MUCH_BYTES // 2, 1, 1, len(MUCH), 1, 100]
    one = await origin([whole_request, SSE])
    client = await (await proxy(one)).connect(kept=False)
    client.get()
    message = await client.next_head()
    ways, size = [], 0
    for piece in sizes:
        reads.clear()
        one.connections[0].send(chunk(MUCH[:piece]))
        size += piece
        await client.wait_body(message, size)
        ways.append(reads[-1])
    assert ways[:6] == ["small"] * 6
    assert ways[7:] == ["large"] * 2
    assert message.checksum == zlib.crc32(b"".join([MUCH[:piece] for piece in sizes]))


async def test_an_end_behind_large_reads_is_seen(origin: MakeOrigin, proxy: MakeProxy, reads: list[str]):
    """MUST. Bytes that nobody asked for, and a connection that closes, both reach the pool."""
    one = await origin(
        [whole_request, head_of(1), pushed(MUCH, 1), whole_request, OK],
        [whole_request, OK],
    )
    client = await (await proxy(one)).connect()
    assert (await client.ask_for_answer()).body == MUCH
    assert "large" in reads
    one.connections[0].send(b"x")
    await one.connections[0].wait_ended()
    assert (await client.ask_for_answer()).status == 200
    assert len(one.connections) == 2


async def test_all_of_tls_is_read_into_the_buffer(
    origin: MakeOrigin, proxy: MakeProxy, reads: list[str], authority: trustme.CA, authority_file: str
):
    """MUST. Also what follows a large answer: the other way would take 256 KiB for every event."""
    streamed = [whole_request, SSE + chunk(b"data: 1\n\n"), chunk(b"")]
    one = await origin([whole_request, head_of(1), pushed(MUCH, 1), *streamed] * 2, tls=serving(authority))
    client = await (await proxy(one, tls=Tls(ca=authority_file))).connect()
    for _ in range(2):
        assert (await client.ask_for_answer()).body == MUCH
        assert (await client.ask_for_answer()).body == b"data: 1\n\n"
    assert set(reads) == {"large"}
    assert len(one.connections) == 1
