"""Google's generateContent streams, as events or as one growing array. Source: their API reference and SDKs."""

from proxy.core.dialects import BROKEN, Dialect, Mark, Verdict, at, event, items, load, not_null


class Gemini(Dialect):
    """No frame says that it is the last one: a `finishReason` does, together with a body that ends as it should.

    Google's own clients are strict: a comment, or an end of a line of another kind, and they hear nothing more.
    """

    __slots__ = ()

    name = "gemini"
    MARKS = (not_null(b'"finishReason"'), Mark(b'"error"'), Mark(b'"promptFeedback"'))
    LAST = Mark(b'"usageMetadata"')
    TAKES_COMMENTS = False

    def see(self, name: str, text: str) -> None:
        """Reads a response object."""
        said = load(text)
        if said.get("error") is not None:
            self.failed = True
        if at(said, "promptFeedback", "blockReason"):
            self.ended = True
        for candidate in items(said.get("candidates")):
            reason = at(candidate, "finishReason")
            self.ended = self.ended or bool(reason)
            self.limited = self.limited or reason == "MAX_TOKENS"
            parts = items(at(candidate, "content", "parts"))
            self.begun = self.begun or any(at(part, "text") or at(part, "functionCall") for part in parts)
        self.usage.take(
            said.get("usageMetadata"),
            input=("promptTokenCount",),
            output=("candidatesTokenCount",),
            total=("totalTokenCount",),
            cached=("cachedContentTokenCount",),
            reasoning=("thoughtsTokenCount",),
        )

    def verdict(self, ended_well: bool) -> Verdict:
        """A `finishReason` is no end: only with the body's own end is the answer whole."""
        return "truncated" if self.ended and not self.failed and not ended_well else super().verdict(ended_well)

    def error_event(self, last: bytes) -> bytes | None:
        """The provider's own form."""
        return event({"error": {"code": 503, "message": BROKEN, "status": "UNAVAILABLE"}})


class GeminiArray(Gemini):
    """The same objects as elements of an array, in which nothing can be put that a reader would take for an error."""

    __slots__ = ("_closed",)

    FRAMING = "array"

    def __init__(self) -> None:
        super().__init__()
        self._closed = False

    def see(self, name: str, text: str) -> None:
        """Reads an element, or the bracket behind the last one."""
        if text.strip() == "]":
            self._closed = True
        else:
            super().see(name, text.lstrip("[, \t\r\n"))

    def verdict(self, ended_well: bool) -> Verdict:
        """An array that is not closed is truncated, whatever its elements said."""
        return super().verdict(ended_well) if self._closed or self.failed else "truncated"

    def error_event(self, last: bytes) -> None:
        """There is none."""
        return
