"""Rules of streams of nobody in particular, and of Cohere, TGI and Replicate."""

import pytest

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.plain import PLAIN

TRANSCRIPTS = PLAIN


@pytest.mark.parametrize("exact", [False, True], ids=["batched", "exact"])
@pytest.mark.parametrize("transcript", TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_transcript_says_what_became_of_its_answer(transcript: Transcript, exact: bool) -> None:
    """MUST. Read at once, and frame by frame."""
    for reads in ([transcript.stream], [*transcript.frames, transcript.tail]):
        assert transcript.learnt(reads, exact) == transcript.expected(reads)


def test_an_error_event_is_not_ours_to_invent() -> None:
    """MUST. A11, A12."""
    watch = PLAIN["tgi"].watch(exact=True)
    watch.feed(PLAIN["tgi"].frames[0], 0.0)
    assert watch.error_event() is None
