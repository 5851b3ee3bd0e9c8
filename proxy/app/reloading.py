"""Takes a changed configuration into what runs: read, validated whole, then swapped, or refused with its messages."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable

from proxy.app.errors import CannotStart
from proxy.config.changes import fixed_changes, taken
from proxy.config.messages import ConfigError
from proxy.config.model import Config
from proxy.config.source import Source, Written
from proxy.config.warnings import warnings
from proxy.edge.state import Reloads
from proxy.threads import in_thread

log = logging.getLogger("proxy")

Apply = Callable[[Config, Written], Awaitable[None]]


class Reloader:
    """One reload after the other, each by `apply`, which puts a configuration in force or raises CannotStart."""

    def __init__(self, source: Source, written: Written, config: Config, apply: Apply) -> None:
        self._source = source
        self._apply = apply
        self.written = written
        """What is in force, as it was written."""
        self.config = config
        """What is in force."""
        self.counts = Reloads()

    async def serve(self, asked: asyncio.Event) -> None:
        """Reloads whenever it is asked to; what is asked during a reload is one more. Runs until cancelled."""
        while True:
            await asked.wait()
            asked.clear()
            await self.reload()

    async def reload(self) -> None:
        """Reads the configuration again and puts it in force; where that cannot be, says why, and all stays."""
        try:
            # In a thread: a large file, or secrets on a slow disk, would hold every stream up.
            written, found = await in_thread("configuration", self._read)
            config = taken(self.config, found)
            await self._apply(config, written)
        except ConfigError as error:
            self._refused([str(message) for message in error.messages])
            return
        except CannotStart as error:
            self._refused([str(error)])
            return
        except Exception as error:  # whatever it was, serving goes on
            log.exception("the reload failed in the proxy itself")
            self._refused([type(error).__name__])
            return
        for key in fixed_changes(self.config, found):
            log.warning("reload: `%s` has changed, which needs a restart: it stays as it was until then", key)
        self.written, self.config = written, config
        self.counts.done += 1
        self.counts.last = time.time()
        for warning in warnings(config):
            log.warning("%s", warning)
        log.info("reloaded: routes: %d; what is open goes on by the configuration before", len(config.routes))

    def _read(self) -> tuple[Written, Config]:
        written = self._source.read()
        return written, written.config(os.environ)

    def _refused(self, messages: list[str]) -> None:
        self.counts.refused += 1
        for message in messages:
            log.error("reload refused: %s", message)
        log.error("the configuration before stays in force")
