"""No JSON that an upstream may send makes a watch fail, or believe what cannot be."""

import json
import re
import sys
from typing import Any

import pytest

from tests.core.dialects import Transcript, learnt
from tests.core.dialects.transcripts import ALL
from tests.core.dialects.transcripts.anthropic import ANTHROPIC
from tests.core.dialects.transcripts.gemini import GEMINI
from tests.core.dialects.transcripts.ollama import OLLAMA
from tests.core.dialects.transcripts.openai import CHAT, RESPONSES

HOSTILE: list[str] = [
    "null",
    "true",
    "[]",
    "[[[]]]",
    "7",
    "NaN",
    "-Infinity",
    '""',
    "{}",
    "[" * 100_000,
    '{"a":' * 100_000,
    "9" * 10_000,
    '{"usage":{"prompt_tokens":' + "9" * 10_000 + "}}",
    "{broken",
    '{"usage":NaN,"choices":NaN,"response":Infinity}',
    '{"type":["response.created"],"choices":{},"candidates":{},"delta":7,"token":[],"message":1}',
]


def mutants(value: Any) -> list[Any]:
    """The value with everything in it, one by one, replaced by what it is not."""
    odd: list[Any] = [None, True, False, -1, 1e300, float("nan"), 10**400, "x", [], {}, [None], {"x": None}, [[{}]]]
    found = list(odd)
    if isinstance(value, dict):
        found += [{**value, key: other} for key, inner in value.items() for other in mutants(inner)]
    if isinstance(value, list):
        found += [[*value[:n], other, *value[n + 1 :]] for n, inner in enumerate(value) for other in mutants(inner)]
    return found


def framed(transcript: Transcript, text: str, name: str = "message") -> bytes:
    if transcript.framing == "sse":
        return f"event: {name}\ndata: {text}\n\n".encode()
    return text.encode() + b"\n" if transcript.framing == "lines" else b",{" + text.encode()[1:]


HEADS = {"chat": CHAT, "responses": RESPONSES, "anthropic": ANTHROPIC, "gemini": GEMINI, "ollama": OLLAMA}


@pytest.mark.parametrize("exact", [False, True], ids=["batched", "exact"])
@pytest.mark.parametrize("found", HEADS.values(), ids=HEADS)
def test_json_of_any_kind_is_no_error(found: dict[str, Transcript], exact: bool) -> None:
    """MUST. Not an object, too deep, too large, no number, no JSON: first and in the middle."""
    transcript = found["complete"]
    for text in HOSTILE:
        for frames in ([], transcript.frames[:-1]):
            watch = transcript.watch(exact, limit=1 << 20)
            for frame in [*frames, framed(transcript, text), framed(transcript, text) + b"\xff\xfe"]:
                watch.feed(frame, 1.0)
            watch.close()
            assert max(learnt(watch).usage.values(), default=0) <= sys.maxsize


@pytest.mark.parametrize("name", [name for name, found in ALL.items() if found.framing in ("sse", "lines")])
def test_wrong_types_at_every_place_are_no_error(name: str) -> None:
    """MUST. Numbers that are none are not taken for tokens, neither are booleans, negative ones or absurd ones."""
    transcript = ALL[name]
    seen = set()
    for frame in transcript.frames:
        start = frame.find(b"{")
        kind = re.search(rb"event: ?(\S+)", frame)
        try:
            value = json.loads(frame[start:]) if start >= 0 else None
        except ValueError:
            continue
        shape = re.sub(r"\d+", "0", str(value))
        if shape in seen:
            continue
        seen.add(shape)
        for mutant in mutants(value):
            watch = transcript.watch(exact=True)
            watch.feed(framed(transcript, json.dumps(mutant), kind[1].decode() if kind else "message"), 1.0)
            watch.close()
            for count in learnt(watch).usage.values():
                assert type(count) is int
                assert 0 <= count <= 2**53


def test_choices_without_end_are_not_all_remembered() -> None:
    """MUST. OpenAI allows 128."""
    watch = CHAT["complete"].watch(exact=True)
    for number in range(1000):
        watch.feed(f'data: {{"choices":[{{"index":{number},"finish_reason":"stop"}}]}}\n\n'.encode(), 1.0)
    sizes = [getattr(watch.dialect, name).bit_length() for name in ("_seen", "_finished")]
    assert sizes == [128, 128]
    assert watch.verdict(ended_well=True) == "complete"
