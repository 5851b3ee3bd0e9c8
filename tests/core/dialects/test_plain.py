"""Rules of streams of nobody in particular, and of Cohere, TGI and Replicate."""

from tests.core.dialects.transcripts.plain import PLAIN


def test_an_error_event_is_not_ours_to_invent() -> None:
    """MUST. A11, A12."""
    watch = PLAIN["tgi"].watch(exact=True)
    watch.feed(PLAIN["tgi"].frames[0], 0.0)
    assert watch.error_event() is None
