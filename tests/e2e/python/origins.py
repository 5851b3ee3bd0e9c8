"""A gated event stream in the servers that people write in Python: origins.py aiohttp|starlette.

Orders: {"send": text} writes it, {"end": true} ends; both on the latest answer.
"""

import asyncio
import socket
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

from tell import orders, tell


class Gate:
    """What the latest answer shall send."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def pieces(self, method: str, url: str, headers: Any) -> AsyncIterator[bytes]:
        """What is let through for this request; a new request takes over."""
        self._pieces = mine = asyncio.Queue()
        tell(request={"method": method, "url": url, "headers": {name.lower(): value for name, value in headers}})
        while (piece := await mine.get()) is not None:
            yield piece

    async def obey(self) -> None:
        """Takes orders until stdin ends."""
        async for order in orders():
            at = time.monotonic()
            self._pieces.put_nowait(order["send"].encode() if "send" in order else None)
            tell(at=at, **({"sent": True} if "send" in order else {"ended": True}))


async def serve_aiohttp(gate: Gate, listener: socket.socket) -> None:
    from aiohttp import web

    async def stream(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        async for piece in gate.pieces(request.method, request.path_qs, request.headers.items()):
            await response.write(piece)
        return response

    runner = web.ServerRunner(web.Server(stream))
    await runner.setup()
    await web.SockSite(runner, listener).start()
    await gate.obey()
    await runner.cleanup()


async def serve_starlette(gate: Gate, listener: socket.socket) -> None:
    import uvicorn
    from sse_starlette import EventSourceResponse
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.routing import Route

    async def stream(request: Request) -> EventSourceResponse:
        return EventSourceResponse(gate.pieces(request.method, str(request.url), request.headers.items()))

    app = Starlette(routes=[Route("/{rest:path}", stream, methods=["GET", "POST"])])
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    serving = asyncio.create_task(server.serve([listener]), name="uvicorn")
    await gate.obey()
    server.should_exit = server.force_exit = True
    await serving


def main(kind: str) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    tell(listening={"port": listener.getsockname()[1]})
    asyncio.run({"aiohttp": serve_aiohttp, "starlette": serve_starlette}[kind](Gate(), listener))


main(sys.argv[1])
