"""The upstream's side: pooled HTTP/1.1 connections, TLS, and the mapping of foreign errors to ours.

Upstreams ── Pool per origin ── Connection        `call` uses one for one request; `dial` opens them, where `resolve`
          │                                       says that a name is
          └─ Groups ── core.group.Group per route of several upstreams, among which `attempts` makes its calls;
                       `checks` ask them how they are
"""

import asyncio
from collections.abc import Sequence

from proxy.core.routes import Origin, Route
from proxy.net.deadlines import Sweeper
from proxy.net.places import Places
from proxy.net.upstream.groups import Groups
from proxy.net.upstream.pool import Pool
from proxy.net.upstream.tls import Contexts


class Upstreams:
    """The pools of a process, one an origin, made when first asked for."""

    def __init__(self) -> None:
        self.sweeper = Sweeper(asyncio.get_running_loop())
        self.places = Places()
        self.contexts = Contexts()
        self.groups = Groups()
        self._served: set[Origin] = set()
        self._pools: dict[Origin, Pool] = {}

    def pool(self, origin: Origin) -> Pool:
        """The pool of connections to that origin."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = Pool(origin, self.sweeper, self.contexts.of(origin.tls))
            if origin in self._served:
                self._pools[origin] = pool
            else:
                pool.retire()  # a request that began before a reload still goes there, and nothing more
        return pool

    def serve(self, routes: Sequence[Route], contexts: Contexts) -> None:
        """From now on these are the routes: pools of other upstreams than theirs, and of those whose TLS files
        changed, run dry."""
        self.contexts = contexts
        self._served = {upstream.origin for route in routes for upstream in route.upstreams}
        for origin, pool in list(self._pools.items()):
            if origin not in self._served or pool.context is not contexts.of(origin.tls):
                pool.retire()
                del self._pools[origin]
        self.groups.serve(routes, contexts)

    def close(self) -> None:
        """Closes idle connections and stops the clock."""
        self.groups.close()
        for pool in self._pools.values():
            pool.close()
        self.sweeper.close()
