"""A chunk that comes alone is handed on as it came; nothing else is ever taken for one."""

import asyncio
from itertools import pairwise
from unittest.mock import Mock

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.dialects.ollama import Ollama
from proxy.core.dialects.openai import Chat
from proxy.core.errors import ProxyError, ResponseMalformed
from proxy.core.routes import Tls
from proxy.core.watch import Watch
from proxy.net.upstream.response import ResponseReader

from .bodies import HEAD, arrive, begun
from .certificates import serving
from .conftest import MakeOrigin, MakeProxy
from .origin import Script, fin, request
from .responses import SSE
from .wire import chunk


def coded(data: bytes, form: str) -> bytes:
    size = {"plain": b"%x", "upper": b"%X", "zeros": b"00%x", "extended": b"%x;name=value"}[form] % len(data)
    return b"%b\r\n%b\r\n" % (size, data)


SEAMS = [(), ("end",), ("end",), ("end", "data", "size line"), ("end", "digit", "data")]
forms = st.sampled_from(["plain", "plain", "plain", "upper", "zeros", "extended"])
# Data that looks like framing, and of lengths on both sides of those that are compared.
pieces = st.one_of(
    st.binary(min_size=1, max_size=40),
    st.sampled_from([b"5\r\nhello\r\n", b"\r\n", b"0\r\n\r\n", b"a\r\n0123456789\r\n", b"1", b"x" * 15, b"x" * 16]),
    st.integers(1000, 1040).map(lambda size: b"y" * size),
)


@given(
    chunks=st.lists(st.tuples(pieces, forms, st.sampled_from(SEAMS)), max_size=8),
    splits=st.one_of(st.just(set()), st.sets(st.integers(0, 3000), max_size=12)),
)
def test_any_chunks_in_any_reads_give_the_same_body(
    chunks: list[tuple[bytes, str, tuple[str, ...]]], splits: set[int]
) -> None:
    """MUST. A read is one of ours only if the next byte began a chunk, which cuts at the seams put to the test: at the
    ends of all chunks, behind a digit or all of each size line, and before each end of line behind data."""
    stream, seen = b"".join(coded(data, form) for data, form, _ in chunks) + b"0\r\n\r\n", 0
    cuts = {0, len(stream)} | {at for at in splits if at < len(stream)}
    for data, form, seams in chunks:
        begin, seen = seen, seen + len(coded(data, form))
        places = {"end": seen, "digit": begin + 1, "data": seen - 2, "size line": seen - 2 - len(data)}
        cuts |= {places[seam] for seam in seams}
    connection, body = begun()
    for start, end in pairwise(sorted(cuts)):
        arrive(connection, stream[start:end])
    assert (body.data, body.ended, body.error) == (b"".join(data for data, _, _ in chunks), True, None)


@given(cuts=st.sets(st.integers(0, 40_000), max_size=6), whole=st.booleans())
def test_frames_that_are_known_are_counted_wherever_reads_are_cut(cuts: set[int], whole: bool) -> None:
    """MUST. Most frames leave without being looked at twice; not one is lost to the count or to the body."""
    frames = [
        b'data: {"choices":[{"delta":{"content":"token %d"},"finish_reason":null}]}\n\n' % number
        for number in range(99)
    ] + [b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n"]
    stream = b"".join(map(chunk, frames)) + b"0\r\n\r\n"
    ends = (
        {sum(len(chunk(each)) for each in frames[:number]) for number in range(1, len(frames) + 1)} if whole else set()
    )
    cuts = {0, len(stream)} | {at for at in cuts | ends if at < len(stream)}
    watch = Watch("sse", Chat(), 1 << 16)
    connection, body = begun(watch)
    for start, end in pairwise(sorted(cuts)):
        arrive(connection, stream[start:end])
    assert (body.data, body.ended) == (b"".join(frames), True)
    watch.close()
    assert (watch.events, watch.verdict(ended_well=True)) == (len(frames), "complete")
    assert not whole or len(body.chunks) > 80


def test_a_frame_behind_a_part_of_another_is_no_known_one() -> None:
    """MUST. However whole it looks in its chunk: what came in the read before has begun a comment."""
    watch = Watch("sse", Chat(), 1 << 16)
    connection, _ = begun(watch)
    frames = [b'data: {"choices":[{"delta":{"content":"token %d"}}]}\n\n' % number for number in range(99)]
    for each in frames:
        arrive(connection, chunk(each))
    assert watch.known is not None
    assert watch.events == 99
    arrive(connection, chunk(frames[0]) + chunk(b": "))
    arrive(connection, chunk(frames[1]))
    arrive(connection, chunk(frames[2]))
    watch.close()
    assert watch.events == 101


def test_what_is_no_chunk_among_known_frames_fails() -> None:
    """MUST. Also where it holds nothing that could matter."""
    connection, body = begun(Watch("lines", Ollama(), 1 << 16))
    for number in range(500):
        arrive(connection, chunk(b'{"response":"%d"}\n' % number))
    sent = body.sent
    arrive(connection, b"word")
    assert (body.sent, type(body.error)) == (sent, ResponseMalformed)


@pytest.mark.parametrize(
    "reads",
    [
        [b"3\r\nabc\r\n1", b"5\r\nhello\r\n", b"x" * 14 + b"\r\n"],
        [b"3\r\nabc\r\n", b"20\r\nabc", b"5\r\nhello\r\n", b"x" * 19 + b"\r\n"],
        [b"3\r\nabc\r\n5\r\n", b"1\r\nx\r", b"\r\n"],
        [b"3\r\nabc\r\n", b"7\r\n", b"2\r\nhe\r\n", b"\r\n"],
        [b"3\r\nabc\r\n", b"1", b"5\r\nhello\r\n", b"x" * 14 + b"\r\n"],
        [b"3\r\nabc\r\n", b"8;x=", b"2\r\nab\r\nwxyz\r\n"],
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


@pytest.mark.parametrize("size", [21, 262, 40, 300])
def test_a_known_frame_without_a_chunk_around_it_fails(size: int) -> None:
    """MUST. Of every length, and no chunk is 21 or 262 bytes long."""
    watch = Watch("lines", Ollama(), 1 << 16)
    connection, body = begun(watch)
    for number in range(500):
        arrive(connection, chunk(b'{"response":"%d"}\n' % number))
    sent = body.sent
    assert watch.known is not None
    frame = b'{"response":"%b"}\n' % (b"x" * (size - len(b'{"response":""}\n')))
    assert (len(frame), watch.known.fits_all([frame])) == (size, True)
    arrive(connection, frame)
    assert (body.sent, type(body.error)) == (sent, ResponseMalformed)


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


@pytest.mark.parametrize("secure", [False, True])
async def test_events_of_their_own_chunk_leave_as_they_came(
    origin: MakeOrigin,
    proxy: MakeProxy,
    monkeypatch: pytest.MonkeyPatch,
    authority: trustme.CA,
    authority_file: str,
    secure: bool,
) -> None:
    """MUST. Each at once; the parser reads the first one and the end. Over TLS likewise."""
    fed: list[int] = []
    feed = ResponseReader.feed

    def counted(reader: ResponseReader, data: bytes) -> ProxyError | None:
        fed.append(len(data))
        return feed(reader, data)

    monkeypatch.setattr(ResponseReader, "feed", counted)
    events = [b"data: %d\n\n" % number for number in range(20)]
    gates = [asyncio.Event() for _ in events]
    script: Script = [request, SSE]
    for event, gate in zip(events, gates, strict=True):
        script = [*script, gate, chunk(event)]
    one = await origin([*script, chunk(b""), *script, fin], tls=serving(authority) if secure else None)
    client = await (await proxy(one, tls=Tls(ca=authority_file) if secure else None)).connect()
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


@pytest.mark.parametrize("ends", [[b"3\r\nabc\r\n0\r\n\r\n"], [b"3\r\nabc\r\n", b"0\r\n\r\n"], [b"0\r\n", b"\r\n"]])
@pytest.mark.parametrize("stray", [b"5\r\nhello\r\n", b"1\r\nx\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_comes_behind_the_end_goes_to_nobody(ends: list[bytes], stray: bytes) -> None:
    """MUST. The client may still be taking what was before it. RFC 9112 section 9.2."""
    connection, body = begun()
    connection._transport = transport = Mock()
    for read in (b"3\r\nabc\r\n", b"3\r\nabc\r\n", *ends):
        arrive(connection, read)
    sent = body.sent
    assert (body.ended, sent.count(b"0\r\n\r\n")) == (True, 1)
    arrive(connection, stray)
    assert (body.sent, body.error, transport.abort.called) == (sent, None, True)


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
