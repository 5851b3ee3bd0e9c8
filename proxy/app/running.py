"""The composition root: settings into a proxy that listens, and other settings into one that listens already."""

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy import __version__
from proxy.app.certificates import ServerTls, server_context, upstream_contexts
from proxy.app.errors import CannotListen, LaxParser
from proxy.app.listener import Listener
from proxy.app.process import few_files
from proxy.config.compile import Admin as AdminSettings
from proxy.config.compile import Inspector, Settings
from proxy.core.exchange import Exchange, Observer
from proxy.edge.state import LogFigures, Reloads, UpstreamFigures
from proxy.edge.tally import Tally
from proxy.net.server import PARSES_STRICTLY
from proxy.net.tap import Tap
from proxy.net.upstream import Upstreams
from proxy.net.upstream.tls import Contexts
from proxy.threads import in_thread

if TYPE_CHECKING:  # imported where they are made: without an admin listener nobody needs them
    from proxy.edge.admin import Admin
    from proxy.edge.inspector.store import Store
    from proxy.edge.inspector.telling import Telling
    from proxy.edge.metrics import Metrics
    from proxy.edge.status import Status

logger = logging.getLogger("proxy")

# How long what was aborted at the end of a drain may take to be gone.
ABORT_S = 5.0
DRAINING = "draining: the proxy is stopping and takes no new requests"
# How often a stop looks whether the last bytes have left.
FLUSH_CHECK_S = 0.02


@dataclass(slots=True)
class Change:
    """What other settings need, made ready: `commit` puts it in force, `discard` lets it go."""

    settings: Settings
    tls: ServerTls | None
    contexts: Contexts
    listening: list[Listener]
    opened: list[Listener] = field(default_factory=list)
    switched: list[tuple[Listener, list[asyncio.Server]]] = field(default_factory=list)
    """Addresses that stay and begin or cease to speak TLS, with what listens there then."""


class Running:
    """A proxy that listens. Made by `start`, changed by `reload`, ended by `stop`; belongs to one event loop."""

    def __init__(
        self, settings: Settings, observers: Sequence[Observer], log: LogFigures | None = None, share: int = 1
    ) -> None:
        self._settings = settings
        self._tally = Tally(_upstream_names(settings)) if settings.admin else None
        self._store: Store | None = None
        self.exchanges: Telling | None = None
        """What the inspector knows; None without one."""
        if settings.admin is not None and settings.inspector is not None:
            self._inspect(settings.inspector, share)
        self._tap = Tap([*observers, self._tally] if self._tally else observers, self._store)
        self._log = log
        self._upstreams = Upstreams()
        self._tls: ServerTls | None = None
        self._listening: list[Listener] = []
        self._leaving: list[Listener] = []
        """Addresses that a reload has given up, with what is still under way there."""
        self._reloading = asyncio.Lock()
        self._admin: Admin | None = None
        self._aborted = 0
        self.metrics: Metrics | None = None
        self.status: Status | None = None
        self.reloads = Reloads()
        self.draining = False
        """Whether it is stopping."""

    def _inspect(self, inspector: Inspector, share: int) -> None:
        from proxy.edge.inspector.store import Store
        from proxy.edge.inspector.telling import Telling

        self._store = Store(inspector.capture_bytes, inspector.secrets, self.open, share)
        self.exchanges = Telling(self._store, __version__)

    @classmethod
    async def start(
        cls, settings: Settings, observers: Sequence[Observer] = (), log: LogFigures | None = None
    ) -> "Running":
        """Listens on every address, or on none; `log` is what the admin listener tells of the log.

        Errors: CannotListen, LaxParser, UnusableTlsFile.
        """
        warn_of_few_files(settings)
        running = await cls.start_worker(settings, observers, log)
        if settings.admin is not None:
            await running._start_admin(settings.admin)
        return running

    @classmethod
    async def start_worker(
        cls,
        settings: Settings,
        observers: Sequence[Observer] = (),
        log: LogFigures | None = None,
        bound: Sequence[Sequence[socket.socket]] = (),
        share: int = 1,
    ) -> "Running":
        """The same without an admin listener, though with its figures; `bound` are the sockets of each address.

        `share` is how many processes share what the inspector may keep. Errors: as for `start`.
        """
        if not PARSES_STRICTLY:
            raise LaxParser
        running = cls(settings, observers, log, share)
        try:
            running.commit(await running.prepare(settings, bound), first=True)
        except BaseException:  # a cancelled start too leaves nothing open
            running._upstreams.close()
            raise
        running._tell()
        return running

    def _tell(self) -> None:
        """Makes the pages of the admin listener, whoever serves them."""
        if self._tally is not None:
            from proxy.edge.metrics import Metrics
            from proxy.edge.status import Status

            self.metrics = Metrics(self._tally, self, self._log, __version__)
            self.status = Status(_upstream_names(self._settings), self._tally, self, self._log, __version__)

    async def _start_admin(self, admin: AdminSettings) -> None:
        """Listens last: who finds it there finds the proxy too. Errors: CannotListen, and nothing listens then."""
        from proxy.app.admin import open_admin

        assert self.metrics is not None
        assert self.status is not None
        api = None
        if self.exchanges is not None:
            from proxy.edge.inspector.api import Api

            api = Api(self.exchanges, __version__)
        try:
            self._admin = await open_admin(admin, self, self.metrics, self.status, api)
        except CannotListen:
            await self.stop(0)
            raise

    async def reload(self, settings: Settings) -> None:
        """Serves new requests by these settings, or, where that cannot be, all by the old ones as before.

        What is under way keeps its connections and its settings. The admin listener stays where it is.
        Errors: CannotListen, UnusableTlsFile.
        """
        async with self._reloading:
            self.commit(await self.prepare(settings))

    async def prepare(self, settings: Settings, bound: Sequence[Sequence[socket.socket]] = ()) -> Change:
        """Makes ready what these settings need: TLS files are read, and addresses that are new are listened on.

        `bound` are sockets for each address, none where one that is open stays. Errors: CannotListen, UnusableTlsFile,
        and nothing has changed then.
        """
        # In a thread: the system's certificates take tens of milliseconds, for which streams would wait.
        context = await in_thread("tls", server_context, settings)
        contexts = await in_thread("tls", upstream_contexts, settings, self._upstreams.contexts)
        tls = ServerTls(context) if context is not None else None
        change = Change(settings, tls, contexts, [])
        kept = stays([one.asked for one in self._listening], [site.where for site in settings.sites])
        try:
            for at, (site, known) in enumerate(zip(settings.sites, kept, strict=True)):
                if known is not None:
                    change.listening.append(listener := self._listening[known])
                    if (listener.tls is None) != (tls is None):
                        change.switched.append((listener, await listener.again(tls)))
                    continue
                made = Listener(site, settings, self._upstreams, self._tap)
                await made.open(tls, bound[at] if bound else ())
                change.opened.append(made)
                change.listening.append(made)
        except BaseException:  # a cancelled reload too; what was opened belongs to nobody yet
            self.discard(change)
            raise
        return change

    def discard(self, change: Change) -> None:
        """Lets go of what was made ready."""
        for listener in change.opened:
            listener.drain()
            listener.handler.abort_all()
        for _, servers in change.switched:
            for server in servers:
                server.close()

    def commit(self, change: Change, first: bool = False) -> None:
        """Puts a change in force. No await: no request is decided by half of it."""
        settings = self._settings = change.settings
        self._upstreams.serve(settings.sites[0].proxy.routes, change.contexts)
        for listener, servers in change.switched:
            listener.switch(servers, change.tls)
        for listener, site in zip(change.listening, settings.sites, strict=True):
            listener.serve(site, settings)
            listener.show(change.tls)
        given_up = [one for one in self._listening if one not in change.listening]
        self._listening = change.listening
        for listener in given_up:
            listener.drain()
        self._leaving = [one for one in (*self._leaving, *given_up) if not one.is_quiet]
        if first:
            return
        names = _upstream_names(settings)
        if self._store is not None and settings.inspector is not None:
            self._store.learn(settings.inspector.secrets)
        if self._tally is not None:
            self._tally.know(names)
        if self.status is not None:
            self.status.routes = names
        if self._admin is not None and settings.admin is not None:
            self._admin.admit(settings.admin.hosts, settings.admin.token)

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as URLs with the ports in use, or `unix:` and a path."""
        scheme = "https" if self._settings.tls_cert else "http"
        found = [listener.where for listener in self._listening]
        return [str(where) if where.path is not None else f"{scheme}://{where}" for where in found]

    @property
    def not_ready(self) -> str:
        """Why no requests are taken; empty if they are."""
        return DRAINING if self.draining else ""

    @property
    def admin_address(self) -> str | None:
        """Where the admin listener is, as `addresses`; None where there is none."""
        return self._admin.address if self._admin else None

    @property
    def _all(self) -> list[Listener]:
        return [*self._listening, *self._leaving]

    def open(self) -> list[Exchange]:
        """The exchanges that have not ended."""
        return [client.exchange for one in self._all for client in one.handler.clients]

    @property
    def connections(self) -> int:
        """Open connections of clients, idle ones included."""
        return sum(len(one.server.connections) for one in self._all)

    @property
    def observer_failures(self) -> int:
        """How often an observer failed."""
        return self._tap.failures

    @property
    def upstreams(self) -> UpstreamFigures:
        """What is known of the upstreams that are looked after."""
        return self._upstreams.groups

    @property
    def open_exchanges(self) -> int:
        """Requests being served."""
        return sum(len(one.handler.clients) for one in self._all)

    async def under_way(self) -> tuple[int, float]:
        """How many exchanges are open, and how long the oldest has been, in seconds."""
        now, exchanges = time.monotonic(), self.open()
        return len(exchanges), now - min([one.started for one in exchanges], default=now)

    async def stop(self, drain_s: float | None = None) -> int:
        """Ends: no new connections, idle ones closed, open exchanges waited for and then aborted.

        The admin listener stays until all else is gone, and says that it drains. Returns how many exchanges had to be
        aborted. `drain_s` None is what the settings say.
        """
        self.draining = True
        for listener in self._all:
            listener.drain()
        seconds = self._settings.drain_s if drain_s is None else drain_s
        until = time.monotonic() + seconds
        await self._wait_quiet(seconds)
        self.abort()
        await self._flush(until)
        await self._wait_quiet(ABORT_S)
        for listener in self._all:
            await listener.server.shutdown(0.1)
        self._upstreams.close()
        if self.metrics is not None:
            self.metrics.close()
        if self._admin is not None:
            await self._admin.close()
        elif self.exchanges is not None:
            self.exchanges.close()
        return self._aborted

    def abort(self) -> None:
        """Cuts every open exchange, so that each client can tell; `stop` then has nothing left to wait for."""
        self._aborted += self.open_exchanges
        for listener in self._all:
            listener.handler.abort_all()

    async def _flush(self, until: float) -> None:
        """Waits for the last bytes of answers to leave; a client that does not take them in time is reset."""
        tails = [tail for listener in self._all for tail in listener.tails]
        while tails and time.monotonic() < until:
            await asyncio.sleep(FLUSH_CHECK_S)  # a transport tells nobody that its buffer is empty
            tails = [tail for tail in tails if tail.left]
        for tail in tails:
            tail.cut()

    async def _wait_quiet(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for listener in self._all:
                    await listener.handler.wait_quiet()


def stays(before: Sequence[object], after: Sequence[object]) -> list[int | None]:
    """For each address of a new configuration, which of the old one it is; None where it has to be opened."""
    left = dict(enumerate(before))
    found = []
    for wanted in after:
        at = next((number for number, known in left.items() if known == wanted), None)
        if at is not None:
            del left[at]
        found.append(at)
    return found


def warn_of_few_files(settings: Settings) -> None:
    """Tells in the log where the limit of open files is below what the routes allow."""
    if told := few_files(route.limits.concurrent for route in settings.sites[0].proxy.routes):
        logger.warning("%s", told)


def _upstream_names(settings: Settings) -> dict[str, list[str]]:
    """The routes, and the upstreams of each."""
    return {route.name: [one.name for one in route.upstreams] for route in settings.sites[0].proxy.routes}
