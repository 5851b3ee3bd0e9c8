"""Rules of OpenAI's two dialects."""

from proxy.core.dialects import BROKEN
from tests.core.dialects.transcripts.openai import CHAT, RESPONSES


def test_an_error_event_has_the_form_of_the_provider_to_the_byte() -> None:
    """MUST. A11, A12."""
    watch = CHAT["complete"].watch(exact=True)
    watch.feed(CHAT["complete"].frames[0], 0.0)
    assert watch.error_event() == (
        b'data: {"error":{"message":"' + BROKEN.encode() + b'","type":"upstream_error",'
        b'"param":null,"code":"stream_truncated"}}\n\n'
    )


def test_an_error_event_of_responses_goes_on_counting_and_has_both_shapes() -> None:
    """MUST. A11: nested for the SDKs, flat for readers of the reference."""
    flat = f'"code":"stream_truncated","message":"{BROKEN}","param":null'
    watch = RESPONSES["complete"].watch(exact=True)
    for frame in RESPONSES["complete"].frames[:-1]:
        watch.feed(frame, 0.0)
    assert (
        watch.error_event()
        == (
            'event: error\ndata: {"type":"error","sequence_number":5,'
            f'{flat},"error":{{"type":"upstream_error",{flat}}}}}\n\n'
        ).encode()
    )
