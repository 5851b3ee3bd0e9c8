"""A request's body on its way to the upstream, piped while it arrives and never held whole.

A body that is there already leaves with the head in one write and needs no task.
"""

import asyncio
import re
import time

from aiohttp import web
from aiohttp.streams import StreamReader

from proxy.core.errors import ClientError, ClientGone, ProxyError, RequestBodyTooLarge
from proxy.core.exchange import Exchange
from proxy.core.plan import Forward
from proxy.core.streams import accepts_events
from proxy.core.tracing import Trace
from proxy.net.deadlines import Deadlines
from proxy.net.tap import copying
from proxy.net.tracebacks import drop_tracebacks
from proxy.net.upstream.connection import Connection

# A body up to this size, all here when it is sent, can be sent once more on another connection.
REPLAY_BYTES = 64 * 1024


class Upload:
    """One request body. `send` may be called again for another connection while `replayable`."""

    __slots__ = ("_body", "_clocks", "_exchange", "_forward", "_head", "_seen", "_task", "_whole", "asks_to_stream")

    def __init__(
        self, forward: Forward, trace: Trace, body: StreamReader, clocks: Deadlines, exchange: Exchange
    ) -> None:
        self._forward = forward
        self._head = forward.head(trace)
        self._body = body
        self._clocks = clocks
        self._exchange = exchange
        self._task: asyncio.Task[None] | None = None
        self._whole: bytes | None = b"" if forward.body.framing == "none" else None
        beat = forward.route.stream.heartbeat
        self._seen = b"" if beat is not None and beat.early else None
        """The last bytes of the body, where it is asked what they say."""
        self.asks_to_stream = self._seen is not None and accepts_events(forward.request)
        """Whether the request asks for a stream, in Accept or in its body; known only where heartbeats may be early."""

    def aim(self, forward: Forward, trace: Trace) -> None:
        """What is sent next goes to another upstream, with the head for that one."""
        self._forward = forward
        self._head = forward.head(trace)

    @property
    def replayable(self) -> bool:
        """Whether all of the body is at hand to be sent again."""
        return self._whole is not None

    def send(self, connection: Connection) -> None:
        """Sends the head and what there is of the body; a task pipes the rest. Errors: ClientError, ClientGone."""
        data, news, ended = self._whole, b"", True
        if data is None:
            ended = self._body.is_eof()  # asked first: reading what is there must not make a part look like all
            data = news = self._read_nowait()
            if ended and len(data) <= REPLAY_BYTES:
                self._whole = data
        bare = self._forward.body.framing == "none"
        connection.write(self._head if bare else self._head + self._framed(data, ended))
        if ended:
            self._sent(connection)
        if self._exchange.capture is not None:
            self._copy_head(news)
        if not ended:
            name = f"upload {self._forward.route.name}"
            self._task = asyncio.get_running_loop().create_task(self._pipe(connection), name=name)

    def _copy_head(self, data: bytes) -> None:
        """Gives whoever wants one a copy of the head, and of what went with it."""
        forward = self._forward
        with copying(self._exchange) as capture:
            capture.asked(forward.request, self._head, forward.route)
            if data:
                capture.uploaded(data)

    def shed(self) -> None:
        """Lets go of what would be sent again: an answer has begun, which may last longer than a prompt is welcome."""
        self._head, self._whole = b"", None

    def cancel(self) -> None:
        """Stops piping; the connection cannot be used again then."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _read_nowait(self) -> bytes:
        try:
            data = self._body.read_nowait()
        except (web.RequestPayloadError, OSError) as error:
            raise _mapped(error) from error
        self._count(data)
        return data

    def _count(self, data: bytes) -> None:
        if self._seen is not None and not self.asks_to_stream:
            seen = self._seen + data
            self.asks_to_stream = _ASKS.search(seen) is not None
            self._seen = seen[-_ASKS_BYTES:]
        self._exchange.bytes_in += len(data)
        limit = self._forward.route.limits.request_body
        if limit is not None and self._exchange.bytes_in > limit:
            raise RequestBodyTooLarge

    def _framed(self, data: bytes, ended: bool = False) -> bytes:
        """Bytes of the body as they are sent, `ended` with what says that they are the last."""
        if self._forward.body.framing != "chunked":
            return data
        framed = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return framed + b"0\r\n\r\n" if ended else framed

    def _sent(self, connection: Connection) -> None:
        connection.request_sent = True
        self._clocks.client_body_since = None
        self._clocks.head_since = self._exchange.sent_at = time.monotonic()

    async def _pipe(self, connection: Connection) -> None:
        """Awaits the client and the upstream in turn: at most one read of the body is held."""
        clocks = self._clocks
        clocks.upstream_unsent = connection.unsent
        try:
            while True:
                clocks.client_body_since = time.monotonic()
                data = await self._body.readany()
                clocks.client_body_since = None
                if not data:
                    break
                self._count(data)
                connection.write(self._framed(data))
                if self._exchange.capture is not None:
                    with copying(self._exchange) as capture:
                        capture.uploaded(data)
                if connection.writing_paused:
                    clocks.upload_since = time.monotonic()
                    await connection.wait_writable()
                    clocks.upload_since = None
            connection.write(self._framed(b"", ended=True))
            self._sent(connection)
        except ProxyError as error:
            connection.fail(error)
        except (web.RequestPayloadError, OSError) as error:
            drop_tracebacks(error)  # the body keeps it
            connection.fail(_mapped(error))


# How every LLM API is asked to stream, and the most bytes of it that one read may leave to the next.
_ASKS, _ASKS_BYTES = re.compile(rb'"stream"\s{0,8}:\s{0,8}true'), 32


def _mapped(error: Exception) -> ProxyError:
    return ClientGone() if isinstance(error, OSError) else ClientError("The request body is malformed.")
