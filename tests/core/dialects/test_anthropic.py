"""Rules of Anthropic's Messages."""

import pytest

from proxy.core.dialects import BROKEN
from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.anthropic import ANTHROPIC

TRANSCRIPTS = ANTHROPIC


@pytest.mark.parametrize("exact", [False, True], ids=["batched", "exact"])
@pytest.mark.parametrize("transcript", TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_transcript_says_what_became_of_its_answer(transcript: Transcript, exact: bool) -> None:
    """MUST. Read at once, and frame by frame."""
    for reads in ([transcript.stream], [*transcript.frames, transcript.tail]):
        assert transcript.learnt(reads, exact) == transcript.expected(reads)


def test_an_error_event_has_the_form_of_the_provider_to_the_byte() -> None:
    """MUST. A11, A12."""
    watch = ANTHROPIC["complete"].watch(exact=True)
    watch.feed(ANTHROPIC["complete"].frames[0], 0.0)
    assert watch.error_event() == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"' + BROKEN.encode() + b'"}}\n\n'
    )
