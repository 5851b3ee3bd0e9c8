"""Rules of Anthropic's Messages."""

from proxy.core.dialects import BROKEN
from tests.core.dialects.transcripts.anthropic import ANTHROPIC


def test_an_error_event_has_the_form_of_the_provider_to_the_byte() -> None:
    """MUST. A11, A12."""
    watch = ANTHROPIC["complete"].watch(exact=True)
    watch.feed(ANTHROPIC["complete"].frames[0], 0.0)
    assert watch.error_event() == (
        b'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"' + BROKEN.encode() + b'"}}\n\n'
    )
