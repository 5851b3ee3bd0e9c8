"""Ollama: `POST /api/chat` and `POST /api/generate`, a JSON document a line. They stream unless told not to."""

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Literal

from aiohttp import web

from proxy.demo.answer import Answer
from proxy.demo.conversation import Family, Question, last_of_user
from proxy.demo.fields import Fields, Refused
from proxy.demo.frames import json_line
from proxy.demo.generation import Reply

Form = Literal["chat", "generate"]


class LinesReply:
    """A line a token, then the line that is done, with counts and with durations in nanoseconds as measured."""

    content_type = "application/x-ndjson"

    def __init__(self, answer: Answer, model: str, form: Form) -> None:
        self._answer = answer
        self._model = model
        self._form = form
        self._started_ns = time.perf_counter_ns()
        self._first_token_ns: int | None = None

    def opening(self) -> Iterable[bytes]:
        """Nothing: the first line is the first token."""
        return ()

    def token(self, index: int) -> bytes:
        """One line."""
        self._first_token_ns = self._first_token_ns or time.perf_counter_ns()
        return json_line({**self._said(self._answer.tokens[index]), "done": False})

    def closing(self) -> Iterable[bytes]:
        """The line that is done; it says nothing more."""
        yield json_line({**self._said(""), **self._done()})

    def whole(self) -> object:
        """All of it in one document."""
        return {**self._said(self._answer.text), **self._done()}

    def _said(self, text: str) -> dict[str, object]:
        said = {"message": {"role": "assistant", "content": text}} if self._form == "chat" else {"response": text}
        created_at = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return {"model": self._model, "created_at": created_at, **said}

    def _done(self) -> dict[str, object]:
        now_ns = time.perf_counter_ns()
        first_ns = self._first_token_ns or self._started_ns
        return {
            "done": True,
            "done_reason": "length" if self._answer.cut else "stop",
            "total_duration": now_ns - self._started_ns,
            "load_duration": 0,
            "prompt_eval_count": self._answer.prompt_tokens,
            "prompt_eval_duration": first_ns - self._started_ns,
            "eval_count": len(self._answer.tokens),
            "eval_duration": now_ns - first_ns,
        }


def _refusal(refused: Refused) -> object:
    return {"error": refused.message}


def _limit(fields: Fields) -> int | None:
    limit = fields.child("options").whole_number("num_predict", -2)
    # Zero and the negative values mean no limit of its own.
    return limit if limit is not None and limit > 0 else None


def _chat_question(_request: web.Request, fields: Fields) -> Question:
    model = fields.text("model", "demo")
    messages = [(item.text("role"), item.content("content")) for item in fields.children("messages")]

    def reply(answer: Answer) -> Reply:
        return LinesReply(answer, model, "chat")

    context = [text for _role, text in messages]
    return Question(last_of_user(messages), context, fields.flag("stream", True), _limit(fields), reply)


def _generate_question(_request: web.Request, fields: Fields) -> Question:
    model = fields.text("model", "demo")
    prompt = fields.text("prompt", "")

    def reply(answer: Answer) -> Reply:
        return LinesReply(answer, model, "generate")

    context = [fields.text("system", ""), prompt]
    return Question(prompt, context, fields.flag("stream", True), _limit(fields), reply)


CHAT = Family(_chat_question, _refusal)
GENERATE = Family(_generate_question, _refusal)
