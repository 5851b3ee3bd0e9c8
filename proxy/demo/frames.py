"""Frames: JSON documents, server-sent events and JSON lines, as bytes."""

import json


def json_bytes(document: object) -> bytes:
    """JSON in UTF-8, compact, with every character written as itself.

    No `\\u` escapes, so that a character of several bytes can be cut by whoever cuts. A lone surrogate, which JSON
    can carry but UTF-8 cannot, becomes a question mark.
    """
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def event(document: object, *, name: str | None = None, event_id: int | None = None) -> bytes:
    """One server-sent event whose data is a JSON document. Source: WHATWG HTML 9.2.6."""
    head = b""
    if event_id is not None:
        head += b"id: %d\n" % event_id
    if name is not None:
        head += b"event: %s\n" % name.encode()
    return head + b"data: " + json_bytes(document) + b"\n\n"


def json_line(document: object) -> bytes:
    """One line of newline-delimited JSON, its line feed included."""
    return json_bytes(document) + b"\n"
