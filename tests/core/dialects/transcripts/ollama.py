"""Lines of Ollama."""

from typing import Any

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.frames import text


def line(**said: object) -> bytes:
    return text({"model": "m", "created_at": "2026-01-01T00:00:00Z", **said}) + b"\n"


def ollama(frames: list[bytes], verdict: Any, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript("/api/chat", frames, "ollama-ndjson", verdict, framing="lines", **given)


def spoken(words: str, **more: object) -> bytes:
    return line(message={"role": "assistant", "content": words, **more}, done=False)


FINISHED: dict[str, object] = {
    "done": True,
    "total_duration": 9,
    "prompt_eval_count": 5,
    "eval_count": 2,
    "eval_duration": 3,
}
END = line(message={"role": "assistant", "content": ""}, done_reason="stop", **FINISHED)
OLLAMA_USAGE = {"input": 5, "output": 2}

OLLAMA = {
    "complete": ollama(
        [spoken(""), spoken("Grü\u2028\x85"), spoken("ße"), END], "complete", usage=OLLAMA_USAGE, first_token=1
    ),
    "generate": ollama(
        [line(response="Hi", done=False), line(response="", done_reason="length", **FINISHED)],
        "complete",
        usage=OLLAMA_USAGE,
        first_token=0,
        limited=True,
    )._replace(path="/api/generate"),
    "without-its-last-line-end": ollama(
        [spoken("Hi"), spoken("!")], "complete", usage=OLLAMA_USAGE, first_token=0, tail=END[:-1], events=3
    ),
    "long-without-its-last-line-end": ollama(
        [spoken(f"word{number} ") for number in range(70)],
        "complete",
        usage=OLLAMA_USAGE,
        first_token=0,
        tail=END[:-1],
        events=71,
    ),
    "crlf": ollama([spoken("Hi")[:-1] + b"\r\n", END[:-1] + b"\r\n"], "complete", usage=OLLAMA_USAGE, first_token=0),
    "blank-lines": ollama(
        [b"\n", spoken("Hi"), b"\r\n", b" \t\n", END, b"\n"],
        "complete",
        usage=OLLAMA_USAGE,
        first_event=1,
        first_token=1,
        events=2,
    ),
    "records": ollama(
        [b"\x1e" + spoken("Hi"), b"\x1e\n", b"\x1e" + END], "complete", usage=OLLAMA_USAGE, first_token=0, events=2
    ),
    "failed": ollama([spoken("Hi"), text({"error": "model runner stopped"}) + b"\n"], "failed", first_token=0),
    "an-error-of-null": ollama(
        [line(message={"content": "Hi"}, done=False, error=None), END], "complete", usage=OLLAMA_USAGE, first_token=0
    ),
    "truncated": ollama([spoken("Hi"), spoken("!")], "truncated", first_token=0),
    "truncated-inside": ollama([spoken("Hi")], "truncated", first_token=0, tail=END[:20], events=2),
    "a-tool": ollama(
        [spoken("", tool_calls=[{"function": {"name": "weather", "arguments": {}}}]), END],
        "complete",
        usage=OLLAMA_USAGE,
        first_token=0,
    ),
    "thinking": ollama([spoken("", thinking="Hm"), spoken("Hi"), END], "complete", usage=OLLAMA_USAGE, first_token=0),
    "unknown-path": ollama([spoken("Hi"), END], "complete", usage=OLLAMA_USAGE, first_token=0)._replace(path="/x"),
    "pull": Transcript(
        "/api/pull",
        [text({"status": f"pulling {number}"}) + b"\n" for number in range(4)],
        "plain",
        "unknown",
        4,
        first_token=0,
        framing="lines",
    ),
}
