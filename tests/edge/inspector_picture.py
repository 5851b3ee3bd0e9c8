"""Makes the README's picture of the inspector: `python -m tests.edge.inspector_picture docs/images/inspector.png`.

A proxy with a few exchanges in it, one of them with an upstream that pauses in the middle of its answer, in Chromium.
"""

import argparse
import asyncio
import base64
import json
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from proxy.app import Running
from proxy.config.compile import compiled
from proxy.config.load import load_text
from tests.security import browser as chromium
from tests.security.browser import Page

TEXT = (
    "The answer arrives while it is being written. Each word leaves the moment it is chosen, and the tick above it "
    "shows when it came from upstream and when it went on to the client. Where nothing moves, the colour says who was "
    "waited for."
)
WORDS = TEXT.split()
CONFIG = """
listen: 127.0.0.1:0
admin: 127.0.0.1:0
routes:
- {{name: openai, path: /openai/, strip_prefix: true, upstream: '{upstream}', preset: openai, api_key: '${{KEY}}'}}
- {{name: backend, path: /, upstream: 'http://127.0.0.1:9'}}
"""
PACE_S = 0.04
STALL_S = 1.7


async def models(request: web.Request) -> web.StreamResponse:
    return web.json_response({"object": "list", "data": [{"id": "demo"}]})


async def chat(request: web.Request) -> web.StreamResponse:
    """Streams the words; the query says how: `first` seconds before, a `stall` in the middle, a `break` after 13."""
    await request.read()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await asyncio.sleep(float(request.query.get("first", "0.3")))
    for index, word in enumerate(WORDS):
        if "break" in request.query and index == 13:
            assert request.transport is not None
            request.transport.abort()
            return response
        if "stall" in request.query and index == 21:
            await asyncio.sleep(STALL_S)
        delta = {"content": word + " "}
        event = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        await asyncio.sleep(PACE_S)
    end = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 14, "completion_tokens": len(WORDS), "total_tokens": 59}}
    for event in (end, usage):
        await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response


@asynccontextmanager
async def upstream() -> AsyncIterator[str]:
    application = web.Application()
    application.router.add_get("/v1/models", models)
    application.router.add_post("/v1/chat/completions", chat)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def proxy() -> AsyncIterator[tuple[str, str]]:
    """Where it listens, and where its admin listener does."""
    async with upstream() as behind:
        settings = compiled(load_text(CONFIG.format(upstream=behind), "picture.yaml", {"KEY": "sk-" + "0" * 40}))
        running = await Running.start(settings)
        try:
            assert running.admin_address is not None
            yield running.addresses[0], running.admin_address
        finally:
            await running.stop(0)


class Scene:
    """The exchanges that are on the picture."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def ask(self, path: str, method: str = "POST") -> None:
        """One exchange, to its end."""
        body = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "How does it arrive?"}]}
        try:
            async with self._session.request(method, self._url + path, json=body if method == "POST" else None) as one:
                await one.read()
        except aiohttp.ClientError:
            return

    async def play(self) -> list[asyncio.Task[None]]:
        """All of them; those that are still open are returned."""
        chat_path = "/openai/v1/chat/completions"
        await asyncio.gather(self.ask(f"{chat_path}?break"), self.ask(f"{chat_path}?first=0.8"))
        await asyncio.gather(
            self.ask("/openai/v1/models", "GET"),
            self.ask("/events", "GET"),
            self.ask(f"{chat_path}?first=0.6&stall"),
        )
        return [asyncio.create_task(self.ask(f"{chat_path}?first={first}")) for first in ("0.3", "5")]


async def seen(page: Page) -> bytes:
    """What is seen, as a PNG."""
    await page.run("document.fonts.ready.then(() => new Promise(done => setTimeout(done, 250)))")
    answer = await page.send("Page.captureScreenshot", format="png")
    return base64.b64decode(answer["data"])


async def picture(width: int, height: int, dark: bool, script: str) -> bytes:
    """The page in a window of that size; `script` is run in it first."""
    program = chromium.command()
    assert program is not None, "there is no Chromium here"
    with tempfile.TemporaryDirectory() as home:
        async with chromium.running(program, Path(home)) as browser, proxy() as (url, admin):
            page = await browser.page("about:blank")
            await page.send(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
            await page.send("Emulation.setEmulatedMedia", features=[scheme])
            await page.go(f"{admin}/")
            async with aiohttp.ClientSession() as session:
                await asyncio.sleep(0.3)
                still_open = await Scene(session, url).play()
                await asyncio.sleep(0.8)
                await page.run(CHOOSE)
                await page.run(script or "0")
                found = await seen(page)
                for task in still_open:
                    task.cancel()
                await asyncio.gather(*still_open, return_exceptions=True)
                return found


CHOOSE = """
(() => { const found = [...document.querySelectorAll('.row')].find(row => row.textContent.includes('stall'));
  found.click(); return new Promise(done => setTimeout(done, 400)); })()
"""


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Makes a picture of the inspector.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--width", type=int, default=1200)
    parser.add_argument("--height", type=int, default=760)
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--script", default="", help="run in the page before the picture is taken")
    given = parser.parse_args()
    logging.disable()  # the upstream's complaints of clients that left
    given.file.write_bytes(asyncio.run(picture(given.width, given.height, given.dark, given.script)))
