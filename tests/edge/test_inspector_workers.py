"""The inspector of several workers: one list, live, with everything about each exchange, also when a worker dies."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from proxy.app.workers import exchanges as module
from proxy.app.workers.channel import WorkerGone
from proxy.app.workers.exchanges import Exchanges
from proxy.edge.inspector.store import KEPT, Store
from proxy.edge.inspector.telling import nothing_of
from tests.cli.command import Command
from tests.cli.conftest import Serve, launch, serve
from tests.cli.test_admin import wait_admin
from tests.cli.test_stop import wait_refused
from tests.net.client import Client, connect
from tests.net.conftest import MakeOrigin
from tests.net.origin import Origin, whole_request
from tests.net.responses import SSE
from tests.net.wire import chunk

from .inspector_world import Inspector, Listener

__all__ = ["launch", "serve"]

TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n'
LIVE_WITHIN_S = 0.2


class Two:
    """Two workers in front of an origin, and clients of both."""

    def __init__(self, command: Command, port: int, one: Origin, inspector: Inspector) -> None:
        self.command = command
        self.origin = one
        self.inspector = inspector
        self._port = port
        self._clients: list[Client] = []

    async def ask(self, target: bytes) -> Client:
        """An exchange on a connection of its own."""
        client = await connect(self._port)
        self._clients.append(client)
        client.ask(b"POST", target, body=b'{"stream": true}')
        return client

    async def on_both(self, listener: Listener) -> dict[int, Any]:
        """An open exchange of each worker, by worker: the kernel decides who gets a connection."""
        for number in range(40):
            await self.ask(b"/v1/chat/completions?n=%d" % number)
            target = f"/v1/chat/completions?n={number}"
            await listener.exchange(lambda one, target=target: one["target"] == target, target)
            found = {one["worker"]: one for one in listener.exchanges.values() if one["open"]}
            if len(found) == 2:
                return found
        raise AssertionError("one worker gets every connection")

    def close(self) -> None:
        for client in self._clients:
            client.transport.abort()


@asynccontextmanager
async def two(serve: Serve, one: Origin, *more: str) -> AsyncIterator[Two]:
    command = serve(f"http://127.0.0.1:{one.port}", "--workers", "2", "--admin", "127.0.0.1:0", *more)
    url, admin = await command.wait_url(), await wait_admin(command)
    async with aiohttp.ClientSession() as session:
        running = Two(command, int(url.rpartition(":")[2]), one, Inspector(session, admin))
        try:
            yield running
        finally:
            running.close()
            command.signal(signal.SIGTERM)
            await wait_refused(url)
            await command.wait_end()


async def pids(inspector: Inspector) -> dict[int, int]:
    return {worker["number"]: worker["pid"] for worker in (await inspector.get("/status"))["workers"]}


async def test_exchanges_of_both_workers_are_in_one_list_and_told_in_full(origin: MakeOrigin, serve: Serve) -> None:
    """Numbers are unique, the list is in the order of time, and detail, exports and resumption work for each."""
    gate = asyncio.Event()
    script = [whole_request, SSE, chunk(TOKEN % b"Hel"), gate, chunk(TOKEN % b"lo"), chunk(b"data: [DONE]\n\n")]
    one = await origin([*script, chunk(b"")])
    async with two(serve, one) as it, it.inspector.listen() as listener:
        await listener.hello()
        both = await it.on_both(listener)
        for number, seen in sorted(both.items()):
            path = f"/api/exchanges/{seen['id']}"
            async with it.inspector.listen(f"{path}/events") as followed:
                await followed.until(lambda f=followed: spoken(f) == "Hel", "the first token")
                document = await it.inspector.get(path)
                assert (document["exchange"]["id"], document["exchange"]["worker"]) == (seen["id"], number)
                assert document["request"]["came"].startswith("POST /v1/chat/completions?n=")
                last = followed.events[-1][1]
                if number == 2:
                    gate.set()
                    await followed.until(lambda f=followed: f.of("end"), "the end")
                    assert spoken(followed) == "Hello"
        async with it.inspector.listen(f"/api/exchanges/{both[2]['id']}/events", **{"Last-Event-ID": last}) as followed:
            await followed.until(lambda: followed.of("end"), "the end, told again")
            assert spoken(followed) == "lo", "what was told before is not told again"
        for seen in both.values():
            path = f"/api/exchanges/{seen['id']}"
            await listener.exchange(lambda one, seen=seen: one["id"] == seen["id"] and one["outcome"], "the end")
            (entry,) = (await it.inspector.get(f"{path}/har"))["log"]["entries"]
            assert entry["request"]["url"].endswith(seen["target"])
            assert "Hel" in await it.inspector.text(f"{path}/transcript")
            assert f'"id": {seen["id"]}' in await it.inspector.text(f"{path}/transcript")
            assert seen["target"] in await it.inspector.text(f"{path}/curl")
            assert b'"Hel"' in (await it.inspector.get(f"{path}/pieces"))["pieces"][1]["text"].encode()
        listed = (await it.inspector.get("/api/exchanges"))["exchanges"]
        assert [one["time"] for one in listed] == sorted(one["time"] for one in listed)
        assert len({one["id"] for one in listed}) == len(listed)
        assert {one["worker"] for one in listed} == {1, 2}
        after = listener.events[-1][1]
        async with it.inspector.listen(**{"Last-Event-ID": after}) as again:
            assert (await again.hello())[0]["resumed"] is True
        for path in ("/api/exchanges/9999", "/api/exchanges/9999/events"):
            async with it.inspector.session.get(it.inspector.admin + path) as answer:
                assert answer.status == 404


def spoken(listener: Listener) -> str:
    return "".join(words for news in listener.of("news") for event in news["events"] for _, words in event["said"])


async def test_what_happens_in_any_worker_is_told_within_200_ms(origin: MakeOrigin, serve: Serve) -> None:
    """Each piece is released when the one before was told of."""
    gates = [asyncio.Event() for _ in range(8)]
    script: list[Any] = [whole_request, SSE, chunk(TOKEN % b"x")]
    for gate in gates:
        script += [gate, chunk(TOKEN % b"x")]
    one = await origin(script)
    async with two(serve, one) as it, it.inspector.listen() as listener:
        await listener.hello()
        both = await it.on_both(listener)
        ids = [seen["id"] for seen in both.values()]
        took = []
        for number, gate in enumerate(gates, 2):
            begun = time.monotonic()
            gate.set()
            for seen in ids:
                await listener.exchange(lambda one, s=seen, n=number: one["id"] == s and one["pieces"] == n, "a piece")
            took.append(time.monotonic() - begun)
    assert sorted(took)[len(took) // 2] < LIVE_WITHIN_S, took


async def test_a_worker_that_is_killed_takes_only_its_own_with_it(origin: MakeOrigin, serve: Serve) -> None:
    """What it had open is over and says why, the others go on, and who takes its place is seen by itself."""
    gate = asyncio.Event()
    script = [whole_request, SSE, chunk(TOKEN % b"x"), gate, chunk(TOKEN % b"y"), chunk(b"")]
    one = await origin(script)
    async with two(serve, one) as it, it.inspector.listen() as listener:
        await listener.hello()
        both = await it.on_both(listener)
        async with it.inspector.listen(f"/api/exchanges/{both[1]['id']}/events") as followed:
            await followed.until(lambda: followed.of("news"), "news")
            before = await pids(it.inspector)
            os.kill(before[1], signal.SIGKILL)
            lost = await listener.exchange(lambda one: one["id"] == both[1]["id"] and not one["open"], "the loss")
            assert (lost["code"], lost["outcome"], lost["worker"]) == ("worker_ended", None, 1)
            await followed.until(lambda: followed.of("end"), "the end of what was followed")
        document = await it.inspector.get(f"/api/exchanges/{both[1]['id']}")
        assert (document["exchange"]["code"], document["marks"]) == ("worker_ended", [])
        async with it.inspector.session.get(f"{it.inspector.admin}/api/exchanges/{both[1]['id']}/har") as answer:
            assert answer.status == 404
        gate.set()
        await listener.exchange(lambda one: one["id"] == both[2]["id"] and one["outcome"] == "complete", "the other")
        await it.command.wait_match(r"worker 1 \(\d+\) serves")
        known = set(listener.exchanges)
        gate.clear()
        again = await it.on_both(listener)
        assert again[1]["id"] not in known, "numbers of the new process are not those of the old one"
        assert (await pids(it.inspector))[1] != before[1]


async def test_nothing_is_copied_in_any_worker_unless_somebody_looks(origin: MakeOrigin, serve: Serve) -> None:
    one = await origin([whole_request, SSE, chunk(TOKEN % b"x"), chunk(b"")], kept=False)
    async with two(serve, one) as it:
        client = await it.ask(b"/unseen")
        await client.answer()
        (seen,) = (await it.inspector.get("/api/exchanges"))["exchanges"]
        assert (seen["target"], seen["captured"], seen["outcome"]) == ("/unseen", False, "complete")


async def test_off_is_off_in_all_workers(origin: MakeOrigin, serve: Serve, tmp_path: Any) -> None:
    one = await origin([whole_request, SSE, chunk(b"")])
    file = tmp_path / "proxy.yaml"
    file.write_text(f"inspector: off\nroutes: [{{upstream: 'http://127.0.0.1:{one.port}'}}]")
    command = serve("-c", str(file), "--workers", "2", "--admin", "127.0.0.1:0")
    admin = await wait_admin(command)
    async with aiohttp.ClientSession() as session, session.get(f"{admin}/api/exchanges") as answer:
        assert answer.status == 404


def test_each_worker_keeps_its_share() -> None:
    """The setting is what all of them keep."""
    store = Store(64 * 1024 * 1024, [], list, share=4)
    assert (store.budget.limit, store.kept) == (16 * 1024 * 1024, KEPT // 4)


# What a test cannot make real workers do at will.


class Scripted:
    """A place whose worker answers as the test says."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any]) -> None:
        self.number = 1
        self.asker: object | None = object()
        self._answer = answer

    async def ask(self, what: str, within_s: float | None, **more: Any) -> Any:
        told = self._answer({"ask": what, **more})
        if told is None:
            raise WorkerGone
        return told


def told(instance: str, revision: int, *summaries: dict[str, Any], more: bool = False) -> dict[str, Any]:
    return {"instance": instance, "exchanges": list(summaries), "revision": revision, "more": more, "lost": 0}


def summary(number: int, is_open: bool = True) -> dict[str, Any]:
    return {"id": number, "time": f"2026-01-01T00:00:00.{number:03}Z", "open": is_open, "code": None}


async def test_a_worker_that_does_not_answer_keeps_its_exchanges() -> None:
    """It may only be busy: a question about one of them fails, and works again when it answers."""
    is_busy = False

    def answer(asked: dict[str, Any]) -> Any:
        if is_busy:
            return None
        if asked["ask"] == "exchange":
            return {"told": {"exchange": asked["known_as"], **nothing_of(is_over=False)}}
        return told("a", 1, summary(1)) if asked["after"] == 0 else told("a", 1)

    merged = Exchanges([Scripted(answer)])  # type: ignore[list-item]  # as far as it is asked
    await merged.refresh()
    is_busy = True
    await merged.refresh()
    with pytest.raises(TimeoutError):
        await merged.ask(1, "news")
    assert [one.is_open for one in merged.records()] == [True]
    is_busy = False
    assert (await merged.ask(1, "news"))["exchange"] == {"id": 1, "worker": 1}


async def test_another_process_in_the_place_is_another_one() -> None:
    """Even if nobody saw the first one end."""
    instances = iter([told("a", 2, summary(1), summary(2, is_open=False)), told("b", 1, summary(1))])
    merged = Exchanges([Scripted(lambda asked: next(instances))])  # type: ignore[list-item]
    await merged.refresh()
    await merged.refresh()
    assert [(one.number, one.is_open, one.worker is None) for one in merged.records()] == [
        (1, False, True),
        (3, True, False),
        (2, False, True),
    ]


async def test_as_many_are_known_as_one_process_would_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ended first is forgotten first, those of processes that are gone included."""
    monkeypatch.setattr(module, "KEPT", 3)
    some = [summary(number, is_open=number == 1) for number in range(1, 7)]
    instances = iter([told("a", 6, *some), told("b", 9, *some[1:4])])
    merged = Exchanges([Scripted(lambda asked: next(instances))])  # type: ignore[list-item]
    await merged.refresh()
    assert [one.number for one in merged.records()] == [1, 4, 5, 6]
    await merged.refresh()
    assert [one.number for one in merged.records()] == [7, 8, 9]
    assert len(merged._by_change) == len(merged._ended) == 3
