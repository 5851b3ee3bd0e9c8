"""The fake LLM upstream: one application that speaks every API family and serves the demo's page.

It checks no key: what a client sends to prove itself is neither read nor kept. `pace` says what a request can ask of
it besides.
"""

from aiohttp import web

from proxy.demo import anthropic, feed, gemini, ollama, openai_chat, openai_responses
from proxy.demo.conversation import handler
from proxy.demo.models import models
from proxy.demo.site import Site
from proxy.demo.tally import Tally

FAMILIES = {
    "/v1/chat/completions": openai_chat.CHAT,
    "/v1/responses": openai_responses.RESPONSES,
    "/v1/messages": anthropic.MESSAGES,
    "/v1beta/models/{model}:streamGenerateContent": gemini.GENERATE_CONTENT,
    "/v1beta/models/{model}:generateContent": gemini.GENERATE_CONTENT,
    "/api/chat": ollama.CHAT,
    "/api/generate": ollama.GENERATE,
}


def application(middleman_url: str | None = None) -> web.Application:
    """The upstream. `middleman_url` is an origin that the page may call as well; without it the page has one lane."""
    tally = Tally()
    app = web.Application()
    app.add_routes([web.post(path, handler(family, tally)) for path, family in FAMILIES.items()])
    app.add_routes([web.get("/feed", feed.handler(tally), allow_head=False), web.get("/v1/models", models)])
    app.add_routes(Site(tally, middleman_url).routes())
    return app
