"""A headless Chromium, driven over its own debugging protocol: pages, and expressions evaluated in them.

Source: Chrome DevTools Protocol, domains Target, Page and Runtime.
"""

import asyncio
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

COMMANDS = ("chromium", "chromium-browser", "google-chrome")
LIMIT_S = 30.0


def command() -> str | None:
    """The browser's program, if there is one."""
    return next(filter(None, map(shutil.which, COMMANDS)), None)


class Page:
    """One tab."""

    def __init__(self, browser: "Browser", session: str) -> None:
        self._browser = browser
        self._session = session

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command about this tab."""
        return await self._browser.send(method, self._session, **parameters)

    async def go(self, url: str) -> None:
        """Loads a page, and returns once its scripts may run."""
        loaded = self._browser.event(self._session, "Page.loadEventFired")
        await self._browser.send("Page.enable", self._session)
        await self._browser.send("Page.navigate", self._session, url=url)
        await asyncio.wait_for(loaded, LIMIT_S)

    async def run(self, expression: str) -> Any:
        """The value of an expression, awaited if it is a promise. Errors: AssertionError with what it threw."""
        answer = await self._browser.send(
            "Runtime.evaluate", self._session, expression=expression, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")


class Browser:
    """A running browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: dict[tuple[str, str], asyncio.Future[None]] = {}

    async def listen(self) -> None:
        """Hands answers and events to who waits for them, until the browser is gone."""
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif (waiting := self._events.pop((told.get("sessionId", ""), told["method"]), None)) is not None:
                waiting.set_result(None)

    def event(self, session: str, method: str) -> asyncio.Future[None]:
        """The next event of that name."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._events[session, method] = waiting
        return waiting

    async def send(self, method: str, session: str = "", **parameters: Any) -> dict[str, Any]:
        """The answer to a command. Errors: AssertionError with the browser's own."""
        number = next(self._numbers)
        waiting = self._answers[number] = asyncio.get_running_loop().create_future()
        envelope = {"sessionId": session} if session else {}
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **envelope})
        told = await asyncio.wait_for(waiting, LIMIT_S)
        assert "error" not in told, told["error"]
        return dict(told["result"])

    async def page(self, url: str) -> Page:
        """A new tab at that address."""
        target = await self.send("Target.createTarget", url="about:blank")
        attached = await self.send("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, attached["sessionId"])
        await page.go(url)
        return page


@asynccontextmanager
async def running(program: str, home: Path, *more: str) -> AsyncIterator[Browser]:
    """Starts a browser with a profile of its own in `home`, and ends it."""
    process = await asyncio.create_subprocess_exec(
        program,
        "--headless=new",
        "--no-sandbox",  # which needs rights that a container may not have; the pages are ours
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--remote-debugging-port=0",
        f"--user-data-dir={home}",
        *more,
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        async with asyncio.timeout(LIMIT_S):
            while b"DevTools listening on " not in (line := await process.stderr.readline()):
                assert line, "the browser has ended"
        address = line.decode().rpartition(" ")[2].strip()
        draining = asyncio.create_task(process.stderr.read())
        async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
            browser = Browser(socket)
            listening = asyncio.create_task(browser.listen())
            yield browser
            await socket.close()
            await listening
    finally:
        process.kill()
        await process.wait()
    await draining


@asynccontextmanager
async def site() -> AsyncIterator[int]:
    """Serves an empty page on a port of this machine, under any name."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text="<!doctype html><title>page</title>", content_type="text/html")

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    serving = web.TCPSite(runner, "127.0.0.1", 0)
    await serving.start()
    assert serving._server is not None
    try:
        yield serving._server.sockets[0].getsockname()[1]
    finally:
        await runner.cleanup()
