"""Streams of nobody in particular, and of providers that are known by how their answers end."""

from proxy.core.dialects import Dialect, Mark, at, load, not_null


class Plain(Dialect):
    """Says nothing about an answer: its first event is its first token, and only the body's end is an end."""

    __slots__ = ()

    name = "plain"
    HAS_END = False

    def see(self, name: str, text: str) -> None:
        """Reads an event."""
        self.begun = True


class Cohere(Dialect):
    """Version 2 of the chat API. Source: docs.cohere.com."""

    __slots__ = ()

    name = "cohere"
    MARKS = (Mark(b"message-end"),)

    def see(self, name: str, text: str) -> None:
        """Reads an event."""
        said = load(text)
        kind = said.get("type") or name
        if kind in ("content-delta", "tool-call-start", "tool-call-delta", "tool-plan-delta"):
            self.begun = True
        elif kind == "message-end":
            self.ended = True
            self.limited = at(said, "delta", "finish_reason") == "MAX_TOKENS"
            self.failed = at(said, "delta", "finish_reason") == "ERROR"
            tokens = at(said, "delta", "usage", "tokens")
            self.usage.take(tokens, input=("input_tokens",), output=("output_tokens",))


class Tgi(Dialect):
    """Text Generation Inference's own `/generate_stream`. Source: its API reference."""

    __slots__ = ()

    name = "tgi"
    MARKS = (not_null(b'"generated_text"'), Mark(b'"error"'))

    def see(self, name: str, text: str) -> None:
        """Reads an event."""
        said = load(text)
        self.begun = self.begun or bool(at(said, "token", "text"))
        self.failed = self.failed or said.get("error") is not None
        if said.get("generated_text") is not None:
            self.ended = True
            self.limited = at(said, "details", "finish_reason") == "length"
        self.usage.take(said.get("details"), output=("generated_tokens",))


class Replicate(Dialect):
    """Replicate's streams: plain text under `output`, then `done`. Source: its streaming guide."""

    __slots__ = ()

    name = "replicate"
    MARKS = tuple(map(Mark, (b"event: done", b"event:done", b"event: error", b"event:error")))

    def see(self, name: str, text: str) -> None:
        """Reads an event."""
        self.begun = self.begun or (name == "output" and bool(text))
        self.ended = self.ended or name == "done"
        self.failed = self.failed or name == "error"
