"""Who looks at a body on its way, after it was sent: the watch that reads the stream, and whoever wants a copy of it.

What either raises is logged and ends its looking; the stream does not notice.
"""

import logging
from collections.abc import Callable

from proxy.core.errors import ProxyError
from proxy.core.exchange import Capture, Exchange
from proxy.core.message import Field
from proxy.core.skeleton import Skeleton
from proxy.core.watch import Watch
from proxy.net.tap import copying

log = logging.getLogger("proxy")

_BLIND = "the stream of request %s is not read any more"


class Onlookers:
    """Those of one exchange; whoever wants a copy may come and go meanwhile."""

    __slots__ = ("_exchange", "client_gone", "watch")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.watch: Watch | None = None
        self.client_gone = False
        """Whether what is read goes to nobody any more."""

    @property
    def known(self) -> Skeleton | None:
        """What the next frame is compared with before it is shown to the watch: one that fits it need not see."""
        return None if self.watch is None else self.watch.known

    def look(self, data: bytes, now: float) -> None:
        """Gives the watch what was sent."""
        try:
            if self.watch is not None:
                self.watch.feed(data, now)
        except Exception:  # a reader's fault must not become the stream's
            self.watch = None
            log.exception(_BLIND, self._exchange.request_id)

    def heartbeat(self, form: str) -> bytes | None:
        """What may be put in here as a sign of life, None where nothing may."""
        return self._say(lambda watch: watch.heartbeat(form))

    def error_event(self) -> bytes | None:
        """The frame that says that the stream broke, None where there is none, or no place for one."""
        return self._say(Watch.error_event)

    def _say(self, words: Callable[[Watch], bytes | None]) -> bytes | None:
        try:
            return words(self.watch) if self.watch is not None else None
        except Exception:  # likewise
            self.watch = None
            log.exception(_BLIND, self._exchange.request_id)
            return None

    def passed(self, capture: Capture, data: bytes, now: float) -> None:
        """Gives a copy of what went on as it came. Written out: it runs once per event while somebody wants copies."""
        try:
            (capture.read if self.client_gone else capture.passed)(data, now)
        except Exception:  # likewise
            self._exchange.capture = None
            log.exception("request %s is not copied any more", self._exchange.request_id)

    def read(self, data: bytes, now: float) -> None:
        """Gives a copy of what a stage changes on its way."""
        if self._exchange.capture is not None:
            with copying(self._exchange) as capture:
                capture.read(data, now)

    def wrote(self, data: bytes) -> None:
        """Gives a copy of what was sent but not as it came."""
        if data and self._exchange.capture is not None and not self.client_gone:
            with copying(self._exchange) as capture:
                capture.wrote(data)

    def trailers(self, received: list[Field], sent: bytes) -> None:
        """Gives a copy of the trailer section, and of the lines of it that are sent."""
        if self._exchange.capture is not None:
            with copying(self._exchange) as capture:
                capture.trailers(received, sent)

    def paused(self) -> None:
        """Tells that nothing more is read for a client that is full."""
        if self._exchange.capture is not None:
            with copying(self._exchange) as capture:
                capture.paused()

    def resumed(self) -> None:
        """Tells that the client has caught up."""
        if self._exchange.capture is not None:
            with copying(self._exchange) as capture:
                capture.resumed()

    def close(self, error: ProxyError | None, ended: bool) -> None:
        """Writes down what was learnt of the stream; `error` is what broke it, `ended` whether its end was seen."""
        if self.watch is not None:
            watch, self.watch = self.watch, None
            watch.tell(self._exchange, error, ended)
