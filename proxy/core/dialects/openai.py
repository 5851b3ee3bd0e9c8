"""OpenAI's two: chat completions, which most others speak too, and Responses. Source: their API references and SDKs."""

import re

from proxy.core.dialects import BROKEN, Dialect, Mark, at, event, items, load, not_null
from proxy.core.dialects.plain import Plain

_CODE = "stream_truncated"
MOST_CHOICES = 128
"""As many as OpenAI allows in `n`."""
# Reasoning comes under other names at DeepSeek and OpenRouter.
_OUTPUT = ("content", "reasoning_content", "reasoning", "refusal", "audio", "function_call")


class Chat(Dialect):
    """`chat.completion.chunk` objects and a final `[DONE]`, which some servers also send after an error."""

    __slots__ = ("_finished", "_seen", "_told")

    name = "openai-chat"
    MARKS = (
        Mark(b'"error"'),
        Mark(b"[DONE]"),
        not_null(b'"finish_reason"'),
        Mark(b'"index"', (b'"index":0', b'"index": 0')),
    )
    LAST = not_null(b'"usage"')

    def __init__(self) -> None:
        super().__init__()
        self._seen = self._finished = 0
        """Which choices have come, and which are over: a bit for each index."""
        self._told = False
        """Whether the sentinel has come."""

    def see(self, name: str, text: str) -> None:
        """Reads a chunk."""
        if text.startswith("[DONE]"):
            self.ended = self._told = True
            return
        chunk = load(text)
        if chunk.get("error") or chunk.get("object") == "error":
            self.failed = True
        for choice in items(chunk.get("choices")):
            self._see_choice(choice)
        # Some servers leave the sentinel out; but a choice may also begin when those before it are finished.
        self.ended = self._told or (self._seen != 0 and not self._seen & ~self._finished)
        self.usage.take(
            chunk.get("usage") or at(chunk, "x_groq", "usage"),
            input=("prompt_tokens",),
            output=("completion_tokens",),
            total=("total_tokens",),
            cached=("prompt_tokens_details", "cached_tokens"),
            reasoning=("completion_tokens_details", "reasoning_tokens"),
        )

    def _see_choice(self, choice: object) -> None:
        index = at(choice, "index")
        number = index if isinstance(index, int) and 0 <= index < MOST_CHOICES else 0
        self._seen |= 1 << number
        reason = at(choice, "finish_reason")
        if reason is not None:
            self._finished |= 1 << number
            self.limited = self.limited or reason == "length"
        called = at(choice, "delta", "tool_calls", 0, "function")
        if (
            any(at(choice, "delta", key) for key in _OUTPUT)
            or at(called, "name")
            or at(called, "arguments")
            or at(choice, "text")
        ):
            self.begun = True

    def error_event(self, last: bytes) -> bytes:
        """An `error` member, which the SDKs raise."""
        return event({"error": {"message": BROKEN, "type": "upstream_error", "param": None, "code": _CODE}})


class OtherOpenAi(Plain):
    """Any other stream of a provider that speaks like OpenAI: its clients know an `error` where they see one."""

    __slots__ = ()

    def error_event(self, last: bytes) -> bytes:
        """That of a chat."""
        return Chat().error_event(last)


_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')


class Responses(Dialect):
    """Events with names and numbers; the last one holds the whole answer."""

    __slots__ = ()

    name = "openai-responses"
    MARKS = tuple(
        map(
            Mark,
            (
                *(b"response.completed", b"response.incomplete", b"response.failed"),
                *(b'"error"', b"event: error", b"event:error"),
            ),
        )
    )

    def see(self, name: str, text: str) -> None:
        """Reads an event."""
        said = load(text)
        kind = said.get("type") or name
        if not isinstance(kind, str):
            return
        if kind.endswith(".delta") and said.get("delta"):
            self.begun = True
        elif kind in ("error", "response.failed"):
            self.failed = True
        elif kind in ("response.completed", "response.incomplete"):
            self.ended = True
            self.limited = kind == "response.incomplete"
        self.usage.take(
            at(said, "response", "usage"),
            input=("input_tokens",),
            output=("output_tokens",),
            total=("total_tokens",),
            cached=("input_tokens_details", "cached_tokens"),
            reasoning=("output_tokens_details", "reasoning_tokens"),
        )

    def error_event(self, last: bytes) -> bytes:
        """Nested for the SDKs, which raise only what has an `error`, and flat for readers of the reference."""
        found = _SEQUENCE.search(last)
        number = int(found[1]) + 1 if found else 0
        inner = {"type": "upstream_error", "code": _CODE, "message": BROKEN, "param": None}
        outer = {"type": "error", "sequence_number": number, "code": _CODE, "message": BROKEN, "param": None}
        return event({**outer, "error": inner}, "error")
