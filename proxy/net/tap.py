"""Tells observers of exchanges. An observer that fails is logged and costs nobody else anything."""

import logging
from collections.abc import Sequence

from proxy.core.exchange import Exchange, Observer

log = logging.getLogger("proxy")


class Tap:
    """The observers of a process, told in their order."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._observers = tuple(observers)
        self.failures = 0
        """How often an observer failed."""

    def ended(self, exchange: Exchange) -> None:
        """An exchange is over."""
        for observer in self._observers:
            try:
                observer.ended(exchange)
            except Exception:  # an observer's fault must not become a request's
                self.failures += 1
                log.exception("an observer failed")
