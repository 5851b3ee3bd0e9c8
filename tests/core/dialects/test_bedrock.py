"""Rules of Bedrock's messages."""

from tests.core.dialects.transcripts.bedrock import BEDROCK
from tests.core.framers.test_aws import EXCEPTION


def test_an_error_event_has_the_form_of_the_provider_to_the_byte() -> None:
    """MUST. A11, A12."""
    watch = BEDROCK["complete"].watch(exact=True)
    watch.feed(BEDROCK["complete"].frames[0], 0.0)
    assert watch.error_event() == (EXCEPTION)
