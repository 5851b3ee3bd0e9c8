"""A real browser: what a listed page can do, what a foreign one cannot, and what a rebound name gets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.net.conftest import MakeOrigin
from tests.net.origin import fin, request, whole_request
from tests.net.responses import SSE, counted
from tests.net.wire import chunk

from . import browser as chromium
from .browser import Browser
from .world import CANARY, TOKEN, routes, world

PROGRAM = chromium.command()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here")

# Names of other sites that lead to this machine, as an attacker's own would.
RULES = "--host-resolver-rules=MAP *.example 127.0.0.1"
SCRIPT = """
window.seen = []; window.waiting = [];
window.got = text => { seen.push(text); waiting.splice(0).forEach(done => done()); };
window.until = async count => {
  while (seen.length < count) await new Promise(done => waiting.push(done));
  return seen;
};
"""


@pytest.fixture
async def browser(left_behind: None, tmp_path: Path) -> AsyncIterator[Browser]:
    assert PROGRAM is not None
    async with chromium.running(PROGRAM, tmp_path / "profile", RULES) as running:
        yield running


def listed(port: int) -> str:
    return f", cors: {{origins: ['http://app.example:{port}']}}"


STREAM = """
fetch(URL, {method: 'POST', body: '{}', headers: {'Content-Type': 'application/json', 'Authorization': 'Bearer TOKEN'}})
  .then(async response => {
    got(response.status + ' ' + response.headers.get('x-request-id'));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece; !(piece = await reader.read()).done;) got(piece.value);
    got('end');
  }); 0
"""


async def test_a_listed_page_streams_with_fetch(origin: MakeOrigin, browser: Browser):
    """C6, C7, C8: its preflight is answered here, events arrive one by one, and errors can be read."""
    gates = [asyncio.Event(), asyncio.Event()]
    start = SSE.replace(b"\r\n\r\n", b"\r\nX-Request-ID: r1\r\nAccess-Control-Allow-Origin: *\r\n\r\n")
    one = await origin(
        [whole_request, start, gates[0], chunk(b"data: 1\n\n"), gates[1], chunk(b"data: 2\n\n"), chunk(b"")]
    )
    async with chromium.site() as port:
        text = f"clients: {{tokens: ['${{PROXY_TOKEN}}']}}\n{routes(one.port, listed(port))}"
        async with world(one, text) as proxied:
            url = f"http://127.0.0.1:{proxied.proxied.port}/k/chat"
            page = await browser.page(f"http://app.example:{port}/")
            await page.run(SCRIPT)
            await page.run(STREAM.replace("URL", repr(url)).replace("TOKEN", TOKEN))
            assert await page.run("until(1)") == ["200 r1"]
            gates[0].set()
            assert await page.run("until(2)") == ["200 r1", "data: 1\n\n"]
            gates[1].set()
            assert (await page.run("until(4)"))[2:] == ["data: 2\n\n", "end"]
            assert [asked.method for asked in proxied.received] == [b"POST"]
            assert proxied.received[0].all(b"authorization") == [b"Bearer " + CANARY.encode()]
            refused = f"fetch('{url}').then(async r => [r.status, (await r.json()).error.code])"
            assert await page.run(refused) == [401, "http_request_denied"]
            assert len(proxied.received) == 1


LISTEN = """
const source = new EventSource(URL);
source.onmessage = event => { got(event.data); if (event.data == 'last') source.close(); };
source.onerror = () => got('error ' + source.readyState); 0
"""


async def test_a_listed_page_streams_with_event_source(origin: MakeOrigin, browser: Browser):
    """C14: events one by one, and after a break the browser's own reconnection with the id it saw last."""
    gate = asyncio.Event()
    first = [request, SSE, chunk(b"retry: 10\nid: 7\ndata: first\n\n"), gate, fin]
    one = await origin(first, [request, SSE, chunk(b"data: last\n\n"), chunk(b"")])
    async with chromium.site() as port, world(one, routes(one.port, listed(port))) as proxied:
        page = await browser.page(f"http://app.example:{port}/")
        await page.run(SCRIPT)
        await page.run(LISTEN.replace("URL", repr(f"http://127.0.0.1:{proxied.proxied.port}/k/events")))
        assert await page.run("until(1)") == ["first"]
        gate.set()
        assert await page.run("until(3)") == ["first", "error 0", "last"]
        assert [asked.get(b"last-event-id") for asked in proxied.received] == [None, b"7"]


ATTEMPTS = """
(async () => {
  const said = [], note = (name, promise) => promise.then(value => said.push(name + ' ' + value));
  const failed = error => error.name;
  const asked = (more) => fetch(URL, more).then(r => r.type + ' ' + r.status, failed);
  await note('read', asked({}));
  await note('simple', asked({method: 'POST', body: '{}', headers: {'Content-Type': 'text/plain'}}));
  await note('blind', asked({method: 'POST', body: '{}', mode: 'no-cors', headers: {'Content-Type': 'text/plain'}}));
  await note('preflight', asked({method: 'POST', body: '{}', headers: {'Content-Type': 'application/json'}}));
  await note('beacon', Promise.resolve(navigator.sendBeacon(URL, '{}')));
  await note('events', new Promise(done => { const s = new EventSource(URL); s.onopen = () => done('open');
    s.onerror = () => { s.close(); done('error'); }; }));
  await note('socket', new Promise(done => { const s = new WebSocket(URL.replace('http', 'ws'));
    s.onopen = () => done('open'); s.onerror = () => done('error'); }));
  await note('image', new Promise(done => { const i = new Image(); i.onload = () => done('loaded');
    i.onerror = () => done('error'); i.src = URL; }));
  await note('script', new Promise(done => { const s = document.createElement('script');
    s.onload = () => done('loaded'); s.onerror = () => done('error'); s.src = URL; document.head.append(s); }));
  const frame = document.createElement('iframe');
  await note('frame', new Promise(done => {
    frame.onload = () => done('shown'); frame.src = URL; document.body.append(frame); }));
  return said;
})()
"""
NOTHING = [
    *("read TypeError", "simple TypeError", "blind opaque 0", "preflight TypeError", "beacon true"),
    *("events error", "socket error", "image error", "script error", "frame shown"),
]


@pytest.mark.parametrize("cors", ["none", "another page"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1"], ids=["another site", "another port"])
async def test_a_foreign_page_neither_reads_nor_triggers(origin: MakeOrigin, browser: Browser, host: str, cors: str):
    """C9, C10: whatever a page can do without being asked first, not one request leaves with our key."""
    one = await origin([whole_request, counted(b"ok", b"Access-Control-Allow-Origin: *")])
    async with chromium.site() as port:
        text = routes(one.port, "" if cors == "none" else listed(port))
        async with world(one, text) as proxied:
            page = await browser.page(f"http://{host}:{port}/")
            url = f"http://127.0.0.1:{proxied.proxied.port}/k/chat"
            assert await page.run(ATTEMPTS.replace("URL", repr(url))) == NOTHING
            await proxied.proxied.exchanges.until(lambda: len(seen(proxied)) >= len(NOTHING), "every attempt to end")
            assert {exchange.status for exchange in seen(proxied)} == {403}
            proxied.assert_untouched()


def seen(proxied: object) -> list[object]:
    """The exchanges of a page; browsers also ask for icons."""
    return [one for one in proxied.proxied.exchanges.ended_ones if one.target == "/k/chat"]  # type: ignore[attr-defined]


async def test_the_same_page_reads_once_it_is_listed(origin: MakeOrigin, browser: Browser):
    """The failure twin: nothing but the list kept the page above from all of it."""
    one = await origin([whole_request, counted(b"ok")])
    async with chromium.site() as port, world(one, routes(one.port, listed(port))) as proxied:
        page = await browser.page(f"http://app.example:{port}/")
        url = f"http://127.0.0.1:{proxied.proxied.port}/k/chat"
        assert await page.run(f"fetch('{url}').then(r => r.text())") == "ok"
        assert len(proxied.received) == 1


async def test_a_rebound_name_is_misdirected(origin: MakeOrigin, browser: Browser):
    """C2: the page's own name leads here now, so that for the browser it asks its own server; we are not it."""
    one = await origin([whole_request, counted(b"ok")])
    async with world(one, routes(one.port)) as proxied:
        page = await browser.page(f"http://rebound.example:{proxied.proxied.port}/k/chat")
        for path in ("/k/chat", "/n/chat"):
            for more in ("{}", "{method: 'POST', body: '{}'}"):
                asked = f"fetch('{path}', {more}).then(async r => [r.status, (await r.json()).error.code])"
                assert await page.run(asked) == [421, "http_request_denied"]
        proxied.assert_untouched()
        own = await browser.page(f"http://localhost:{proxied.proxied.port}/k/chat")
        assert await own.run("document.body.innerText") == "ok"
