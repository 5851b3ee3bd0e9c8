"""The composition root: settings into a proxy that listens. The only module that sees `net` and `edge` together."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from proxy import __version__
from proxy.config.addresses import is_loopback
from proxy.config.compile import Admin as AdminSettings
from proxy.config.compile import Settings
from proxy.core.exchange import Exchange, Observer
from proxy.edge.admin import Admin
from proxy.edge.inspector.api import Api
from proxy.edge.inspector.store import Store
from proxy.edge.metrics import Metrics
from proxy.edge.state import LogFigures
from proxy.edge.status import Status
from proxy.edge.tally import Tally
from proxy.net.client_connection import ClientConnection
from proxy.net.handler import Handler
from proxy.net.server import PARSES_STRICTLY, Server, listen, refuse_taken
from proxy.net.tap import Tap
from proxy.net.upstream import Upstreams, tls

# How long what was aborted at the end of a drain may take to be gone.
ABORT_S = 5.0
_ANOTHER_ADMIN = " (that is the admin listener: choose another with --admin HOST:PORT or `admin:`, or switch it off)"
# How often a stop looks whether the last bytes have left.
FLUSH_CHECK_S = 0.02


@dataclass(frozen=True, slots=True)
class _Listening:
    handler: Handler
    server: Server
    sockets: asyncio.Server


class CannotListen(Exception):
    """An address cannot be listened on; the message says which and why."""

    def __init__(self, address: str, error: OSError, hint: str = "") -> None:
        # The loops word it differently and repeat the address: the number has the same words everywhere.
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        super().__init__(f"cannot listen on {address}: {reason}{hint}")


class LaxParser(Exception):
    """aiohttp came without its C extension."""

    def __init__(self) -> None:
        super().__init__(
            "aiohttp's C extension is missing or switched off (AIOHTTP_NO_EXTENSIONS), and its parser in Python is not "
            "strict enough to stand before a key: install a wheel of aiohttp for this platform"
        )


class UnusableTlsFile(Exception):
    """A certificate or key that the configuration names cannot be used."""


class Running:
    """A proxy that listens. Made by `start`, ended by `stop`; belongs to one event loop."""

    def __init__(self, settings: Settings, observers: Sequence[Observer]) -> None:
        self._settings = settings
        self._routes = {route.name: route.upstream.origin.name for route in settings.sites[0].proxy.routes}
        self._tally = Tally(self._routes) if settings.admin else None
        inspector = settings.inspector if settings.admin else None
        self._store = Store(inspector.capture_bytes, inspector.secrets, self.open) if inspector else None
        self._tap = Tap([*observers, self._tally] if self._tally else observers, self._store)
        self._upstreams = Upstreams()
        self._listening: list[_Listening] = []
        self._admin: Admin | None = None
        self._aborted = 0
        self.draining = False
        """Whether it is stopping."""

    @classmethod
    async def start(
        cls, settings: Settings, observers: Sequence[Observer] = (), log: LogFigures | None = None
    ) -> "Running":
        """Listens on every address, or on none; `log` is what the admin listener tells of the log.

        Errors: CannotListen, LaxParser, UnusableTlsFile.
        """
        if not PARSES_STRICTLY:
            raise LaxParser
        context = _server_context(settings)
        _load_upstream_tls(settings)
        running = cls(settings, observers)
        for site in settings.sites:
            handler = Handler(site.proxy, running._upstreams, running._tap)
            server = Server(handler, keep_alive_s=settings.keep_alive_s, head_bytes=settings.head_bytes)
            try:
                sockets = await listen(server, site.where.host, site.where.port or 0, site.where.path, context)
            except OSError as error:
                await running.stop(0)
                raise CannotListen(str(site.where), error) from error
            running._listening.append(_Listening(handler, server, sockets))
            if site.where.is_local and not _only_here(sockets):
                await running.stop(0)
                raise CannotListen(str(site.where), OSError("that name is no loopback address here; write 127.0.0.1"))
        if settings.admin is not None and running._tally is not None:
            await running._start_admin(settings.admin, running._tally, log)
        return running

    async def _start_admin(self, admin: AdminSettings, tally: Tally, log: LogFigures | None) -> None:
        """Listens last: who finds it there finds the proxy too. Errors: CannotListen, and nothing listens then."""
        metrics = Metrics(tally, self, log, __version__)
        status = Status(self._routes, tally, self, log, __version__)
        api = Api(self._store, __version__) if self._store is not None else None
        made = Admin(self, metrics, status, admin.hosts, admin.token, api)
        try:
            if admin.where.path is not None:
                refuse_taken(admin.where.path)
            await made.listen(admin.where.host, admin.where.port or 0, admin.where.path)
        except OSError as error:
            metrics.close()
            await self.stop(0)
            raise CannotListen(str(admin.where), error, _ANOTHER_ADMIN) from error
        self._admin = made

    @property
    def addresses(self) -> list[str]:
        """Where it listens, as URLs with the ports in use, or `unix:` and a path."""
        scheme = "https" if self._settings.tls_cert else "http"
        shown = []
        for site, entry in zip(self._settings.sites, self._listening, strict=True):
            where = site.where
            if where.path is None:
                name = entry.sockets.sockets[0].getsockname()
                where = replace(where, port=name[1])
            shown.append(str(where) if where.path is not None else f"{scheme}://{where}")
        return shown

    @property
    def admin_address(self) -> str | None:
        """Where the admin listener is, as `addresses`; None where there is none."""
        return self._admin.address if self._admin else None

    def open(self) -> list[Exchange]:
        """The exchanges that have not ended."""
        return [client.exchange for entry in self._listening for client in entry.handler.clients]

    @property
    def connections(self) -> int:
        """Open connections of clients, idle ones included."""
        return sum(len(entry.server.connections) for entry in self._listening)

    @property
    def observer_failures(self) -> int:
        """How often an observer failed."""
        return self._tap.failures

    @property
    def open_exchanges(self) -> int:
        """Requests being served."""
        return sum(len(entry.handler.clients) for entry in self._listening)

    async def stop(self, drain_s: float | None = None) -> int:
        """Ends: no new connections, idle ones closed, open exchanges waited for and then aborted.

        The admin listener stays until all else is gone, and says that it drains. Returns how many exchanges had to be
        aborted. `drain_s` None is what the settings say.
        """
        self.draining = True
        for entry in self._listening:
            entry.sockets.close()
            entry.handler.drain()
            busy = {client.connection for client in entry.handler.clients}
            for connection in entry.server.connections:
                if connection not in busy:
                    connection.force_close()
        seconds = self._settings.drain_s if drain_s is None else drain_s
        until = time.monotonic() + seconds
        await self._wait_quiet(seconds)
        self.abort()
        await self._flush(until)
        await self._wait_quiet(ABORT_S)
        for entry in self._listening:
            await entry.server.shutdown(0.1)
        self._upstreams.close()
        if self._admin is not None:
            await self._admin.close()
        return self._aborted

    def abort(self) -> None:
        """Cuts every open exchange, so that each client can tell; `stop` then has nothing left to wait for."""
        self._aborted += self.open_exchanges
        for entry in self._listening:
            entry.handler.abort_all()

    async def _flush(self, until: float) -> None:
        """Waits for the last bytes of answers to leave; a client that does not take them in time is reset."""
        tails = [
            connection.tail
            for entry in self._listening
            for connection in entry.server.connections
            if isinstance(connection, ClientConnection) and connection.tail is not None and connection.tail.left
        ]
        while tails and time.monotonic() < until:
            await asyncio.sleep(FLUSH_CHECK_S)  # a transport tells nobody that its buffer is empty
            tails = [tail for tail in tails if tail.left]
        for tail in tails:
            tail.cut()

    async def _wait_quiet(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for entry in self._listening:
                    await entry.handler.wait_quiet()


def _only_here(sockets: asyncio.Server) -> bool:
    """Whether only this machine reaches it: what was decided for a loopback name must not be served to others."""
    return all(
        listening.family == socket.AF_UNIX or is_loopback(listening.getsockname()[0]) for listening in sockets.sockets
    )


def _server_context(settings: Settings) -> ssl.SSLContext | None:
    """The TLS context of the listeners, if they speak it."""
    cert, key = settings.tls_cert, settings.tls_key
    if cert is None:
        return None
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    with _naming(cert, key):
        made.load_cert_chain(cert, key)
    return made


def _load_upstream_tls(settings: Settings) -> None:
    """Makes the contexts of all upstreams now, so that a wrong file stops the start and not a request."""
    for site in settings.sites:
        for route in site.proxy.routes:
            made = route.upstream.origin.tls
            if made is not None:
                with _naming(made.ca, made.cert, made.key):
                    tls.context(made)


@contextlib.contextmanager
def _naming(*files: str | None) -> Iterator[None]:
    """Errors of OpenSSL say neither which file nor what to do about it."""
    named = [file for file in files if file is not None]
    try:
        for file in named:
            with open(file, "rb"):
                pass
        yield
    except ssl.SSLError as error:
        raise UnusableTlsFile(f"tls: no usable PEM in {' and '.join(named)} ({error.reason or error})") from error
    except OSError as error:
        raise UnusableTlsFile(f"tls: {error.filename}: {os.strerror(error.errno or 0).lower()}") from error
