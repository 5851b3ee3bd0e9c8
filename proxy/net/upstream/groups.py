"""What is known of the upstreams of each route, for as long as the process lives, and who asks them how they are."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterable

from proxy.core.group import Group, Seen
from proxy.core.health import Event
from proxy.core.routes import Route, Sharing
from proxy.net.upstream.checks import check_all
from proxy.net.upstream.tls import Contexts

log = logging.getLogger("proxy")


class Groups:
    """The groups of a process, by the names of their routes: of those with several upstreams, or with checks."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._checks: list[asyncio.Task[None]] = []
        self.retries: Counter[tuple[str, str]] = Counter()
        """Requests that went to another upstream, by route and reason: `connect`, or the status."""
        self.ejections: Counter[tuple[str, str]] = Counter()
        """How often an upstream was left out, by route and upstream; never goes back."""

    def of(self, route: Route) -> Group:
        """The group of a route; a new one for a route that is of another configuration than the one in force."""
        known = self._groups.get(route.name)
        assert route.sharing is not None
        return known if known is not None and known.sharing is route.sharing else Group(route.name, route.sharing)

    def serve(self, routes: Iterable[Route], contexts: Contexts) -> None:
        """These are the routes from now on; what is known of the upstreams that stay is kept, checks begin anew."""
        self.close()
        before, self._groups = self._groups, {}
        for route in routes:
            if route.sharing is not None:
                group = self._groups[route.name] = Group(route.name, route.sharing, before.get(route.name))
                self._begin_checks(group, route.sharing, contexts)

    def _begin_checks(self, group: Group, sharing: Sharing, contexts: Contexts) -> None:
        if sharing.health.path is None:
            return
        loop = asyncio.get_running_loop()
        for number, upstream in enumerate(sharing.upstreams):
            context = contexts.of(upstream.origin.tls)
            asking = check_all(group, number, context, self.tell)
            self._checks.append(loop.create_task(asking, name=f"health of {upstream.name} for {group.route}"))

    def close(self) -> None:
        """Asks nobody any more."""
        for task in self._checks:
            task.cancel()
        self._checks.clear()

    def tell(self, group: Group, number: int, event: Event | None, why: str) -> None:
        """Logs what became of an upstream, if anything did."""
        if event is None:
            return
        upstream = group.sharing.upstreams[number].name
        if event == "back":
            log.info("route %s: upstream %s is back", group.route, upstream)
            return
        self.ejections[group.route, upstream] += 1
        if event == "unhealthy":
            only = "; it still gets all requests, being the only one" if len(group.members) == 1 else ""
            log.warning("route %s: upstream %s is unhealthy (%s)%s", group.route, upstream, why, only)
        else:
            seconds = group.sharing.health.eject
            log.warning("route %s: upstream %s is left out for %g s (%s)", group.route, upstream, seconds, why)

    def seen(self) -> list[Seen]:
        """All upstreams, as they are now."""
        now = time.monotonic()
        return [one for group in self._groups.values() for one in group.seen(now)]
