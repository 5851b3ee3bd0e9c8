"""The life of one request, top to bottom.

Until the head of an answer has gone an error becomes an answer; from then on it can only become an abort.
"""

import asyncio
import logging
import time

from aiohttp import web

from proxy.core.answer import Answer, answer, error_body
from proxy.core.errors import ClientGone, Draining, OwnError, ProxyError, TooManyExchanges
from proxy.core.exchange import Exchange
from proxy.core.forwarding import NOBODY, client_ip
from proxy.core.message import ResponseHead
from proxy.core.plan import Forward, Proxy, Refuse, Reply
from proxy.core.routes import Route
from proxy.core.upgrade import switched
from proxy.net.deadlines import Deadlines, Watched
from proxy.net.downstream import Client
from proxy.net.heartbeat import Early, Pulse
from proxy.net.life import Aftermath, Life
from proxy.net.planner import Planner, read
from proxy.net.relay import Relay
from proxy.net.request import Request
from proxy.net.tap import Tap, copying
from proxy.net.tracebacks import drop_tracebacks
from proxy.net.tunnel import Tunnel
from proxy.net.upload import Upload
from proxy.net.upstream import Upstreams
from proxy.net.upstream.attempts import call_of
from proxy.net.upstream.connection import Connection

log = logging.getLogger("proxy")


class Handler:
    """Serves the requests of one listener, each by the configuration that is in force when it comes."""

    def __init__(self, proxy: Proxy, upstreams: Upstreams, tap: Tap) -> None:
        self.serve(proxy)
        self._upstreams = upstreams
        self._tap = tap
        self._aftermath = Aftermath(self._end)
        self.clients: set[Client] = set()
        """Requests being served."""
        self._draining = False
        self._ending = False
        self._quiet: asyncio.Event | None = None

    def serve(self, proxy: Proxy) -> None:
        """Decides requests by this configuration from now on; what has been decided stays."""
        self._proxy = proxy
        self._planner = Planner(proxy)
        self._trusts_peers = proxy.trusted != NOBODY
        limits = [route.timeouts.client_write for route in proxy.routes]
        self._tail_s = None if None in limits else max([limit for limit in limits if limit is not None], default=60.0)
        """How long a client may leave the last bytes of an answer lying: the longest `client_write` of any route."""

    async def handle(self, request: Request) -> web.StreamResponse:
        """Answers one request; aiohttp calls this in a task of its own, and cancels it when the client has gone."""
        client = Client(request)
        exchange = self._begin(client, request)
        self.clients.add(client)
        try:
            client.head, decided = self._planner.plan(request, client.connection.peer, client.trace)
            if self._trusts_peers:
                exchange.client = client_ip(client.head, self._proxy.trusted)
            if isinstance(decided, Forward):
                counted = decided.route.limits.concurrent is not None
                await (self._forward_counted if counted else self._forward)(client, decided, exchange)
            else:
                self._answer(client, decided, exchange)
                if exchange.capture is not None:
                    with copying(exchange) as capture:
                        capture.asked(client.head, b"", None)
        except asyncio.CancelledError:
            exchange.failed(Draining() if self._ending else ClientGone())
            client.abort()
            raise
        except ClientGone as error:  # before an answer of ours
            self._fail(client, exchange, error, None)
        except Exception:  # what nobody foresaw, and the relay did not meet first
            log.exception("request %s failed in the proxy itself", exchange.request_id)
            client.head = read(request, client.connection.peer)  # may not have come so far
            self._fail(client, exchange, OwnError(), None)
        finally:
            self.clients.discard(client)
            if client.connection.tail is not None and self._tail_s is not None:
                client.connection.tail.watch(self._upstreams.sweeper, self._tail_s)
            if self._quiet is not None and not self.clients:
                self._quiet.set()
            if not exchange.read_on:
                self._end(exchange)
        return client.sent

    def refuse_malformed(self, request: Request, error: ProxyError) -> web.StreamResponse:
        """Answers what never became a request; called by the server's protocol."""
        client = Client(request)
        client.head = read(request, client.connection.peer)
        exchange = self._begin(client, request)
        exchange.method = exchange.target = ""  # aiohttp's stand-ins for what could not be read
        exchange.failed(error)
        exchange.status = error.status
        client.refuse(error, None, self._proxy.instance, malformed=True)
        self._end(exchange)
        return client.sent

    def watch(self, connection: Watched) -> None:
        """Looks from time to time whether a client that is not read from is still there."""
        self._upstreams.sweeper.add(connection)

    def unwatch(self, connection: Watched) -> None:
        """It is read from again, or gone."""
        self._upstreams.sweeper.discard(connection)

    def drain(self) -> None:
        """From now on every answer that begins closes its connection."""
        self._draining = True
        for client in self.clients:
            client.keep_alive = False

    async def wait_quiet(self) -> None:
        """Returns when no request is being served."""
        while self.clients:
            self._quiet = asyncio.Event()
            await self._quiet.wait()

    def abort_all(self) -> None:
        """Ends every exchange that is still open: what has no answer yet gets one, else the client can tell."""
        self._ending = True
        self._aftermath.cancel()
        for client in tuple(self.clients):
            if not client.answered:
                self._fail(client, client.exchange, Draining(), None)
            client.cut(Draining())

    def _begin(self, client: Client, request: Request) -> Exchange:
        if self._draining:
            client.keep_alive = False
        request_id, ip = client.trace.request_id, client.connection.peer.ip
        exchange = Exchange(request_id, time.time(), time.monotonic(), request.method, request.raw_path, ip)
        client.exchange = exchange
        self._tap.begun(exchange)
        return exchange

    def _end(self, exchange: Exchange) -> None:
        exchange.ended = time.monotonic()
        self._tap.ended(exchange)

    def _answer(self, client: Client, decided: Reply | Refuse, exchange: Exchange) -> None:
        """Answers what goes to no upstream."""
        if isinstance(decided, Refuse):
            self._fail(client, exchange, decided.error, decided.route)
            return
        exchange.route = decided.route.name if decided.route else ""
        exchange.status = decided.status
        client.reply(decided)
        if exchange.capture is not None:
            with copying(exchange) as capture:
                capture.answered(None, client.head_bytes)

    async def _forward_counted(self, client: Client, forward: Forward, exchange: Exchange) -> None:
        """Forwards where the route has a place left."""
        try:
            with self._upstreams.places.taken(forward.route):
                await self._forward(client, forward, exchange)
        except TooManyExchanges as error:
            self._fail(client, exchange, error, forward.route)

    async def _forward(self, client: Client, forward: Forward, exchange: Exchange) -> None:
        route = forward.route
        exchange.route, exchange.upstream = route.name, route.upstream.origin.name
        client.echoes_request_id = route.echoes_request_id
        clocks = Deadlines(route.timeouts, exchange.started)
        upload = Upload(forward, client.trace, client.body, clocks, exchange)
        call = call_of(self._upstreams, forward, upload, clocks, exchange, client)
        life = Life(self._upstreams.sweeper, clocks, call)
        beat, early, taken = route.stream.heartbeat, None, False
        clocks.expire = call.fail
        if beat is not None and beat.early and client.head.method != b"HEAD" and not forward.tunnel:
            early = Early(client, forward, beat, upload, exchange)
            life.watch(early)
        try:
            connection, head = await call.open()
            exchange.head_at = connection.head_at
            if head.status == 101:
                life.unwatch()
                await self._tunnel(client, call.hand_over(), head, route, exchange)
                return
            forward = call.forward
            decided = answer(forward, head, connection.body)
            sink = early.follow(decided) if early is not None else None
            exchange.status, exchange.stream = decided.status, decided.stream or ""
            if early is None and _send_whole(client, connection, decided, exchange):
                return
            relay = life.relay = Relay(client, connection, forward, clocks, exchange)
            clocks.expire = relay.expire
            relay.start(sink or client.start(decided), decided)
            if exchange.capture is not None:
                with copying(exchange) as capture:
                    capture.answered(head, client.head_bytes)
            if beat is not None:
                life.watch(Pulse(relay, beat) if decided.injects else None)
            if not relay.finished:
                del head, decided  # heads are a tenth of what an open stream costs
                call.shed()
                await relay.wait()
        except ProxyError as error:
            if early is not None and life.relay is None:
                early.fail(error)
            self._fail(client, exchange, error, route)
        except asyncio.CancelledError:
            taken = life.relay is not None and life.relay.reads_on and self._aftermath.take(life, exchange)
            if not taken:
                call.abandon()
            raise
        finally:
            if not taken:
                life.end()

    async def _tunnel(
        self, client: Client, connection: Connection, head: ResponseHead, route: Route, exchange: Exchange
    ) -> None:
        """Passes a 101 on; from then on the connection is the two ends' own."""
        try:
            client.switch(head.reason, switched(head, route.response_rules))
        except ProxyError:
            connection.close()
            raise
        if exchange.capture is not None:
            with copying(exchange) as capture:
                capture.answered(head, client.head_bytes)
        exchange.status, exchange.outcome = head.status, "tunnel_closed"
        await Tunnel(client, connection, exchange, route.timeouts.tunnel_idle).run(self._upstreams.sweeper)
        if self._ending:
            exchange.failed(Draining())

    def _fail(self, client: Client, exchange: Exchange, error: ProxyError, route: Route | None) -> None:
        """Answers an error, or aborts where an answer has begun or the route wants none."""
        drop_tracebacks(error)
        if route is not None:
            exchange.route = route.name
        exchange.failed(error)
        unanswered = error.side == "upstream" and route is not None and route.close_on_refuse
        if client.answered or unanswered:
            client.abort()
        elif client.connected:
            exchange.status = error.status
            client.refuse(error, route, self._proxy.instance)
            if exchange.capture is not None:
                with copying(exchange) as capture:
                    capture.answered(None, client.head_bytes)
                    if client.head.method != b"HEAD":
                        capture.wrote(error_body(error, route))


def _send_whole(client: Client, connection: Connection, decided: Answer, exchange: Exchange) -> bool:
    """Sends an answer that is all here and passes as it is, as most small ones; whether it was one.

    What a relay is needed for cannot happen to it. This spares a twentieth of such an exchange.
    """
    if not decided.is_plain or exchange.capture is not None or client.connection.writing_paused:
        return False
    body = connection.take_whole()
    if body is None:
        return False
    client.send_whole(decided, body)
    exchange.first_byte_at = exchange.last_byte_at = connection.last_read_at
    return True
