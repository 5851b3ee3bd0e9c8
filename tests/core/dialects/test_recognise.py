"""Rules of which dialect a stream speaks; those of paths and presets are in test_answer_streams.py."""

from proxy.core.dialects.recognise import recognise
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
