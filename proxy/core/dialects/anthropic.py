"""Anthropic's Messages, also as Vertex AI and Bedrock carry them. Source: its API reference and SDKs."""

from proxy.core.dialects import BROKEN, Dialect, Mark, at, event, load

_OUTPUT = {"text_delta": "text", "thinking_delta": "thinking", "input_json_delta": "partial_json"}


class Anthropic(Dialect):
    """Named events; the name decides, and the data repeats it. Usage is a running total."""

    __slots__ = ()

    name = "anthropic"
    MARKS = tuple(
        map(Mark, (b"message_start", b"message_delta", b"message_stop", b'"error"', b"event: error", b"event:error"))
    )
    HEARTBEAT = event({"type": "ping"}, "ping")

    def see(self, name: str, text: str) -> None:
        """Reads an event."""
        said = load(text)
        kind = name if name not in ("", "message") else said.get("type")
        if kind == "content_block_delta":
            delta = said.get("delta")
            member = _OUTPUT.get(str(at(delta, "type")))
            self.begun = self.begun or bool(member and at(delta, member))
        elif kind == "message_start":
            self._take(at(said, "message", "usage"))
        elif kind == "message_delta":
            self._take(said.get("usage"))
            self.limited = self.limited or at(said, "delta", "stop_reason") == "max_tokens"
        elif kind == "message_stop":
            self.ended = True
        elif kind == "error":
            self.failed = True

    def _take(self, told: object) -> None:
        self.usage.take(told, input=("input_tokens",), output=("output_tokens",), cached=("cache_read_input_tokens",))

    def error_event(self, last: bytes) -> bytes:
        """The provider's own form."""
        return event({"type": "error", "error": {"type": "api_error", "message": BROKEN}}, "error")
