"""OpenAI chat completions: `POST /v1/chat/completions`."""

import time
from collections.abc import Iterable
from uuid import uuid4

from aiohttp import web

from proxy.demo.answer import Answer
from proxy.demo.conversation import Family, Question, last_of_user
from proxy.demo.fields import Fields, Refused
from proxy.demo.frames import event
from proxy.demo.generation import Reply


class ChatReply:
    """A chat completion: role, content, finish, usage where it was asked for, `[DONE]`."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, answer: Answer, model: str, include_usage: bool) -> None:
        self._answer = answer
        self._include_usage = include_usage
        self._finish = "length" if answer.cut else "stop"
        self._head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": model}

    def opening(self) -> Iterable[bytes]:
        """The role: a frame, not a token."""
        yield self._chunk({"role": "assistant", "content": "", "refusal": None}, None)

    def token(self, index: int) -> bytes:
        """One content delta."""
        return self._chunk({"content": self._answer.tokens[index]}, None)

    def closing(self) -> Iterable[bytes]:
        """The finish reason, the usage with no choices, the sentinel."""
        yield self._chunk({}, self._finish)
        if self._include_usage:
            yield event({**self._head, "object": "chat.completion.chunk", "choices": [], "usage": self._usage()})
        yield b"data: [DONE]\n\n"

    def whole(self) -> object:
        """The completion in one document."""
        message: dict[str, object] = {"role": "assistant", "content": self._answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish}
        return {**self._head, "object": "chat.completion", "choices": [choice], "usage": self._usage()}

    def _chunk(self, delta: dict[str, str | None], finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        document = {**self._head, "object": "chat.completion.chunk", "choices": [choice]}
        # Where usage was asked for, the chunks without it say so.
        return event({**document, "usage": None} if self._include_usage else document)

    def _usage(self) -> dict[str, int]:
        prompt, completion = self._answer.prompt_tokens, len(self._answer.tokens)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def refusal(refused: Refused) -> object:
    """The error document of OpenAI, for both of its APIs."""
    error = {"message": refused.message, "type": "invalid_request_error", "param": refused.param, "code": None}
    return {"error": error}


def _question(_request: web.Request, fields: Fields) -> Question:
    model = fields.text("model", "demo")
    messages = [(item.text("role"), item.content("content")) for item in fields.children("messages")]
    if (fields.whole_number("n", 1) or 1) > 1:
        raise Refused("n must be 1: the demo gives one answer.", "n")
    limit = fields.whole_number("max_completion_tokens", 1) or fields.whole_number("max_tokens", 1)
    include_usage = fields.child("stream_options").flag("include_usage", False)

    def reply(answer: Answer) -> Reply:
        return ChatReply(answer, model, include_usage)

    context = [text for _role, text in messages]
    return Question(last_of_user(messages), context, fields.flag("stream", False), limit, reply)


CHAT = Family(_question, refusal)
