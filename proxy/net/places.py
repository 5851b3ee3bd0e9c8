"""How many exchanges a route may have open at once. Only routes with a limit are counted."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from proxy.core.errors import TooManyExchanges
from proxy.core.routes import Route


class Places:
    """The open exchanges of each route, on all listeners of a process."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, route: Route) -> Iterator[None]:
        """Holds a place while its block runs. Errors: TooManyExchanges."""
        limit = route.limits.concurrent
        if limit is not None and self._taken[route.name] >= limit:
            raise TooManyExchanges
        self._taken[route.name] += 1
        try:
            yield
        finally:
            self._taken[route.name] -= 1
