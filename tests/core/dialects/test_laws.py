"""Laws of every dialect: what is learnt of a stream does not depend on how it is cut, nor on how it is read."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts import ALL, EVENT_STREAMS
from tests.core.dialects.transcripts.frames import BOM
from tests.core.framers import bytewise, cut, some_cuts

every_transcript = pytest.mark.parametrize("transcript", ALL.values(), ids=ALL)
every_event_stream = pytest.mark.parametrize("transcript", EVENT_STREAMS.values(), ids=EVENT_STREAMS)
either_way = pytest.mark.parametrize("exact", [False, True], ids=["batched", "exact"])


def holds(transcript: Transcript, reads: list[bytes], exact: bool) -> None:
    assert transcript.learnt(reads, exact) == transcript.expected(reads)


@either_way
@every_transcript
def test_a_transcript_says_what_became_of_its_answer(transcript: Transcript, exact: bool) -> None:
    """MUST. Read at once, and frame by frame."""
    holds(transcript, [transcript.stream], exact)
    holds(transcript, [*transcript.frames, transcript.tail], exact)


@either_way
@every_transcript
def test_a_cut_at_any_byte_changes_nothing_but_the_times(transcript: Transcript, exact: bool) -> None:
    """MUST. The split law, at every byte; a moment is that of the read that ended the frame."""
    stream = transcript.stream
    for at in range(len(stream) + 1):
        holds(transcript, [stream[:at], stream[at:]], exact)
    holds(transcript, bytewise(stream), exact)


@every_transcript
@settings(max_examples=15)
@given(exact=st.booleans(), cuts=some_cuts)
def test_any_cutting_changes_nothing_but_the_times(transcript: Transcript, exact: bool, cuts: list[int]) -> None:
    """MUST. The split law, with as many cuts as one likes, and reads of nothing between them."""
    holds(transcript, cut(transcript.stream, cuts), exact)


def dressed(transcript: Transcript, end: bytes, comment: bytes = b"", bom: bytes = b"") -> Transcript:
    """The same stream with other ends of lines, a comment in front of every event, and a BOM."""
    frames = [(comment + frame).replace(b"\n", end) for frame in transcript.frames]
    if frames:
        frames[0] = bom + frames[0]
    return transcript._replace(frames=frames, tail=transcript.tail.replace(b"\n", end))


@every_event_stream
@settings(max_examples=15)
@given(
    end=st.sampled_from([b"\r\n", b"\r", b"\n"]),
    comment=st.sampled_from([b"", b": still here\n"]),
    bom=st.sampled_from([b"", BOM]),
    exact=st.booleans(),
    cuts=some_cuts,
)
def test_ends_of_lines_comments_and_a_bom_change_nothing(
    transcript: Transcript, end: bytes, comment: bytes, bom: bytes, exact: bool, cuts: list[int]
) -> None:
    """MUST. WHATWG HTML section 9.2.5."""
    other = dressed(transcript, end, comment, bom)
    holds(other, cut(other.stream, cuts), exact)


@either_way
@every_event_stream
def test_other_ends_of_lines_may_be_cut_at_any_byte(transcript: Transcript, exact: bool) -> None:
    """MUST. No cut inside a CRLF is taken for an empty line."""
    for end in (b"\r\n", b"\r"):
        other = dressed(transcript, end)
        stream = other.stream
        for at in range(0, len(stream) + 1, 1 if len(stream) <= 500 else len(stream) // 100):
            holds(other, [stream[:at], stream[at:]], exact)


@either_way
@pytest.mark.parametrize("name", ["chat-long", "anthropic-long", "plain-nobody-long"])
def test_ends_of_lines_may_change_on_the_way(name: str, exact: bool) -> None:
    """MUST. W04; also where the first one that is no LF comes long after the first token."""
    transcript = ALL[name]
    for at in (1, 5, len(transcript.frames) // 2, len(transcript.frames) - 1):
        frames = [frame.replace(b"\n", b"\r\n") if at <= n else frame for n, frame in enumerate(transcript.frames)]
        other = transcript._replace(frames=frames)
        for size in (1, 7, 100, 4096, len(other.stream)):
            reads = [other.stream[start : start + size] for start in range(0, len(other.stream), size)]
            holds(other, reads, exact)
