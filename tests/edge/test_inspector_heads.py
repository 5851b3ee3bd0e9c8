"""Interim answers and trailers in the inspector; and secrets that a reload brings."""

import asyncio
import json

from proxy.config.compile import compiled
from proxy.config.load import load_text
from tests.net.conftest import MakeOrigin
from tests.net.origin import request, whole_request
from tests.net.responses import OK, SSE
from tests.net.wire import chunk, head
from tests.security.world import CANARY, ENVIRON, routes

from .inspector_world import inspected

EARLY = head(b"HTTP/1.1 103 Early Hints", b"Link: </style.css>; rel=preload", b"Connection: X-Hop", b"X-Hop: 1")
LAST = b"0\r\nX-Checksum: abc\r\nCache-Control: no-store\r\nX-Api-Key: " + CANARY.encode() + b"\r\n\r\n"


async def test_interim_answers_are_shown_as_they_came_and_went(origin: MakeOrigin) -> None:
    gate = asyncio.Event()
    one = await origin([request, EARLY, gate, OK])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        seen = await listener.exchange(lambda one: one["captured"], "the exchange")
        async with it.listen(f"/api/exchanges/{seen['id']}/events") as followed:
            news = await followed.until(
                lambda: [one for one in followed.of("news") if one.get("interim")], "the interim answer"
            )
            (early,) = news[0]["interim"]
            assert news[0]["response"] is None, "it is told of before the answer comes"
            assert (early["came"], early["went"]) == ("HTTP/1.1 103 Early Hints", "HTTP/1.1 103 Early Hints")
            changes = {row["name"]: row["change"] for row in early["fields"]}
            assert changes == {"Link": "same", "Connection": "removed", "X-Hop": "removed"}
            gate.set()
            await followed.until(lambda: followed.of("end"), "the end")
        assert followed.of("news")[-1]["response"]["came"] == "HTTP/1.1 200 OK"
        kinds = [mark[0] for one in followed.of("news") for mark in one["marks"]]
        assert kinds[:2] == ["asked", "interim"]
        (entry,) = (await it.get("/api/exchanges/1/har"))["log"]["entries"]
        assert entry["_interim"][0]["came"] == "HTTP/1.1 103 Early Hints"
        assert "103 Early Hints" in await it.text("/api/exchanges/1/transcript")


async def test_a_client_of_http_1_0_is_sent_no_interim_answer_and_no_trailers(origin: MakeOrigin) -> None:
    one = await origin([request, EARLY, SSE, chunk(b"data: 1\n\n"), LAST])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect(kept=False)
        client.send(b"GET /n/x HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await it.world.proxied.ended()
        document = await it.get("/api/exchanges/1")
    assert document["interim"][0]["went"] is None
    assert [row["after"] for row in document["trailers"]["fields"]] == [None, None, None]


async def test_trailers_are_shown_without_secrets_and_with_what_was_dropped(origin: MakeOrigin) -> None:
    one = await origin([whole_request, SSE, chunk(b"data: 1\n\n"), LAST])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        await it.world.ask(b"GET /n/x")
        await it.world.proxied.ended()
        text = await it.text("/api/exchanges/1")
        document = json.loads(text)
        transcript = await it.text("/api/exchanges/1/transcript")
    rows = {row["name"]: row for row in document["trailers"]["fields"]}
    assert (rows["X-Checksum"]["change"], rows["X-Checksum"]["after"]) == ("same", "abc")
    assert (rows["Cache-Control"]["change"], rows["Cache-Control"]["after"]) == ("removed", None)
    assert "6.5" in rows["Cache-Control"]["why"]
    assert CANARY not in text + transcript
    assert "trailers" in [mark[0] for mark in document["marks"]]
    assert "X-Checksum: abc" in transcript


async def test_secrets_of_a_reload_are_masked_from_then_on_and_the_old_ones_still(origin: MakeOrigin) -> None:
    """SEC-27, SEC-32. Also in a stream that was under way, whose settings are the old ones."""
    new = "sk-a-new-one-that-a-reload-brings-0123"
    gate = asyncio.Event()
    both = b"data: %b %b\n\n" % (CANARY.encode(), new.encode())
    first = [request, SSE, chunk(b"data: 1\n\n"), gate, chunk(both), chunk(b"")]
    one = await origin([*first, request, SSE, chunk(both), chunk(b"")])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        under_way = await it.world.proxied.connect()
        under_way.get(b"/k/first")
        await listener.exchange(lambda one: one["pieces"] == 1, "the first piece")
        written = f"admin: 127.0.0.1:0\nlisten: 127.0.0.1:0\n{routes(one.port)}"
        environ = {name: new if value == CANARY else value for name, value in ENVIRON.items()}
        await it.world.proxied.running.reload(compiled(load_text(written, "security.yaml", environ)))
        gate.set()
        await it.world.proxied.ended(1)
        later = await it.world.ask(b"GET /k/second?q=" + new.encode())
        assert new.encode() in later.body, "the client is told what the upstream says"
        await it.world.proxied.ended(2)
        told = [await it.text(f"/api/exchanges/{number}{part}") for number in (1, 2) for part in PARTS]
        told.append(await it.text("/api/exchanges"))
    for text in told:
        assert new not in text
        assert CANARY not in text
    assert "*" * len(new) in told[0]


PARTS = ("", "/pieces", "/har", "/transcript", "/curl")
