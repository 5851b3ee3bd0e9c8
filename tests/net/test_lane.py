"""Frames that are like those before them are compared and sent, and nothing else is done with them."""

from unittest.mock import Mock

import pytest

from proxy.core.dialects.openai import Chat
from proxy.core.errors import OwnError
from proxy.core.skeleton import Skeleton
from proxy.core.watch import Watch
from proxy.net.lane import Lane
from proxy.net.relay import Relay
from proxy.net.upstream.connection import Connection

from .bodies import Body, Reader, arrive, begun
from .wire import chunk


def known_stream(count: int = 99, behind: bool = False) -> tuple[Connection, Body, Watch]:
    """A stream whose frames are known by now."""
    watch = Watch("sse", Chat(), 1 << 16)
    connection, body = begun(watch, behind)
    for number in range(count):
        arrive(connection, chunk(token(number)))
    assert watch.known is not None
    return connection, body, watch


def token(text: object) -> bytes:
    return b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n' % str(text).encode()


def test_a_frame_that_is_known_is_compared_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. Neither the parser nor the watch sees it; it is counted all the same."""
    connection, body, watch = known_stream()
    arrive(connection, chunk(token(99)))
    for seen in (Reader, "feed"), (Watch, "feed"), (Relay, "receive_lone"), (Skeleton, "says_nothing"):
        monkeypatch.setattr(*seen, Mock(side_effect=AssertionError))
    before = len(body.chunks)
    for number in range(100, 200):
        arrive(connection, chunk(token(number)))
    assert (len(body.chunks), watch.events, body.error) == (before + 100, 200, None)
    assert body.data.endswith(token(199))
    assert body.exchange.last_byte_at == connection.last_read_at


@pytest.mark.parametrize(
    ("inside", "is_read"),
    [
        ("word", False),
        ("", False),
        ('say \\"', False),
        ("a - b", False),
        ("error", True),
        ("usage", True),
        ("an [DONE]", True),
        ("x" * 985, True),
    ],
)
def test_a_frame_that_may_matter_is_read(inside: str, is_read: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. Whatever it says, it leaves at once, is counted once, and those behind it are known again."""
    connection, body, watch = known_stream()
    arrive(connection, chunk(token("word")))
    fed: list[bytes] = []
    feed = Watch.feed
    monkeypatch.setattr(Watch, "feed", lambda watch, data, now: (fed.append(data), feed(watch, data, now))[1])
    arrive(connection, chunk(token(inside)))
    assert bool(fed) == is_read
    for number in range(99):
        arrive(connection, chunk(token(inside)))
        arrive(connection, chunk(token(number)))
        assert body.sent.endswith(chunk(token(inside)) + chunk(token(number)))
    watch.close()
    assert (watch.events, body.error) == (101 + 198, None)


def test_a_frame_behind_a_part_of_one_in_a_chunk_of_its_own_is_no_known_one() -> None:
    """MUST. However whole it looks: the chunk before it has begun a comment."""
    connection, _, watch = known_stream()
    for _ in range(2):
        for each in (token("one"), b": ", token("no event"), token("two")):
            arrive(connection, chunk(each))
    watch.close()
    assert watch.events == 99 + 4


def test_a_client_that_has_gone_gets_nothing_more_while_the_upstream_is_read_on() -> None:
    """MUST. A lane knows the client's transport."""
    connection, body, watch = known_stream()
    arrive(connection, chunk(token("word")))
    connection.request_sent = True
    body._client.connected = False  # type: ignore[misc]
    body.client_lost()
    sent = body.sent
    for number in range(40):
        connection.data_received(chunk(token(number)))
    watch.close()
    assert (body.sent, watch.events) == (sent, 140)


def test_nobody_is_given_chunks_in_the_middle_of_one() -> None:
    """MUST. What looks like one there is something else."""
    connection, body = begun()
    arrive(connection, b"3\r\nabc\r\n20\r\nabc")
    connection.send_straight(Mock(receive_lone=Mock(side_effect=AssertionError)))
    arrive(connection, b"5\r\nhello\r\n")
    assert body.data == b"abcabc5\r\nhello\r\n"


@pytest.mark.parametrize(
    "other",
    [
        chunk(token("word"))[1:],
        chunk(token("word"))[:-1],
        chunk(token("word"))[:-2],
        token("word"),
        b"word",
        chunk(token("word")) + b"\r\n",
        chunk(token("word")) * 2,
        chunk(token("1")).replace(b"2f", b"2F", 1),
        b"00" + chunk(token("word")),
    ],
)
def test_only_a_whole_chunk_takes_the_lane(other: bytes) -> None:
    """MUST. Which its size line proves, with nothing in front of it or behind."""
    connection, body, _ = known_stream()
    before = len(body.chunks)
    arrive(connection, other)
    assert len(body.chunks) == before


class Copy:
    """Takes a copy of what goes on as it came."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def passed(self, data: bytes, read_at: float) -> None:
        self.pieces.append(data)


def test_who_wants_copies_gets_every_frame_from_then_on() -> None:
    """MUST. In the middle of a stream that is known, and leaves when it likes."""
    connection, body, watch = known_stream()
    for _ in range(3):
        copy = Copy()
        body.exchange.capture = copy  # type: ignore[assignment]
        frames = [token(number) for number in range(30)]
        for each in frames:
            arrive(connection, chunk(each))
        assert copy.pieces == frames
        body.exchange.capture = None
        for each in frames:
            arrive(connection, chunk(each))
        assert copy.pieces == frames
    watch.close()
    assert watch.events == 99 + 180


def test_a_write_that_fails_is_a_fault_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    """MUST. The loop would take it for the upstream's transport, which has done nothing."""
    connection, body, _ = known_stream()
    arrive(connection, chunk(token("word")))
    (lane,) = [connection._straight]
    assert isinstance(lane, Lane)
    lane._send = Mock(side_effect=KeyError("fault"))
    connection.data_received(chunk(token("word")))
    assert isinstance(body.error, OwnError)
    assert "failed in the proxy itself" in caplog.text
