"""The project's own rules for tunnels: bounded, counted by a stop, ended by silence if asked."""

import asyncio
import time
from collections.abc import Callable

import pytest

from proxy.core.routes import Timeouts
from proxy.net import tunnel
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import request
from tests.net.peer import Peer
from tests.net.test_backpressure import GROWTH_BYTES, MARGIN_BYTES, serve, stalls

from .tunnels import PIECE, SWITCHING, End, asks, cases, half_open, opened, stands, switch

__all__ = ["serve"]

TIMES = 1024  # 64 MiB
HELD_BYTES = 32 * 1024 * 1024  # what the kernel's buffers of both connections hold at most, and ours


async def _floods(peer: Peer, progress: list[int]) -> None:
    """Sends a piece many times, no faster than it is taken."""
    for _ in range(TIMES):
        peer.send(PIECE)
        progress.append(len(PIECE))
        await peer.until(lambda: not peer.writing_paused, "room to write", 60)


async def _waits_for_a_reader(origin: MakeOrigin, serve: Callable, side: str) -> None:
    one = await origin([request, switch()], [request, switch()])
    process = await serve(one.port)
    ends = []
    for number in range(2):  # the first makes the process import and allocate what it needs once
        client = await asks(process, kept=True)
        await client.head()
        upstream = End(await one.connection(number))
        await upstream.head()
        for here, there in ((client, upstream), (upstream, client)):
            here.peer.send(PIECE * 4)
            await there.gets(PIECE * 4)
        ends.append((client, upstream) if side == "client" else (upstream, client))
    here, there = ends[1]
    before = process.resident_bytes()
    there.peer.pause()
    progress: list[int] = []
    flooding = asyncio.create_task(_floods(here.peer, progress))
    assert await stalls(lambda: sum(progress)) < HELD_BYTES
    grown = process.resident_bytes() - before
    assert grown < GROWTH_BYTES + MARGIN_BYTES, f"grew by {grown} bytes"
    there.peer.resume()
    await there.gets(PIECE * TIMES, 40)
    await flooding
    for here, there in ends:
        here.peer.close()
        await there.peer.wait_ended()
        there.peer.close()


async def _a_stalled_client_stops_the_upstream(origin: MakeOrigin, proxy: MakeProxy, serve: Callable) -> None:
    await _waits_for_a_reader(origin, serve, "upstream")


async def _a_stalled_upstream_stops_the_client(origin: MakeOrigin, proxy: MakeProxy, serve: Callable) -> None:
    await _waits_for_a_reader(origin, serve, "client")


async def _a_stop_waits_for_it(origin: MakeOrigin, proxy: MakeProxy, serve: Callable) -> None:
    through = await opened(origin, proxy)
    stopping = asyncio.create_task(through.proxied.stop(10))
    await asyncio.sleep(0)
    await through.carries()
    assert not stopping.done()
    through.client.peer.close()
    assert await through.upstream.ends() == "fin"
    through.upstream.peer.close()
    assert await asyncio.wait_for(stopping, 2) == 0
    assert (await through.proxied.ended()).outcome == "tunnel_closed"


async def _the_end_of_the_drain_ends_it(origin: MakeOrigin, proxy: MakeProxy, serve: Callable) -> None:
    through = await opened(origin, proxy)
    assert await through.proxied.stop(0.2) == 1
    await through.client.peer.wait_ended()
    await through.upstream.peer.wait_ended()
    assert (await through.proxied.ended()).outcome == "drained"


async def _silence_ends_it_if_asked(origin: MakeOrigin, proxy: MakeProxy, serve: Callable) -> None:
    idle_s = 0.6
    through = await opened(origin, proxy, timeouts={"tunnel_idle": idle_s})
    for turn in range(8):  # bytes of either side alone begin the silence anew: each speaks for longer than the limit
        here, there = (through.client, through.upstream) if turn < 4 else (through.upstream, through.client)
        here.peer.send(b"still here")
        await there.gets(b"still here")
        await asyncio.sleep(idle_s / 3)
    last_at = time.monotonic() - idle_s / 3
    await through.client.peer.wait_ended()
    await through.upstream.peer.wait_ended()
    silent_s = time.monotonic() - last_at
    assert idle_s <= silent_s < idle_s + 1.2, silent_s
    exchange = await through.proxied.ended()
    assert (exchange.outcome, exchange.code) == ("tunnel_closed", "tunnel_idle")


async def _it_may_be_silent_for_ever_otherwise(origin: MakeOrigin, proxy: MakeProxy, serve: Callable) -> None:
    assert Timeouts().tunnel_idle is None
    through = await opened(origin, proxy, timeouts={"idle": 0.1, "head": 0.1, "first_byte": 0.1})
    await through.client.peer.stays_quiet(1.5)  # none of the limits of an answer is one of a tunnel
    await through.carries()
    await through.close()


async def _nobody_looks_at_one_that_is_over(origin: MakeOrigin, proxy: MakeProxy, serve: Callable) -> None:
    through = await opened(origin, proxy, timeouts={"tunnel_idle": 30})
    sweeper = through.proxied.running._upstreams.sweeper
    assert len(sweeper) == 1
    await through.close()
    assert (await through.proxied.ended()).code == ""
    assert len(sweeper) == 0


async def _its_last_bytes_reach_a_slow_client(origin: MakeOrigin, proxy: MakeProxy, serve: Callable) -> None:
    one = await origin(SWITCHING)
    through = await stands(await proxy(one), one, receive_buffer=4096)
    client, upstream = through.client.peer, through.upstream.peer
    half_open(upstream)
    client.pause()
    client.finish_writing()
    assert await upstream.wait_ended() == "fin"
    upstream.send(PIECE * 128)
    upstream.close()
    await stalls(lambda: upstream.transport.get_write_buffer_size())
    client.resume()
    await through.client.gets(PIECE * 128)
    assert await client.wait_ended() == "fin"


@cases(
    _a_stalled_client_stops_the_upstream,
    _a_stalled_upstream_stops_the_client,
    _a_stop_waits_for_it,
    _the_end_of_the_drain_ends_it,
    _silence_ends_it_if_asked,
    _nobody_looks_at_one_that_is_over,
    _its_last_bytes_reach_a_slow_client,
    _it_may_be_silent_for_ever_otherwise,
)
async def test_a_tunnel_is_bounded_in_bytes_and_time(origin: MakeOrigin, proxy: MakeProxy, serve: Callable, case):
    """U11: nobody is read faster than the other side takes it; a stop counts tunnels; `tunnel_idle` is opt-in."""
    await case(origin, proxy, serve)


async def test_an_upstream_that_takes_nothing_is_not_waited_for_long(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch
):
    """What a client that has left wrote last may take a while, and not for ever."""
    monkeypatch.setattr(tunnel, "FLUSH_S", 0.1)
    through = await opened(origin, proxy)
    client, upstream = through.client.peer, through.upstream.peer
    upstream.pause()
    client.send(PIECE * 256)
    await stalls(lambda: client.transport.get_write_buffer_size())
    client.reset()
    exchange = await through.proxied.ended()
    await upstream.stays_quiet(0.5)
    upstream.resume()
    await upstream.wait_ended()
    assert len(through.upstream.left) < exchange.bytes_in, "what was in our memory has been kept for it"
