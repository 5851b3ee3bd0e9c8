"""Who looks at a stream on its way sees all of it, after it was sent, and can do it no harm."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock

import pytest

from proxy.core.dialects.openai import Chat
from proxy.core.errors import OwnError
from proxy.core.streams import Heartbeat
from proxy.core.watch import Watch

from .bodies import Body, arrive, begun
from .conftest import MakeOrigin, MakeProxy
from .origin import request
from .responses import SSE
from .streams import PING
from .wire import chunk

# More than it takes to learn what they have in common.
EVENTS = [b'data: {"choices":[{"delta":{"content":"token %d"},"finish_reason":null}]}\n\n' % n for n in range(300)]


class Looking(Watch):
    """A watch that does something else before it looks."""

    def __init__(self, first: Callable[[bytes], None]) -> None:
        super().__init__("sse", Chat(), 1 << 16)
        self._look_first = first

    def feed(self, data: bytes, now: float) -> None:
        self._look_first(data)
        super().feed(data, now)


def raises(*_: Any) -> None:
    raise RuntimeError("planted")


def test_a_copy_has_every_event_known_or_not() -> None:
    """MUST. As it came, and with the moment at which it was read."""
    connection, body = begun(Watch("sse", Chat(), 1 << 16))
    capture = body.exchange.capture = Mock()
    moments = []
    for event in EVENTS:
        arrive(connection, chunk(event))
        moments.append(connection.last_read_at)
    assert [call.args for call in capture.passed.call_args_list] == list(zip(EVENTS, moments, strict=True))
    assert not capture.read.called
    assert len(body.chunks) == len(EVENTS) - 1


def test_a_copy_of_what_goes_to_nobody_says_so() -> None:
    """MUST. The client has gone, and the upstream is read on."""
    connection, body = begun(Watch("sse", Chat(), 1 << 16))
    capture = body.exchange.capture = Mock()
    body._onlookers.client_gone = True
    arrive(connection, chunk(EVENTS[0]))
    body._onlookers.wrote(b"ours")
    assert capture.read.call_args.args[0] == EVENTS[0]
    assert not capture.passed.called
    assert not capture.wrote.called


def test_it_is_sent_before_anybody_looks() -> None:
    """MUST. Whatever a reader takes, the event does not wait for it."""
    seen: list[bool] = []
    connection, body = begun(Looking(lambda data: seen.append(body.sent.endswith(chunk(data)))))
    for event in EVENTS[:20]:
        arrive(connection, chunk(event))
    assert seen == [True] * 20


def test_a_watch_that_raises_is_let_go_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """MUST. Said once."""
    connection, body = begun(Looking(raises))
    with caplog.at_level(logging.ERROR, "proxy"):
        for event in EVENTS:
            arrive(connection, chunk(event))
    assert (body.data, body.error) == (b"".join(EVENTS), None)
    assert [record.message for record in caplog.records] == ["the stream of request 1 is not read any more"]


def test_a_copy_that_cannot_be_taken_is_given_up_and_the_stream_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """MUST. Likewise."""
    connection, body = begun(Watch("sse", Chat(), 1 << 16))
    body.exchange.capture = Mock(passed=Mock(side_effect=raises))
    with caplog.at_level(logging.ERROR, "proxy"):
        for event in EVENTS:
            arrive(connection, chunk(event))
    assert (body.data, body.error, body.exchange.capture) == (b"".join(EVENTS), None, None)
    assert [record.message for record in caplog.records] == ["request 1 is not copied any more"]


def test_silences_are_measured_between_known_events_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. `max_gap` is the longest of them, and the last byte's moment that of the last event."""
    connection, body = begun(Watch("sse", Chat(), 1 << 16))
    for event in EVENTS:
        arrive(connection, chunk(event))
    assert body._onlookers.watch is not None
    assert body._onlookers.watch.known is not None
    exchange, now = body.exchange, connection.last_read_at
    times = [now + 1, now + 4, now + 5]
    monkeypatch.setattr(time, "monotonic", iter(times).__next__)
    for event in EVENTS[: len(times)]:
        arrive(connection, chunk(event))
    assert (exchange.max_gap, exchange.last_byte_at) == (pytest.approx(3), now + 5)


def test_what_cannot_be_sent_ends_the_exchange_and_not_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    """MUST. A transport that raises is nothing that the upstream's may hear of."""
    connection, body = begun()
    arrive(connection, chunk(EVENTS[0]))
    body._send_chunk = raises
    with caplog.at_level(logging.CRITICAL, "proxy"):
        arrive(connection, chunk(EVENTS[1]))
    assert isinstance(body.error, OwnError)
    assert connection._receiver is None


def test_nothing_is_taken_after_a_close_within_a_read() -> None:
    """MUST. What a client's leaving closes hands on nothing more, whatever still lies in the loop."""

    class Closing(Body):
        def receive(self, data: bytes, last: bool) -> None:
            super().receive(data, last)
            connection.close()

    connection, _ = begun()
    body = Closing(connection, None)
    arrive(connection, chunk(EVENTS[0]))
    sent = body.sent
    arrive(connection, chunk(EVENTS[1]))
    assert (body.sent, body.chunks) == (sent, [])


async def test_a_client_without_chunks_gets_none(origin: MakeOrigin, proxy: MakeProxy) -> None:
    """MUST. Chunks that come alone are the body of HTTP/1.0 as they are that of 1.1, but without their framing."""
    gates = [asyncio.Event() for _ in range(3)]
    script = [step for number, gate in enumerate(gates) for step in (gate, chunk(b"data: %d\n\n" % number))]
    one = await origin([request, SSE, *script, chunk(b"")])
    reader, writer = await asyncio.open_connection("127.0.0.1", (await proxy(one)).port)
    writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
    async with asyncio.timeout(5):
        await reader.readuntil(b"\r\n\r\n")
        for number, gate in enumerate(gates):
            gate.set()
            assert await reader.readuntil(b"\n\n") == b"data: %d\n\n" % number
        assert await reader.read() == b""
    writer.close()


@pytest.mark.logs_errors
@pytest.mark.parametrize("asked", ["heartbeat", "error_event"])
async def test_a_fault_in_what_would_be_put_in_costs_only_that(
    origin: MakeOrigin, proxy: MakeProxy, looks_often: None, monkeypatch: pytest.MonkeyPatch, asked: str
) -> None:
    """MUST. The stream goes on, or breaks as it would have; its upstream is let go, and others' deadlines are kept."""
    monkeypatch.setattr(Watch, asked, raises)
    policy = {"heartbeat": Heartbeat(0.02), "error_event": True, "family": "openai"}
    one = await origin([request, SSE + chunk(EVENTS[0])], [request])
    proxied = await proxy(one, stream=policy, timeouts={"idle": 0.3, "head": 0.6})
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    assert await client.wait_body_end(response) == "fin"
    assert response.body.replace(PING, b"") == EVENTS[0]
    await one.connections[0].wait_ended()
    assert (await proxied.ended()).code == "connection_read_timeout"
    assert (await (await proxied.connect()).ask_for_answer()).status == 504
