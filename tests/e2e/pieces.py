"""What origins send in these tests: the same words in each dialect, one event a piece."""

import json
from dataclasses import dataclass
from typing import Any

WORDS = ["Streams ", "流れ 👩‍🚀 ", "stream."]


@dataclass(frozen=True)
class Script:
    """Pieces for the origin, and what a client makes of each; `last` goes with the end and makes nothing."""

    pieces: list[str]
    values: list[Any]
    last: str = ""


def _event(document: dict[str, Any]) -> str:
    return f"event: {document['type']}\ndata: {json.dumps(document)}\n\n"


def _chunk(word: str) -> str:
    choice = {"index": 0, "delta": {"content": word}, "finish_reason": None}
    document = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "any", "choices": [choice]}
    return f"data: {json.dumps(document)}\n\n"


def _delta(word: str) -> str:
    delta = {"type": "text_delta", "text": word}
    return _event({"type": "content_block_delta", "index": 0, "delta": delta})


def _message() -> tuple[str, str]:
    """What comes before and after the words of Anthropic's stream."""
    usage = {"input_tokens": 1, "output_tokens": 3}
    message = {"id": "m1", "type": "message", "role": "assistant", "model": "any", "content": [], "usage": usage}
    message |= {"stop_reason": None, "stop_sequence": None}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    before = _event({"type": "message_start", "message": message}) + _event(block)
    stop = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": usage}
    stopped = [{"type": "content_block_stop", "index": 0}, stop, {"type": "message_stop"}]
    return before, "".join(_event(document) for document in stopped)


_BEFORE, _AFTER = _message()
CHAT = Script([_chunk(word) for word in WORDS], WORDS, "data: [DONE]\n\n")
MESSAGES = Script([_BEFORE + _delta(WORDS[0]), *[_delta(word) for word in WORDS[1:]]], WORDS, _AFTER)
EVENTS = Script(
    [f"event: token\nid: {number}\ndata: {word}\n\n" for number, word in enumerate(WORDS, 1)],
    [{"type": "token", "id": str(number), "data": word} for number, word in enumerate(WORDS, 1)],
)
LINES = Script([f"data: {word}\n\n" for word in WORDS], [f"data: {word}" for word in WORDS])
"""For clients that know lines and no events."""
