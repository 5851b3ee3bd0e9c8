"""Rules of several stages as one."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.errors import ContentCodingBroken
from proxy.core.stages import PIECE_BYTES, Chain, Stage, stages_of
from proxy.core.stages.convert import LinesToEvents
from proxy.core.stages.decode import Decode
from proxy.core.stages.events import Whole
from proxy.core.watch import FRAMERS
from tests.core.dialects.transcripts import ALL
from tests.core.framers import bytewise, cut, some_cuts
from tests.core.stages.test_decode import FORMS

LIMIT = 64 * 1024
CODINGS = {name: form for name, form in FORMS.items() if name in ("gzip", "br", "zstd")}
every_coding = pytest.mark.parametrize(("coding", "encode"), CODINGS.values(), ids=CODINGS)


def relayed(stage: Stage, reads: list[bytes]) -> list[bytes]:
    """The pieces that leave, asked for as the relay does."""
    pieces = []
    for read in reads:
        pieces.append(stage.feed(read))
        while stage.more():
            pieces.append(stage.feed(b""))
            assert len(pieces) < 100_000, "the stage promises more for ever"
    return [piece for piece in [*pieces, stage.flush()] if piece]


def chain(coding: bytes, lines: bool) -> Chain:
    converting: list[Stage] = [LinesToEvents(LIMIT)] if lines else []
    return Chain([Decode(coding), *converting, Whole(FRAMERS["sse"](LIMIT))])


@every_coding
@pytest.mark.parametrize("name", ["chat-complete", "anthropic-complete", "gemini-truncated-inside", "ollama-complete"])
@settings(max_examples=40)
@given(cuts=some_cuts)
def test_any_cutting_gives_the_same_pieces(coding: bytes, encode: object, name: str, cuts: list[int]) -> None:
    """MUST. S24, E3: decoded, converted and cut into whole events, however the coded bytes came."""
    transcript = ALL[name]
    lines = transcript.framing == "lines"
    coded = b"".join(encode([*transcript.frames, transcript.tail]))  # type: ignore[operator]
    whole = [b"data: " + frame.rstrip(b"\n") + b"\n\n" if lines else frame for frame in transcript.frames]
    expected = [*whole, *([transcript.tail] if transcript.tail else [])]
    for reads in ([coded], bytewise(coded), cut(coded, cuts)):
        assert relayed(chain(coding, lines), reads) == expected


@every_coding
def test_what_unfolds_to_many_pieces_comes_out_in_order(coding: bytes, encode: object) -> None:
    """MUST. E9: what a later stage still has leaves before an earlier one goes on."""
    events = [b"data: %d %b\n\n" % (number, b"x" * 2000) for number in range(PIECE_BYTES // 500)]
    coded = b"".join(encode(events))  # type: ignore[operator]
    assert relayed(chain(coding, lines=False), [coded]) == events


@every_coding
def test_flush_empties_all_of_them_even_if_nobody_asked_for_more(coding: bytes, encode: object) -> None:
    """MUST. S24: nothing is lost at the end."""
    events = [b"%d" % number * 3000 + b"\n" for number in range(100, 200)]
    stage = Chain([Decode(coding), LinesToEvents(LIMIT)])
    first = stage.feed(b"".join(encode(events))[:])  # type: ignore[operator]
    assert stage.more()
    whole = first + stage.flush()
    assert whole == b"".join(b"data: " + event.rstrip() + b"\n\n" for event in events)


def test_an_event_leaves_with_the_read_that_ended_it() -> None:
    """MUST. S24."""
    coder = zlib.compressobj(wbits=31)
    stage = chain(b"gzip", lines=True)
    for said in (b"{}", b'{"a":1}'):
        coded = coder.compress(said + b"\n") + coder.flush(zlib.Z_SYNC_FLUSH)
        out = [stage.feed(byte) for byte in bytewise(coded)]
        assert [piece for piece in out if piece] == [b"data: " + said + b"\n\n"]


def test_a_last_line_without_its_end_reaches_the_stages_behind() -> None:
    """MUST. S24."""
    stage = Chain([LinesToEvents(LIMIT), Whole(FRAMERS["sse"](LIMIT))])
    assert stage.feed(b"{}") == b""
    assert stage.flush() == b"data: {}\n\n"


def test_what_is_held_is_that_of_the_last_stage_first() -> None:
    """MUST. It came first. A coding that breaks is an error of the chain's."""
    stage = Chain([LinesToEvents(LIMIT), Whole(FRAMERS["sse"](LIMIT))])
    assert stage.feed(b"1\n2\n3\n4") == b"data: 1\n\n"
    assert stage.held() == b"data: 2\n\ndata: 3\n\ndata: 4"
    coded = chain(b"gzip", lines=False)
    with pytest.raises(ContentCodingBroken):
        coded.feed(b"no gzip at all")
    assert coded.held() == b""


@given(reads=st.lists(st.binary(max_size=20)))
def test_stages_that_change_nothing_pass_everything(reads: list[bytes]) -> None:
    """MUST. S24: for nonsense too."""
    stage = Chain([Whole(FRAMERS["sse"](8)), Whole(FRAMERS["lines"](8))])
    assert b"".join(relayed(stage, reads)) == b"".join(reads)


def test_one_stage_stands_alone_and_none_is_none() -> None:
    """MUST. S24: what is not asked for is not in the path."""
    one = LinesToEvents(LIMIT)
    assert stages_of([]) is None
    assert stages_of([one]) is one
    assert isinstance(stages_of([one, one]), Chain)
