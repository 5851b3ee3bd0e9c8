"""What is added up of the exchanges that ended: by route, and by upstream. Runs once per exchange, so it only counts.

Every key is a name from the configuration or one of an enumeration of ours: nothing from the wire makes a new one.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence

from proxy.core.exchange import Exchange

# In seconds. From an answer out of a cache to a model that thinks for minutes.
FIRST_BYTE_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
DURATION_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
GAP_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)

TOKENS = ("input", "output", "cached", "reasoning")
_CLASSES = {0: "none", **{number: f"{number}xx" for number in range(1, 10)}}
_UPSTREAMS_FAULT = frozenset({"upstream_aborted", "upstream_timeout"})


class Histogram:
    """How many values were at most as large as each bound."""

    __slots__ = ("_bounds", "_counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts a value in."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds as text, each with the number of values up to it; the last is all."""
        total, found = 0, []
        for bound, count in zip((*self._bounds, "+Inf"), self._counts, strict=True):
            total += count
            found.append((str(bound), float(total)))
        return found


class OfRoute:
    """The exchanges of one route."""

    __slots__ = (
        *(
            "attempts",
            "bytes_in",
            "bytes_out",
            "codes",
            "duration",
            "events",
            "first_byte",
            "first_event",
            "first_token",
        ),
        *("gap", "heartbeats", "outcomes", "streams", "tokens", "verdicts"),
    )

    def __init__(self) -> None:
        self.outcomes: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By outcome and class of the status."""
        self.codes: defaultdict[str, int] = defaultdict(int)
        self.streams: defaultdict[str, int] = defaultdict(int)
        """By the reason why the answer was a stream."""
        self.verdicts: defaultdict[tuple[str, str], int] = defaultdict(int)
        """By dialect and verdict."""
        self.tokens: defaultdict[str, int] = defaultdict(int)
        """By kind: `input`, `output`, `cached`, `reasoning`."""
        self.bytes_in = self.bytes_out = self.attempts = self.events = self.heartbeats = 0
        self.first_event, self.first_token = Histogram(FIRST_BYTE_S), Histogram(FIRST_BYTE_S)
        self.first_byte, self.duration = Histogram(FIRST_BYTE_S), Histogram(DURATION_S)
        self.gap = Histogram(GAP_S)


class OfUpstream:
    """The exchanges that went to one upstream."""

    __slots__ = ("ended", "failed")

    def __init__(self) -> None:
        self.ended = self.failed = 0


class Tally:
    """An observer that adds up. `routes` are the names of the routes and of their upstreams, which begin with zero."""

    def __init__(self, routes: Mapping[str, Sequence[str]]) -> None:
        self.routes: dict[str, OfRoute] = {}
        """By name; an exchange that reached no route is counted under the empty one."""
        self.upstreams: dict[str, OfUpstream] = {}
        self.know(routes)

    def know(self, routes: Mapping[str, Sequence[str]]) -> None:
        """These are the routes from now on. What was counted of others stays: a counter never goes back."""
        for name, upstreams in routes.items():
            self.routes.setdefault(name, OfRoute())
            for upstream in upstreams:
                self.upstreams.setdefault(upstream, OfUpstream())

    def ended(self, exchange: Exchange) -> None:
        """Adds an exchange."""
        route = self.routes.get(exchange.route)
        if route is None:
            route = self.routes[exchange.route] = OfRoute()
        route.outcomes[exchange.outcome, _CLASSES[exchange.status // 100]] += 1
        if exchange.code:
            route.codes[exchange.code] += 1
        route.duration.observe(exchange.ended - exchange.started)
        route.bytes_in += exchange.bytes_in
        route.bytes_out += exchange.bytes_out
        route.attempts += exchange.attempts
        if exchange.first_byte_at is not None:
            route.first_byte.observe(exchange.first_byte_at - exchange.started)
        if exchange.stream:
            route.streams[exchange.stream] += 1
            route.gap.observe(exchange.max_gap)
        if exchange.dialect:
            _add_stream(route, exchange)
        if exchange.upstream:
            upstream = self.upstreams.get(exchange.upstream)
            if upstream is None:
                upstream = self.upstreams[exchange.upstream] = OfUpstream()
            upstream.ended += 1
            upstream.failed += exchange.outcome in _UPSTREAMS_FAULT


def _add_stream(route: OfRoute, exchange: Exchange) -> None:
    """Adds what the frames of a stream told."""
    route.verdicts[exchange.dialect, exchange.verdict or "unknown"] += 1
    route.events += exchange.events
    route.heartbeats += exchange.heartbeats
    for histogram, at in ((route.first_event, exchange.first_event_at), (route.first_token, exchange.first_token_at)):
        if at is not None:
            histogram.observe(at - exchange.started)
    for kind in TOKENS if exchange.usage else ():
        route.tokens[kind] += getattr(exchange.usage, kind) or 0
