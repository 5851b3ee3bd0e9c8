"""Messages of Bedrock, in the binary frames of AWS."""

import base64
from typing import Any

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.frames import text
from tests.core.framers import aws_message

CONVERSE_PATH, INVOKE_PATH = "/model/m/converse-stream", "/model/m/invoke-with-response-stream"


def message(kind: str, **payload: object) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return aws_message(headers, text(payload))


def wrapped(value: object) -> bytes:
    return message("chunk", bytes=base64.b64encode(text(value)).decode(), p="abcdefgh")


def flipped(frame: bytes, at: int) -> bytes:
    at %= len(frame)
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


EXCEPTION = aws_message(
    {":exception-type": "throttlingException", ":content-type": "application/json", ":message-type": "exception"},
    b'{"message":"slow down"}',
)
UNMODELLED = aws_message({":message-type": "error", ":error-code": "500", ":error-message": "lost"}, b"")
CONVERSE = [
    message("messageStart", role="assistant"),
    message("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hé"}),
    message("contentBlockStop", contentBlockIndex=0),
    message("messageStop", stopReason="end_turn"),
    message("metadata", usage={"inputTokens": 5, "outputTokens": 1, "totalTokens": 6, "cacheReadInputTokens": 2}),
]
CONVERSED = {"input": 5, "output": 1, "total": 6, "cached": 2}
METRICS = {"inputTokenCount": 5, "outputTokenCount": 3, "invocationLatency": 9, "firstByteLatency": 4}


def bedrock(frames: list[bytes], verdict: Any, path: str = CONVERSE_PATH, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript(path, frames, "bedrock-eventstream", verdict, framing="aws", **given)


BEDROCK = {
    "complete": bedrock(CONVERSE, "complete", usage=CONVERSED, first_token=1),
    "limited": bedrock(
        [*CONVERSE[:3], message("messageStop", stopReason="max_tokens")], "complete", first_token=1, limited=True
    ),
    "a-tool": bedrock(
        [
            CONVERSE[0],
            message("contentBlockStart", start={}),
            message("contentBlockStart", start={"toolUse": {"toolUseId": "t", "name": "weather"}}),
            CONVERSE[3],
        ],
        "complete",
        first_token=2,
    ),
    "failed": bedrock([*CONVERSE[:2], EXCEPTION], "failed", first_token=1, well=False),
    "failed-in-no-modelled-way": bedrock([*CONVERSE[:2], UNMODELLED], "failed", first_token=1),
    "truncated": bedrock(CONVERSE[:3], "truncated", first_token=1),
    "truncated-inside": bedrock(CONVERSE[:3], "truncated", first_token=1, tail=CONVERSE[3][:-1], well=False),
    "a-wrong-checksum": bedrock(
        [CONVERSE[0], flipped(CONVERSE[1], -1), *CONVERSE[1:]], "complete", usage=CONVERSED, first_token=2, events=5
    ),
    "a-wrong-checksum-at-the-end": bedrock(
        [*CONVERSE[:3], flipped(CONVERSE[3], 60)], "unknown", first_token=1, events=3
    ),
    "a-wrong-checksum-and-cut-off": bedrock(
        [*CONVERSE[:3], flipped(CONVERSE[3], 60)], "truncated", first_token=1, events=3, well=False
    ),
    "a-wrong-length": bedrock(
        CONVERSE[:2], "unknown", first_token=1, events=2, tail=flipped(CONVERSE[2], 3) + b"".join(CONVERSE[3:])
    ),
    "invoke": bedrock(
        [
            wrapped({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}),
            wrapped({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}),
            wrapped({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 3}}),
            wrapped({"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}),
        ],
        "complete",
        INVOKE_PATH,
        usage={"input": 5, "output": 3},
        first_token=1,
        limited=True,
    ),
    "invoke-failed": bedrock(
        [wrapped({"type": "error", "error": {"type": "overloaded_error"}}), UNMODELLED], "failed", INVOKE_PATH
    ),
    "invoke-failed-inside": bedrock([wrapped({"type": "error", "error": {}})], "failed", INVOKE_PATH),
    "invoke-titan": bedrock(
        [
            wrapped({"outputText": ""}),
            wrapped({"outputText": "Hi"}),
            wrapped({"completionReason": "FINISH", "amazon-bedrock-invocationMetrics": METRICS}),
        ],
        "complete",
        INVOKE_PATH,
        usage={"input": 5, "output": 3},
        first_token=1,
    ),
    "invoke-llama": bedrock(
        [wrapped({"generation": "Hi", "stop_reason": None})], "truncated", INVOKE_PATH, first_token=0
    ),
    "invoke-nonsense": bedrock(
        [
            message("chunk"),
            message("chunk", bytes=7),
            message("chunk", bytes="no base64!"),
            message("chunk", bytes="é"),
            message("chunk", bytes="/w=="),
            message("chunk", bytes="W10="),
        ],
        "truncated",
        INVOKE_PATH,
    ),
}
