"""One exchange for other programs: HAR with timings, a transcript to read, a curl command. All redacted already.

Source: HAR 1.2 (the W3C Web Performance group's draft).
"""

import base64
import json
import re
import shlex
from typing import Any
from urllib.parse import parse_qsl

from proxy.edge.inspector.captured import SIDES, Captured, Mark, Side
from proxy.edge.inspector.changes import Head
from proxy.edge.inspector.record import Record

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
# Set by curl itself, or meant for one connection.
_CURLS_OWN = frozenset({"host", "content-length", "connection", "transfer-encoding", "expect", "accept-encoding", "te"})
_WORDS = {
    "asked": "request went upstream",
    "interim": "head of an interim answer",
    "answered": "response head went to the client",
    "upload": "from client",
    "both": "from upstream, to client",
    "read": "from upstream",
    "wrote": "to client",
    "trailers": "trailers",
    "paused": "client is full: nothing more is read",
    "resumed": "client has caught up",
}


def text_of(data: bytes) -> str | None:
    """Bytes as text; None if they are none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return None


def har(record: Record, version: str) -> dict[str, Any]:
    """A log with this one entry. Times that nobody knows are -1; `_pieces` are the moments of the body's pieces."""
    summary, captured = record.summary, record.captured
    request, response = (captured.request, captured.response) if captured else (None, None)
    timings = _timings(summary)
    entry = {
        "startedDateTime": summary["time"],
        "time": sum(value for value in timings.values() if value > 0),
        "request": _har_request(summary, request, _body(captured, "request")),
        "response": _har_response(summary, response, _body(captured, "client")),
        "cache": {},
        "timings": timings,
        "comment": _comment(captured),
        "_request_id": summary["request_id"],
        "_outcome": summary["outcome"],
        "_interim": [head.document() for _, head in captured.interims] if captured else [],
        "_trailers": captured.trailer_section.document() if captured and captured.trailer_section else None,
        "_pieces": _pieces(record),
    }
    return {
        "log": {"version": "1.2", "creator": {"name": "streamsafe", "version": version}, "entries": [entry]},
    }


def _timings(summary: dict[str, Any]) -> dict[str, float]:
    sent, head = summary["sent_ms"], summary["head_ms"]
    end = summary["duration_ms"] or summary["last_byte_ms"]
    return {
        "blocked": -1,
        "dns": -1,
        "connect": -1,
        "send": sent if sent is not None else 0,
        "wait": round(head - sent, 1) if head is not None and sent is not None else 0,
        "receive": round(end - head, 1) if end is not None and head is not None else 0,
    }


def _har_request(summary: dict[str, Any], head: Head | None, body: bytes) -> dict[str, Any]:
    fields = head.received or [] if head else []
    target = summary["target"] or ""
    document: dict[str, Any] = {
        "method": summary["method"] or "",
        "url": _url(head, target),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _har_fields(fields),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(target.partition("?")[2], keep_blank_values=True)
        ],
        "headersSize": -1,
        "bodySize": summary["bytes_in"],
    }
    if body:
        kind = next((value for name, value in fields if name.lower() == "content-type"), "")
        document["postData"] = {"mimeType": kind, "text": body.decode("utf-8", "replace")}
    return document


def _har_response(summary: dict[str, Any], head: Head | None, body: bytes) -> dict[str, Any]:
    fields = head.sent or [] if head else []
    content: dict[str, Any] = {"size": len(body), "mimeType": head.went_with("content-type") if head else ""}
    text = text_of(body)
    if text is not None:
        content["text"] = text
    else:
        content |= {"text": base64.b64encode(body).decode("ascii"), "encoding": "base64"}
    return {
        "status": summary["status"] or 0,
        "statusText": " ".join((head.went or "").split(" ")[2:]) if head else "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": _har_fields(fields),
        "content": content,
        "redirectURL": head.went_with("location") if head else "",
        "headersSize": -1,
        "bodySize": summary["bytes_out"],
    }


def _har_fields(fields: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in fields]


def _url(head: Head | None, target: str) -> str:
    if not target.startswith("/"):
        return target
    host = next((value for name, value in (head.received or ()) if name.lower() == "host"), "") if head else ""
    return f"http://{host or 'localhost'}{target}"


def _comment(captured: Captured | None) -> str:
    if captured is None:
        return "heads and bodies were not captured: no page was connected"
    return f"{captured.lost} bytes of bodies were not kept" if captured.lost else ""


def _pieces(record: Record) -> list[dict[str, Any]]:
    if record.captured is None:
        return []
    return [
        {"at_ms": milliseconds(record, mark.at), "kind": mark.kind, "bytes": mark.size}
        for mark in record.captured.marks
    ]


def transcript(record: Record, summary: dict[str, Any]) -> str:
    """All of it as text, each piece with its moment. What a terminal would act on is escaped."""
    captured = record.captured
    lines = [json.dumps(summary), ""]
    if captured is None:
        lines.append("Heads and bodies were not captured: no page was connected.")
        return "\n".join(lines) + "\n"
    for title, head in (("request", captured.request), ("response", captured.response)):
        if head is not None:
            lines += _told_head(f"{title} as it came", head.came, head.received)
            lines += _told_head(f"{title} as it went on", head.went, head.sent)
    for _, head in captured.interims:
        lines += _told_head("interim answer as it came", head.came, head.received)
    if captured.trailer_section is not None:
        lines += _told_head("trailers as they came", "", captured.trailer_section.received)
    for mark in captured.marks:
        size = f", {mark.size} bytes" if mark.size else ""
        gone = f", {mark.size - mark.kept} not kept" if mark.kept < mark.size else ""
        lines.append(f"--- {milliseconds(record, mark.at):+.1f} ms: {_WORDS[mark.kind]}{size}{gone}")
        piece = bytes_of(captured, mark)
        if piece:
            lines.append(visible(piece.decode("utf-8", "backslashreplace")))
    return "\n".join(lines) + "\n"


def _told_head(title: str, start: str | None, fields: list[tuple[str, str]] | None) -> list[str]:
    if start is None or fields is None:
        return []
    return [f"--- {title}", visible(start), *(visible(f"{name}: {value}") for name, value in fields), ""]


def curl(record: Record) -> str:
    """A command that asks the proxy the same. Secrets are cut short in it and have to be put in again."""
    captured = record.captured
    head = captured.request if captured else None
    words = ["curl", "-gN", "-X", record.summary["method"] or "GET", _url(head, record.summary["target"] or "/")]
    if head is None:
        return visible(shlex.join(words)) + "  # and its address, fields and body, which were not kept\n"
    for name, value in head.received or () if head else ():
        if name.lower() not in _CURLS_OWN:
            words += ["-H", f"{name}: {value}"]
    body = _body(captured, "request")
    text = text_of(body)
    if body:
        is_whole = len(body) == record.summary["bytes_in"]
        if text is None or not is_whole or _CONTROL.search(text):
            return visible(shlex.join(words)) + "  # and a body that was not kept whole, or is no plain text\n"
        words += ["--data-raw", text]
    return visible(shlex.join(words)) + "\n"


def visible(text: str) -> str:
    """Text without what a terminal would act on, or what would turn its direction."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def bytes_of(captured: Captured, mark: Mark) -> bytes:
    """The bytes of a mark, as far as they were kept."""
    side = SIDES.get(mark.kind)
    return bytes(captured.bodies.get(side, b"")[mark.start : mark.start + mark.kept]) if side is not None else b""


def _body(captured: Captured | None, side: Side) -> bytes:
    return bytes(captured.bodies.get(side, b"")) if captured is not None else b""


def milliseconds(record: Record, moment: float) -> float:
    """A moment as the API tells it: since the exchange began."""
    return round((moment - record.origin_s) * 1000, 2)
