"""The upstream's side: pooled HTTP/1.1 connections, TLS, and the mapping of foreign errors to ours.

Upstreams ── Pool per origin ── Connection        `call` uses one for one request; `dial` opens them
"""

import asyncio
from collections.abc import Set

from proxy.core.routes import Origin
from proxy.net.deadlines import Sweeper
from proxy.net.places import Places
from proxy.net.upstream.pool import Pool
from proxy.net.upstream.tls import Contexts


class Upstreams:
    """The pools of a process, one an origin, made when first asked for."""

    def __init__(self) -> None:
        self.sweeper = Sweeper(asyncio.get_running_loop())
        self.places = Places()
        self.contexts = Contexts()
        self._pools: dict[Origin, Pool] = {}

    def pool(self, origin: Origin) -> Pool:
        """The pool of connections to that origin."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self.sweeper, self.contexts.of(origin.tls))
        return pool

    def serve(self, origins: Set[Origin], contexts: Contexts) -> None:
        """From now on these are the upstreams: pools of others, and of those whose TLS files changed, run dry."""
        self.contexts = contexts
        for origin, pool in list(self._pools.items()):
            if origin not in origins or pool.context is not contexts.of(origin.tls):
                pool.retire()
                del self._pools[origin]

    def close(self) -> None:
        """Closes idle connections and stops the clock."""
        for pool in self._pools.values():
            pool.close()
        self.sweeper.close()
