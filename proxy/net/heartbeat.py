"""Signs of life: in a stream whose upstream is silent, and before an upstream has answered at all."""

from proxy.core.answer import Answer, early
from proxy.core.errors import ClientGone, ProxyError, StreamRefused
from proxy.core.exchange import Exchange
from proxy.core.plan import Forward
from proxy.core.streams import Heartbeat
from proxy.core.watch import Watch
from proxy.net.downstream import Client, Sink
from proxy.net.relay import Relay
from proxy.net.tap import copying
from proxy.net.upload import Upload


class Pulse:
    """The heartbeats of one stream; watched by the sweeper, so that they cost nothing per event."""

    __slots__ = ("_beat", "_due", "_relay")

    def __init__(self, relay: Relay, beat: Heartbeat) -> None:
        self._relay = relay
        self._beat = beat
        self._due = 0.0

    def check(self, now: float) -> None:
        """Sends one if the upstream has been silent for long enough."""
        if now < self._due:
            return
        self._due = self._relay.heard_at + self._beat.every_s
        if now >= self._due and self._relay.beat(self._beat.form):
            self._due = now + self._beat.every_s


class Early:
    """An answer that begins before the upstream's: a head and heartbeats, once the upstream has kept us waiting.

    Only for a request that asks for a stream. What the upstream then says in its head is lost, its status above all.
    """

    __slots__ = ("_beat", "_client", "_exchange", "_forward", "_last", "_upload", "_watch", "sink")

    def __init__(self, client: Client, forward: Forward, beat: Heartbeat, upload: Upload, exchange: Exchange) -> None:
        self._client = client
        self._forward = forward
        self._beat = beat
        self._upload = upload
        self._exchange = exchange
        self._last = exchange.started
        self._watch: Watch | None = None
        client.early = self.fail
        self.sink: Sink | None = None
        """Where the body goes that has begun; None while nothing has."""

    def check(self, now: float) -> None:
        """Begins, or sends the next heartbeat."""
        if now - self._last < self._beat.every_s or not self._client.connected or not self._upload.asks_to_stream:
            return
        try:
            if self.sink is None:
                answer = early(self._forward)
                self._watch = answer.watch
                self.sink = self._client.start(answer)
                self._exchange.status, self._exchange.stream = answer.status, answer.stream or ""
                self.sink.flush_head()
                if self._exchange.capture is not None:
                    with copying(self._exchange) as capture:
                        capture.answered(None, self._client.head_bytes)
        except ClientGone:
            return
        self._last = now
        heartbeat = self._watch.heartbeat(self._beat.form) if self._watch is not None else None
        if heartbeat is not None and not self._client.connection.writing_paused:
            self._exchange.heartbeats += 1
            self._exchange.bytes_out += len(heartbeat)
            self.sink.write(heartbeat)
            self._copy(heartbeat)

    def follow(self, answer: Answer) -> Sink | None:
        """Where the upstream's answer goes on, None if none has begun. Errors: StreamRefused for one that cannot."""
        if self.sink is None:
            return None
        goes_on = answer.status // 100 == 2 and answer.watch is not None and answer.watch.framing == "sse"
        if not goes_on or answer.body.framing == "none":
            raise StreamRefused
        return self.sink

    def fail(self, error: ProxyError) -> None:
        """Says in an event what can no longer be said in a head; the abort that follows says the rest."""
        if self.sink is None or self._watch is None or error.side == "client" or not self._client.connected:
            return
        event = self._watch.error_event()
        if event is not None:
            self._exchange.bytes_out += len(event)
            self.sink.write(event)
            self._copy(event)

    def _copy(self, data: bytes) -> None:
        if self._exchange.capture is not None:
            with copying(self._exchange) as capture:
                capture.wrote(data)
