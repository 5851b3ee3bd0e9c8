"""Streams of Anthropic's Messages."""

from typing import Any

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.frames import named

MESSAGES_PATH = "/v1/messages"


def anthropic(frames: list[bytes], verdict: Any, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript(MESSAGES_PATH, frames, "anthropic", verdict, **given)


def started(**usage: int) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "stop_reason": None}
    return named("message_start", message={**message, "usage": usage})


def block(**delta: str) -> bytes:
    return named("content_block_delta", index=0, delta=delta)


def stopping(reason: str, **usage: int) -> bytes:
    return named("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


START, PING, STOPPED = started(input_tokens=5, output_tokens=1), named("ping"), named("message_stop")
BLOCK = named("content_block_start", index=0, content_block={"type": "text", "text": ""})
HI = block(type="text_delta", text="Hi")
BLOCK_END = named("content_block_stop", index=0)
OVERLOADED = named("error", error={"type": "overloaded_error", "message": "Overloaded"})

ANTHROPIC = {
    "complete": anthropic(
        [START, BLOCK, PING, HI, BLOCK_END, stopping("end_turn", output_tokens=2), STOPPED],
        "complete",
        usage={"input": 5, "output": 2},
        first_token=3,
    ),
    "limited": anthropic(
        [START, BLOCK, HI, stopping("max_tokens", output_tokens=2), STOPPED],
        "complete",
        usage={"input": 5, "output": 2},
        first_token=2,
        limited=True,
    ),
    "running-totals": anthropic(
        [
            started(input_tokens=5, cache_read_input_tokens=3, output_tokens=1),
            HI,
            stopping("end_turn", output_tokens=20),
            stopping("end_turn", output_tokens=30, input_tokens=6),
            STOPPED,
        ],
        "complete",
        usage={"input": 6, "output": 30, "cached": 3},
        first_token=1,
    ),
    "failed": anthropic([START, BLOCK, HI, OVERLOADED], "failed", usage={"input": 5, "output": 1}, first_token=2),
    "failed-at-once": anthropic([OVERLOADED], "failed"),
    "failed-but-stopped": anthropic(
        [START, HI, OVERLOADED, STOPPED], "failed", usage={"input": 5, "output": 1}, first_token=1
    ),
    "truncated": anthropic(
        [START, BLOCK, HI, BLOCK_END, stopping("end_turn", output_tokens=2)],
        "truncated",
        usage={"input": 5, "output": 2},
        first_token=2,
    ),
    "truncated-inside": anthropic(
        [START, HI], "truncated", usage={"input": 5, "output": 1}, first_token=1, tail=STOPPED[:-1], well=False
    ),
    "pings-first": anthropic(
        [PING, PING, START, PING, HI, STOPPED], "complete", usage={"input": 5, "output": 1}, first_token=4
    ),
    "a-tool": anthropic(
        [
            START,
            named("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "weather"}),
            block(type="input_json_delta", partial_json=""),
            block(type="input_json_delta", partial_json='{"type":"message_stop'),
            stopping("tool_use", output_tokens=9),
            STOPPED,
        ],
        "complete",
        usage={"input": 5, "output": 9},
        first_token=3,
    ),
    "thinking": anthropic(
        [
            START,
            block(type="signature_delta", signature="c2ln"),
            block(type="delta_of_next_year", text="?"),
            block(type="thinking_delta", thinking="Hm"),
            HI,
            STOPPED,
        ],
        "complete",
        usage={"input": 5, "output": 1},
        first_token=3,
    ),
    "without-event-names": anthropic(
        [
            frame[frame.index(b"data:") :]
            for frame in [START, BLOCK, PING, HI, stopping("max_tokens", output_tokens=2), STOPPED]
        ],
        "complete",
        usage={"input": 5, "output": 2},
        first_token=3,
        limited=True,
    ),
    "error-without-event-name": anthropic(
        [START, HI, OVERLOADED[OVERLOADED.index(b"data:") :]], "failed", usage={"input": 5, "output": 1}, first_token=1
    ),
    "unknown-path": anthropic(
        [PING, START, HI, STOPPED], "complete", usage={"input": 5, "output": 1}, first_token=2
    )._replace(path="/anything"),
    "vertex": anthropic([START, HI, STOPPED], "complete", usage={"input": 5, "output": 1}, first_token=1)._replace(
        path="/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict", family="gemini"
    ),
    "long": anthropic(
        [START, *[block(type="text_delta", text=f"word{number}") for number in range(60)], OVERLOADED],
        "failed",
        usage={"input": 5, "output": 1},
        first_token=1,
    ),
}
