"""Rules of Bedrock's messages."""

import pytest

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.bedrock import BEDROCK
from tests.core.framers.test_aws import EXCEPTION

TRANSCRIPTS = BEDROCK


@pytest.mark.parametrize("exact", [False, True], ids=["batched", "exact"])
@pytest.mark.parametrize("transcript", TRANSCRIPTS.values(), ids=TRANSCRIPTS)
def test_a_transcript_says_what_became_of_its_answer(transcript: Transcript, exact: bool) -> None:
    """MUST. Read at once, and frame by frame."""
    for reads in ([transcript.stream], [*transcript.frames, transcript.tail]):
        assert transcript.learnt(reads, exact) == transcript.expected(reads)


def test_an_error_event_has_the_form_of_the_provider_to_the_byte() -> None:
    """MUST. A11, A12."""
    watch = BEDROCK["complete"].watch(exact=True)
    watch.feed(BEDROCK["complete"].frames[0], 0.0)
    assert watch.error_event() == (EXCEPTION)
