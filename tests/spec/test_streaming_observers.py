"""The project's own rule of observers: they look on, and nobody ever waits for them."""

import asyncio
import logging

import pytest

from proxy.app import Running
from proxy.config.addresses import Address
from proxy.config.compile import Settings, Site
from proxy.core.exchange import Exchange
from proxy.core.plan import Proxy
from tests.net import client as clients
from tests.net import test_backpressure
from tests.net.conftest import MakeOrigin
from tests.net.harness import INSTANCE, Exchanges, route
from tests.net.origin import request
from tests.net.responses import OK, SSE
from tests.net.wire import chunk

serve = test_backpressure.serve


class Failing:
    """An observer that cannot cope, and says what had been written when it was told."""

    def __init__(self) -> None:
        self.told = 0

    def ended(self, exchange: Exchange) -> None:
        self.told += 1
        raise RuntimeError("an observer's own fault")


async def streams_on(client: clients.Client, connection, response, events: int) -> None:
    """Each event is seen before the next is sent."""
    for _ in range(events):
        size = response.size + 1
        connection.send(chunk(b"x"))
        await client.wait_body(response, size)


async def failing_observer(origin: MakeOrigin, caplog: pytest.LogCaptureFixture) -> None:
    """Exchanges end, and with each an observer fails, while a stream is open; the observer behind it is told."""
    one = await origin([request, SSE], [request, OK] * 60)
    failing, exchanges = Failing(), Exchanges()
    site = Site(Address("127.0.0.1", 0), Proxy(INSTANCE, (route(one.port),)))
    running = await Running.start(Settings((site,)), [failing, exchanges])
    port = int(running.addresses[0].rpartition(":")[2])
    open_one, other = await clients.connect(port), await clients.connect(port)
    open_one.get()
    response = await open_one.next_head()
    for number in range(1, 4):
        assert (await other.ask_for_answer()).body == b"ok"
        await exchanges.number(number)
        await streams_on(open_one, one.connections[0], response, 3)
    one.connections[0].send(chunk(b""))
    assert await open_one.wait_body_end(response) == "complete"
    await exchanges.number(4)
    assert failing.told == 4
    assert len([entry for entry in caplog.records if entry.levelno >= logging.ERROR]) == 4
    for client in (open_one, other):
        client.close()
        await client.wait_gone()
    await running.stop(0)


async def stuck_log(origin: MakeOrigin, serve) -> None:
    """Nobody reads the log of a process any more: a pipe that is full takes no line."""
    one = await origin([request, SSE], [request, OK] * 60)
    process = await serve(one.port)
    open_one, other = await process.connect(), await process.connect()
    open_one.get()
    response = await open_one.next_head()
    target = b"/" + b"a" * 8000
    for number in range(60):  # half a megabyte of lines; a pipe and the reader of its other end take less
        if number % 10 == 0:
            await streams_on(open_one, one.connections[0], response, 1)
            await asyncio.sleep(0.06)  # lines are written a moment later
        assert (await asyncio.wait_for(other.ask_for_answer(target), 2)).status == 200
    await streams_on(open_one, one.connections[0], response, 3)


@pytest.mark.logs_errors
@pytest.mark.parametrize("fault", ["fails", "is stuck"])
async def test_an_observer_costs_a_stream_nothing(
    origin: MakeOrigin, serve, caplog: pytest.LogCaptureFixture, fault: str
):
    """S19: an observer that fails or blocks loses what it was to be told; streams and answers go on at once."""
    if fault == "fails":
        await failing_observer(origin, caplog)
    else:
        await stuck_log(origin, serve)
