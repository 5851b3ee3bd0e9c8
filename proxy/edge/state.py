"""What pages and metrics may ask of the running proxy and of its log; `app` and the log sink answer."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

from proxy.core.exchange import Exchange
from proxy.core.group import Seen


@dataclass(slots=True)
class Reloads:
    """How often the configuration was asked to change while the proxy ran."""

    done: int = 0
    refused: int = 0
    """Those that left the old configuration in force."""
    last: float | None = None
    """When the one in force was taken, in seconds of wall-clock time; None: at the start."""


class UpstreamFigures(Protocol):
    """The upstreams of routes that have several, or that are asked how they are; counts never go back."""

    ejections: Counter[tuple[str, str]]
    """How often one was left out, by route and upstream."""
    retries: Counter[tuple[str, str]]
    """How many requests went on to another one, by route and reason."""

    def seen(self) -> list[Seen]:
        """Each, as it is now."""


class State(Protocol):
    """The running proxy, asked when somebody looks and never told per event."""

    @property
    def addresses(self) -> list[str]:
        """Where clients connect."""

    @property
    def draining(self) -> bool:
        """Whether it is stopping."""

    @property
    def connections(self) -> int:
        """Open connections of clients, idle ones included."""

    @property
    def observer_failures(self) -> int:
        """How often an observer failed."""

    @property
    def reloads(self) -> Reloads:
        """How often the configuration changed."""

    @property
    def upstreams(self) -> "UpstreamFigures":
        """What is known of the upstreams that are looked after."""

    def open(self) -> list[Exchange]:
        """The exchanges that have not ended."""


class LogFigures(Protocol):
    """The log of this process, in lines."""

    @property
    def lines(self) -> int:
        """What was written."""

    @property
    def lost_lines(self) -> int:
        """What was dropped, as nobody read it or it could not be written."""
