"""Streams of those who have no dialect of their own here, or hardly one."""

from typing import Any

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.frames import named, text


def plain(frames: list[bytes], dialect: str, verdict: Any, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript("/anything", frames, dialect, verdict, **given)


def token(number: int, words: str, generated: str | None = None, **details: object) -> bytes:
    said = {"index": number, "token": {"id": 4, "text": words, "logprob": -0.1, "special": False}}
    return b"data:" + text({**said, "generated_text": generated, "details": details or None}) + b"\n\n"


def replicate(kind: str, number: int, *lines: str) -> bytes:
    return "".join([f"event: {kind}\nid: 1700000000:{number}\n", *[f"data: {line}\n" for line in lines], "\n"]).encode()


COHERE = [
    named("message-start", id="x1", delta={"message": {"role": "assistant"}}),
    named("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}}),
    named("content-delta", index=0, delta={"message": {"content": {"text": "Hi"}}}),
    named("content-end", index=0),
]


def cohered(reason: str) -> bytes:
    usage = {
        "billed_units": {"input_tokens": 5, "output_tokens": 1},
        "tokens": {"input_tokens": 70, "output_tokens": 1},
    }
    return named("message-end", delta={"finish_reason": reason, "usage": usage})


COHERED = {"input": 70, "output": 1}
TOKENS = [token(1, ""), token(2, "Hi")]
MCP = [
    b"id: s1-0\ndata:\n\n",
    b'event: message\nid: s1-1\ndata: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n',
    b'id: s1-2\ndata: {"jsonrpc":"2.0","id":7,"result":{"content":[]}}\n\n',
]

PLAIN = {
    "cohere": plain([*COHERE, cohered("COMPLETE")], "cohere", "complete", usage=COHERED, first_token=2),
    "cohere-limited": plain(
        [*COHERE, cohered("MAX_TOKENS")], "cohere", "complete", usage=COHERED, first_token=2, limited=True
    ),
    "cohere-failed": plain([*COHERE, cohered("ERROR")], "cohere", "failed", usage=COHERED, first_token=2),
    "cohere-truncated": plain(COHERE, "cohere", "truncated", first_token=2),
    "cohere-tool": plain(
        [COHERE[0], named("tool-plan-delta", delta={"message": {"tool_plan": "I"}}), cohered("TOOL_CALL")],
        "cohere",
        "complete",
        usage=COHERED,
        first_token=1,
    ),
    "tgi": plain(
        [*TOKENS, token(3, "</s>", "Hi", finish_reason="eos_token", generated_tokens=2)],
        "tgi",
        "complete",
        usage={"output": 2},
        first_token=1,
    ),
    "tgi-limited": plain(
        [*TOKENS, token(3, "!", "Hi!", finish_reason="length", generated_tokens=2)],
        "tgi",
        "complete",
        usage={"output": 2},
        first_token=1,
        limited=True,
    ),
    "tgi-failed": plain(
        [*TOKENS, b'data:{"error":"out of memory","error_type":"generation"}\n\n'], "tgi", "failed", first_token=1
    ),
    "tgi-truncated": plain(TOKENS, "tgi", "truncated", first_token=1),
    "replicate": plain(
        [replicate("output", 0, ""), replicate("output", 1, "Hi", "there"), replicate("done", 2, "{}")],
        "replicate",
        "complete",
        first_token=1,
    ),
    "replicate-failed": plain(
        [replicate("output", 0, "Hi"), replicate("error", 1, "lost"), replicate("done", 2, "{}")],
        "replicate",
        "failed",
        first_token=0,
    ),
    "replicate-truncated": plain([replicate("output", 0, "Hi")] * 3, "replicate", "truncated", first_token=0),
    "mcp": plain(MCP, "plain", "unknown", first_token=0),
    "nobody": plain(
        [b": hi\n\n", *[b"data: tick\n\n"] * 9], "plain", "unknown", events=9, first_event=1, first_token=1
    ),
    "nobody-cut-off": plain([b"data: tick\n\n"] * 4, "plain", "truncated", first_token=0, well=False),
    "nobody-inside": plain([b"data: tick\n\n"] * 4, "plain", "unknown", first_token=0, tail=b"data: tick\n"),
    "nobody-short": plain([b"data: tick\n\n"], "plain", "unknown", first_token=0),
    "nobody-long": plain(
        [b"data: tick\n\n", b"event: x\n\n", b"data\n\n", b"id: 1\ndata:\n\n"] * 120,
        "plain",
        "unknown",
        first_token=0,
        events=360,
    ),
    "nothing": plain([], "plain", "unknown", first_event=None),
    "preset": plain([*COHERE, cohered("COMPLETE")], "plain", "unknown", first_token=0)._replace(family="plain-sse"),
}
