"""What an exchange leaves in the inspector: moments and sides, heads before and after, never a secret."""

import asyncio
import json

import pytest

from proxy.edge.inspector import store as stores
from tests.net.conftest import MakeOrigin
from tests.net.harness import settles
from tests.net.origin import fin, pushed, request, whole_request
from tests.net.responses import SSE, counted
from tests.net.wire import chunk, head
from tests.security.world import CANARY, TOKEN

from .inspector_world import Inspected, inspected

TOKENS = [b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hel"}}]}\n\n']
TOKENS.append(TOKENS[0].replace(b"Hel", b"lo"))
DONE = b"data: [DONE]\n\n"


async def ended(it: Inspected, number: int = 1) -> None:
    await it.world.proxied.ended(number)


async def test_without_a_reader_only_the_summary_is_kept(origin: MakeOrigin) -> None:
    one = await origin([whole_request, counted(b"secretless body", b"X-Answer: 1")])
    async with inspected(one) as it:
        answer = await it.world.ask(b"GET /n/path?key=abc")
        assert answer.status == 200
        (seen,) = (await it.get("/api/exchanges"))["exchanges"]
        assert (seen["id"], seen["route"], seen["status"], seen["outcome"]) == (1, "n", 200, "complete")
        assert (seen["target"], seen["captured"], seen["bytes_out"]) == ("/n/path?key=…", False, 15)
        detail = await it.get("/api/exchanges/1")
        assert (detail["request"], detail["response"], detail["bodies"], detail["marks"]) == (None, None, {}, [])


async def test_a_reader_sees_each_piece_before_the_next_is_sent(origin: MakeOrigin) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    script = [whole_request, SSE, chunk(TOKENS[0]), gates[0], chunk(TOKENS[1]), gates[1], chunk(DONE), chunk(b"")]
    one = await origin(script)
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect()
        client.ask(b"POST", b"/n/v1/chat/completions", b"Content-Type: application/json", body=b'{"stream": true}')
        seen = await listener.exchange(lambda one: one["pieces"] == 1, "the first piece")
        assert (seen["open"], seen["outcome"], seen["captured"]) == (True, None, True)
        async with it.listen(f"/api/exchanges/{seen['id']}/events") as followed:
            await followed.until(lambda: texts(followed) == ["Hel"], "the first token")
            gates[0].set()
            await followed.until(lambda: texts(followed) == ["Hel", "lo"], "the second token")
            gates[1].set()
            await followed.until(lambda: followed.of("end"), "the end")
        events = [event for news in followed.of("news") for event in news["events"]]
        assert [event["first_token"] for event in events] == [True, False, False]
        assert followed.of("news")[-1]["dialect"] == "openai-chat"
        assert followed.of("end")[0]["bodies"]["client"]["text"].encode() == b"".join(TOKENS) + DONE
        assert followed.of("end")[0]["bodies"]["request"]["text"] == '{"stream": true}'
        last = await listener.exchange(lambda one: one["outcome"] == "complete", "the end in the list")
        assert (last["events"], last["verdict"], last["dialect"]) == (3, "complete", "openai-chat")
        await client.answer()


def texts(listener: object) -> list[str]:
    news = [event for one in listener.of("news") for event in one["events"]]  # type: ignore[attr-defined]
    return [text for event in news for channel, text in event["said"] if channel == "text"]


async def test_heads_stand_side_by_side_with_what_was_changed_and_why(origin: MakeOrigin) -> None:
    answered = counted(
        b"ok", b"Content-Type: text/plain", b"X-Secret-Token: abcdefghijklmnopqrstuvwxyz", b"Alt-Svc: h3"
    )
    one = await origin([whole_request, answered])
    async with inspected(one, keyed=", headers: {request: {set: {X-Mine: ours}}}") as it, it.listen() as listener:
        await listener.hello()
        asked = (
            b"Authorization: Bearer sk-of-the-client-0123456789",
            b"Connection: close, X-Hop",
            b"X-Hop: 1",
            b"X-Kept: 1",
        )
        await it.world.ask(b"GET /k/path?q=1", *asked)
        await ended(it)
        text = await it.text("/api/exchanges/1")
        detail = json.loads(text)
    rows = {row["name"]: row for row in detail["request"]["fields"]}
    assert detail["request"]["came"] == "GET /k/path?q=1 HTTP/1.1"
    assert detail["request"]["went"] == "GET /path?q=1 HTTP/1.1"
    assert rows["X-Kept"]["change"] == "same"
    assert rows["X-Kept"]["why"] == ""
    assert (rows["X-Hop"]["change"], rows["X-Hop"]["after"]) == ("removed", None)
    assert "Connection" in rows["X-Hop"]["why"]
    assert (rows["X-Mine"]["change"], rows["X-Mine"]["why"]) == ("added", "a rule of this route (`headers`)")
    key = rows["Authorization"]
    assert (key["change"], key["before"], key["after"]) == ("changed", "Bearer sk-…6789", "Bearer sk-…cdef")
    assert key["why"] == "the route's `api_key`"
    assert rows["Host"]["change"] == "changed"
    back = {row["name"]: row for row in detail["response"]["fields"]}
    assert (back["Alt-Svc"]["change"], back["Alt-Svc"]["after"]) == ("removed", None)
    assert back["X-Secret-Token"]["after"] == "…wxyz"
    assert [row["why"] for row in rows.values() if row["change"] != "same" and not row["why"]] == []
    assert CANARY not in text


async def test_no_secret_is_in_any_document_even_if_the_upstream_echoes_it_in_two_pieces(origin: MakeOrigin) -> None:
    """SEC-27, SEC-32."""
    echo = f"data: {CANARY}\n\n".encode()
    script = [
        whole_request,
        SSE,
        chunk(echo[:20]),
        chunk(echo[20:]),
        chunk(b"data: " + CANARY.encode() + b"\n\n"),
        chunk(b""),
    ]
    one = await origin(script)
    async with inspected(one, "clients: {tokens: ['${PROXY_TOKEN}']}") as it, it.listen() as listener:
        await listener.hello()
        body = json.dumps({"key": CANARY, "token": TOKEN}).encode()
        lines = (b"X-Proxy-Token: " + TOKEN.encode(), b"Content-Length: %d" % len(body))
        answer = await it.world.ask(b"POST /k/x?api_key=" + CANARY.encode(), *lines, body=body)
        assert answer.body.count(CANARY.encode()) == 2, "bodies are relayed as they are"
        await ended(it)
        await listener.exchange(lambda one: one["outcome"], "the end")
        said = [
            await it.text(f"/api/exchanges{path}")
            for path in ("", "/1", "/1/har", "/1/transcript", "/1/curl", "/1/pieces")
        ]
        said += [json.dumps(listener.events), it.world.proxied.running.admin_address or ""]
    for text in said:
        for secret in (CANARY, TOKEN):
            assert secret not in text
            assert secret[:12] not in text, "nor its beginning"
    assert "data: ****" in said[1]


async def test_waits_are_put_to_who_was_waited_for(origin: MakeOrigin) -> None:
    """A silence of the upstream, and a client that stops reading."""
    gate, read_on = asyncio.Event(), asyncio.Event()
    big = b"x" * 65536
    one = await origin([request, SSE, chunk(b"data: 1\n\n"), gate, pushed(chunk(big), 200), chunk(b""), fin])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect(kept=False, receive_buffer=4096)
        client.get(b"/n/x")
        await listener.exchange(lambda one: one["pieces"] == 1, "the first piece")
        await asyncio.sleep(0.25)  # the silence itself
        client.pause()
        gate.set()
        async with it.listen("/api/exchanges/1/events") as followed:
            await followed.until(lambda: "paused" in kinds(followed), "the pause")
            await asyncio.sleep(0.25)
            client.resume()
            read_on.set()
            await followed.until(lambda: followed.of("end"), "the end")
    waits = [wait for news in followed.of("news") for wait in news["waits"]]
    longest = {
        side: max((until - since for since, until, who, _ in waits if who == side), default=0)
        for side in ("upstream", "client")
    }
    assert 240 < longest["upstream"] < 2000
    assert 240 < longest["client"] < 2000
    first_pause = next(since for since, _, who, _ in waits if who == "client")
    assert all(until <= first_pause + 1 for since, until, who, _ in waits if who == "upstream" and until - since > 240)


def kinds(listener: object) -> list[str]:
    return [mark[0] for news in listener.of("news") for mark in news["marks"]]  # type: ignore[attr-defined]


async def test_a_wait_that_was_never_over_is_told_as_well(origin: MakeOrigin) -> None:
    """An upstream that falls silent until its time is over: the longest wait of all, with no piece behind it."""
    gate = asyncio.Event()
    one = await origin([request, SSE, chunk(b"data: 1\n\n"), gate])
    async with inspected(one, plain=", timeouts: {idle: 1200ms}") as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect(kept=False)
        client.get(b"/n/x")
        await ended(it)
        document = await it.get("/api/exchanges/1")
        assert document["exchange"]["outcome"] == "upstream_timeout"
        since, until, side, is_stall = document["waits"][-1]
        assert (side, is_stall) == ("upstream", True)
        assert until - since > 1000
        assert until == pytest.approx(document["exchange"]["duration_ms"], abs=1)
        gate.set()


async def test_pieces_show_the_cuts_of_the_wire(origin: MakeOrigin) -> None:
    gates = [asyncio.Event(), asyncio.Event()]
    one = await origin(
        [request, SSE, chunk(b"da"), gates[0], chunk(b"ta: \xe4\xb8"), gates[1], chunk(b"\xad\n\n"), chunk(b"")]
    )
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        for number, gate in enumerate(gates, 1):
            await listener.exchange(lambda one, number=number: one["pieces"] == number, "a piece")
            gate.set()
        await client.answer()
        await ended(it)
        pieces = (await it.get("/api/exchanges/1/pieces"))["pieces"]
        detail = await it.get("/api/exchanges/1")
    assert next(piece.get("text") or piece.get("base64") for piece in pieces if piece["bytes"]) == "da"
    assert pieces[1]["base64"] == "dGE6IOS4", "half a character is no text"
    assert [event["text"] for event in detail["events"]] == ["data: 中\n\n"]
    assert detail["events"][0]["at_ms"] >= pieces[2]["at_ms"], "an event is there when its last byte is"


async def test_an_exchange_that_had_begun_is_copied_from_then_on_and_says_so(origin: MakeOrigin) -> None:
    gate = asyncio.Event()
    one = await origin([request, SSE, chunk(b"data: 1\n\n"), gate, chunk(b"data: 2\n\n"), chunk(b"")])
    async with inspected(one) as it:
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        message = await client.next_head()
        await client.wait_body(message, 9)
        async with it.listen() as listener:
            seen = await listener.exchange(lambda one: one["captured"], "the open exchange")
            assert seen["late"]
            gate.set()
            await listener.exchange(lambda one: one["outcome"] == "complete", "the end")
            detail = await it.get("/api/exchanges/1")
        assert detail["bodies"]["client"]["text"] == "data: 2\n\n"
        assert [event["text"] for event in detail["events"]] == ["data: 2\n\n"], "known by its looks, without a head"
        assert detail["response"] is None
        assert await client.wait_body_end(message) == "complete"


async def test_an_answer_of_ours_is_shown_with_its_body(origin: MakeOrigin) -> None:
    one = await origin([request, fin])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        await it.world.ask(b"GET /none")
        await it.world.ask(b"GET /n/x")
        await ended(it, 2)
        refused, broken = await it.get("/api/exchanges/1"), await it.get("/api/exchanges/2")
    assert (refused["exchange"]["outcome"], refused["exchange"]["code"]) == ("refused", "destination_not_found")
    assert refused["request"]["came"] == "GET /none HTTP/1.1"
    assert refused["request"]["went"] is None
    assert json.loads(refused["bodies"]["client"]["text"])["error"]["code"] == "destination_not_found"
    assert broken["request"]["went"] == "GET /x HTTP/1.1"
    assert broken["response"]["came"] is None
    assert broken["response"]["went"] == "HTTP/1.1 502 Bad Gateway"


async def test_a_stage_shows_both_sides(origin: MakeOrigin) -> None:
    gate = asyncio.Event()
    one = await origin([request, SSE, chunk(b"data: 1"), gate, chunk(b"\n\n"), chunk(b"")])
    async with inspected(one, plain=", stream: {deliver: events}") as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        async with it.listen("/api/exchanges/1/events") as followed:
            await followed.until(lambda: "read" in kinds(followed), "the half event")
            assert "wrote" not in kinds(followed), "it is held"
            gate.set()
            await followed.until(lambda: followed.of("end"), "the end")
        await client.answer()
    assert followed.of("end")[0]["bodies"]["upstream"]["text"] == "data: 1\n\n"
    assert followed.of("end")[0]["bodies"]["client"]["text"] == "data: 1\n\n"


@pytest.mark.logs_errors
async def test_a_capture_that_fails_costs_the_exchange_nothing(
    origin: MakeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    for name in ("asked", "answered", "passed", "uploaded"):
        monkeypatch.setattr(f"proxy.edge.inspector.captured.Captured.{name}", fail)
    one = await origin([whole_request, SSE, chunk(b"data: 1\n\n"), chunk(b"")])
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        answer = await it.world.ask(b"POST /n/x", b"Content-Length: 2", body=b"{}")
        assert answer.body == b"data: 1\n\n"
        assert (await it.world.proxied.ended()).outcome == "complete"


async def test_bodies_stay_within_the_bound_and_the_oldest_go_first(origin: MakeOrigin) -> None:
    body = b"y" * 20_000
    one = await origin([step for _ in range(9) for step in (whole_request, counted(body, b"Content-Type: text/plain"))])
    async with inspected(one, "inspector: {capture: 100KiB}") as it, it.listen() as listener:
        await listener.hello()
        client = await it.world.proxied.connect()
        for number in range(1, 9):
            await client.ask_for_answer(b"/n/x")
            await ended(it, number)
        store = it.world.proxied.running._store
        assert store is not None
        assert store.budget.used <= 100 * 1024
        kept = [
            (await it.get(f"/api/exchanges/{number}"))["bodies"].get("client", {}).get("kept", 0)
            for number in range(1, 9)
        ]
        assert kept[0] == 0
        assert kept[-1] == 20_000
        assert (await it.get("/api/exchanges/1"))["exchange"]["status"] == 200


async def test_a_body_larger_than_its_share_is_cut_and_says_so(origin: MakeOrigin) -> None:
    one = await origin([whole_request, counted(b"z" * 60_000)])
    async with inspected(one, "inspector: {capture: 100KiB}") as it, it.listen() as listener:
        await listener.hello()
        answer = await it.world.ask(b"GET /n/x")
        assert len(answer.body) == 60_000
        await ended(it)
        seen = (await it.get("/api/exchanges/1"))["exchange"]
        assert seen["lost_bytes"] > 30_000
        assert await listener.until(lambda: [one for one in listener.of("exchanges") if one["lost_bytes"]], "the loss")


async def test_a_tunnel_shows_both_directions(origin: MakeOrigin) -> None:
    switched = head(
        b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Accept: x"
    )
    one = await origin([request, switched, b"from upstream", fin], read=True)
    async with inspected(one) as it, it.listen() as listener:
        await listener.hello()
        lines = (
            b"Upgrade: websocket",
            b"Connection: Upgrade",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            b"Sec-WebSocket-Version: 13",
        )
        client = await it.world.proxied.connect()
        client.send(head(b"GET /n/x HTTP/1.1", b"Host: localhost", *lines))
        seen = await listener.exchange(lambda one: one["outcome"], "the end")
        assert seen["outcome"] == "tunnel_closed"
        assert (await it.get("/api/exchanges/1"))["bodies"]["client"]["text"] == "from upstream"


async def test_a_stream_that_outlives_a_reader_is_copied_anew_for_the_next_one(
    origin: MakeOrigin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "LINGER_S", 0.02)
    gate = asyncio.Event()
    one = await origin([request, SSE, chunk(b"data: 1\n\n"), gate, chunk(b"data: 2\n\n"), chunk(b"")])
    async with inspected(one) as it:
        store = it.world.proxied.running._store
        assert store is not None
        client = await it.world.proxied.connect()
        async with it.listen() as listener:
            await listener.hello()
            client.get(b"/n/x")
            await listener.exchange(lambda one: one["pieces"] == 1, "the first piece")
        assert await settles(lambda: not store.is_watched)
        async with it.listen() as listener:
            await listener.exchange(lambda one: one["late"], "the second copy")
            gate.set()
            await listener.exchange(lambda one: one["outcome"] == "complete", "the end")
            detail = await it.get("/api/exchanges/1")
        assert detail["bodies"]["client"]["text"] == "data: 2\n\n"
        assert [event["text"] for event in detail["events"]] == ["data: 2\n\n"]
        await client.answer()


async def test_what_was_let_go_is_told_anew_to_who_follows(origin: MakeOrigin) -> None:
    gate = asyncio.Event()
    one = await origin([request, SSE, chunk(b"data: 1\n\n"), gate, chunk(b"data: 2\n\n"), chunk(b"")])
    async with inspected(one) as it, it.listen() as listing:
        await listing.hello()
        client = await it.world.proxied.connect()
        client.get(b"/n/x")
        async with it.listen("/api/exchanges/1/events") as listener:
            await listener.until(lambda: [one for one in listener.of("news") if one["events"]], "the first event")
            store = it.world.proxied.running._store
            assert store is not None
            captured = store._records[1].captured
            assert captured is not None
            captured.let_go()
            gate.set()
            await listener.until(lambda: listener.of("end"), "the end")
        last = [news for news in listener.of("news") if news["events"]][-1]
        assert (last["from"], [event["text"] for event in last["events"]]) == ([0, 0, 0], ["data: 2\n\n"])
        await client.answer()
