"""Reads one answer off a connection and notes the moment of everything: each read, head, chunk, piece and the end.

aiohttp's client keeps most of that to itself (the head's moment, raw field lines, chunks, 1xx), hence httptools.
Source: RFC 9112 sections 6 to 8.
"""

import asyncio
from typing import cast

import httptools

from proxy.core.message import BODYLESS_STATUSES, Field
from proxy.doctor.observation import Bytes, End, Observation, Size

MAX_HEAD_BYTES = 256 * 1024
# A flood of the smallest chunks costs far more memory than its bytes.
MAX_PIECES = 50_000


class AnswerReader(asyncio.Protocol):
    """Fills an observation; `done` is set when there is nothing more to see."""

    def __init__(self, seen: Observation, started: float, max_bytes: int) -> None:
        self._seen, self._started, self._max_bytes = seen, started, max_bytes
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._now = 0.0
        self._reason, self._fields = b"", list[Field]()
        self._chunk: int | None = None
        self._head_bytes = self._bytes = 0
        self.first_bytes = b""
        self.transport: asyncio.Transport | None = None
        self.done: asyncio.Future[None] = self._loop.create_future()

    def elapsed(self) -> float:
        """Seconds since the probe began."""
        return self._loop.time() - self._started

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there, TLS included."""
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """A read of the socket."""
        if self.done.done():
            return
        self._now = self.elapsed()
        self._seen.reads.append(Size(self._now, len(data)))
        self.first_bytes = (self.first_bytes + data)[:512]
        self._bytes += len(data)
        if not self._seen.answered:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._not_http(error)
            return
        head_bytes = 0 if self._seen.answered else self._head_bytes
        if head_bytes > MAX_HEAD_BYTES or self._bytes > self._max_bytes or len(self._seen.body) > MAX_PIECES:
            self.finish("limit")

    def eof_received(self) -> None:
        """The other side has closed."""
        seen = self._seen
        if seen.answered and not seen.values(b"transfer-encoding") and seen.first(b"content-length") is None:
            self.finish("closed")
        else:
            self.finish("cut")

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone."""
        self.finish("reset" if error else "cut")

    def touch(self) -> None:
        """Notes that it has not ended yet, for who looks on."""
        self._seen.ended_s = self.elapsed()

    def finish(self, end: End) -> None:
        """Notes how it ended; only the first time counts."""
        if self.done.done():
            return
        self._seen.end, self._seen.ended_s = end, self.elapsed()
        self.done.set_result(None)

    def _not_http(self, error: Exception) -> None:
        if self.done.done():  # bytes behind the end: not of this answer
            return
        if not self._seen.answered:
            self._seen.trouble = "not_http"
        self._seen.detail = str(error)
        self.finish("cut")

    # httptools' callbacks.

    def on_status(self, reason: bytes) -> None:
        """A part of the reason phrase."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of a head, or of the trailers, which nobody here asks for."""
        if not self._seen.answered:
            self._fields.append((name.lower(), name, value.strip(b" \t")))

    def on_headers_complete(self) -> None:
        """A head is whole."""
        status = self._parser.get_status_code()
        fields, self._fields = tuple(self._fields), []
        reason, self._reason = self._reason, b""
        seen = self._seen
        if 100 <= status < 200 and status != 101:
            seen.interim.append((self._now, status))
            return
        seen.head_s, seen.version = self._now, self._parser.get_http_version()
        seen.status, seen.reason, seen.fields = status, reason, fields
        if seen.request.method == b"HEAD" or status in BODYLESS_STATUSES:
            self.finish("complete")

    def on_chunk_header(self) -> None:
        """A chunk begins."""
        self._chunk = 0

    def on_chunk_complete(self) -> None:
        """A chunk has ended; the last one, which is empty, is the end and no chunk."""
        if self._chunk:
            self._seen.chunks.append(Size(self._now, self._chunk))
        self._chunk = None

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if self.done.done():
            return
        self._seen.body.append(Bytes(self._now, data))
        if self._chunk is not None:
            self._chunk += len(data)

    def on_message_complete(self) -> None:
        """The end of a message, 1xx heads included."""
        if self._seen.answered:
            self.finish("complete")
