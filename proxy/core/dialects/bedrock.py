"""Amazon Bedrock's two streams of binary messages. Source: its service model and botocore."""

import base64
import binascii
import json
import struct
import zlib

from proxy.core.dialects import Dialect, Mark, at, load
from proxy.core.dialects.anthropic import Anthropic


class Bedrock(Dialect):
    """ConverseStream, with events of its own, and InvokeModelWithResponseStream, which wraps the model's in base64.

    Of the models inside, Anthropic's are read; for all of them the last message holds the counts.
    """

    __slots__ = ("_inner",)

    name = "bedrock-eventstream"
    FRAMING = "aws"
    MARKS = tuple(map(Mark, (b"messageStop", b"metadata", b"xception", b":error", b"\x05chunk")))

    def __init__(self) -> None:
        super().__init__()
        self._inner = Anthropic()

    def see(self, name: str, text: str) -> None:
        """Reads a message; `name` is its event's type, or `exception` or `error`."""
        said = load(text)
        if name in ("exception", "error"):
            self.failed = True
        elif name == "contentBlockDelta" or (name == "contentBlockStart" and at(said, "start", "toolUse")):
            self.begun = True
        elif name == "messageStop":
            self.ended = True
            self.limited = said.get("stopReason") == "max_tokens"
        elif name == "metadata":
            self.usage.take(
                said.get("usage"),
                input=("inputTokens",),
                output=("outputTokens",),
                total=("totalTokens",),
                cached=("cacheReadInputTokens",),
            )
        elif name == "chunk":
            self._see_inner(said.get("bytes"))

    def _see_inner(self, wrapped: object) -> None:
        try:
            text = base64.b64decode(wrapped if isinstance(wrapped, str) else "", validate=True).decode()
        except (binascii.Error, ValueError):
            return
        inner, metrics = self._inner, at(load(text), "amazon-bedrock-invocationMetrics")
        inner.see("", text)
        self.begun = self.begun or inner.begun or bool(at(load(text), "outputText") or at(load(text), "generation"))
        self.failed, self.limited = self.failed or inner.failed, self.limited or inner.limited
        self.ended = self.ended or inner.ended or metrics is not None
        told = inner.usage
        self.usage.take({"input": told.input, "output": told.output}, input=("input",), output=("output",))
        self.usage.take(metrics, input=("inputTokenCount",), output=("outputTokenCount",))

    def error_event(self, last: bytes) -> bytes:
        """The exception that a failing service sends."""
        return _message(
            {
                ":exception-type": "internalServerException",
                ":content-type": "application/json",
                ":message-type": "exception",
            },
            json.dumps({"message": "upstream closed"}, separators=(",", ":")).encode(),
        )


_TEXT = 7  # the type of a header's value


def _message(headers: dict[str, str], payload: bytes) -> bytes:
    block = b"".join(
        struct.pack(">B", len(name)) + name.encode() + struct.pack(">BH", _TEXT, len(value)) + value.encode()
        for name, value in headers.items()
    )
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    message = lengths + struct.pack(">I", zlib.crc32(lengths)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))
