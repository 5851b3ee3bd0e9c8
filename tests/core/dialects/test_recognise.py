"""Rules of which dialect a stream speaks; those of paths and presets are in test_answer_streams.py."""

from proxy.core.dialects.openai import Chat
from proxy.core.dialects.recognise import Unknown, recognise
from proxy.core.watch import Watch
from tests.core.dialects import LIMIT


def test_a_completion_and_a_preamble_are_known_by_their_looks() -> None:
    """MUST. Where neither preset nor path tell, the first frames do, if they are among the first three."""
    looks = {
        b'data: {"object":"text_completion"}': "openai-chat",
        b'data: {"choices":[]}': "openai-chat",
        b"event: response.created\ndata: {}": "openai-responses",
        b"event: message_start\ndata: {}": "anthropic",
        b'data: {"promptFeedback":{}}': "gemini",
        b'data: {"usageMetadata":{}}': "gemini",
    }
    for frame, name in looks.items():
        for before in range(4):
            watch = Watch("sse", recognise(None, "sse", b"/"), LIMIT, exact=True)
            watch.feed(b"data: {}\n\n" * before + frame + b"\n\n", 0.0)
            assert watch.dialect.name == (name if before < 3 else "plain")


def test_another_stream_of_openai_is_plain_but_breaks_in_its_words() -> None:
    """MUST. A11. Speech is streamed too, and knows no `[DONE]`."""
    dialect = recognise("openai", "sse", b"/v1/audio/speech")
    assert isinstance(dialect, Unknown)
    expected = Chat().error_event(b"")
    assert dialect.error_event(b"") == expected
    for _ in range(3):
        dialect.see("message", '{"type":"speech.audio.delta","audio":"AA=="}')
    assert dialect.found is not None
    assert (dialect.found.name, dialect.found.error_event(b""), dialect.found.verdict(True)) == (
        "plain",
        expected,
        "unknown",
    )
    assert recognise(None, "sse", b"/x").error_event(b"") is None
