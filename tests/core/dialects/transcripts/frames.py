"""Frames as providers write them: compact JSON, and events with and without a name."""

import json

DONE = b"data: [DONE]\n\n"
BOM = b"\xef\xbb\xbf"


def text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def data(value: object) -> bytes:
    return b"data: " + text(value) + b"\n\n"


def named(kind: str, **more: object) -> bytes:
    return f"event: {kind}\n".encode() + data({"type": kind, **more})
