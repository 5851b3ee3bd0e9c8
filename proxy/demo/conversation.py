"""The way from a request to its answer, the same for every API family."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from proxy.demo.answer import Answer, answer
from proxy.demo.fields import Fields, Refused
from proxy.demo.frames import json_bytes
from proxy.demo.generation import Generation, Reply
from proxy.demo.pace import Settings
from proxy.demo.tally import Tally

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks, without its API's dress. `limit` is the token limit, None for none."""

    prompt: str
    context: list[str]
    stream: bool
    limit: int | None
    reply: Callable[[Answer], Reply]


@dataclass(frozen=True, slots=True)
class Family:
    """How one API asks, and how it says no. `question` raises Refused; `refusal` gives the JSON of an error."""

    question: Callable[[web.Request, Fields], Question]
    refusal: Callable[[Refused], object]


def handler(family: Family, tally: Tally) -> Handler:
    """A request handler that speaks `family` and counts its generations in `tally`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            settings = Settings.read(request)
            question = family.question(request, await Fields.read(request))
        except Refused as refused:
            return refuse(refused, family.refusal(refused))
        said = answer(question.prompt, question.context, settings.tokens, question.limit)
        generation = Generation(said, settings, tally)
        reply = question.reply(said)
        if question.stream:
            return await generation.stream(request, reply)
        return await generation.whole(request, reply)

    return handle


def refuse(refused: Refused, document: object) -> web.Response:
    """The answer to a request that was refused."""
    return web.Response(
        status=refused.status, body=json_bytes(document), content_type="application/json", charset="utf-8"
    )


def last_of_user(messages: list[tuple[str, str]]) -> str:
    """The text of the last message whose role is user, else of the last message: what is to be answered."""
    return next((text for role, text in reversed(messages) if role == "user"), messages[-1][1])
