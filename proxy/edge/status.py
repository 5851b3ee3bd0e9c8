"""The state of the proxy as one JSON document, for people and scripts: what runs, what is open, how it has gone."""

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any

from proxy.core import redact
from proxy.core.exchange import Exchange
from proxy.core.group import Seen
from proxy.edge.log_lines import timestamp
from proxy.edge.state import LogFigures, Reloads, State
from proxy.edge.tally import OfRoute, Tally

# How many of the open exchanges are listed, the oldest first.
LISTED = 100


class Status:
    """Makes the document. `routes` are names of routes and their upstreams, in the order of the configuration."""

    def __init__(
        self, routes: Mapping[str, Sequence[str]], tally: Tally, state: State, log: LogFigures | None, version: str
    ) -> None:
        self.routes = routes
        self._tally = tally
        self._state = state
        self._log = log
        self._version = version
        self._started = time.time(), time.monotonic()

    async def document(self) -> dict[str, Any]:
        """What /status says. Times in seconds; nothing of it is secret but what paths tell."""
        now, exchanges = time.monotonic(), self._state.open()
        seen = {(one.route, one.upstream): one for one in self._state.upstreams.seen()}
        log = self._log
        return {
            "version": self._version,
            "pid": os.getpid(),
            "started": timestamp(self._started[0]),
            "uptime_s": round(now - self._started[1], 1),
            "ready": not self._state.draining,
            "reloads": reloads(self._state.reloads),
            "listeners": self._state.addresses,
            "connections": self._state.connections,
            "log": {"lines": log.lines, "dropped": log.lost_lines} if log else None,
            "routes": [
                _route(name, [seen.get((name, one), one) for one in upstreams], self._tally.routes[name], exchanges)
                for name, upstreams in self.routes.items()
            ],
            "unrouted": sum(self._tally.routes[""].outcomes.values()) if "" in self._tally.routes else 0,
            "upstreams": [
                {
                    "name": name,
                    "open": sum(one.upstream == name for one in exchanges),
                    "ended": counted.ended,
                    "failed": counted.failed,
                }
                for name, counted in self._tally.upstreams.items()
            ],
            "open": [_open(one, now) for one in sorted(exchanges, key=lambda one: one.started)[:LISTED]],
        }


def reloads(counted: Reloads) -> dict[str, Any]:
    """What /status says of them."""
    return {
        "done": counted.done,
        "refused": counted.refused,
        "last": None if counted.last is None else timestamp(counted.last),
    }


def _route(name: str, upstreams: Sequence[Seen | str], counted: OfRoute, exchanges: list[Exchange]) -> dict[str, Any]:
    outcomes: dict[str, int] = {}
    for (outcome, _), count in counted.outcomes.items():
        outcomes[outcome] = outcomes.get(outcome, 0) + count
    own = [one for one in exchanges if one.route == name]
    return {
        "name": name,
        "upstreams": [_upstream(one, own) for one in upstreams],
        "open_exchanges": len(own),
        "open_streams": sum(bool(one.stream) for one in own),
        "outcomes": outcomes,
        "bytes_in": counted.bytes_in,
        "bytes_out": counted.bytes_out,
    }


def _upstream(upstream: Seen | str, exchanges: list[Exchange]) -> dict[str, Any]:
    """One upstream of a route; one that nobody looks after is always used."""
    if isinstance(upstream, Seen):
        return {"name": upstream.upstream, "state": upstream.state, "open": upstream.open_exchanges}
    return {"name": upstream, "state": "up", "open": sum(one.upstream == upstream for one in exchanges)}


def _open(exchange: Exchange, now: float) -> dict[str, Any]:
    last = exchange.last_byte_at or exchange.head_at or exchange.sent_at or exchange.started
    return {
        "request_id": exchange.request_id,
        "route": exchange.route or None,
        "client": exchange.client or None,
        "method": exchange.method,
        "target": redact.target(exchange.target),
        "status": exchange.status or None,
        "stream": exchange.stream or None,
        "age_s": round(now - exchange.started, 1),
        "silent_s": round(now - last, 1),
        "bytes_out": exchange.bytes_out,
    }
