"""Reading into one buffer that all connections share, where reads are large or come out of TLS.

A loop fills the buffer and calls `buffer_updated` before it does anything else, and the parser copies what it hands
out. A large body goes through four times as fast as with `data_received`, which allocates up to 256 KiB a read, and
less of it is held for a client that does not read; TLS would even allocate as much for every event. A small read of
plain TCP is another matter: it costs 750 cycles less with `data_received`, of 14,400 that an event costs. So streams
are read with that until a read is large, all else with the buffer from its head on.
"""

import asyncio
from typing import TYPE_CHECKING

from proxy.core.framing import LONE_BYTES

if TYPE_CHECKING:
    from proxy.net.upstream.connection import Connection

READ_BYTES = 64 * 1024
# A larger read is the first of more.
MUCH_BYTES = READ_BYTES // 2
# More than TLS ever has at once, which is one read of the socket, 256 KiB, and a record that was not whole before. All
# has to fit, as an end that comes before the next turn of the loop takes away what does not; and what a loop says that
# there is leaves out what TLS has of that record.
_TLS_BYTES = 320 * 1024
# Always a view: asyncio's TLS slices it to read on, and a slice of a bytearray would be a copy, so that one client saw
# what an earlier read left there.
_ALL = memoryview(bytearray(_TLS_BYTES))
_VIEW = _ALL[:READ_BYTES]
# Its first bytes, for as many as an event has: a slice made anew costs as much as a quarter of the parser's work on it.
_STARTS = tuple(_VIEW[:size] for size in range(LONE_BYTES))


class IntoBuffer(asyncio.BufferedProtocol):
    """Reads for a connection, and tells it of all else."""

    __slots__ = ("_room", "connection")

    def __init__(self, connection: "Connection", *, tls: bool = False) -> None:
        self.connection = connection
        self._room = _ALL if tls else _VIEW

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.connection.connection_made(transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """The shared buffer; what is in it has been used up by the time this is called again."""
        return self._room

    def buffer_updated(self, nbytes: int) -> None:
        """Hands on one read. Runs once per event of an upstream with TLS."""
        if nbytes < LONE_BYTES:
            self.connection.data_received(_STARTS[nbytes].tobytes())
        else:
            self.connection.take(_ALL[:nbytes])

    def eof_received(self) -> bool:
        """The upstream sends no more."""
        return self.connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The upstream takes the request more slowly than it arrives."""
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        """The upstream has caught up."""
        self.connection.resume_writing()
