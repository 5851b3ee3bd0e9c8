"""Which provider's format a stream has, and whether it ended the way that format ends. Pure.

Known from the frames themselves, never from the address. Sources: the providers' own documentation; WHATWG HTML 9.2
has no end of its own, so that an unknown format is neither complete nor incomplete.
"""

import re
from typing import Any, Literal, NamedTuple

from proxy.doctor.reading import Frame, Reading, json_of

State = Literal["complete", "no_sentinel", "truncated", "unknown"]


class Ending(NamedTuple):
    """The format's name, how the stream ended by its measure, and what would have ended it."""

    format: str
    state: State
    wanted: str


class Refusal(NamedTuple):
    """An error told in a body whose status says success."""

    message: str
    is_auth: bool
    is_whole_body: bool


UNKNOWN = Ending("", "unknown", "")


def ending(reading: Reading) -> Ending:
    """How the stream ended by the measure of its own format."""
    events = reading.events
    if not events:
        return UNKNOWN
    if reading.form == "array":
        state: State = "complete" if reading.text.rstrip().endswith(b"]") else "truncated"
        return Ending("JSON array", state, "]")
    if reading.form not in ("sse", "lines"):
        return UNKNOWN
    documents = zip(events, reading.documents, strict=True)
    objects = [(event, value) for event, value in documents if isinstance(value, dict)]
    for judge in (_responses, _anthropic, _ollama, _gemini, _chat):
        if (found := judge(objects, events)) is not None:
            return found
    return UNKNOWN


_Objects = list[tuple[Frame, dict[str, Any]]]


def _kinds(objects: _Objects) -> set[str]:
    return {str(event.name or value.get("type", "")) for event, value in objects}


def _responses(objects: _Objects, events: list[Frame]) -> Ending | None:
    kinds = _kinds(objects)
    if not any(kind.startswith("response.") for kind in kinds):
        return None
    done = kinds & {"response.completed", "response.incomplete", "response.failed", "error"}
    return Ending("OpenAI Responses", "complete" if done else "truncated", "response.completed")


def _anthropic(objects: _Objects, events: list[Frame]) -> Ending | None:
    kinds = _kinds(objects)
    if "message_start" not in kinds:
        return None
    return Ending("Anthropic", "complete" if kinds & {"message_stop", "error"} else "truncated", "event: message_stop")


def _ollama(objects: _Objects, events: list[Frame]) -> Ending | None:
    dones = [value["done"] for _, value in objects if isinstance(value.get("done"), bool) and "model" in value]
    if not dones:
        return None
    return Ending("Ollama", "complete" if dones[-1] else "truncated", '"done": true')


def _gemini(objects: _Objects, events: list[Frame]) -> Ending | None:
    if not any({"candidates", "promptFeedback"} & value.keys() for _, value in objects):
        return None
    candidates = [one for _, value in objects for one in _list(value.get("candidates"))]
    done = any(one.get("finishReason") for one in candidates) or any("promptFeedback" in value for _, value in objects)
    return Ending("Gemini", "complete" if done else "truncated", "a finishReason")


def _chat(objects: _Objects, events: list[Frame]) -> Ending | None:
    chunks = [value for _, value in objects if value.get("object") in ("chat.completion.chunk", "text_completion")]
    if not chunks:
        return None
    if any((event.data or "").startswith("[DONE]") for event in events):
        return Ending("OpenAI chat", "complete", "data: [DONE]")
    choices = [one for value in chunks for one in _list(value.get("choices"))]
    indices = {one.get("index") for one in choices}
    finished = {one.get("index") for one in choices if one.get("finish_reason")}
    state: State = "no_sentinel" if indices and indices == finished else "truncated"
    return Ending("OpenAI chat", state, "data: [DONE]")


def _list(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


_AUTH = re.compile(
    r"auth|api[ _-]?key|credential|permission|forbidden|access denied|(?:invalid|expired|missing) token"
    r"|token (?:is |has )?(?:invalid|expired|missing)|\b40[13]\b",
    re.IGNORECASE,
)


def refusal(reading: Reading) -> Refusal | None:
    """The error that a body tells although its status says success, or None."""
    whole = json_of(reading.text) if reading.form in ("json", "sse", "lines", "opaque") else None
    if isinstance(whole, dict):
        found = _error(whole, "")
        if found is None and reading.form == "json" and whole.get("code") in (401, 403, "401", "403"):
            found = whole
        return _refusal(found, is_whole_body=True) if found is not None else None
    for event, value in zip(reading.events, reading.documents, strict=True):
        found = _error(value, event.name) if isinstance(value, dict) else None
        if found is not None:
            return _refusal(found, is_whole_body=len(reading.events) == 1)
        if event.name == "error":
            return _refusal({"message": event.data}, is_whole_body=len(reading.events) == 1)
    return None


def _error(value: dict[str, Any], name: str) -> dict[str, Any] | None:
    error = value.get("error")
    if isinstance(error, dict) and error:
        return error
    if isinstance(error, str) and error:
        return {**value, "message": error}
    return value if name == "error" or value.get("object") == "error" or value.get("type") == "error" else None


def _refusal(error: dict[str, Any], is_whole_body: bool) -> Refusal:
    said = [str(error[key]) for key in ("type", "code", "status") if error.get(key)]
    message = str(error.get("message") or error.get("msg") or error.get("detail") or "")
    text = ": ".join(part for part in (" ".join(said), message) if part) or "an error without words"
    return Refusal(text, _AUTH.search(text) is not None, is_whole_body)
