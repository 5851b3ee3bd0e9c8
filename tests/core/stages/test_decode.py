"""Rules of the stage that undoes a content coding: what comes out when, in which pieces, and what is damage."""

import hashlib
import itertools
import sys
import tracemalloc
import zlib
from collections.abc import Callable, Iterable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.errors import ContentCodingBroken
from proxy.core.stages import PIECE_BYTES
from proxy.core.stages.decode import CODINGS, MOST_UNFOLDED, UNFOLDED_FROM_BYTES, Decode

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# One coded body as what each flush of the encoder gave: a piece for every event, then the end.
Encode = Callable[[list[bytes]], list[bytes]]


def deflated(window_bits: int) -> Encode:
    def encode(events: list[bytes]) -> list[bytes]:
        coder = zlib.compressobj(wbits=window_bits)
        return [*(coder.compress(event) + coder.flush(zlib.Z_SYNC_FLUSH) for event in events), coder.flush()]

    return encode


def brotlied(events: list[bytes]) -> list[bytes]:
    coder = brotli.Compressor()
    return [*(coder.process(event) + coder.flush() for event in events), coder.finish()]


def zstandarded(events: list[bytes]) -> list[bytes]:
    coder = zstd.ZstdCompressor()
    return [*(coder.compress(event, coder.FLUSH_BLOCK) for event in events), coder.flush(coder.FLUSH_FRAME)]


FORMS: dict[str, tuple[bytes, Encode]] = {
    "gzip": (b"gzip", deflated(31)),
    "x-gzip": (b"x-gzip", deflated(31)),
    "deflate": (b"deflate", deflated(15)),
    "raw-deflate": (b"deflate", deflated(-15)),
    "br": (b"br", brotlied),
    "zstd": (b"zstd", zstandarded),
}
every_form = pytest.mark.parametrize(("coding", "encode"), FORMS.values(), ids=FORMS)
every_form_of_several = pytest.mark.parametrize(
    ("coding", "encode"), [FORMS[name] for name in ("gzip", "x-gzip", "zstd")], ids=["gzip", "x-gzip", "zstd"]
)
every_form_of_one = pytest.mark.parametrize(
    ("coding", "encode"),
    [FORMS[name] for name in ("deflate", "raw-deflate", "br")],
    ids=["deflate", "raw-deflate", "br"],
)


def drained(stage: Decode, data: bytes) -> list[bytes]:
    """All pieces that one read gives, asked for as the relay does."""
    pieces = [stage.feed(data)]
    while stage.more():
        pieces.append(stage.feed(b""))
        assert len(pieces) < 10_000, "the stage promises more for ever"
    return pieces


def decoded(coding: bytes, reads: Iterable[bytes]) -> bytes:
    """The whole body. Fails where a piece is larger than any may be."""
    stage = Decode(coding)
    pieces = [piece for read in reads for piece in drained(stage, read)]
    assert max(map(len, pieces), default=0) <= PIECE_BYTES
    return b"".join(pieces) + stage.flush()


def cut(data: bytes, at: list[int]) -> list[bytes]:
    marks = [0, *sorted(at), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(marks)]


repeated = st.builds(lambda text, times: text * times, st.binary(min_size=1, max_size=3), st.integers(1, 29_000))
some_events = st.lists(st.one_of(st.binary(max_size=200), repeated), max_size=4)
some_cuts = st.lists(st.integers(0, 400), max_size=8)
EVENTS = [b"data: one\n\n", b"data: two\n\n", b": ping\n\n", "data: ünï\n\n".encode()]


def test_the_codings_are_those_with_a_registered_name() -> None:
    """MUST. RFC 9110 section 8.4.1, RFC 8478; E3."""
    assert set(CODINGS) == {b"gzip", b"x-gzip", b"deflate", b"br", b"zstd"}


@every_form
@given(events=some_events, cuts=some_cuts)
def test_any_cutting_gives_the_same_bytes(coding: bytes, encode: Encode, events: list[bytes], cuts: list[int]) -> None:
    """MUST. E3, E9: the split law, for small bodies and for some that unfold to many pieces."""
    data = b"".join(encode(events))
    body = b"".join(events)
    assert decoded(coding, [data]) == body
    assert decoded(coding, cut(data, [at % (len(data) + 1) for at in cuts])) == body


@every_form
def test_byte_by_byte_gives_the_same_bytes(coding: bytes, encode: Encode) -> None:
    """MUST. E3: the finest cutting of all."""
    data = b"".join(encode(EVENTS))
    assert decoded(coding, [data[at : at + 1] for at in range(len(data))]) == b"".join(EVENTS)


@every_form_of_several
@given(members=st.lists(some_events, min_size=2, max_size=3), cuts=some_cuts)
def test_any_cutting_of_several_members_gives_the_same_bytes(
    coding: bytes, encode: Encode, members: list[list[bytes]], cuts: list[int]
) -> None:
    """MUST. RFC 1952 section 2.2, RFC 8878 section 3.1: members one after the other are one body."""
    data = b"".join(piece for events in members for piece in encode(events))
    body = b"".join(event for events in members for event in events)
    assert decoded(coding, [data]) == body
    assert decoded(coding, cut(data, [at % (len(data) + 1) for at in cuts])) == body


@every_form_of_several
def test_several_members_byte_by_byte_give_the_same_bytes(coding: bytes, encode: Encode) -> None:
    """MUST. RFC 1952 section 2.2, RFC 8878 section 3.1: also an empty member between two."""
    data = b"".join([*encode(EVENTS), *encode([]), *encode(EVENTS)])
    assert decoded(coding, [data[at : at + 1] for at in range(len(data))]) == b"".join(EVENTS) * 2


@every_form
@pytest.mark.parametrize("size", [10, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 300_000])
def test_a_flushed_event_comes_out_with_the_bytes_that_were_flushed(coding: bytes, encode: Encode, size: int) -> None:
    """MUST. E3, S24: nothing waits for what comes next, however large the event is."""
    events = [b"data: " + bytes([65 + turn]) * size + b"\n\n" for turn in range(3)]
    stage = Decode(coding)
    *flushed, end = encode(events)
    assert [b"".join(drained(stage, piece)) for piece in flushed] == events
    assert b"".join(drained(stage, end)) == b""
    assert stage.flush() == b""


@every_form
@given(events=st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5))
def test_every_event_comes_out_at_once_whatever_is_in_it(coding: bytes, encode: Encode, events: list[bytes]) -> None:
    """MUST. E3, S24."""
    stage = Decode(coding)
    assert [b"".join(drained(stage, piece)) for piece in encode(events)[:-1]] == events


# What the libraries themselves make of the beginning of a body, without any limit.
UNLIMITED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: zlib.decompressobj(31).decompress(data),
    "x-gzip": lambda data: zlib.decompressobj(31).decompress(data),
    "deflate": lambda data: zlib.decompressobj(15).decompress(data),
    "raw-deflate": lambda data: zlib.decompressobj(-15).decompress(data),
    "br": lambda data: brotli.Decompressor().process(data),
    "zstd": lambda data: zstd.ZstdDecompressor().decompress(data),
}


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("text", [b"\x00", b"data: a\n\n"], ids=["zeros", "events"])
def test_all_that_is_there_comes_out_wherever_the_input_stops(name: str, text: bytes) -> None:
    """MUST. E3, S24: also where a piece is full at the very byte at which the read ends."""
    coding, encode = FORMS[name]
    data = encode([text * (3 * PIECE_BYTES // len(text))])[0]
    for length in range(2, len(data)):
        assert len(b"".join(drained(Decode(coding), data[:length]))) == len(UNLIMITED[name](data[:length]))


@every_form
def test_a_bomb_unfolds_piecewise(coding: bytes, encode: Encode) -> None:
    """MUST. E9: a read may unfold to anything, a call gives one piece at most and says that more is there."""
    size = UNFOLDED_FROM_BYTES
    data = b"".join(encode([bytes(size)]))
    assert len(data) < PIECE_BYTES
    stage = Decode(coding)
    first = stage.feed(data)
    assert 0 < len(first) <= PIECE_BYTES
    assert stage.more()
    rest = drained(stage, b"")
    assert max(map(len, rest)) <= PIECE_BYTES
    assert len(first) + sum(map(len, rest)) == size
    assert stage.flush() == b""


@every_form
def test_a_bomb_grows_no_buffer(coding: bytes, encode: Encode) -> None:
    """MUST. E9: what has been given out is forgotten, and nothing is unfolded ahead of what was asked for."""
    data = b"".join(encode([bytes(UNFOLDED_FROM_BYTES)]))
    stage = Decode(coding)
    tracemalloc.start()
    try:
        stage.feed(data)
        while stage.more():
            stage.feed(b"")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 16 * PIECE_BYTES


@every_form
def test_nothing_more_is_promised_after_the_end(coding: bytes, encode: Encode) -> None:
    """MUST. E9: what promised more for ever would keep the relay busy."""
    stage = Decode(coding)
    drained(stage, b"".join(encode(EVENTS)))
    assert not stage.more()
    assert stage.feed(b"") == b""
    assert stage.flush() == b""


@every_form
@pytest.mark.parametrize("reads", [[], [b""], [b"", b""]], ids=["no read", "an empty read", "two empty reads"])
def test_no_input_at_all_is_an_empty_body(coding: bytes, encode: Encode, reads: list[bytes]) -> None:
    """MUST. E10: a body of no bytes has nothing to undo."""
    assert decoded(coding, reads) == b""


@every_form
def test_the_coding_of_nothing_is_an_empty_body(coding: bytes, encode: Encode) -> None:
    """MUST. E3."""
    assert decoded(coding, encode([])) == b""


@every_form
def test_empty_reads_change_nothing(coding: bytes, encode: Encode) -> None:
    """MUST. E3."""
    reads = [read for piece in encode(EVENTS) for read in (b"", piece, b"")]
    assert decoded(coding, reads) == b"".join(EVENTS)


@every_form
def test_a_body_that_ends_inside_its_coding_is_broken(coding: bytes, encode: Encode) -> None:
    """MUST. E8: wherever it ends; all that came before the end is given out first."""
    data = b"".join(encode([b"data: x\n\n"]))
    for length in range(1, len(data)):
        stage = Decode(coding)
        assert b"data: x\n\n".startswith(b"".join(drained(stage, data[:length])))
        with pytest.raises(ContentCodingBroken):
            stage.flush()


@every_form_of_several
def test_a_second_member_that_ends_too_early_is_broken(coding: bytes, encode: Encode) -> None:
    """MUST. E8."""
    member = b"".join(encode(EVENTS))
    for length in range(1, len(member)):
        with pytest.raises(ContentCodingBroken):
            decoded(coding, [member + member[:length]])


@every_form
@pytest.mark.parametrize("garbage", [b"\x00", b"garbage after the end", b"\n"], ids=["a zero", "text", "a line end"])
@pytest.mark.parametrize("apart", [False, True], ids=["in one read", "in a read of its own"])
def test_what_follows_the_end_is_broken(coding: bytes, encode: Encode, garbage: bytes, apart: bool) -> None:
    """MUST. E8: bytes that belong to no member are damage."""
    data = b"".join(encode(EVENTS))
    with pytest.raises(ContentCodingBroken):
        decoded(coding, [data, garbage] if apart else [data + garbage])


@every_form_of_one
@pytest.mark.parametrize("apart", [False, True], ids=["in one read", "in a read of its own"])
def test_codings_without_members_have_one(coding: bytes, encode: Encode, apart: bool) -> None:
    """MUST. RFC 1950, RFC 1951 and RFC 7932 know no second one; E8."""
    data = b"".join(encode(EVENTS))
    with pytest.raises(ContentCodingBroken):
        decoded(coding, [data, data] if apart else [data + data])


GZIP, ZLIB = b"".join(FORMS["gzip"][1](EVENTS)), b"".join(FORMS["deflate"][1](EVENTS))


@pytest.mark.parametrize(
    ("coding", "data"),
    [
        pytest.param(b"gzip", b"data: plain\n\n", id="gzip that is plain text"),
        pytest.param(b"x-gzip", b"data: plain\n\n", id="x-gzip that is plain text"),
        pytest.param(b"gzip", b"\x1f\x8b\x09" + GZIP[3:], id="gzip with an unknown method"),
        pytest.param(b"gzip", GZIP[:-8] + bytes([GZIP[-8] ^ 1]) + GZIP[-7:], id="gzip with a wrong checksum"),
        pytest.param(b"gzip", GZIP[:-1] + bytes([GZIP[-1] ^ 1]), id="gzip with a wrong length"),
        pytest.param(b"gzip", ZLIB, id="gzip that is zlib"),
        pytest.param(b"deflate", ZLIB[:-1] + bytes([ZLIB[-1] ^ 1]), id="zlib with a wrong checksum"),
        pytest.param(b"deflate", GZIP, id="deflate that is gzip"),
        pytest.param(b"deflate", b"\x07\xff\xff", id="raw deflate with an unknown block"),
        pytest.param(b"br", b"\xff" * 20, id="br that is noise"),
        pytest.param(b"zstd", b"data: plain\n\n", id="zstd that is plain text"),
        pytest.param(b"zstd", b"\x28\xb5\x2f\xfd\xff" + b"\xff" * 20, id="zstd with a broken frame"),
    ],
)
def test_a_corrupt_body_is_broken(coding: bytes, data: bytes) -> None:
    """MUST. RFC 9209 section 2.3.25; E8."""
    with pytest.raises(ContentCodingBroken) as found:
        decoded(coding, [data])
    assert found.value.__cause__ is not None


def test_a_skippable_zstd_frame_is_skipped() -> None:
    """MUST. RFC 8878 section 3.1.2."""
    frame = b"".join(FORMS["zstd"][1](EVENTS))
    skippable = b"\x50\x2a\x4d\x18" + (2).to_bytes(4, "little") + b"hi"
    assert decoded(b"zstd", [skippable + frame + skippable]) == b"".join(EVENTS)


@every_form
def test_what_unfolds_to_more_than_a_hundred_times_its_size_is_refused(coding: bytes, encode: Encode) -> None:
    """MUST. E9: at the first piece beyond what text can come to, however it is cut."""
    data = b"".join(encode([bytes(64 * 1024 * 1024)]))
    stage, given = Decode(coding), [b""]

    def unfold() -> None:
        for at in range(0, len(data), PIECE_BYTES):
            given.append(stage.feed(data[at : at + PIECE_BYTES]))
            while stage.more():
                given.append(stage.feed(b""))

    with pytest.raises(ContentCodingBroken, match="a hundred times its size"):
        unfold()
    assert sum(map(len, given)) <= max(UNFOLDED_FROM_BYTES, MOST_UNFOLDED * len(data))


@every_form
def test_text_that_repeats_itself_is_no_bomb(coding: bytes, encode: Encode) -> None:
    """MUST. E9: thirty times its size, for as long as it likes."""
    events = [b"data: %b %b\n\n" % (hashlib.sha256(b"%d" % turn).digest(), b"tok " * 300) for turn in range(4000)]
    body = b"".join(events)
    data = encode(events)
    assert len(body) > 4 * UNFOLDED_FROM_BYTES
    assert decoded(coding, data) == body
