"""What the frames of each dialect add to the answer that a person reads; and that others say nothing."""

import json
import struct
import time
import zlib

import pytest

from proxy.core.message import Peer, request_head, response_head
from proxy.edge.inspector.captured import Budget, Captured
from proxy.edge.inspector.masking import masker_of
from proxy.edge.inspector.reading import Reading
from proxy.edge.inspector.said import said


@pytest.mark.parametrize(
    ("dialect", "name", "document", "expected"),
    [
        ("openai-chat", "", {"choices": [{"delta": {"content": "a"}}]}, [("text", "a")]),
        ("openai-chat", "", {"choices": [{"delta": {"reasoning_content": "r"}}]}, [("reasoning", "r")]),
        ("openai-chat", "", {"choices": [{"text": "old"}]}, [("text", "old")]),
        (
            "openai-chat",
            "",
            {"choices": [{"delta": {"tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}}]},
            [("tool", "f"), ("tool", "{")],
        ),
        ("openai-chat", "", {"choices": [{"delta": {"content": None}}]}, []),
        ("openai-responses", "response.output_text.delta", {"delta": "a"}, [("text", "a")]),
        ("openai-responses", "response.reasoning_text.delta", {"delta": "a"}, [("reasoning", "a")]),
        ("openai-responses", "response.function_call_arguments.delta", {"delta": "{"}, [("tool", "{")]),
        ("openai-responses", "response.completed", {"delta": "a"}, []),
        ("anthropic", "content_block_delta", {"delta": {"type": "text_delta", "text": "a"}}, [("text", "a")]),
        ("anthropic", "content_block_delta", {"delta": {"thinking": "t"}}, [("reasoning", "t")]),
        ("anthropic", "content_block_delta", {"delta": {"partial_json": "{"}}, [("tool", "{")]),
        ("anthropic", "content_block_start", {"content_block": {"name": "f"}}, [("tool", "f")]),
        ("gemini", "", {"candidates": [{"content": {"parts": [{"text": "a"}]}}]}, [("text", "a")]),
        (
            "gemini",
            "",
            {"candidates": [{"content": {"parts": [{"text": "t", "thought": True}]}}]},
            [("reasoning", "t")],
        ),
        ("ollama-ndjson", "", {"message": {"content": "a"}, "done": False}, [("text", "a")]),
        ("ollama-ndjson", "", {"response": "a", "done": False}, [("text", "a")]),
        ("cohere", "content-delta", {"delta": {"message": {"content": {"text": "a"}}}}, [("text", "a")]),
        ("bedrock-eventstream", "contentBlockDelta", {"delta": {"text": "a"}}, [("text", "a")]),
        ("tgi", "", {"token": {"text": "a", "special": False}}, [("text", "a")]),
        ("tgi", "", {"token": {"text": "</s>", "special": True}}, []),
        ("plain", "", {"text": "a"}, []),
    ],
)
def test_what_a_frame_says(dialect: str, name: str, document: object, expected: list[tuple[str, str]]) -> None:
    assert said(dialect, name, json.dumps(document)) == expected


def test_a_frame_that_is_no_json_says_nothing() -> None:
    for dialect in ("openai-chat", "openai-responses", "anthropic", "gemini", "ollama-ndjson", "cohere", "tgi"):
        assert said(dialect, "", "{not json") == []
    assert said("replicate", "output", "plain text") == [("text", "plain text")]


def message(payload: bytes) -> bytes:
    """One message of an AWS event stream."""
    name, value = b":event-type", b"contentBlockDelta"
    fields = bytes([len(name)]) + name + b"\x07" + struct.pack(">H", len(value)) + value
    prelude = struct.pack(">II", 16 + len(fields) + len(payload), len(fields))
    whole = prelude + struct.pack(">I", zlib.crc32(prelude)) + fields + payload
    return whole + struct.pack(">I", zlib.crc32(whole))


@pytest.mark.parametrize(
    ("kind", "target", "pieces", "dialect", "texts"),
    [
        (
            b"application/x-ndjson",
            b"/api/chat",
            [b'{"message":{"content":"a"},"done":false}\n{"mess', b'age":{"content":"b"},"done":false}\n'],
            "ollama-ndjson",
            ["a", "b"],
        ),
        (
            b"application/json",
            b"/v1/models/m:streamGenerateContent",
            [b'[{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}', b',\n{"candidates":[]}]'],
            "gemini",
            ["a"],
        ),
        (
            b"application/vnd.amazon.eventstream",
            b"/model/m/converse-stream",
            [message(b'{"delta":{"text":"a"}}')[:20], message(b'{"delta":{"text":"a"}}')[20:]],
            "bedrock-eventstream",
            ["a"],
        ),
        (b"text/event-stream", b"/x", [b"data: hello\n\n"], "", []),
    ],
)
def test_each_framing_is_read_piece_by_piece(
    kind: bytes, target: bytes, pieces: list[bytes], dialect: str, texts: list[str]
) -> None:
    redactor, masker = masker_of([])
    captured = Captured(Budget(1 << 20), redactor, masker, late=False)
    captured.asked(
        request_head(b"POST", target, (1, 1), (), Peer("", False)), b"POST %b HTTP/1.1\r\n\r\n" % target, None
    )
    fields = ((b"content-type", b"Content-Type", kind),)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n\r\n" % kind
    captured.answered(response_head(200, b"OK", (1, 1), fields), head)
    reading = Reading(captured)
    for piece in pieces:
        captured.passed(piece, time.monotonic())
        captured.drain()
        reading.read_on()
    assert reading.dialect == dialect
    assert [words for event in reading.events for _, words in event.said] == texts
    assert [event.start + event.size <= sum(map(len, pieces)) for event in reading.events]
