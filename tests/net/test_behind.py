"""A client that is behind: when its stream begins, in the middle of it, and when it leaves."""

from proxy.core.dialects.openai import Chat
from proxy.core.watch import Watch

from .bodies import arrive, begun
from .wire import chunk


def test_its_first_byte_is_its_first_byte() -> None:
    """MUST. T1. That the client catches up is no byte of the upstream's: it ends the wait for the client alone."""
    connection, body = begun(behind=True)
    assert body.clocks.client_write_since is not None
    body.client.writing_paused = False
    body.resume()
    assert body.clocks.client_write_since is None
    assert body.clocks.first_byte_since is not None
    assert body.exchange.first_byte_at is None
    arrive(connection, chunk(b"data: 1\n\n"))
    assert body.exchange.first_byte_at == connection.last_read_at
    assert body.clocks.first_byte_since is None


def test_the_wait_for_the_client_is_no_silence_of_the_upstream() -> None:
    """MUST. The longest gap of a stream is the upstream's doing."""
    connection, body = begun()
    arrive(connection, chunk(b"data: 1\n\n"))
    body.exchange.last_byte_at = connection.last_read_at - 60.0
    body.pause()
    body.resume()
    arrive(connection, chunk(b"data: 2\n\n"))
    assert body.exchange.max_gap < 60


def test_a_client_that_has_gone_is_waited_for_no_more() -> None:
    """MUST. T5. Its upstream is read on, however long it had taken nothing before."""
    connection, body = begun(Watch("sse", Chat(), 1 << 16))
    arrive(connection, chunk(b"data: 1\n\n"))
    connection.request_sent = True
    body.pause()
    body._client.connected = False
    body.client_lost()
    assert body.reads_on
    assert body.clocks.client_write_since is None
