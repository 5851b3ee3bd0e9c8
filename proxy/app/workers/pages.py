"""What the admin listener tells of several workers: asked of each, and told as one."""

import asyncio
import os
import time
from collections.abc import Sequence
from typing import Any, Protocol

from proxy import __version__
from proxy.app.workers.channel import WorkerGone
from proxy.app.workers.place import Place
from proxy.edge import merged
from proxy.edge.log_lines import timestamp
from proxy.edge.metrics import readiness, reload_counts, worker_counts
from proxy.edge.state import Reloads
from proxy.edge.status import reloads

# How long a worker may take to tell its figures; one that does not is left out, or told of as it was.
ANSWER_S = 2.0


class State(Protocol):
    """The supervisor, as far as pages need it."""

    reloads: Reloads
    addresses: list[str]

    @property
    def not_ready(self) -> str:
        """Why no requests are taken; empty if they are."""


class Pages:
    """The figures and the state of all workers, those of the past included."""

    def __init__(self, places: Sequence[Place], state: State) -> None:
        self._places = places
        self._state = state
        self._past: list[merged.Family] = []
        self._started = time.time(), time.monotonic()

    def bury(self, place: Place) -> None:
        """Keeps the counts of a worker that has ended, as it told them last: a counter never goes back."""
        self._past = merged.lasting(merged.summed([self._past, place.families]))
        place.families = []

    async def page(self, accept: str) -> tuple[bytes, str]:
        """All figures in the text form that is asked for, and its media type."""
        await asyncio.gather(*[self._ask_figures(place) for place in self._places])
        families = merged.summed([self._past, *(place.families for place in self._places)])
        restarts = sum(place.restarts for place in self._places)
        own = merged.plain(
            [
                reload_counts(self._state.reloads),
                *worker_counts(sum(place.asker is not None for place in self._places), restarts),
                readiness(not self._state.not_ready),
            ]
        )
        names = {family["name"] for family in own}
        return merged.page([*(family for family in families if family["name"] not in names), *own], accept)

    async def _ask_figures(self, place: Place) -> None:
        try:
            told = await place.ask("metrics", ANSWER_S)
            place.families = told.get("families", place.families)
        except WorkerGone:
            return

    async def document(self) -> dict[str, Any]:
        """What /status says of all, and of each."""
        found = await asyncio.gather(*[self._ask_document(place) for place in self._places])
        own = {
            "version": __version__,
            "pid": os.getpid(),
            "started": timestamp(self._started[0]),
            "uptime_s": round(time.monotonic() - self._started[1], 1),
            "ready": not self._state.not_ready,
            "reloads": reloads(self._state.reloads),
            "listeners": self._state.addresses,
            "workers": [_worker(place, told) for place, told in zip(self._places, found, strict=True)],
        }
        return {
            **own,
            **{key: value for key, value in merged.joined([one for one in found if one]).items() if key not in own},
        }

    async def _ask_document(self, place: Place) -> dict[str, Any]:
        try:
            told = await place.ask("status", ANSWER_S)
        except WorkerGone:
            return {}
        document: dict[str, Any] = told.get("document", {})
        return document


def _worker(place: Place, told: dict[str, Any]) -> dict[str, Any]:
    """One worker in the list of all; null is unknown, as where nobody serves at the moment."""
    routes = told.get("routes", [])
    return {
        "number": place.number,
        "pid": place.pid if place.asker is not None else None,
        "restarts": place.restarts,
        "ready": told.get("ready", False),
        "uptime_s": told.get("uptime_s"),
        "connections": told.get("connections"),
        "open_exchanges": sum(route["open_exchanges"] for route in routes) if told else None,
        "open_streams": sum(route["open_streams"] for route in routes) if told else None,
    }
