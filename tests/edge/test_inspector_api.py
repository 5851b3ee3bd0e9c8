"""The inspector's API: streams that resume, exports that other programs read, refusals, and who is let in."""

import asyncio
import json
import shlex
import subprocess

import pytest

from proxy.edge.inspector import store as stores
from tests.net.conftest import MakeOrigin
from tests.net.harness import settles
from tests.net.origin import request, whole_request
from tests.net.responses import OK, SSE
from tests.net.wire import chunk

from .inspector_world import inspected

MANY = [step for _ in range(60) for step in (whole_request, OK)]


async def test_the_list_is_resumed_where_it_stopped(origin: MakeOrigin) -> None:
    one = await origin(MANY)
    async with inspected(one) as it:
        client = await it.world.proxied.connect()
        await client.ask_for_answer(b"/n/1")
        await it.world.proxied.ended(1)
        async with it.listen() as listener:
            await listener.exchange(lambda one: one["target"] == "/n/1", "the first exchange")
            (hello,) = listener.of("hello")
            assert hello["resumed"] is False
            last = listener.events[-1][1]
        await client.ask_for_answer(b"/n/2")
        await it.world.proxied.ended(2)
        async with it.listen(**{"Last-Event-ID": last}) as listener:
            await listener.exchange(lambda one: one["target"] == "/n/2", "the second exchange")
            assert [*listener.exchanges] == [2], "what was told is not told again"
            assert listener.of("hello")[0]["resumed"] is True
        async with it.listen(f"/api/events?after={last}") as listener:
            await listener.exchange(lambda one: one["target"] == "/n/2", "the second exchange")
            assert [*listener.exchanges] == [2]
        async with it.listen(**{"Last-Event-ID": "0" * 16 + "-1"}) as listener:
            await listener.exchange(lambda one: one["target"] == "/n/1", "all of it")
            assert listener.of("hello")[0]["resumed"] is False, "the numbers of another start mean nothing"


async def test_changes_come_together_and_a_burst_is_no_flood(origin: MakeOrigin) -> None:
    one = await origin(MANY)
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(50):
            await client.ask_for_answer(b"/n/x")
        await listener.until(
            lambda: len([1 for one in listener.exchanges.values() if one["outcome"]]) == 50, "all fifty"
        )
        took = loop.time() - begun
        assert len(listener.of("exchanges")) <= took / stores.TICK_S + 3


async def test_one_exchange_is_resumed_where_it_stopped(origin: MakeOrigin) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    one = await origin([request, SSE, chunk(b"data: 1\n\n"), gates[0], chunk(b"data: 2\n\n"), gates[1], chunk(b"")])
    async with inspected(one) as it, it.listen() as listing:
        await listing.hello()
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        await listing.exchange(lambda one: one["pieces"] == 1, "the first piece")
        async with it.listen("/api/exchanges/1/events") as listener:
            await listener.until(lambda: [one for one in listener.of("news") if one["events"]], "the first event")
            last = listener.events[-1][1]
        gates[0].set()
        await listing.exchange(lambda one: one["pieces"] == 2, "the second piece")
        async with it.listen("/api/exchanges/1/events", **{"Last-Event-ID": last}) as listener:
            news = await listener.until(
                lambda: [one for one in listener.of("news") if one["events"]], "the second event"
            )
            assert [event["text"] for one in news for event in one["events"]] == ["data: 2\n\n"]
            gates[1].set()
            await listener.until(lambda: listener.ended, "the end of the stream")
        await client.answer()


async def test_har_has_the_parts_that_har_asks_for(origin: MakeOrigin) -> None:
    """HAR 1.2, sections 1 to 12: the members without `optional`."""
    one = await origin([whole_request, SSE, chunk(b"data: 1\n\n"), chunk(b"")])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        body = b'{"a": 1}'
        await it.world.ask(b"POST /n/x?q=1", b"Content-Type: application/json", b"Content-Length: 8", body=body)
        await it.world.proxied.ended()
        async with it.session.get(it.admin + "/api/exchanges/1/har") as answer:
            assert answer.headers["Content-Disposition"] == 'attachment; filename="exchange-1.har"'
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            log = json.loads(await answer.text())["log"]
        seen = (await it.get("/api/exchanges/1"))["exchange"]
    assert log["version"] == "1.2"
    (entry,) = log["entries"]
    assert entry.keys() >= {"startedDateTime", "time", "request", "response", "cache", "timings"}
    shared = {"httpVersion", "cookies", "headers", "headersSize", "bodySize"}
    assert entry["request"].keys() >= shared | {"method", "url", "queryString", "postData"}
    assert entry["response"].keys() >= shared | {"status", "statusText", "content", "redirectURL"}
    assert entry["request"]["url"] == "http://localhost/n/x?q=1"
    assert entry["request"]["postData"] == {"mimeType": "application/json", "text": '{"a": 1}'}
    assert entry["response"]["content"]["text"] == "data: 1\n\n"
    assert entry["timings"]["send"] == seen["sent_ms"]
    assert entry["timings"]["wait"] == round(seen["head_ms"] - seen["sent_ms"], 1)
    assert entry["timings"]["receive"] == round(seen["duration_ms"] - seen["head_ms"], 1)
    assert next(piece["bytes"] for piece in entry["_pieces"] if piece["kind"] == "both") == 9


async def test_the_curl_command_asks_the_same(origin: MakeOrigin) -> None:
    one = await origin([whole_request, OK, whole_request, OK])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        body = b'{"it\'s": "`$(x)` @file"}'
        host = b"Host: 127.0.0.1:%d" % it.world.proxied.port
        lines = (b"Content-Type: application/json", b"X-Quote: a'b\"c", b"Content-Length: %d" % len(body))
        await it.world.ask(b"POST /n/[x]?q={1}", *lines, host=host, body=body)
        await it.world.proxied.ended(1)
        words = shlex.split(await it.text("/api/exchanges/1/curl"))
        assert words[0] == "curl"
        done = await asyncio.to_thread(subprocess.run, [*words, "-sS"], capture_output=True, timeout=20, check=True)
        assert done.stdout == b"ok"
        first, second = it.world.received
    assert (second.start, second.body) == (first.start, first.body)
    assert second.all(b"x-quote") == first.all(b"x-quote")


async def test_the_transcript_is_text_that_no_terminal_acts_on(origin: MakeOrigin) -> None:
    """SEC-40."""
    one = await origin([request, SSE, chunk(b"data: \x1b]0;owned\x07 \xe2\x80\xae\n\n"), chunk(b"")])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        await it.world.ask(b"GET /n/x")
        await it.world.proxied.ended()
        text = await it.text("/api/exchanges/1/transcript")
    assert "\\u001b]0;owned\\u0007 \\u202e" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "from upstream, to client" in text


@pytest.mark.parametrize(
    ("path", "status"),
    [("/api/exchanges/7", 404), ("/api/exchanges/x", 404), ("/api/exchanges/1/pieces?from=x", 400), ("/api/none", 404)],
)
async def test_refusals_are_json(origin: MakeOrigin, path: str, status: int) -> None:
    one = await origin([whole_request, OK])
    async with inspected(one) as it:
        await it.world.ask(b"GET /n/x")
        async with it.session.get(it.admin + path) as answer:
            assert answer.status == status
            assert (await answer.json())["error"]["message"]


async def test_the_ring_of_ended_exchanges_is_bounded(origin: MakeOrigin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "KEPT", 10)
    one = await origin(MANY)
    async with inspected(one) as it:
        client = await it.world.proxied.connect()
        for _ in range(25):
            await client.ask_for_answer(b"/n/x")
        await it.world.proxied.ended(25)
        assert [one["id"] for one in (await it.get("/api/exchanges"))["exchanges"]] == [*range(16, 26)]
        async with it.listen() as listener:
            await listener.until(lambda: [*listener.exchanges] == [*range(16, 26)], "the ten")
            assert listener.of("hello")[0]["kept"] == 10, "who keeps the list knows how much of it there is"


async def test_copying_stops_some_time_after_the_last_reader_left(
    origin: MakeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LINGER_S", 0.05)
    one = await origin(MANY)
    async with inspected(one) as it:
        store = it.world.proxied.running._store
        assert store is not None
        async with it.listen() as listener:
            await listener.hello()
            assert store.is_watched
        assert await settles(lambda: not store.is_watched)
        await it.world.ask(b"GET /n/x")
        assert (await it.get("/api/exchanges"))["exchanges"][0]["captured"] is False


async def test_a_stop_does_not_wait_for_readers(origin: MakeOrigin) -> None:
    one = await origin([whole_request, OK])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        begun = asyncio.get_running_loop().time()
        await it.world.proxied.running.stop(0)
        assert asyncio.get_running_loop().time() - begun < 2


async def test_off_keeps_nothing_and_serves_no_api(origin: MakeOrigin) -> None:
    one = await origin([whole_request, OK])
    async with inspected(one, "inspector: off") as it:
        await it.world.ask(b"GET /n/x")
        assert it.world.proxied.running._store is None
        async with it.session.get(it.admin + "/api/exchanges") as answer:
            assert answer.status == 404


async def test_the_page_is_open_to_browsers_without_a_token_and_the_api_is_not(origin: MakeOrigin) -> None:
    one = await origin([whole_request, OK])
    async with inspected(one, "admin_token: '${PROXY_TOKEN}'") as it:
        for path, status in (("/", 200), ("/inspector/app.js", 200), ("/api/exchanges", 401), ("/api/events", 401)):
            async with it.session.get(it.admin + path) as answer:
                assert answer.status == status, path
                assert "unsafe-inline" not in answer.headers["Content-Security-Policy"]
                assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"


async def test_a_slow_reader_delays_nobody(origin: MakeOrigin) -> None:
    one = await origin(MANY)
    async with inspected(one) as it:
        host, port = it.admin.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"200" in await reader.readline()
        client = await it.world.proxied.connect()
        for _ in range(50):
            async with asyncio.timeout(2):
                await client.ask_for_answer(b"/n/" + b"x" * 4000)
        writer.close()
        await writer.wait_closed()


async def test_readers_are_not_without_number(origin: MakeOrigin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.inspector.api.READERS", 1)
    one = await origin([whole_request, OK])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        async with it.session.get(it.admin + "/api/events") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (503, "too_many")
