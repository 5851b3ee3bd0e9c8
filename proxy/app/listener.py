"""One address that is listened on: its handler, its server, and the sockets that take connections.

It outlives configurations: a reload that keeps the address gives the handler other rules and leaves the sockets alone.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from dataclasses import replace

from proxy.app.certificates import ServerTls
from proxy.app.errors import CannotListen
from proxy.config.addresses import Address, is_loopback
from proxy.config.compile import Settings, Site
from proxy.net.addresses import bind, bind_at
from proxy.net.client_connection import ClientConnection
from proxy.net.handler import Handler
from proxy.net.server import Server, listen_on
from proxy.net.tail import Tail
from proxy.net.tap import Tap
from proxy.net.upstream import Upstreams


class Listener:
    """An address and what serves it, once it is `open`."""

    def __init__(self, site: Site, settings: Settings, upstreams: Upstreams, tap: Tap) -> None:
        self.handler = Handler(site.proxy, upstreams, tap)
        self.server = Server(self.handler, keep_alive_s=settings.keep_alive_s, head_bytes=settings.head_bytes)
        self.asked = site.where
        """The address as it was asked for, port 0 included."""
        self.tls: ServerTls | None = None
        self._taking: list[asyncio.Server] = []

    async def open(self, tls: ServerTls | None, bound: Sequence[socket.socket] = ()) -> None:
        """Listens, on sockets that are bound already if there are any. Errors: CannotListen."""
        where, self.tls = self.asked, tls
        try:
            if not bound:
                bound = [bind_at(where.path)] if where.path is not None else await bind(where.host, where.port or 0)
            self._taking = await self._listen_on_all(bound, tls)
        except OSError as error:
            raise CannotListen(str(where), error) from error
        if where.is_local and not self._only_here():
            self.close()
            raise CannotListen(str(where), OSError("that name is no loopback address here; write 127.0.0.1"))

    async def again(self, tls: ServerTls | None) -> list[asyncio.Server]:
        """Listens a second time on the same sockets, with TLS or without. Errors: OSError as CannotListen."""
        try:
            return await self._listen_on_all(_doubled(self._taking), tls)
        except OSError as error:
            raise CannotListen(str(self.asked), error) from error

    async def _listen_on_all(self, bound: Sequence[socket.socket], tls: ServerTls | None) -> list[asyncio.Server]:
        """Listens on all of these sockets, or closes them all. Errors: OSError."""
        taking: list[asyncio.Server] = []
        try:
            for one in bound:
                taking.append(await listen_on(self.server, one, tls.context if tls else None))
                await taking[-1].start_serving()
        except BaseException:  # also where nobody waits for it any more
            for server in taking:
                server.close()
            for one in bound[len(taking) :]:
                one.close()
            raise
        return taking

    def switch(self, servers: list[asyncio.Server], tls: ServerTls | None) -> None:
        """Takes connections by these from now on: on the same queue, so that none is refused in between."""
        self.close()
        self._taking, self.tls = servers, tls

    def show(self, tls: ServerTls | None) -> None:
        """Shows new clients this certificate."""
        if self.tls is not None and tls is not None and tls is not self.tls:
            self.tls.replace(tls.context)

    def serve(self, site: Site, settings: Settings) -> None:
        """Serves new requests by these settings; what is under way stays as it is."""
        self.handler.serve(site.proxy)
        self.server.limit(keep_alive_s=settings.keep_alive_s, head_bytes=settings.head_bytes)

    @property
    def where(self) -> Address:
        """The address with the port that is in use."""
        if self.asked.path is not None or not self._taking:
            return self.asked
        return replace(self.asked, port=self._taking[0].sockets[0].getsockname()[1])

    @property
    def is_quiet(self) -> bool:
        """Whether no connection is left."""
        return not self.server.connections

    def close(self) -> None:
        """Takes no connections any more."""
        for server in self._taking:
            server.close()

    def drain(self) -> None:
        """Takes no connections, closes idle ones, and lets those in use end with what they are at."""
        self.close()
        self.handler.drain()
        busy = {client.connection for client in self.handler.clients}
        for connection in self.server.connections:
            if connection not in busy:
                connection.force_close()

    @property
    def tails(self) -> list[Tail]:
        """What answers have left with clients that did not take it yet."""
        return [
            connection.tail
            for connection in self.server.connections
            if isinstance(connection, ClientConnection) and connection.tail is not None and connection.tail.left
        ]

    def _only_here(self) -> bool:
        """Whether only this machine reaches it: what was decided for a loopback name must not be served to others."""
        return all(
            one.family == socket.AF_UNIX or is_loopback(one.getsockname()[0])
            for server in self._taking
            for one in server.sockets
        )


def _doubled(servers: Sequence[asyncio.Server]) -> list[socket.socket]:
    """Further sockets on the same queues: what a loop shows of its own cannot be handed on. Errors: OSError."""
    made: list[socket.socket] = []
    try:
        for one in [each for server in servers for each in server.sockets]:
            made.append(socket.socket(fileno=os.dup(one.fileno())))
    except OSError:
        for one in made:
            one.close()
        raise
    return made
