"""The shortest way through the proxy: most events of a model's answer come alone, in the form of those before them.

A lane does what `Relay.receive_lone` does, for chunks that are one frame which the stream's skeleton knows. It touches
as few objects as can be: what an event costs is mostly what has to come from memory for it.
"""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from proxy.core.exchange import Exchange
from proxy.core.framing import LONE_CHUNKS
from proxy.core.skeleton import Skeleton
from proxy.net.upstream.connection import Connection

if TYPE_CHECKING:
    from proxy.net.relay import Relay

log = logging.getLogger("proxy")

FAULT = "request %s failed in the proxy itself"


class Lane:
    """From when the frames of a stream are known until one is not; the relay makes a new one when they are again."""

    __slots__ = (
        "_around_bytes",
        "_connection",
        "_end",
        "_exchange",
        "_known",
        "_relay",
        "_send",
        "_start",
        "_table",
        "_whole",
    )

    def __init__(
        self,
        relay: "Relay",
        connection: Connection,
        exchange: Exchange,
        known: Skeleton,
        send: Callable[[bytes], None],
    ) -> None:
        self._relay = relay
        self._connection = connection
        self._exchange = exchange
        self._known = known
        self._send = send
        self._start, self._end, self._around_bytes = known.start, known.end + b"\r\n", known.around_bytes
        self._whole, self._table = known.whole, known.table

    def receive_lone(self, read: bytes) -> bool:
        """Sends a lone chunk whose frame says nothing new; the relay gets any other read. Runs once per event.

        A frame that is known is not taken out of its chunk: where the size line, the start and the end of the frame and
        the end of the line fill the read but for what is inside, it is such a chunk.
        """
        try:
            size_line, size = LONE_CHUNKS[len(read)]
        except IndexError:
            return self._leave(read)
        exchange = self._exchange
        inside = read.removeprefix(size_line + self._start).removesuffix(self._end)
        if len(inside) != size - self._around_bytes or exchange.capture is not None:
            return self._leave(read)
        if (inside.translate(self._table) != inside or inside in self._whole) and not self._known.says_nothing(inside):
            return self._leave(read)
        self._connection.last_read_at = now = time.monotonic()
        previous, exchange.last_byte_at = exchange.last_byte_at, now
        if previous is not None and now - previous > exchange.max_gap:
            exchange.max_gap = now - previous
        exchange.bytes_out += size
        self._known.seen += 1
        try:
            self._send(read)
        except Exception:  # else the loop would take it for the transport's
            log.exception(FAULT, exchange.request_id)
            self._relay.fault()
        return True

    def _leave(self, read: bytes) -> bool:
        self._connection.send_straight(self._relay)
        return self._relay.receive_lone(read)
