"""Anthropic Messages: `POST /v1/messages`."""

from collections.abc import Iterable
from uuid import uuid4

from aiohttp import web

from proxy.demo.answer import Answer
from proxy.demo.conversation import Family, Question, last_of_user
from proxy.demo.fields import Fields, Refused
from proxy.demo.frames import event
from proxy.demo.generation import Reply


class MessagesReply:
    """A message with one text block. The name of each event is the `type` in its data."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, answer: Answer, model: str) -> None:
        self._answer = answer
        self._model = model
        self._id = f"msg_{uuid4().hex}"
        self._stop_reason = "max_tokens" if answer.cut else "end_turn"

    def opening(self) -> Iterable[bytes]:
        """The message and its block, empty, and a ping, which may stand anywhere and means nothing."""
        yield _event("message_start", message=self._message([], None, 1))
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield _event("ping")

    def token(self, index: int) -> bytes:
        """One text delta."""
        delta = {"type": "text_delta", "text": self._answer.tokens[index]}
        return _event("content_block_delta", index=0, delta=delta)

    def closing(self) -> Iterable[bytes]:
        """The end of the block, the stop reason with the running total of tokens, the end of the message."""
        yield _event("content_block_stop", index=0)
        delta = {"stop_reason": self._stop_reason, "stop_sequence": None}
        yield _event("message_delta", delta=delta, usage={"output_tokens": len(self._answer.tokens)})
        yield _event("message_stop")

    def whole(self) -> object:
        """The message in one document."""
        blocks = [{"type": "text", "text": self._answer.text}]
        return self._message(blocks, self._stop_reason, len(self._answer.tokens))

    def _message(self, blocks: list[dict[str, str]], stop_reason: str | None, output_tokens: int) -> dict[str, object]:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": blocks,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": self._answer.prompt_tokens, "output_tokens": output_tokens},
        }


def _event(name: str, **rest: object) -> bytes:
    return event({"type": name, **rest}, name=name)


def _refusal(refused: Refused) -> object:
    kind = "request_too_large" if refused.status == 413 else "invalid_request_error"
    return {"type": "error", "error": {"type": kind, "message": refused.message}}


def _question(_request: web.Request, fields: Fields) -> Question:
    model = fields.text("model", "demo")
    messages = [(item.text("role"), item.content("content")) for item in fields.children("messages")]
    limit = fields.whole_number("max_tokens", 1)
    if limit is None:
        raise Refused("max_tokens is required.", "max_tokens")

    def reply(answer: Answer) -> Reply:
        return MessagesReply(answer, model)

    context = [fields.content("system"), *(text for _role, text in messages)]
    return Question(last_of_user(messages), context, fields.flag("stream", False), limit, reply)


MESSAGES = Family(_question, _refusal)
