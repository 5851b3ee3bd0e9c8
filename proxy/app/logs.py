"""The log of a process: where its lines go, what they look like, and which secrets are taken out of them."""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, cast

from proxy.config.injection import hiding, secrets
from proxy.config.model import Config
from proxy.edge.access_log import AccessLog
from proxy.edge.log_lines import LineFormatter
from proxy.edge.log_sink import Descriptor, LogSink
from proxy.edge.terminal import wants_colour

# How long a stop waits for whoever reads the log.
LAST_LINES_S = 1.0


class Logs:
    """Made once, as soon as the first configuration is known; `logging` goes through it from then on."""

    def __init__(self, config: Config) -> None:
        form, colour = _form(config)
        self._secrets: set[str] = set()
        self.hide(config)
        self._formatter = LineFormatter(form, colour)
        self.sink = LogSink(Descriptor(sys.stderr.fileno()), self._own_line, self._hide)
        """Where all lines go, and how many."""
        handler = logging.StreamHandler(self.sink)
        handler.lock = cast(Any, self.sink.lock)  # the one that writers have
        handler.setFormatter(self._formatter)
        logging.basicConfig(level=config.log.level.upper(), handlers=[handler], force=True)
        self.access = AccessLog(self.sink, f"coloured {form}" if colour else form, config.log.level)
        """The observer that writes a line for each exchange."""

    def hide(self, config: Config) -> None:
        """Knows the secrets of this configuration too; what runs by one before may still tell of those."""
        self._secrets |= set(secrets(config))
        self._hiding: Callable[[str], str] = hiding(self._secrets)

    def close(self) -> None:
        """Writes what waits, for as long as somebody takes it."""
        self.access.flush()
        self.sink.drain(LAST_LINES_S)

    def _hide(self, text: str) -> str:
        return self._hiding(text)

    def _own_line(self, message: str) -> str:
        """A line of the log about itself, which cannot go through `logging`."""
        return self._formatter.format(logging.LogRecord("proxy", logging.WARNING, "", 0, message, None, None)) + "\n"


def _form(config: Config) -> tuple[str, bool]:
    """How log lines look, and whether in colour: text becomes columns where it goes to a terminal."""
    if config.log.format != "text" or not sys.stderr.isatty():
        return config.log.format, False
    return "columns", wants_colour(os.environ)
