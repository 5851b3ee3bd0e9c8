"""Rules of Google's streams, as events and as one array."""

import pytest

from proxy.core.dialects import BROKEN
from tests.core.dialects.transcripts.gemini import GEMINI


def test_an_error_event_has_the_form_of_the_provider_to_the_byte() -> None:
    """MUST. A11, A12."""
    watch = GEMINI["complete"].watch(exact=True)
    watch.feed(GEMINI["complete"].frames[0], 0.0)
    assert watch.error_event() == (
        b'data: {"error":{"code":503,"message":"' + BROKEN.encode() + b'","status":"UNAVAILABLE"}}\n\n'
    )


@pytest.mark.parametrize(("ended_well", "verdict"), [(True, "complete"), (False, "truncated")])
def test_a_finish_reason_needs_the_end_of_the_body(ended_well: bool, verdict: str) -> None:
    """MUST. No frame says that it is the last one: a reset behind a `finishReason` may have taken more along."""
    watch = GEMINI["complete"].watch(exact=False)
    for frame in GEMINI["complete"].frames:
        watch.feed(frame, 1.0)
    watch.close()
    assert watch.verdict(ended_well) == verdict
