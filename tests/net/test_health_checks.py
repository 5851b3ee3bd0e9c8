"""Active checks: upstreams are asked how they are, beside the traffic, for as long as the configuration says so."""

import asyncio
import itertools
import logging
import time
from types import SimpleNamespace

import pytest

from proxy.core import health
from proxy.core.message import field
from proxy.core.routes import Credential, Tls

from .certificates import serving
from .conftest import MakeOrigin, MakeProxy
from .failover import SERVES, listening, upstream
from .harness import Proxied, route, settings_of, settles, shared
from .origin import Connection, Origin, Step, request
from .responses import OK, SSE, counted
from .test_balance import opens, states
from .wire import chunk

OFTEN = {"path": b"/up?deep", "every": 0.02, "timeout": 5.0}
GOOD, BAD = counted(b"fine"), counted(b"no", status=b"503 Down")


@pytest.fixture(autouse=True)
def _ask_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FIRST_CHECK_S", 0.01)


class Mood:
    """What an origin says when it is asked how it is; all else it answers with `OK`."""

    def __init__(self, says: bytes | None = GOOD) -> None:
        self.says = says
        self.asked = 0

    def script(self) -> list[Step]:
        async def play(connection: Connection) -> None:
            while not connection.gone:
                await request(connection)
                if connection.gone:
                    return
                if not connection.request.target.startswith(b"/up"):
                    connection.send(OK)
                    continue
                self.asked += 1
                if self.says is None:
                    return
                connection.send(self.says)

        return [play]


async def moody(origin: MakeOrigin, count: int = 2) -> tuple[list[Origin], list[Mood]]:
    moods = [Mood() for _ in range(count)]
    return [await origin(mood.script()) for mood in moods], moods


async def asked_again(mood: Mood, times: int = 2) -> None:
    """Returns when it has been asked that often from now on."""
    until = mood.asked + times
    assert await settles(lambda: mood.asked >= until)


async def homes(proxied: Proxied, times: int = 4) -> set[str]:
    """Who answers requests."""
    client = await proxied.connect()
    before = len(proxied.exchanges.ended_ones)
    for _ in range(times):
        assert (await client.ask_for_answer()).status == 200
    return {exchange.upstream for exchange in proxied.exchanges.ended_ones[before:]}


async def test_each_is_asked_on_a_connection_of_its_own_and_without_a_key(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. R11. The path is the upstream's own, not below the one in its URL."""
    origins, moods = await moody(origin)
    credential = Credential(field(b"Authorization", b"Bearer secret"))
    proxied = await proxy(
        shared(*[one.port for one in origins], health=OFTEN, base_path=b"/base", credential=credential)
    )
    for one, mood in zip(origins, moods, strict=True):
        await asked_again(mood, 3)
        assert all(len(connection.requests) == 1 for connection in one.connections)
        message = one.connections[0].request
        assert message.start == b"GET /up?deep HTTP/1.1"
        assert message.fields == [
            (b"Host", b"127.0.0.1:%d" % one.port),
            (b"User-Agent", b"streamsafe"),
            (b"Accept", b"*/*"),
            (b"Connection", b"close"),
        ]
        await one.connections[0].wait_gone()
    assert states(proxied) == ["up", "up"]
    assert opens(proxied) == [0, 0]


BAD_ANSWERS: dict[str, bytes | None] = {
    "503": BAD,
    "404": counted(b"", status=b"404 Not Found"),
    "silence": None,
    "no HTTP": b"SSH-2.0\r\n",
}


@pytest.mark.parametrize("kind", BAD_ANSWERS)
async def test_one_that_answers_badly_gets_no_requests_until_it_answers_well_again(
    origin: MakeOrigin, proxy: MakeProxy, caplog: pytest.LogCaptureFixture, kind: str
):
    """SHOULD. R11. A line says so each time."""
    (one, two), (mood, _) = await moody(origin)
    proxied = await proxy(shared(one.port, two.port, health={**OFTEN, "timeout": 0.3 if kind == "silence" else 5.0}))
    assert await homes(proxied) == {upstream(one), upstream(two)}
    with caplog.at_level(logging.INFO, logger="proxy"):
        mood.says = BAD_ANSWERS[kind]
        assert await settles(lambda: states(proxied) == ["unhealthy", "up"])
        assert await homes(proxied) == {upstream(two)}
        mood.says = counted(b"", b"Location: /elsewhere", status=b"302 Found")
        assert await settles(lambda: states(proxied) == ["up", "up"])
        assert await homes(proxied) == {upstream(one), upstream(two)}
    name = f"route test: upstream {upstream(one)}"
    cause = {"silence": "no answer in time", "no HTTP": "http_protocol_error"}.get(kind, kind)
    told = [(entry.levelname, entry.getMessage()) for entry in caplog.records if entry.name == "proxy"]
    assert told == [("WARNING", f"{name} is unhealthy ({cause})"), ("INFO", f"{name} is back")]
    assert proxied.running.upstreams.ejections == {("test", upstream(one)): 1}


async def test_so_many_in_a_row_decide(origin: MakeOrigin, proxy: MakeProxy):
    (one, two), (mood, _) = await moody(origin)
    proxied = await proxy(shared(one.port, two.port, health={**OFTEN, "unhealthy_after": 6, "healthy_after": 4}))
    await asked_again(mood, 2)
    mood.says, before = BAD, mood.asked
    assert await settles(lambda: states(proxied) == ["unhealthy", "up"])
    assert mood.asked - before >= 6
    mood.says, before = GOOD, mood.asked
    assert await settles(lambda: states(proxied) == ["up", "up"])
    assert mood.asked - before >= 4


async def test_one_that_is_not_there_is_unhealthy(origin: MakeOrigin, proxy: MakeProxy, dead_port: int):
    """No request has to find that out."""
    (one,), _ = await moody(origin, 1)
    proxied = await proxy(shared(dead_port, one.port, health=OFTEN))
    assert await settles(lambda: states(proxied) == ["unhealthy", "up"])
    assert await homes(proxied) == {upstream(one)}
    assert all(exchange.attempts == 1 for exchange in proxied.exchanges.ended_ones)


async def test_no_request_waits_for_a_check(origin: MakeOrigin, proxy: MakeProxy):
    """SHOULD. R11. Not even while nobody answers one."""
    (one, two), moods = await moody(origin)
    for mood in moods:
        mood.says = None
    proxied = await proxy(shared(one.port, two.port, health={**OFTEN, "timeout": 30.0}))
    assert await settles(lambda: all(mood.asked for mood in moods))
    started = time.monotonic()
    assert await homes(proxied) == {upstream(one), upstream(two)}
    assert time.monotonic() - started < 0.5


async def test_streams_that_are_open_go_on_when_their_upstream_is_unhealthy(origin: MakeOrigin, proxy: MakeProxy):
    """New requests go elsewhere; nothing is cut."""
    gate = asyncio.Event()

    async def play(connection: Connection) -> None:
        await request(connection)
        if connection.request.target.startswith(b"/up"):
            connection.send(BAD)
            return
        connection.send(SSE + chunk(b"data: 1\n\n"))
        await gate.wait()
        connection.send(chunk(b"data: 2\n\n") + chunk(b""))

    one, two = await origin([play]), await origin(SERVES)
    proxied = await proxy(shared(one.port, two.port, health={**OFTEN, "every": 0.3}))
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, 9)
    assert await settles(lambda: states(proxied)[0] == "unhealthy")
    gate.set()
    assert await client.wait_body_end(response) == "complete"


async def test_the_only_upstream_is_asked_too_and_gets_its_requests_all_the_same(
    origin: MakeOrigin, proxy: MakeProxy, caplog: pytest.LogCaptureFixture
):
    """There is nobody else: its state is told, and its clients hear what it says."""
    (one,), (mood,) = await moody(origin, 1)
    proxied = await proxy(shared(one.port, health=OFTEN))
    mood.says = BAD
    assert await settles(lambda: states(proxied) == ["unhealthy"])
    assert await homes(proxied) == {upstream(one)}
    told = f"route test: upstream {upstream(one)} is unhealthy (503); it still gets all requests, being the only one"
    assert told in caplog.messages


async def test_a_reload_ends_the_checks_of_those_that_are_gone_and_keeps_what_is_known_of_others(
    origin: MakeOrigin, proxy: MakeProxy
):
    """MUST. R10, O1."""
    (one, two, three), moods = await moody(origin, 3)
    proxied = await proxy(shared(one.port, two.port, health=OFTEN))
    moods[1].says = BAD
    assert await settles(lambda: states(proxied) == ["up", "unhealthy"])
    again = settings_of(shared(two.port, three.port, health=OFTEN), listen=listening(proxied))
    await proxied.running.reload(again)
    assert states(proxied) == ["unhealthy", "up"]
    asked = moods[0].asked
    await asked_again(moods[1], 3)
    await asked_again(moods[2], 3)
    assert moods[0].asked <= asked + 1  # one may have been on its way
    await proxied.running.reload(settings_of(route(three.port), listen=listening(proxied)))
    assert proxied.running.upstreams.seen() == []


async def test_checks_end_with_the_proxy_even_in_the_middle_of_one(origin: MakeOrigin, proxy: MakeProxy):
    """Nothing is left behind, as every test here asserts; nobody waits for an answer either."""
    (one,), (mood,) = await moody(origin, 1)
    mood.says = None
    proxied = await proxy(shared(one.port, health={**OFTEN, "timeout": 30.0}))
    await asked_again(mood, 1)
    started = time.monotonic()
    assert await proxied.stop(0) == 0
    await one.connections[0].wait_gone()
    assert time.monotonic() - started < 1


async def test_a_check_speaks_tls_by_the_settings_of_the_route(
    origin: MakeOrigin, proxy: MakeProxy, authority, authority_file: str
):
    """Its name and its certificate are checked as those of a request are."""
    mood = Mood()
    one = await origin(mood.script(), tls=serving(authority))
    tls = Tls(ca=authority_file)
    trusted = shared(one.port, host="localhost", tls=tls, name="trusted", health=OFTEN)
    untrusted = shared(one.port, host="localhost", tls=Tls(), name="untrusted", health=OFTEN)
    proxied = await proxy(trusted, untrusted)
    await asked_again(mood, 3)
    seen = {one.route: one.state for one in proxied.running.upstreams.seen()}
    assert await settles(lambda: len(seen) == 2)
    assert await settles(
        lambda: (
            {one.route: one.state for one in proxied.running.upstreams.seen()}
            == {"trusted": "up", "untrusted": "unhealthy"}
        )
    )


async def test_two_upstreams_are_not_asked_in_step(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """Each asks at a moment of its own: a pause between the first checks of two that began together."""
    chances = iter([0.0, 0.9, *[0.5] * 1000])
    monkeypatch.setattr("proxy.net.upstream.checks.random", lambda: next(chances))
    monkeypatch.setattr(health, "FIRST_CHECK_S", 0.2)
    origins, moods = await moody(origin)
    await proxy(shared(*[one.port for one in origins], health={**OFTEN, "every": 0.5}))
    assert await settles(lambda: all(mood.asked for mood in moods))
    assert origins[1].accepted_at[0] - origins[0].accepted_at[0] > 0.1


async def test_how_long_an_answer_took_is_not_waited_for_once_more(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """`every` is from one question to the next: after an answer that took longer the next is asked at once."""
    an_hour_each = SimpleNamespace(monotonic=itertools.count(0.0, 3600.0).__next__)
    monkeypatch.setattr("proxy.net.upstream.checks.time", an_hour_each)
    (one,), (mood,) = await moody(origin, 1)
    await proxy(shared(one.port, health={**OFTEN, "every": 1800.0}))
    await asked_again(mood, 3)


async def test_a_head_without_measure_is_no_good_answer(origin: MakeOrigin, proxy: MakeProxy):
    """A check holds what it reads: there is a limit for it, as for any answer."""
    (one,), _ = await moody(origin, 1)
    other = Mood(counted(b"fine", b"X-A: " + b"a" * 70_000))
    large = await origin(other.script())
    proxied = await proxy(shared(one.port, large.port, health={**OFTEN, "unhealthy_after": 1}))
    assert await settles(lambda: states(proxied) == ["up", "unhealthy"])


async def test_a_check_that_was_answered_ends_in_good_order(origin: MakeOrigin, proxy: MakeProxy):
    """The upstream has had a whole request: a reset would be a failure in its log, every few seconds."""
    (one,), (mood,) = await moody(origin, 1)
    await proxy(shared(one.port, health=OFTEN))
    await asked_again(mood)
    assert await one.connections[0].wait_ended() == "fin"
