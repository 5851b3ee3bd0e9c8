"""Rules of the stage that lets only whole frames leave."""

import pytest
from hypothesis import given, settings

from proxy.core.framers import Framer
from proxy.core.stages.events import Whole
from proxy.core.watch import FRAMERS
from tests.core.dialects import LIMIT, Transcript
from tests.core.dialects.transcripts import ALL
from tests.core.framers import bytewise, cut, some_cuts

every_transcript = pytest.mark.parametrize("transcript", ALL.values(), ids=ALL)


def pieces(stage: Whole, reads: list[bytes]) -> list[bytes]:
    """All that leaves before the end, as the relay asks for it."""
    found = []
    for read in reads:
        piece = stage.feed(read)
        while piece:
            found.append(piece)
            piece = stage.feed(b"") if stage.more() else b""
        assert not stage.more()
    return found


def framer(transcript: Transcript) -> Framer:
    return FRAMERS[transcript.framing](LIMIT)


@every_transcript
@settings(max_examples=15)
@given(cuts=some_cuts)
def test_each_piece_is_one_whole_frame_whatever_the_cutting(transcript: Transcript, cuts: list[int]) -> None:
    """MUST. S24: bytes and their order stay, and what never became whole is handed on at the end."""
    expected = framer(transcript).feed(transcript.stream)
    for reads in (cut(transcript.stream, cuts), bytewise(transcript.stream), [transcript.stream]):
        stage = Whole(framer(transcript))
        left = pieces(stage, reads)
        frames = [frame for frame, is_whole in expected if is_whole]
        assert left[: len(frames)] == frames
        if len(frames) == len(expected):
            assert left == frames, "only what cannot be framed leaves in parts"
        assert b"".join(left) + stage.flush() == transcript.stream
        assert stage.flush() == stage.held() == b""


def test_a_frame_leaves_with_its_last_byte_and_not_before() -> None:
    """MUST. S24: nothing is held back that is complete."""
    stage = Whole(FRAMERS["sse"](LIMIT))
    assert [stage.feed(byte) for byte in bytewise(b"data: a\n\nd")] == [b""] * 8 + [b"data: a\n\n", b""]
    assert stage.held() == b"d"


def test_several_frames_of_one_read_leave_one_by_one() -> None:
    """MUST. Each in a piece of its own, and those that wait are held when the stream breaks."""
    stage = Whole(FRAMERS["sse"](LIMIT))
    assert stage.feed(b"data: a\n\ndata: b\n\ndata: c\n\nda") == b"data: a\n\n"
    assert stage.more()
    assert stage.feed(b"") == b"data: b\n\n"
    assert stage.held() == b"data: c\n\nda"


def test_a_frame_over_the_limit_passes_in_parts() -> None:
    """MUST. Nothing is lost, nothing waits, and it is told."""
    stage = Whole(FRAMERS["sse"](100))
    stream = [b"data: a\n\n", b"data: ", *[b"x" * 50] * 9, b"\n\n", b"data: b\n\n"]
    left = pieces(stage, stream)
    assert b"".join(left) == b"".join(stream)
    assert (left[0], left[-1]) == (b"data: a\n\n", b"data: b\n\n")
    assert stage.oversized
    assert not Whole(FRAMERS["sse"](100)).oversized
