"""The metrics of a process in which nothing and everything has happened: their families, samples and label values."""

import asyncio
from collections import Counter
from typing import Any, get_args

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from proxy.core.dialects import Usage
from proxy.core.exchange import Exchange, Outcome
from proxy.core.group import Seen
from proxy.edge.metrics import Metrics
from proxy.edge.state import Reloads
from proxy.edge.tally import Tally


class FixedUpstreams:
    """Two upstreams, one of which is left out, and requests that went on to the other."""

    def __init__(self) -> None:
        self.ejections = Counter({("llm", "http://down:80"): 4})
        self.retries = Counter({("llm", "connect"): 3, ("llm", "503"): 2})

    def seen(self) -> list[Seen]:
        return [Seen("llm", "http://up:80", "up", 1), Seen("llm", "http://down:80", "ejected", 0)]


class Fixed:
    """A proxy and its log as they never change."""

    addresses = ("http://127.0.0.1:8787",)
    draining = False
    connections = 3
    observer_failures = 0
    reloads = Reloads()
    lines, lost_lines = 7, 2
    upstreams = FixedUpstreams()

    def __init__(self, *exchanges: Exchange) -> None:
        self._open = list(exchanges)

    def open(self) -> list[Exchange]:
        return self._open


def exchange(**changed: Any) -> Exchange:
    """A stream of two seconds, begun at monotonic second 100."""
    whole: dict[str, Any] = {
        "request_id": "id",
        "wall_time": 0.0,
        "started": 100.0,
        "route": "llm",
        "upstream": "http://up:80",
        "attempts": 1,
        "status": 200,
        "stream": "type",
        "head_at": 100.1,
        "first_byte_at": 100.2,
        "ended": 102.0,
        "bytes_in": 10,
        "bytes_out": 1000,
        "max_gap": 0.3,
        "dialect": "openai-chat",
        "events": 12,
        "heartbeats": 1,
        "first_event_at": 100.2,
        "first_token_at": 100.4,
        "usage": Usage(input=5, output=20),
        "verdict": "complete",
    }
    return Exchange(**{**whole, **changed})


async def _page() -> str:
    tally = Tally({"llm": ["http://up:80", "http://down:80"]})
    for outcome in get_args(Outcome):
        for status in (0, 101, 200, 302, 404, 502):
            tally.ended(exchange(outcome=outcome, status=status, code="x"))
    state: Any = Fixed(exchange())
    metrics = Metrics(tally, state, state, "0")
    try:
        return (await metrics.page(""))[0].decode()
    finally:
        metrics.close()


def families() -> list[Metric]:
    """Every family, with at least one sample for each outcome and class of status. Runs a loop of its own."""
    with asyncio.Runner() as runner:
        return list(text_string_to_metric_families(runner.run(_page())))


def sample_names() -> set[str]:
    """The names that can stand in a query."""
    return {sample.name for family in families() for sample in family.samples}


def sample_values() -> dict[str, set[str]]:
    """The labels and the values they have had."""
    found: dict[str, set[str]] = {}
    for family in families():
        for sample in family.samples:
            for label, value in sample.labels.items():
                found.setdefault(label, set()).add(value)
    return found
