"""The project's own rules of time: each wait has its own limit, and nothing that moves is cut."""

import asyncio
import importlib
import pkgutil
import sys
import time

import pytest

import proxy.net
from proxy.config.compile import compiled_route
from proxy.config.model import Config
from proxy.core.routes import Match, Timeouts
from proxy.net import deadlines
from tests.net.client import Client
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import Proxied, route
from tests.net.origin import Connection, Script, Step, body_bytes, pushed, request, stop_reading, whole_request
from tests.net.responses import OK, SSE, counted
from tests.net.streams import turns
from tests.net.test_failures import assert_is_our_error
from tests.net.waiting import LOOP_CLOCK_S
from tests.net.wire import chunk, head

SHORT_S = 0.2
EVENT = chunk(b"data: 1\n\n")
POST = head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 10")


def pause(seconds: float) -> Step:
    """Says nothing for that long: what these deadlines are about."""

    async def wait(connection: Connection) -> None:
        await asyncio.sleep(seconds)

    return wait


async def ends(proxied: Proxied, client: Client) -> str:
    """How the client's request ended: its status, or how its body was cut."""
    response = await client.next_head()
    ending = await client.wait_body_end(response)
    await proxied.ended()
    return str(response.status) if response.status >= 400 else ending


PHASES: dict[str, Script | None] = {
    "connect": None,
    "head": [request],
    "first_byte": [request, SSE],
    "idle": [request, SSE, EVENT],
    "total": [request, SSE, *[step for _ in range(100) for step in (pause(0.05), EVENT)]],
}


@pytest.mark.parametrize("case", [*PHASES, "codes of their own", "defaults"])
async def test_every_wait_has_its_setting(origin: MakeOrigin, proxy: MakeProxy, deaf_port: int, case: str):
    """T1: five settings act alone, each with a code that no other has; first byte and total are off unless set."""
    if case == "defaults":
        written = Config.model_validate({"routes": [{"name": "a", "path": "/", "upstream": "http://a.example"}]})
        for timeouts in (Timeouts(), compiled_route(written.routes[0]).timeouts):
            assert (timeouts.connect, timeouts.head, timeouts.idle) == (10, 600, 300)
            assert (timeouts.first_byte, timeouts.total) == (None, None)
        return
    codes = {}
    off = dict.fromkeys(PHASES)
    for name in PHASES if case == "codes of their own" else [case]:
        script = PHASES[name]
        upstream = deaf_port if script is None else await origin(script)
        proxied = await proxy(upstream, timeouts={**off, name: SHORT_S})
        client = await proxied.connect()
        client.get()
        assert await ends(proxied, client) == ("504" if name in ("connect", "head") else "fin")
        exchange = await proxied.ended()
        assert exchange.outcome == "upstream_timeout"
        assert SHORT_S - LOOP_CLOCK_S <= exchange.ended - exchange.started < SHORT_S + 1
        codes[name] = exchange.code
    assert len(set(codes.values())) == len(codes), codes


@pytest.fixture(autouse=True)
def _often_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines that are a fraction of a second need a clock that is looked at more often."""
    monkeypatch.setattr(deadlines, "TICK_S", 0.02)


class Clock:
    """Stands in for the module `time` in `proxy.net`: the same, but for the hours that a test lets pass."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.asked = 0

    def monotonic(self) -> float:
        self.asked += 1
        return time.monotonic() + self.passed_s

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)

    async def sweeps(self) -> None:
        """Returns when the deadlines have been looked at twice."""
        for _ in range(2):
            before = self.asked
            while self.asked == before:  # noqa: ASYNC110 - a clock tells nobody that it was read
                await asyncio.sleep(0.002)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for found in pkgutil.walk_packages(proxy.net.__path__, "proxy.net."):
        module = importlib.import_module(found.name)
        if hasattr(module, "time"):
            monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(deadlines, "TICK_S", 0.005)
    return made


@pytest.mark.parametrize("start", [SSE, counted(bytes(540))[:-540]], ids=["chunked", "length"])
async def test_an_hour_of_one_event_a_minute_passes(origin: MakeOrigin, proxy: MakeProxy, clock: Clock, start: bytes):
    """T2: with all defaults a stream that speaks once a minute is still there after an hour."""
    one = await origin([request, start])
    proxied = await proxy(one)
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    for minute in range(1, 61):
        clock.passed_s += 60
        await clock.sweeps()
        one.connections[0].send(EVENT if start is SSE else b"data: 1\n\n")
        await client.wait_body(response, 9 * minute)
    assert client.ending == "open"
    if response.framing == "length":
        assert response.complete
        return
    clock.passed_s += 301  # the clock does work
    assert await client.wait_body_end(response) == "fin"


SIGNS = {
    "comments": [chunk(b":\n")] * 6,
    "pings": [chunk(b"event: ping\ndata: {}\n\n")] * 6,
    "line ends": [chunk(b"\n")] * 6,
    "bytes of a chunk": [b"6\r\n", b"ab", b"c", b"d", b"ef", b"\r\n"],
    "bytes of a chunk's size": [b"0", b"0", b"0", b"1", b"\r\n", b"x\r\n"],
}


@pytest.mark.parametrize("case", ["inside a body", "interim answers", "interim answers without end"])
async def test_any_byte_is_a_sign_of_life(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """T3: comments, pings and parts of a frame keep a stream alive, interim answers a wait, but not past its limit."""
    interim = [step for _ in range(5) for step in (pause(0.12), head(b"HTTP/1.1 103 Early Hints"))]
    if case == "inside a body":
        scripts = [[step for sign in signs for step in (pause(0.12), sign)] for signs in SIGNS.values()]
        proxied = await proxy(
            await origin(*[[request, SSE, *steps, chunk(b"")] for steps in scripts]), timeouts={"idle": 0.3}
        )
        clients = [await proxied.connect() for _ in SIGNS]
        answers = await asyncio.gather(*(client.ask_for_answer() for client in clients))
        assert all(answer.complete for answer in answers)
        return
    endless = case.endswith("without end")
    one = await origin([request, *interim, *(interim if endless else []), OK])
    proxied = await proxy(one, timeouts={"idle": 0.3, "head": 0.5 if endless else 5})
    client = await proxied.connect()
    client.get()
    response = await client.answer()
    while response.status < 200:
        response = await client.answer()
    assert response.status == (504 if endless else 200)
    exchange = await proxied.ended()
    assert not endless or exchange.ended - exchange.started < 0.5 + 0.5


@pytest.mark.parametrize("whose", ["the client's", "the upstream's"])
async def test_a_slow_client_is_not_the_upstreams_silence(origin: MakeOrigin, proxy: MakeProxy, whose: str):
    """T4: while we wait for the client only its own clock runs; and when it reads on, the upstream has its gap anew."""
    limits = {"idle": 0.3, "client_write": 5} if whose == "the upstream's" else {"idle": None, "client_write": 0.3}
    rest = asyncio.Event()
    size = 8_000_000
    one = await origin(
        [request, counted(bytes(size + 1))[: -size - 1], pushed(bytes(50_000), size // 50_000), rest, b"!"]
    )
    proxied = await proxy(one, timeouts=limits)
    client = await proxied.connect(receive_buffer=8192, kept=False)
    client.get()
    response = await client.next_head()
    client.pause()
    if whose == "the client's":
        exchange = await proxied.ended()
        assert (exchange.outcome, exchange.code) == ("client_stalled", "client_stalled")
        await one.connections[0].wait_gone()
        return
    await one.connections[0].until(lambda: one.connections[0].writing_paused, "back-pressure")
    await asyncio.sleep(0.8)
    client.resume()
    await client.wait_body(response, size, 10) if response.kept else None
    await client.until(lambda: response.size == size, "all that was sent", 10)
    rest.set()
    assert await client.wait_body_end(response) == "complete"


async def test_stalled_is_cut_and_slow_is_not(origin: MakeOrigin, proxy: MakeProxy):
    """T5: three gaps' worth of slow events pass, one gap of silence cuts, and a total that is set ends both."""
    slow = [step for _ in range(6) for step in (pause(0.15), EVENT)]
    cases: dict[str, tuple[list[Step], dict[str, float], str]] = {
        "slow": ([*slow, chunk(b"")], {"idle": 0.3}, "complete"),
        "stalled": ([*slow[:4]], {"idle": 0.3}, "fin"),
        "slow, capped": ([*slow, *slow, chunk(b"")], {"idle": 0.3, "total": 0.6}, "fin"),
        "stalled, capped": ([], {"idle": 10, "total": 0.6}, "fin"),
    }

    async def one_case(steps: list[Step], limits: dict[str, float]) -> tuple[str, float]:
        proxied = await proxy(await origin([request, SSE, *steps]), timeouts=limits)
        client = await proxied.connect()
        client.get()
        ending = await ends(proxied, client)
        exchange = await proxied.ended()
        return ending, exchange.ended - exchange.started

    results = await asyncio.gather(*(one_case(steps, limits) for steps, limits, _ in cases.values()))
    assert [ending for ending, _ in results] == [expected for _, _, expected in cases.values()]
    assert all(0.6 <= took < 1.3 for (_, took), name in zip(results, cases, strict=True) if name.endswith("capped"))


@pytest.mark.parametrize("phase", ["head", "first_byte", "idle", "total", "total, before the head", "upload"])
async def test_what_expires_is_destroyed(origin: MakeOrigin, proxy: MakeProxy, phase: str):
    """T6: before the head a 504, behind it an abort; the upstream's connection ends and is not used again."""
    name = {"upload": "idle", "total, before the head": "total"}.get(phase, phase)
    script = {"upload": [request, stop_reading], "total, before the head": [request]}.get(phase) or PHASES[phase]
    one = await origin([request, OK, *script], [whole_request, OK], receive_buffer=4096 if phase == "upload" else None)
    proxied = await proxy(one, timeouts={name: SHORT_S, **({"client_body": None} if phase == "upload" else {})})
    client = await proxied.connect()
    assert (await client.ask_for_answer()).body == b"ok"
    if phase == "upload":
        client.methods.append(b"POST")
        client.send(POST.replace(b"10", b"20000000") + bytes(20_000_000))
    else:
        client.get()
    response = await client.next_head()
    if phase in ("head", "total, before the head", "upload"):
        await client.wait_body(response, response.length or 0)
        assert response.status == 504
    else:
        assert await client.wait_body_end(response) == "fin"
    assert (await proxied.ended(2)).outcome == "upstream_timeout"
    one.connections[0].resume()
    await one.connections[0].wait_gone()
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"
    assert len(one.connections) == 2
    if phase == "upload":
        assert await client.wait_ended() == "fin"  # it sends its rest first


SLOW = {
    "head": (b"GET / HTTP/1.1\r\nHost: local", {"keep_alive_s": 0.3}),
    "head, byte by byte": (b"", {"keep_alive_s": 0.3}),
    "body": (POST + b"part", {}),
    "chunked body": (POST.replace(b"Content-Length: 10", b"Transfer-Encoding: chunked") + chunk(b"part"), {}),
    "body behind our head": (POST + b"part", {}),
}


@pytest.mark.parametrize("case", SLOW)
async def test_a_slow_request_is_the_clients(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """T7: a client that stops inside its head is closed, inside its body it gets 408; no upstream is blamed."""
    sent, settings = SLOW[case]
    behind = [SSE, EVENT] if case == "body behind our head" else []
    one = await origin([request, body_bytes(4), *behind], [request, OK])
    proxied = await proxy(one, timeouts={"client_body": 0.3}, settings=settings)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(sent)
    if case == "head, byte by byte":
        for byte in head(b"GET / HTTP/1.1", b"Host: localhost", b"X-A: " + b"a" * 50):
            if client.ending != "open":
                break
            client.send(bytes([byte]))
            await asyncio.sleep(0.05)
    if case.endswith("body"):
        response = await client.answer()
        assert_is_our_error(response, 408, "http_request_error", "client")
        assert response.get(b"connection") == b"close"
    else:
        ended = await client.wait_ended(1.5)
        assert ended == "fin" or case == "head, byte by byte"  # a byte that crosses the close makes it a reset
    if case.startswith("head"):
        assert not one.connections
        return
    exchange = await proxied.ended()
    assert exchange.outcome == "refused"
    await one.connections[0].wait_gone()
    assert not one.connections[0].request.complete


@pytest.mark.parametrize("jump_s", [86_400, -86_400])
async def test_only_a_monotonic_clock_counts(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, jump_s: float
):
    """T8: a wall clock that jumps cuts nothing and delays no cut; each request has the clocks of its own route."""
    one, other = await origin([request, SSE]), await origin([request, SSE])
    short = route(one.port, name="short", match=Match(b"/short/"), timeouts={"idle": 0.8})
    long = route(other.port, name="long", match=Match(b"/long/"), timeouts={"idle": 30})
    proxied = await proxy(short, long)
    clients = {}
    for name in ("short", "long"):
        clients[name] = await proxied.connect()
        clients[name].get(b"/%b/" % name.encode())
        await clients[name].next_head()
    wall, before = time.time, time.monotonic()
    monkeypatch.setattr(time, "time", lambda: wall() + jump_s)
    await clients["short"].stays_quiet(0.3)
    response = clients["short"].reader.messages[0]
    assert await clients["short"].wait_body_end(response, 3) == "fin"
    assert 0.7 < time.monotonic() - before < 2
    assert clients["long"].ending == "open"
    exchange = await proxied.ended()
    assert 0.7 < exchange.ended - exchange.started < 2


def from_the_proxy() -> bool:
    """Whether the proxy, or what it runs on, is among the callers."""
    frame = sys._getframe(2)
    while frame is not None:
        if any(part in frame.f_code.co_filename for part in ("/proxy/net/", "/aiohttp/")):
            return True
        frame = frame.f_back
    return False


async def test_an_event_sets_no_timer(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch):
    """T9: 300 events under every deadline there is cost no more timers than a coarse look at the clock does."""
    kind = type(asyncio.get_running_loop())
    timers = []
    for name in ("call_at", "call_later"):
        original = getattr(kind, name)

        def counted_call(loop, when, *rest, _original=original, **context):
            if from_the_proxy():
                timers.append(when)
            return _original(loop, when, *rest, **context)

        monkeypatch.setattr(kind, name, counted_call)
    one = await origin([request, SSE])
    every = dict.fromkeys(("connect", "head", "first_byte", "idle", "total", "client_write", "client_body"), 30.0)
    client = await (await proxy(one, timeouts=every)).connect()
    client.get()
    response = await client.next_head()
    timers.clear()
    started = time.monotonic()
    for number in range(1, 301):
        one.connections[0].send(EVENT)
        await client.wait_body(response, 9 * number)
    looks = (time.monotonic() - started) / deadlines.TICK_S
    assert len(timers) <= 2 * looks + 4


async def test_the_upstreams_gap_begins_when_it_is_read_again(origin: MakeOrigin, proxy: MakeProxy):
    """The moment of its last byte is no measure of a silence for which we did not listen."""
    one = await origin([request, SSE])
    proxied = await proxy(one, timeouts={"idle": 0.6, "client_write": 30.0})
    client = await proxied.connect(receive_buffer=8192)
    client.get()
    response = await client.next_head()
    client.pause()
    (served,) = proxied.running._listening[0].handler.clients
    while not served.connection.writing_paused:
        one.connections[0].send(chunk(bytes(16_000)))
        await turns()  # all of it is read before the next: none waits in the kernel
    await client.stays_quiet(1.0)
    client.resume()
    await client.until(lambda: response.size == served.exchange.bytes_out, "all that was held")
    await client.stays_quiet(0.1)
    one.connections[0].send(chunk(b""))
    assert await client.wait_body_end(response) == "complete"
