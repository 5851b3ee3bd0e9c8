"""The upstream's side: pooled HTTP/1.1 connections, TLS, and the mapping of foreign errors to ours.

Upstreams ── Pool per origin ── Connection        `call` uses one for one request; `dial` opens them
"""

import asyncio

from proxy.core.routes import Origin
from proxy.net.deadlines import Sweeper
from proxy.net.places import Places
from proxy.net.upstream.pool import Pool


class Upstreams:
    """The pools of a process, one an origin, made when first asked for."""

    def __init__(self) -> None:
        self.sweeper = Sweeper(asyncio.get_running_loop())
        self.places = Places()
        self._pools: dict[Origin, Pool] = {}

    def pool(self, origin: Origin) -> Pool:
        """The pool of connections to that origin."""
        pool = self._pools.get(origin)
        if pool is None:
            pool = self._pools[origin] = Pool(origin, self.sweeper)
        return pool

    def close(self) -> None:
        """Closes idle connections and stops the clock."""
        for pool in self._pools.values():
            pool.close()
        self.sweeper.close()
