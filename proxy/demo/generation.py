"""One generation: the tokens of an answer, paced, counted, and written to a client in the form of its API.

A client that leaves ends it at once: its server cancels the handler where it was set up so (`run` does), and the next
write fails where it was not.
"""

from collections.abc import Iterable
from typing import Protocol

from aiohttp import web

from proxy.demo.answer import Answer
from proxy.demo.frames import json_bytes
from proxy.demo.pace import BrokenOff, Metronome, Settings
from proxy.demo.tally import Tally


class Reply(Protocol):
    """How one API family says an answer. Each item of bytes is one write, so that a frame is one arrival."""

    @property
    def content_type(self) -> str:
        """The media type of the stream."""

    def opening(self) -> Iterable[bytes]:
        """What comes before the first token."""

    def token(self, index: int) -> bytes:
        """Token `index` of the answer, from 0."""

    def closing(self) -> Iterable[bytes]:
        """What comes after the last token."""

    def whole(self) -> object:
        """The JSON document that says it all at once."""


class Generation:
    """An answer on its way to one client."""

    def __init__(self, answer: Answer, settings: Settings, tally: Tally) -> None:
        self._answer = answer
        self._settings = settings
        self._tally = tally

    async def stream(self, request: web.Request, reply: Reply, start: int = 0) -> web.StreamResponse:
        """Writes the answer token by token, from token `start` on."""
        headers = {"Content-Type": reply.content_type, "Cache-Control": "no-cache"}
        response = web.StreamResponse(headers=headers)
        try:
            with self._tally.generation():
                await response.prepare(request)
                await self._write(response, reply, start)
        except BrokenOff:
            _break_off(request)
        except ConnectionResetError:
            pass  # the client left, which the tally knows; there is nobody to answer
        return response

    async def whole(self, request: web.Request, reply: Reply) -> web.Response:
        """Answers at once, after the time that the tokens take."""
        metronome = Metronome(self._settings)
        try:
            with self._tally.generation():
                for index in range(len(self._answer.tokens)):
                    await metronome.wait_token(index)
        except BrokenOff:
            _break_off(request)
        return web.Response(body=json_bytes(reply.whole()), content_type="application/json", charset="utf-8")

    async def _write(self, response: web.StreamResponse, reply: Reply, start: int) -> None:
        metronome = Metronome(self._settings)
        for frame in reply.opening():
            await response.write(frame)
        for index in range(start, len(self._answer.tokens)):
            await metronome.wait_token(index - start)
            await response.write(reply.token(index))
        for frame in reply.closing():
            await response.write(frame)
        await response.write_eof()


def _break_off(request: web.Request) -> None:
    """Closes the connection without ending the body: what was written still arrives, the last chunk never does."""
    if request.transport is not None:
        request.transport.close()
