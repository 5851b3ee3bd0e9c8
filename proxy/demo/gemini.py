"""Gemini: `POST /v1beta/models/{model}:streamGenerateContent`, as events or as a growing array, `:generateContent`."""

from collections.abc import Iterable

from aiohttp import web

from proxy.demo.answer import Answer
from proxy.demo.conversation import Family, Question, last_of_user
from proxy.demo.fields import Fields, Refused
from proxy.demo.frames import event, json_bytes
from proxy.demo.generation import Reply


class EventsReply:
    """`alt=sse`: an event a token, no sentinel; the last token carries the finish reason."""

    content_type = "text/event-stream"

    def __init__(self, answer: Answer, model: str) -> None:
        self._answer = answer
        self._model = model

    def opening(self) -> Iterable[bytes]:
        """Nothing: the first frame is the first token."""
        return ()

    def token(self, index: int) -> bytes:
        """One event."""
        return event(self._document(index))

    def closing(self) -> Iterable[bytes]:
        """Nothing: only the end of the body says that it is over."""
        return ()

    def whole(self) -> object:
        """The content in one document."""
        count = len(self._answer.tokens)
        return self._content(self._answer.text, count, last=True)

    def _document(self, index: int) -> dict[str, object]:
        count = index + 1
        return self._content(self._answer.tokens[index], count, last=count == len(self._answer.tokens))

    def _content(self, text: str, count: int, *, last: bool) -> dict[str, object]:
        candidate: dict[str, object] = {"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}
        if last:
            candidate["finishReason"] = "MAX_TOKENS" if self._answer.cut else "STOP"
        prompt = self._answer.prompt_tokens
        usage = {"promptTokenCount": prompt, "candidatesTokenCount": count, "totalTokenCount": prompt + count}
        return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": self._model}


class ArrayReply(EventsReply):
    """Without `alt=sse`: one JSON array that grows by an element a token."""

    content_type = "application/json; charset=UTF-8"

    def token(self, index: int) -> bytes:
        """One element, with the bracket or comma before it."""
        return (b"," if index else b"[") + json_bytes(self._document(index)) + b"\n"

    def closing(self) -> Iterable[bytes]:
        """The bracket that ends the array."""
        yield b"]\n"


def _refusal(refused: Refused) -> object:
    return {"error": {"code": refused.status, "message": refused.message, "status": "INVALID_ARGUMENT"}}


def _question(request: web.Request, fields: Fields) -> Question:
    model = request.match_info["model"]
    contents = [(item.text("role", "user"), item.content("parts")) for item in fields.children("contents")]
    limit = fields.child("generationConfig").whole_number("maxOutputTokens", 1)
    form = EventsReply if request.query.get("alt") == "sse" else ArrayReply

    def reply(answer: Answer) -> Reply:
        return form(answer, model)

    context = [fields.child("systemInstruction").content("parts"), *(text for _role, text in contents)]
    stream = request.path.endswith(":streamGenerateContent")
    return Question(last_of_user(contents), context, stream, limit, reply)


GENERATE_CONTENT = Family(_question, _refusal)
