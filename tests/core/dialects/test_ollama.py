"""Rules of Ollama's lines."""

from proxy.core.dialects import BROKEN
from tests.core.dialects.transcripts.ollama import OLLAMA


def test_an_error_event_has_the_form_of_the_provider_to_the_byte() -> None:
    """MUST. A11, A12."""
    watch = OLLAMA["complete"].watch(exact=True)
    watch.feed(OLLAMA["complete"].frames[0], 0.0)
    assert watch.error_event() == (b'{"error": "' + BROKEN.encode() + b'"}\n')
