"""Streams of Gemini, as events and as an array."""

import json
from typing import Any

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.frames import data, text

GEMINI_PATH = "/v1beta/models/m:streamGenerateContent"


def candidate(words: str | None, finish: str | None = None, index: int = 0, **more: object) -> dict[str, object]:
    content = {} if words is None else {"content": {"role": "model", "parts": [{"text": words}]}}
    ending = {} if finish is None else {"finishReason": finish}
    return {"candidates": [{**content, **ending, "index": index}], **more}


def metered(prompt: int, output: int | None = None, **more: int) -> dict[str, object]:
    counts = {"promptTokenCount": prompt, "totalTokenCount": prompt + (output or 0), **more}
    return {"usageMetadata": counts if output is None else {**counts, "candidatesTokenCount": output}}


GEMINI_USAGE = {"input": 5, "output": 2, "total": 7}
GEMINI_ERROR: dict[str, object] = {"error": {"code": 503, "message": "try later", "status": "UNAVAILABLE"}}
GEMINI_OBJECTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "complete": (
        [candidate('Say ["]}\\', **metered(5)), candidate(" {[ there", "STOP", **metered(5, 2))],
        {"verdict": "complete", "usage": GEMINI_USAGE, "first_token": 0},
    ),
    "finished-without-content": (
        [candidate("Hi"), candidate("!"), candidate(None, "STOP", **metered(5, 2))],
        {"verdict": "complete", "usage": GEMINI_USAGE, "first_token": 0},
    ),
    "limited": (
        [candidate(""), candidate("Hi"), candidate(None, "MAX_TOKENS")],
        {"verdict": "complete", "limited": True, "first_token": 1},
    ),
    "running-totals": (
        [
            candidate("Hi", **metered(5, 1, cachedContentTokenCount=4)),
            *[candidate("Hi", **metered(5, number)) for number in range(2, 30)],
            candidate("no usage here"),
            candidate("", "STOP", **metered(5, 30, thoughtsTokenCount=3)),
        ],
        {
            "verdict": "complete",
            "usage": {"input": 5, "output": 30, "total": 35, "cached": 4, "reasoning": 3},
            "first_token": 0,
        },
    ),
    "failed": ([candidate("Hi"), GEMINI_ERROR], {"verdict": "failed", "first_token": 0}),
    "failed-at-once": ([GEMINI_ERROR], {"verdict": "failed"}),
    "an-error-of-null": (
        [candidate("Hi", error=None), candidate(None, "STOP")],
        {"verdict": "complete", "first_token": 0},
    ),
    "refused": (
        [{"promptFeedback": {"blockReason": "SAFETY"}, **metered(5)}],
        {"verdict": "complete", "usage": {"input": 5, "total": 5}},
    ),
    "a-tool": (
        [
            {"candidates": [{"content": {"parts": [{"functionCall": {"name": "weather", "args": {}}}]}}]},
            candidate(None, "STOP"),
        ],
        {"verdict": "complete", "first_token": 0},
    ),
    "no-object": (
        [7, "candidates", None, [candidate("x")], candidate("Hi", "STOP")],
        {"verdict": "complete", "first_token": 4},
    ),
    "truncated": ([candidate("Hi"), candidate("there")], {"verdict": "truncated", "first_token": 0}),
}


def gemini(frames: list[bytes], **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript(GEMINI_PATH, frames, "gemini", **given)


GEMINI = {
    **{name: gemini([data(said) for said in objects], **told) for name, (objects, told) in GEMINI_OBJECTS.items()},
    "unknown-path": gemini([data(candidate("Hi", "STOP"))], verdict="complete", first_token=0)._replace(path="/x"),
    "truncated-inside": gemini(
        [data(candidate("Hi"))], verdict="truncated", first_token=0, tail=data(candidate(None, "STOP"))[:-1]
    ),
}


def grown(objects: list[Any]) -> list[bytes]:
    """The elements of an array, with a line of their own for what stands between, and its closing bracket."""
    return [b"[" + text(objects[0]), *[b"\n,\r\n" + text(said) for said in objects[1:]], b"\n]"]


# What is neither an object nor an array has no frame of its own there.
ARRAYED = {name: told for name, told in GEMINI_OBJECTS.items() if name != "no-object"}
GEMINI_ARRAY = {
    **{
        name: gemini(grown(objects), framing="array", **{"events": len(objects), **told}, tail=b"\n")
        for name, (objects, told) in ARRAYED.items()
    },
    "cut-behind-a-comma": gemini(
        grown([candidate("Hi"), candidate(None, "STOP")])[:2],
        framing="array",
        verdict="truncated",
        first_token=0,
        tail=b"\n,",
    ),
    "cut-inside": gemini(
        grown([candidate("Hi")])[:1], framing="array", verdict="truncated", first_token=0, well=False, tail=b',{"cand'
    ),
    "indented": gemini(
        [
            b"[" + json.dumps(candidate("Hi"), indent=2).encode(),
            b"\n,\r\n" + json.dumps(candidate("!", "STOP", **metered(5, 2)), indent=2).encode(),
            b"\n]",
        ],
        framing="array",
        verdict="complete",
        usage=GEMINI_USAGE,
        first_token=0,
        events=2,
    ),
    "an-error-in-place-of-the-array": gemini([text(GEMINI_ERROR)], framing="array", verdict="failed", tail=b"\n"),
    "nothing-in-it": gemini([b"[", b"]"], framing="array", verdict="truncated", events=1, first_event=1),
}
