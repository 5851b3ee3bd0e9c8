"""Ollama's own lines of JSON, of `/api/chat` and `/api/generate`. Source: its API reference."""

import json

from proxy.core.dialects import BROKEN, Dialect, Mark, at, load


class Ollama(Dialect):
    """One object a line; the last one is `done` and tells the counts. An error is a line without `done`."""

    __slots__ = ()

    name = "ollama-ndjson"
    FRAMING = "lines"
    MARKS = (Mark(b'"done"', (b'"done":false', b'"done": false')), Mark(b'"error"'))

    def see(self, name: str, text: str) -> None:
        """Reads a line."""
        said = load(text)
        if said.get("error") is not None:
            self.failed = True
        if said.get("done") is True:
            self.ended = True
            self.limited = said.get("done_reason") == "length"
        output = (at(said, "message", key) for key in ("content", "thinking", "tool_calls"))
        self.begun = self.begun or bool(said.get("response")) or any(output)
        self.usage.take(said, input=("prompt_eval_count",), output=("eval_count",))

    def error_event(self, last: bytes) -> bytes:
        """A line of the form that Ollama's own errors have."""
        return json.dumps({"error": BROKEN}).encode() + b"\n"
