"""What others wrote, on the inspector's page: text, wherever it is shown."""

import contextlib

from tests.edge.inspector_browser import browser, needs_browser, opened
from tests.edge.inspector_world import Inspected, inspected
from tests.net.conftest import MakeOrigin
from tests.net.origin import whole_request
from tests.net.wire import chunk, head

from .browser import Browser, Page

__all__ = ["browser"]
pytestmark = needs_browser

HOSTILE = (
    "<img src=x onerror=\"window.owned=1\"></script><script>window.owned=1</script><a href='javascript:window.owned=1'>"
)
TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"%b","tool_calls":[{"function":{"name":"%b"}}]}}]}\n\n'
BIDI = "data: \u202e\u200b\ufeff hidden\n\n".encode()
TARGET = b"/n/v1/chat/completions?q=<img/src=x/onerror=window.owned=1>"
MARKUP = "document.querySelectorAll('img, script:not([src]), iframe, a[href]').length"


async def test_hostile_content_is_text_live_replayed_and_exported(origin: MakeOrigin, browser: Browser):
    """SEC-39: in tokens, fields, targets, tool calls and trailers, on every tab; the policy has nothing to report."""
    spoken = HOSTILE.replace('"', '\\"').encode()
    fields = (b"Content-Type: text/event-stream", b"X-Markup: " + HOSTILE.encode(), b"Transfer-Encoding: chunked")
    early = head(b"HTTP/1.1 103 Early Hints", b"Link: " + HOSTILE.encode())
    trailers = b"0\r\nX-Trailer: " + HOSTILE.encode() + b"\r\n\r\n"
    events = [chunk(TOKEN % (spoken, spoken)), chunk(BIDI), chunk(b"data: " + HOSTILE.encode() + b"\n"), trailers]
    one = await origin([whole_request, early, head(b"HTTP/1.1 200 OK", *fields), *events])
    async with inspected(one) as it:
        page = await opened(browser, it)
        lines = (b"X-In: " + HOSTILE.encode(), b"X-'!#$%&*: 1", b"Content-Length: 2")
        client = await it.world.proxied.connect()
        client.send(head(b"POST " + TARGET + b" HTTP/1.1", b"Host: localhost", *lines) + b"{}")
        await it.world.proxied.ended()
        await assert_inert(page)
        replayed = await opened(browser, it)
        await assert_inert(replayed)
        await assert_exports_are_inert(page, it)


async def assert_inert(page: Page) -> None:
    """Each tab shows it, and nothing of it is anything but text."""
    await page.run("until(() => rows().length === 1)")
    await page.run("key('j')")
    await page.run("until(() => document.querySelector('.assembled'))")
    await page.run("document.querySelectorAll('.faults summary').forEach(one => one.click())")
    seen = []
    for tab in range(1, 7):
        await page.run(f"key('{tab}')")
        with contextlib.suppress(AssertionError):
            await page.run("until(() => document.querySelector('.panel').textContent.includes('onerror'), 1000)")
        seen.append(await page.run("document.querySelector('.panel').textContent"))
        assert await page.run(MARKUP) == 0
    assert await page.run("window.owned") is None
    assert await page.run("violations") == []
    assert all("onerror" in text for text in seen[:5]), "it is there, as text"
    assert "\\u202e\\u200b\\ufeff hidden" in seen[3]
    assert "\u202e" not in "".join(seen)
    assert "<img/src=x/onerror" in await page.run("rows()[0].textContent")


async def assert_exports_are_inert(page: Page, it: Inspected) -> None:
    """Whoever opens them in a browser gets a download, or text that is not looked at for markup."""
    for path, kind in (("/har", "application/json"), ("/transcript", "text/plain"), ("/pieces", "application/json")):
        async with it.session.get(f"{it.admin}/api/exchanges/1{path}") as answer:
            assert answer.content_type == kind
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
            assert path == "/pieces" or answer.headers["Content-Disposition"].startswith("attachment;")
            assert "onerror" in await answer.text()
    for path in ("", "/curl", "/pieces"):
        await page.go(f"{it.admin}/api/exchanges/1{path}")
        assert await page.run(MARKUP) == 0
        assert await page.run("window.owned") is None
        assert "onerror" in await page.run("document.body.textContent")
