"""The tally as Prometheus wants it: made when it is asked for, so that an exchange pays for counting and no more.

Labels are route names and enumerations only. docs/operations.md has the table, and a test holds it to what is here.
"""

import asyncio
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.edge.loop_lag import LoopLag
from proxy.edge.state import LogFigures, Reloads, State, UpstreamFigures
from proxy.edge.tally import Histogram, OfRoute, Tally

LAG_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics(Collector):
    """All that this process tells of itself. Made on its event loop; `close` ends the sampling."""

    def __init__(self, tally: Tally, state: State, log: LogFigures | None, version: str) -> None:
        self._tally = tally
        self._state = state
        self._log = log
        self._version = version
        self._lag = Histogram(LAG_S)
        self._sampler = LoopLag(self._lag.observe)
        self._loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def close(self) -> None:
        """Samples no more."""
        self._sampler.close()

    async def page(self, accept: str) -> tuple[bytes, str]:
        """Everything in the text form that is asked for, and its media type."""
        encoder, media_type = choose_encoder(accept)
        return encoder(self._registry), media_type

    def families(self) -> list[Metric]:
        """Everything, those of the process included."""
        return list(self._registry.collect())

    def collect(self) -> Iterator[Metric]:
        """Every family, now."""
        routes = self._tally.routes
        yield from _ended(routes)
        yield _summed("streamsafe_request_bytes", "Body bytes sent upstream.", routes, lambda route: route.bytes_in)
        yield _summed(
            "streamsafe_response_bytes", "Body bytes given to clients.", routes, lambda route: route.bytes_out
        )
        yield _summed("streamsafe_events", "Events, or lines of JSON, of streams.", routes, lambda route: route.events)
        yield _summed("streamsafe_heartbeats", "Heartbeats that were sent.", routes, lambda route: route.heartbeats)
        yield from _told(routes)
        yield _summed(
            "streamsafe_upstream_attempts", "Connections tried for requests.", routes, lambda route: route.attempts
        )
        yield from _spread(routes)
        yield from _upstreams(self._state.upstreams)
        yield from self._open()
        yield from self._process()

    def _open(self) -> Iterator[Metric]:
        """What is going on, counted now."""
        exchanges = self._state.open()
        for name, text, found in (
            ("streamsafe_open_exchanges", "Exchanges that have not ended.", exchanges),
            ("streamsafe_open_streams", "Streams that have not ended.", [one for one in exchanges if one.stream]),
        ):
            family = GaugeMetricFamily(name, text, labels=["route"])
            counts = Counter(one.route for one in found)
            for route in self._tally.routes.keys() | counts.keys():
                family.add_metric([route], counts[route])
            yield family
        yield GaugeMetricFamily("streamsafe_client_connections", "Open client connections.", self._state.connections)

    def _process(self) -> Iterator[Metric]:
        lag = self._lag
        family = HistogramMetricFamily("streamsafe_event_loop_lag_seconds", "How late the event loop called a timer.")
        family.add_metric([], lag.buckets(), lag.sum)
        yield family
        if self._log is not None:
            yield CounterMetricFamily("streamsafe_log_lines", "Lines of the log that were written.", self._log.lines)
            yield CounterMetricFamily(
                "streamsafe_log_lines_dropped", "Lines of the log that were dropped.", self._log.lost_lines
            )
        yield CounterMetricFamily(
            "streamsafe_observer_failures", "Faults in what watches exchanges.", self._state.observer_failures
        )
        yield reload_counts(self._state.reloads)
        yield from worker_counts(1, 0)
        yield readiness(not self._state.draining)
        info = GaugeMetricFamily("streamsafe_build_info", "What runs; always 1.", labels=["version", "python", "loop"])
        info.add_metric([self._version, platform.python_version(), self._loop], 1)
        yield info


def readiness(ready: bool) -> Metric:
    """Whether new requests are taken."""
    return GaugeMetricFamily("streamsafe_ready", "1 while new requests are taken.", ready)


def reload_counts(reloads: Reloads) -> Metric:
    """How often the configuration was asked to change."""
    family = CounterMetricFamily("streamsafe_reloads", "Changes of the configuration.", labels=["result"])
    family.add_metric(["done"], reloads.done)
    family.add_metric(["refused"], reloads.refused)
    return family


def worker_counts(running: int, restarts: int) -> Iterator[Metric]:
    """The processes that serve; a proxy without a supervisor is one, which nobody starts again."""
    yield GaugeMetricFamily("streamsafe_workers", "Processes that serve.", running)
    yield CounterMetricFamily("streamsafe_worker_restarts", "Processes that ended and were started again.", restarts)


def _upstreams(figures: UpstreamFigures) -> Iterator[Metric]:
    """How those are that are looked after, and what that led to."""
    up = GaugeMetricFamily(
        "streamsafe_upstream_up",
        "1 while it is used, 0 while it is left out or on trial.",
        labels=["route", "upstream"],
    )
    ejections = CounterMetricFamily(
        "streamsafe_upstream_ejections", "How often it was left out.", labels=["route", "upstream"]
    )
    for one in figures.seen():
        up.add_metric([one.route, one.upstream], one.state == "up")
        ejections.add_metric([one.route, one.upstream], figures.ejections[one.route, one.upstream])
    retries = CounterMetricFamily(
        "streamsafe_retries", "Requests that went on to another upstream.", labels=["route", "reason"]
    )
    for (route, reason), count in figures.retries.items():
        retries.add_metric([route, reason], count)
    yield from (up, ejections, retries)


def _ended(routes: dict[str, OfRoute]) -> Iterator[Metric]:
    """The exchanges that ended, and how."""
    exchanges = CounterMetricFamily(
        "streamsafe_exchanges", "Exchanges that ended.", labels=["route", "outcome", "status"]
    )
    failures = CounterMetricFamily("streamsafe_failures", "What went wrong in them.", labels=["route", "code"])
    streams = CounterMetricFamily("streamsafe_streams", "Answers that were streams.", labels=["route", "reason"])
    for name, route in routes.items():
        for (outcome, status), count in route.outcomes.items():
            exchanges.add_metric([name, outcome, status], count)
        for code, count in route.codes.items():
            failures.add_metric([name, code], count)
        for reason, count in route.streams.items():
            streams.add_metric([name, reason], count)
    yield from (exchanges, failures, streams)


def _told(routes: dict[str, OfRoute]) -> Iterator[Metric]:
    """What streams said of themselves."""
    verdicts = CounterMetricFamily(
        "streamsafe_verdicts", "What became of answers by their dialect.", labels=["route", "dialect", "verdict"]
    )
    tokens = CounterMetricFamily("streamsafe_tokens", "Tokens, as providers count them.", labels=["route", "kind"])
    for name, route in routes.items():
        for (dialect, verdict), count in route.verdicts.items():
            verdicts.add_metric([name, dialect, verdict], count)
        for kind, count in route.tokens.items():
            tokens.add_metric([name, kind], count)
    yield from (verdicts, tokens)


def _summed(name: str, text: str, routes: dict[str, OfRoute], of: Callable[[OfRoute], int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=["route"])
    for route, tally in routes.items():
        family.add_metric([route], of(tally))
    return family


def _spread(routes: dict[str, OfRoute]) -> Iterable[Metric]:
    """The histograms."""
    parts: tuple[tuple[str, str, Callable[[OfRoute], Histogram]], ...] = (
        (
            "streamsafe_first_byte_seconds",
            "From the request to the first byte of the body.",
            lambda one: one.first_byte,
        ),
        (
            "streamsafe_first_event_seconds",
            "From the request to the end of the first event.",
            lambda one: one.first_event,
        ),
        (
            "streamsafe_first_token_seconds",
            "From the request to the first output of a model.",
            lambda one: one.first_token,
        ),
        ("streamsafe_duration_seconds", "From the request to the end.", lambda one: one.duration),
        ("streamsafe_largest_gap_seconds", "The longest silence inside a stream.", lambda one: one.gap),
    )
    for name, text, of in parts:
        family = HistogramMetricFamily(name, text, labels=["route"])
        for route, tally in routes.items():
            family.add_metric([route], of(tally).buckets(), of(tally).sum)
        yield family
