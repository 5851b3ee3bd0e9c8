"""A feed for EventSource: `GET /feed`. It names its events, numbers them, and goes on where the client left it.

`?prompt=` is what it speaks about. Token n is event `token` with `id: n`, counted from 1; event `done` has the id after
the last. A client that comes back with `Last-Event-ID` gets what it has not seen; one that has seen `done` gets a 204,
which tells it to come no more. (WHATWG HTML 9.2.3)
"""

import re
from collections.abc import Iterable

from aiohttp import web

from proxy.demo.answer import Answer, answer
from proxy.demo.conversation import Handler, refuse
from proxy.demo.fields import Refused
from proxy.demo.frames import event
from proxy.demo.generation import Generation
from proxy.demo.pace import Settings
from proxy.demo.tally import Tally

DEFAULT_PROMPT = "What does a feed of events look like?"
RETRY_MS = 1000

_EVENT_ID = re.compile(r"[0-9]{1,9}")


class FeedReply:
    """The events of the feed."""

    content_type = "text/event-stream"

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def opening(self) -> Iterable[bytes]:
        """How long a client shall wait before it comes back. It fires no event."""
        yield b"retry: %d\n\n" % RETRY_MS

    def token(self, index: int) -> bytes:
        """One numbered event."""
        return event({"text": self._answer.tokens[index]}, name="token", event_id=index + 1)

    def closing(self) -> Iterable[bytes]:
        """The event after which a client should close, for otherwise it comes back."""
        yield event({"tokens": len(self._answer.tokens)}, name="done", event_id=len(self._answer.tokens) + 1)

    def whole(self) -> object:
        """A feed has no such form."""
        raise NotImplementedError


def handler(tally: Tally) -> Handler:
    """A request handler that serves the feed and counts its generations in `tally`."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            settings = Settings.read(request)
            seen = _last_seen(request)
        except Refused as refused:
            return refuse(refused, {"error": {"message": refused.message, "param": refused.param}})
        prompt = request.query.get("prompt", DEFAULT_PROMPT)
        said = answer(prompt, [prompt], settings.tokens, None)
        if seen > len(said.tokens):
            return web.Response(status=204)
        return await Generation(said, settings, tally).stream(request, FeedReply(said), start=seen)

    return handle


def _last_seen(request: web.Request) -> int:
    last = request.headers.get("Last-Event-ID", "") or "0"
    if not _EVENT_ID.fullmatch(last):
        raise Refused("Last-Event-ID must be an id of this feed, a whole number.", "Last-Event-ID")
    return int(last)
