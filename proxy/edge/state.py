"""What pages and metrics may ask of the running proxy and of its log; `app` and the log sink answer."""

from dataclasses import dataclass
from typing import Protocol

from proxy.core.exchange import Exchange


@dataclass(slots=True)
class Reloads:
    """How often the configuration was asked to change while the proxy ran."""

    done: int = 0
    refused: int = 0
    """Those that left the old configuration in force."""
    last: float | None = None
    """When the one in force was taken, in seconds of wall-clock time; None: at the start."""


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
