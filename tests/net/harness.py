"""A proxy of ours that listens, in this process or in one of its own, and what is known of its exchanges."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from proxy.app import Running
from proxy.config.addresses import Address
from proxy.config.compile import Settings, Site
from proxy.core import routes
from proxy.core.exchange import Exchange
from proxy.core.plan import Proxy
from proxy.core.streams import StreamPolicy

from .client import Client, connect
from .waiting import LIMIT_S, Changing

INSTANCE = b"streamsafe-under-test"
ANYWHERE = Address("127.0.0.1", 0)


async def settles(met: Callable[[], bool]) -> bool:
    """Whether it comes to be so, for what tells nobody when it happens."""
    deadline = asyncio.get_running_loop().time() + LIMIT_S
    while not met():
        if asyncio.get_running_loop().time() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


class Exchanges(Changing):
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.ended_ones: list[Exchange] = []

    def ended(self, exchange: Exchange) -> None:
        self.ended_ones.append(exchange)
        self.changed()

    async def number(self, number: int, within_s: float = LIMIT_S) -> Exchange:
        """The exchange that ended as the n-th, once it has; the first is 1."""
        await self.until(lambda: len(self.ended_ones) >= number, f"exchange {number} to end", within_s)
        return self.ended_ones[number - 1]

    def shown(self) -> str:
        return f"ended: {self.ended_ones}"


@dataclass
class Proxied:
    """A running proxy and its clients."""

    running: Running
    exchanges: Exchanges
    port: int
    clients: list[Client] = field(default_factory=list)
    stopped: bool = False

    async def connect(
        self, *, kept: bool = True, receive_buffer: int | None = None, tls: ssl.SSLContext | None = None
    ) -> Client:
        """A new client."""
        client = await connect(self.port, kept=kept, receive_buffer=receive_buffer, tls=tls)
        self.clients.append(client)
        return client

    async def ended(self, number: int = 1) -> Exchange:
        """The exchange that ended as the n-th."""
        return await self.exchanges.number(number)

    async def stop(self, drain_s: float = 0) -> int:
        """Stops it; returns how many exchanges were cut."""
        self.stopped = True
        return await self.running.stop(drain_s)


def route(port: int, **overrides: Any) -> routes.Route:
    """A route of everything to a port of this machine.

    `timeouts`, `limits` and `stream` are dictionaries over the defaults, `host` and `tls` say another origin,
    `base_path` and `query` belong to the upstream's URL; the rest are fields of Route.
    """
    host = overrides.pop("host", "127.0.0.1")
    tls = overrides.pop("tls", None)
    upstream = routes.Upstream(
        routes.Origin(host, port, tls),
        b"%b:%d" % (host.encode(), port),
        overrides.pop("base_path", b""),
        overrides.pop("query", b""),
    )
    return routes.Route(
        name=overrides.pop("name", "test"),
        match=overrides.pop("match", routes.Match()),
        upstream=upstream,
        timeouts=routes.Timeouts(**overrides.pop("timeouts", {})),
        limits=routes.Limits(**overrides.pop("limits", {})),
        stream=StreamPolicy(**overrides.pop("stream", {})),
        **overrides,
    )


def settings_of(
    *served: routes.Route,
    listen: Sequence[Address] = (ANYWHERE,),
    proxy: Mapping[str, Any] = MappingProxyType({}),
    **changed: Any,
) -> Settings:
    """Settings with these routes, on a free port unless they say otherwise; `proxy` are fields of the core's Proxy."""
    decides = Proxy(INSTANCE, routes.ordered(served), **proxy)
    return Settings(tuple(Site(where, decides) for where in listen), **changed)


def shared(*ports: int, weights: Sequence[int] = (), **overrides: Any) -> routes.Route:
    """A route of everything to several ports of this machine.

    `balance`, `hash_by`, `health` and `retry` are those of Sharing, the last two as dictionaries over the defaults; the
    rest is as for `route`.
    """
    sharing = {name: overrides.pop(name) for name in ("balance", "hash_by") if name in overrides}
    health, retry = overrides.pop("health", {}), overrides.pop("retry", {})
    base = route(ports[0], **overrides)
    upstreams = tuple(
        replace(
            base.upstream,
            origin=replace(base.upstream.origin, port=port),
            authority=b"%b:%d" % (base.upstream.origin.host.encode(), port),
            weight=weight,
            name="",
        )
        for port, weight in zip(ports, weights or [1] * len(ports), strict=True)
    )
    policies = {"health": routes.HealthPolicy(**health), "retry": routes.RetryPolicy(**retry)}
    return replace(base, upstream=upstreams[0], sharing=routes.Sharing(upstreams, **sharing, **policies))


async def start(*served: routes.Route, settings: dict[str, Any], proxy: dict[str, Any]) -> Proxied:
    """A proxy on a free port of this machine; `settings` and `proxy` are fields of Settings and of the core's Proxy."""
    exchanges = Exchanges()
    running = await Running.start(settings_of(*served, proxy=proxy, **settings), [exchanges])
    return Proxied(running, exchanges, int(running.addresses[0].rpartition(":")[2]))
