"""What the scripted client and the scripted origin have in common: one end of a connection, watched."""

import asyncio
import fcntl
import socket
import struct
import sys
import termios
import time
from typing import Literal, cast

from .waiting import LIMIT_S, Changing
from .wire import Malformed, Reader

Ending = Literal["open", "fin", "reset", "ours"]
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Peer(Changing, asyncio.Protocol):
    """One end of a connection: what came, when, and how it ended. Without a reader anything may come."""

    def __init__(self, reader: Reader | None, kept: bool = True) -> None:
        super().__init__()
        self.reader = reader
        self.kept = kept
        self.reads: list[tuple[float, bytes]] = []
        """What each read brought, with its moment; not filled if not `kept`."""
        self.received_bytes = 0
        self.ending: Ending = "open"
        self.ended_at = 0.0
        self.fault: Malformed | None = None
        self.gone = False
        self.half_open = False
        """Whether our side stays open when the other one has ended."""
        self.writing_paused = False
        self._transport: asyncio.Transport | None = None

    # asyncio's protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.changed()

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self.kept:
            self.reads.append((time.monotonic(), data))
        if self.fault is None and self.reader is not None:
            try:
                self.reader.feed(data)
            except Malformed as fault:
                self.fault = fault
        self.changed()

    def eof_received(self) -> bool:
        self._end("fin")
        try:
            if self.reader is not None:
                self.reader.end()
        except Malformed as fault:
            self.fault = self.fault or fault
        self.changed()
        return self.half_open

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("ours" if exc is None else "reset")
        self.gone = True
        self.changed()

    def pause_writing(self) -> None:
        self.writing_paused = True
        self.changed()

    def resume_writing(self) -> None:
        self.writing_paused = False
        self.changed()

    def _end(self, ending: Ending) -> None:
        if self.ending == "open":
            self.ending, self.ended_at = ending, time.monotonic()

    # Acting.

    @property
    def transport(self) -> asyncio.Transport:
        assert self._transport is not None
        return self._transport

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def unsent_bytes(self) -> int:
        """Bytes that the kernel has not sent yet, as the other side does not read."""
        answer = fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(answer, sys.byteorder)

    def pause(self) -> None:
        """Stops reading: the kernel's buffer fills."""
        self.transport.pause_reading()

    def resume(self) -> None:
        self.transport.resume_reading()

    def finish_writing(self) -> None:
        """Sends FIN and goes on reading."""
        self.transport.write_eof()

    def close(self) -> None:
        """Sends what is left and FIN."""
        self._end("ours")
        self.transport.close()

    def reset(self) -> None:
        """Sends RST."""
        self._end("ours")
        connected = self.transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    # Waiting.

    @property
    def raw(self) -> bytes:
        """Every byte that came."""
        return b"".join(data for _, data in self.reads)

    def can_still(self, what: str) -> None:
        """Errors: Malformed for what is no HTTP; AssertionError where the connection has ended."""
        if self.fault is not None:
            raise self.fault
        assert not self.gone, f"the connection ended ({self.ending}) before {what}: {self.shown()}"

    async def wait_ended(self, within_s: float = LIMIT_S) -> Ending:
        """How the other side ended the connection."""
        await self.until(lambda: self.ending != "open", "the connection's end", within_s)
        return self.ending

    async def wait_gone(self, within_s: float = LIMIT_S) -> None:
        """Returns once nothing of the connection is left on our side."""
        await self.until(lambda: self.gone, "the connection is closed", within_s)

    async def stays_quiet(self, seconds: float) -> None:
        """Measures that nothing comes for that long. Errors: AssertionError."""
        before = self.received_bytes, self.ending
        await asyncio.sleep(seconds)
        assert (self.received_bytes, self.ending) == before, f"something came: {self.shown()}"

    def shown(self) -> str:
        return f"{self.received_bytes} bytes received, the last of them {self.raw[-300:]!r}"
