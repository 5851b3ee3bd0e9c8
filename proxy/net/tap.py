"""Tells observers of exchanges, and gives copies of them to who asked.

An observer that fails is logged and costs nobody else anything: an exchange whose copy it cannot take is not copied
any more.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from proxy.core.exchange import Capture, Capturer, Exchange, Observer

log = logging.getLogger("proxy")


class Tap:
    """The observers of a process, told in their order; `capturer` may have copies, and is told as well."""

    def __init__(self, observers: Sequence[Observer] = (), capturer: Capturer | None = None) -> None:
        self._observers = (*observers, capturer) if capturer is not None else tuple(observers)
        self._capturer = capturer
        self.failures = 0
        """How often an observer failed."""

    def begun(self, exchange: Exchange) -> None:
        """An exchange begins: asks who wants a copy of it."""
        if self._capturer is None:
            return
        try:
            exchange.capture = self._capturer.capture(exchange)
        except Exception:  # as below
            self.failures += 1
            log.exception("an observer failed")

    def ended(self, exchange: Exchange) -> None:
        """An exchange is over."""
        for observer in self._observers:
            try:
                observer.ended(exchange)
            except Exception:  # an observer's fault must not become a request's
                self.failures += 1
                log.exception("an observer failed")


@contextmanager
def copying(exchange: Exchange) -> Iterator[Capture]:
    """The capture of an exchange that has one. What it raises is logged, and it is not asked again."""
    capture = exchange.capture
    assert capture is not None
    try:
        yield capture
    except Exception:  # as above
        exchange.capture = None
        log.exception("request %s is not copied any more", exchange.request_id)
