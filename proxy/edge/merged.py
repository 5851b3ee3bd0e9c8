"""One account of several processes: figures are summed, routes and upstreams joined by name, lists put together.

Processes tell theirs as plain values, which is what can go between them as JSON.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from proxy.edge.status import LISTED

Family = dict[str, Any]
"""A metric as plain values: `name`, `help`, `type`, and `samples` of name, labels and value."""

# What does not add up: one process that is not ready makes no readiness, and the oldest says since when.
_NOT_SUMMED = {
    "streamsafe_build_info": max,
    "streamsafe_ready": max,
    "streamsafe_upstream_up": min,
    "process_start_time_seconds": min,
    "process_max_fds": min,
}
# How an upstream is, the worst last: of several processes that see it differently, the worst is told.
_STATES = ("up", "trial", "ejected", "unhealthy")
# What never goes back, even when the process that counted it is gone.
_LASTING = frozenset({"counter", "histogram"})


def plain(families: Iterable[Metric]) -> list[Family]:
    """Metrics as plain values."""
    return [
        {
            "name": family.name,
            "help": family.documentation,
            "type": family.type,
            "samples": [[one.name, one.labels, one.value] for one in family.samples],
        }
        for family in families
    ]


def lasting(families: Iterable[Family]) -> list[Family]:
    """What is left of a process's figures when it has ended."""
    return [family for family in families if family["type"] in _LASTING]


def summed(processes: Iterable[Sequence[Family]]) -> list[Family]:
    """The figures of several processes as one's."""
    families: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for process in processes:
        for family in process:
            name = family["name"]
            families.setdefault(name, family)
            join = _NOT_SUMMED.get(name)
            found = values.setdefault(name, {})
            for sample, labels, value in family["samples"]:
                key = sample, tuple(labels.items())
                known = found.get(key)
                found[key] = value if known is None else join(known, value) if join else known + value
    return [
        {**family, "samples": [[sample, dict(labels), value] for (sample, labels), value in values[name].items()]}
        for name, family in families.items()
    ]


def page(families: Iterable[Family], accept: str) -> tuple[bytes, str]:
    """Families in the text form that is asked for, and its media type."""
    registry = CollectorRegistry()
    registry.register(_Given(families))
    encoder, media_type = choose_encoder(accept)
    return encoder(registry), media_type


class _Given(Collector):
    """Families that are there already."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[Metric]:
        """Each of them."""
        for family in self._families:
            metric = Metric(family["name"], family["help"], family["type"])
            for name, labels, value in family["samples"]:
                metric.add_sample(name, labels, value)
            yield metric


def joined(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What /status says of several processes: the figures of all, and the oldest of what is open."""
    found = _joined(documents) if documents else {}
    found["open"] = sorted(found.get("open", []), key=lambda one: -one["age_s"])[:LISTED]
    return found


def _joined(documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    keys = dict.fromkeys(key for document in documents for key in document)
    found = {key: [document[key] for document in documents if key in document] for key in keys}
    return {key: max(of, key=_STATES.index) if key == "state" else _value(of) for key, of in found.items()}


def _value(values: Sequence[Any]) -> Any:
    """One for several: numbers are added, maps and lists joined; of anything else the first is as good as any."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    first = known[0]
    if isinstance(first, bool) or not isinstance(first, int | float | dict | list):
        return first
    if isinstance(first, dict):
        return _joined(known)
    if isinstance(first, list):
        return _listed([entry for value in known for entry in value])
    return sum(known)


def _listed(entries: Sequence[Any]) -> list[Any]:
    """One list: what has a name is joined with what is called the same."""
    if all(isinstance(entry, str) for entry in entries):
        return list(dict.fromkeys(entries))
    if not all(isinstance(entry, dict) and "name" in entry for entry in entries):
        return list(entries)
    names = dict.fromkeys(entry["name"] for entry in entries)
    return [_named([entry for entry in entries if entry["name"] == name]) for name in names]


def _named(entries: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {**_joined(entries), "name": entries[0]["name"]}
