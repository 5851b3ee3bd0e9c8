"""How the inspector's page is used: by keyboard alone, by whoever cannot see it, zoomed into, in a long stream."""

import asyncio
import os
import signal
from typing import Any

import pytest

from tests.cli.conftest import Serve, launch, serve
from tests.net.conftest import MakeOrigin
from tests.net.origin import fin, request, whole_request
from tests.net.responses import SSE
from tests.net.wire import chunk, head
from tests.security.browser import Browser, Page

from .inspector_browser import browser, needs_browser, opened
from .inspector_world import inspected
from .test_inspector_workers import TOKEN, pids, two

__all__ = ["browser", "launch", "serve"]
pytestmark = needs_browser
CODES = {"Tab": 9, "Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}
RANGE = "document.querySelector('.range').textContent"
PRESSED = "[...document.querySelectorAll('.zoom button')].find(one => one.textContent === '{}').click()"
STREAM = [whole_request, SSE, *[chunk(b"data: %d\n\n" % number) for number in range(40)], chunk(b"")]


async def press(page: Page, *keys: str) -> None:
    """Presses real keys, as somebody without a mouse does."""
    for key in keys:
        text = {"text": "\r"} if key == "Enter" else {"text": key} if len(key) == 1 else {}
        code = CODES.get(key) or ord(key.upper())
        for kind in ("keyDown", "keyUp"):
            more = text if kind == "keyDown" else {}
            await page.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **more)


async def focus(page: Page) -> str:
    """Where the keyboard is."""
    return await page.run(
        "document.activeElement.id || document.activeElement.className || document.activeElement.textContent"
    )


async def test_everything_is_reached_by_keyboard(origin: MakeOrigin, browser: Browser) -> None:
    one = await origin([*STREAM, *STREAM])
    async with inspected(one) as it:
        page = await opened(browser, it)
        await it.world.ask(b"GET /n/stream")
        await it.world.ask(b"GET /n/other")
        await page.run("until(() => rows().length === 2)")
        reached = []
        for _ in range(8):
            await press(page, "Tab")
            reached.append(await focus(page))
        assert reached == ["text", "route", "outcome", "open", "pause", "clear", "keys", "rows"]
        await press(page, "ArrowDown", "ArrowDown")
        await page.run("until(() => document.querySelector('.title')?.textContent.includes('/n/stream'))")
        reached = []
        for _ in range(7):
            await press(page, "Tab")
            reached.append(await focus(page))
        assert reached[:5] == ["Mark to compare", "Copy as curl", "HAR", "Transcript", "Close"]
        assert reached[5:] == ["tab-timeline", "panel"]
        await press(page, "Tab")
        assert await focus(page) == "timeline"
        await press(page, "+", "+")
        assert " of " in await page.run(RANGE)
        await press(page, "0")
        assert await page.run(RANGE) == ""
        await page.run("document.getElementById('tab-timeline').focus()")
        await press(page, "ArrowRight")
        assert await focus(page) == "tab-heads"
        assert "GET /n/stream HTTP/1.1" in await page.run("document.querySelector('.panel').textContent")
        await press(page, "ArrowLeft", "ArrowLeft")
        assert await focus(page) == "tab-compare"
        await press(page, "Escape")
        assert await focus(page) == "rows"
        await press(page, "?")
        assert await page.run("document.getElementById('help').open")
        await press(page, "Enter")
        assert not await page.run("document.getElementById('help').open")


async def test_a_screen_reader_is_told_what_there_is(origin: MakeOrigin, browser: Browser) -> None:
    """Chromium's accessibility tree: whatever can be used has a role and a name, and says how it stands."""
    one = await origin([*STREAM, *STREAM])
    async with inspected(one) as it:
        page = await opened(browser, it)
        await it.world.ask(b"GET /n/stream")
        await page.run("until(() => rows().length === 1)")
        await page.run("key('j'); until(() => document.querySelector('.timeline')?.getAttribute('aria-label'))")
        nodes = [node for node in (await page.send("Accessibility.getFullAXTree"))["nodes"] if not node["ignored"]]
    found = [(value(node, "role"), value(node, "name"), node) for node in nodes]
    used = {"button", "checkbox", "combobox", "searchbox", "listbox", "option", "tab", "tabpanel", "image", "dialog"}
    assert [(role, name) for role, name, _ in found if role in used and not name] == []
    roles = [role for role, _, _ in found]
    assert {"search", "searchbox", "combobox", "checkbox", "listbox", "tablist", "tabpanel", "image"} <= set(roles)
    assert roles.count("tab") == 6
    (row,) = [name for role, name, node in found if role == "option" and "/n/stream" in name]
    assert "complete" in row
    (picture,) = [name for role, name, _ in found if role == "image"]
    assert "pieces" in picture
    assert "stalls" in picture
    selected = [name for role, name, node in found if role == "tab" and states(node).get("selected")]
    assert selected == ["Timeline"]


def value(node: Any, name: str) -> str:
    return str(node.get(name, {}).get("value", ""))


def states(node: Any) -> dict[str, Any]:
    return {one["name"]: one["value"].get("value") for one in node.get("properties", ())}


CONTRASTS = """(() => {
  const canvas = document.createElement('canvas'); canvas.width = canvas.height = 1;
  const context = canvas.getContext('2d', {willReadFrequently: true});
  const parts = colour => { context.clearRect(0, 0, 1, 1); context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
    return context.getImageData(0, 0, 1, 1).data; };
  const linear = v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => [r, g, b].map(v => linear(v / 255))
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = element => { for (; element; element = element.parentElement) {
    const found = parts(getComputedStyle(element).backgroundColor); if (found[3] === 255) return found; }
    return parts('white'); };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(':disabled, option')) continue;
    const [one, other] = [light(parts(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    found.push([(one + 0.05) / (other + 0.05), walker.currentNode.data.trim().slice(0, 30)]);
  }
  return found.sort((a, b) => a[0] - b[0]);
})()"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_can_be_read_in_light_and_dark(origin: MakeOrigin, browser: Browser, scheme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1. On every tab, also where something failed; and nothing moves by itself."""
    broken = [whole_request, SSE, chunk(TOKEN % b"x"), fin]
    one = await origin(broken, kept=False)
    async with inspected(one) as it:
        page = await opened(browser, it)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        await page.send("Emulation.setEmulatedMedia", features=features)
        client = await it.world.proxied.connect(kept=False)
        client.ask(b"POST", b"/n/v1/chat/completions", body=b"{}")
        await it.world.proxied.ended()
        refused = await it.world.ask(b"GET /none")
        assert refused.status == 404
        await page.run("until(() => rows().length === 2)")
        await page.run("rows()[1].click(); until(() => document.querySelector('.faults li'))")
        await page.run("document.querySelector('.faults summary').click()")
        for tab in "123456":
            await page.run(f"key('{tab}')")
            await page.run("new Promise(done => setTimeout(done, 100))")
            found = await page.run(CONTRASTS)
            assert len(found) > 30
            assert found[0][0] >= 4.5, (tab, [one for one in found if one[0] < 4.5])
        assert await page.run("document.getAnimations().length") == 0


async def test_a_timeline_is_zoomed_into_by_wheel_and_by_drawing(origin: MakeOrigin, browser: Browser) -> None:
    gate = asyncio.Event()
    one = await origin([whole_request, SSE, chunk(b"data: 1\n\n"), gate, chunk(b"data: 2\n\n"), chunk(b"")])
    async with inspected(one) as it:
        page = await opened(browser, it)
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        await page.run("until(() => rows().length === 1)")
        await page.run("key('j'); until(() => document.querySelector('.timeline'))")
        await page.run("until(() => /upstream [3-9]\\d\\d ms/.test(document.querySelector('.legend').textContent))")
        gate.set()
        await client.answer()
        await page.run("until(() => rows()[0].textContent.includes('complete'))")
        box = await page.run(
            "(({x, y, width}) => ({x, y, width}))(document.querySelector('.timeline').getBoundingClientRect())"
        )
        left, right, y = box["x"] + 200, box["x"] + 500, box["y"] + 50
        await mouse(page, "mouseWheel", left, y, deltaX=0, deltaY=-120)
        zoomed = await shown(page)
        await mouse(page, "mouseWheel", left, y, deltaX=0, deltaY=-120)
        assert width(await shown(page)) < width(zoomed)
        await page.run(PRESSED.format("Whole"))
        assert await page.run(RANGE) == ""
        await mouse(page, "mousePressed", left, y, button="left", clickCount=1)
        await mouse(page, "mouseMoved", right, y, button="left")
        await mouse(page, "mouseReleased", right, y, button="left", clickCount=1)
        from_ms, to_ms, whole = await shown(page)
        inner = box["width"] - 92 - 20
        assert from_ms == pytest.approx((200 - 92) / inner * whole, rel=0.1)
        assert to_ms == pytest.approx((500 - 92) / inner * whole, rel=0.1)
        await mouse(page, "mousePressed", right, y, button="left", clickCount=1)
        await mouse(page, "mouseReleased", right, y, button="left", clickCount=1)
        assert "of 2" in await page.run("document.querySelector('.chosen').textContent")


async def mouse(page: Page, kind: str, x: float, y: float, **more: Any) -> None:
    await page.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


async def shown(page: Page) -> tuple[float, float, float]:
    """From where to where of how much, in milliseconds."""
    text = await page.run(f"until(() => {RANGE})")
    found = [
        float(word) * (1000 if unit == "s" else 1)
        for word, unit in zip(*[iter(text.replace(" to ", " ").replace(" of ", " ").split())] * 2, strict=True)
    ]
    return found[0], found[1], found[2]


def width(range_: tuple[float, float, float]) -> float:
    return range_[1] - range_[0]


async def test_a_long_stream_is_read_from_its_beginning_and_searched(origin: MakeOrigin, browser: Browser) -> None:
    body = b"".join(b'data: {"n": %d}\n\n' % number for number in range(1000))
    one = await origin([whole_request, SSE, chunk(body), chunk(b"")])
    async with inspected(one) as it:
        page = await opened(browser, it)
        await it.world.ask(b"GET /n/x")
        await page.run("until(() => rows().length === 1)")
        await page.run("key('j'); key('4'); until(() => document.querySelector('.events li'))")
        assert await page.run(RANGE) == "701 to 1000 of 1000"
        assert await page.run("document.querySelectorAll('.events li').length") == 300
        await page.run(PRESSED.format("First"))
        assert await page.run(RANGE) == "1 to 300 of 1000"
        assert '{"n": 0}' in await page.run("document.querySelector('.events li').textContent")
        await page.run("document.querySelector('.panel input').focus()")
        await page.run("document.querySelector('.panel input').value = '\"n\": 555}'; 0")
        await press(page, "Enter")
        assert '{"n": 555}' in await page.run("document.querySelector('.events .found').textContent")
        await page.run("document.querySelector('.panel input').value = 'nowhere'; 0")
        await press(page, "Enter")
        assert await page.run(RANGE) == "not found"


async def test_interim_answers_trailers_and_findings_are_on_the_page(origin: MakeOrigin, browser: Browser) -> None:
    early = head(b"HTTP/1.1 103 Early Hints", b"Link: </style.css>; rel=preload")
    last = b"0\r\nX-Checksum: abc\r\n\r\n"
    one = await origin([request, early, SSE, chunk(b"data: 1\n\ndata: 2\n"), last])
    async with inspected(one) as it:
        page = await opened(browser, it)
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        await it.world.proxied.ended()
        await page.run("until(() => rows().length === 1)")
        await page.run("key('j'); until(() => document.querySelector('.faults li'))")
        said = await page.run("document.querySelector('.faults').textContent")
        assert "sse-last-event-lost" in said
        await page.run("key('2')")
        titles = await page.run("[...document.querySelectorAll('caption')].map(one => one.textContent)")
        assert titles[0] == "Request"
        assert titles[1].startswith("Interim answer after ")
        assert titles[2:] == ["Response", "Trailers"]
        assert "X-Checksum" in await page.run("document.querySelector('.panel').textContent")


async def test_the_page_of_several_workers_goes_on_when_one_is_killed(
    origin: MakeOrigin, serve: Serve, browser: Browser
) -> None:
    """Pause and clear work as with one; what was open in the one that was killed says so."""
    gate = asyncio.Event()
    one = await origin([whole_request, SSE, chunk(TOKEN % b"word"), gate, chunk(b"")])
    async with two(serve, one) as it:
        page = await opened(browser, it.inspector)  # type: ignore[arg-type]
        async with it.inspector.listen() as listener:
            await listener.hello()
            both = await it.on_both(listener)
        count = len(listener.exchanges)
        await page.run(f"until(() => rows().length === {count})")
        at = f"rows().find(row => row.id === 'row-{both[1]['id']}')"
        await page.run(f"{at}.click(); until(() => document.querySelector('.assembled')?.textContent === 'word')")
        os.kill((await pids(it.inspector))[1], signal.SIGKILL)
        await page.run(f"until(() => {at}.textContent.includes('worker ended'))")
        assert await page.run("document.getElementById('state').textContent") == "live"
        await page.run("key('p')")
        gate.set()
        await page.run("until(() => document.getElementById('counts').textContent.includes(' 0 open'))")
        assert "streaming" in await page.run("document.getElementById('rows').textContent"), "it is paused"
        await page.run("key('p'); until(() => !document.getElementById('rows').textContent.includes('streaming'))")
        await page.run("document.getElementById('clear').click()")
        assert await page.run("rows().length") == 0
        await it.command.wait_match(r"worker 1 \(\d+\) serves")
        await it.ask(b"/after")
        await page.run("until(() => rows().length === 1 && rows()[0].textContent.includes('/after'))")
        await page.go("about:blank")
