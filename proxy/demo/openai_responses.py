"""OpenAI Responses: `POST /v1/responses`."""

import time
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from aiohttp import web

from proxy.demo.answer import Answer
from proxy.demo.conversation import Family, Question, last_of_user
from proxy.demo.fields import Fields
from proxy.demo.frames import event
from proxy.demo.generation import Reply
from proxy.demo.openai_chat import refusal

Document = dict[str, Any]


class ResponsesReply:
    """A response with one message of one text part. Every event carries the next `sequence_number`."""

    content_type = "text/event-stream; charset=utf-8"

    def __init__(self, answer: Answer, model: str, limit: int | None) -> None:
        self._answer = answer
        self._model = model
        self._limit = limit
        self._id = f"resp_{uuid4().hex}"
        self._item_id = f"msg_{uuid4().hex}"
        self._created_at = int(time.time())
        self._sequence_number = 0
        self._status = "incomplete" if answer.cut else "completed"

    def opening(self) -> Iterable[bytes]:
        """The response, its message and its text part, all of them empty."""
        yield self._event("response.created", response=self._response("in_progress"))
        yield self._event("response.in_progress", response=self._response("in_progress"))
        yield self._event("response.output_item.added", output_index=0, item=self._item("in_progress", []))
        yield self._part_event("response.content_part.added", part=_part(""))

    def token(self, index: int) -> bytes:
        """One text delta."""
        return self._part_event("response.output_text.delta", delta=self._answer.tokens[index], logprobs=[])

    def closing(self) -> Iterable[bytes]:
        """The text, the part, the message and the response, each of them whole."""
        text = self._answer.text
        yield self._part_event("response.output_text.done", text=text, logprobs=[])
        yield self._part_event("response.content_part.done", part=_part(text))
        yield self._event("response.output_item.done", output_index=0, item=self._item(self._status, [_part(text)]))
        yield self._event(f"response.{self._status}", response=self.whole())

    def whole(self) -> Document:
        """The response in one document, its usage included."""
        prompt, output = self._answer.prompt_tokens, len(self._answer.tokens)
        usage = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + output,
        }
        item = self._item(self._status, [_part(self._answer.text)])
        reason = {"reason": "max_output_tokens"} if self._answer.cut else None
        return {**self._response(self._status), "incomplete_details": reason, "output": [item], "usage": usage}

    def _response(self, status: str) -> Document:
        return {
            "id": self._id,
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "max_output_tokens": self._limit,
            "metadata": {},
            "model": self._model,
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "store": False,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None,
        }

    def _item(self, status: str, content: list[Document]) -> Document:
        return {"id": self._item_id, "type": "message", "role": "assistant", "status": status, "content": content}

    def _part_event(self, name: str, **rest: object) -> bytes:
        return self._event(name, item_id=self._item_id, output_index=0, content_index=0, **rest)

    def _event(self, name: str, **rest: object) -> bytes:
        number = self._sequence_number
        self._sequence_number += 1
        return event({"type": name, "sequence_number": number, **rest}, name=name)


def _part(text: str) -> Document:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _question(_request: web.Request, fields: Fields) -> Question:
    model = fields.text("model", "demo")
    if fields.holds_array("input"):
        # Items that are no messages (a tool's output, a reference) have neither role nor content.
        messages = [(item.text("role", ""), item.content("content")) for item in fields.children("input")]
    else:
        messages = [("user", fields.text("input"))]
    limit = fields.whole_number("max_output_tokens", 1)

    def reply(answer: Answer) -> Reply:
        return ResponsesReply(answer, model, limit)

    context = [fields.text("instructions", ""), *(text for _role, text in messages)]
    return Question(last_of_user(messages), context, fields.flag("stream", False), limit, reply)


RESPONSES = Family(_question, refusal)
