"""Looks after the workers: starts them, starts again what ended, passes on reloads and stops, and answers for all.

No byte of an exchange passes here, so that a supervisor that is busy delays no stream.
"""

import asyncio
import contextlib
import json
import logging
import signal
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from proxy import __version__
from proxy.app.admin import open_admin
from proxy.app.errors import CannotListen, CannotStart, WorkerFailed
from proxy.app.running import DRAINING, stays, warn_of_few_files
from proxy.app.workers.channel import Asker, Message, WorkerGone
from proxy.app.workers.exchanges import Exchanges
from proxy.app.workers.nursery import Nursery
from proxy.app.workers.pages import Pages
from proxy.app.workers.place import Place
from proxy.config.addresses import Address
from proxy.config.compile import compiled
from proxy.config.model import Config
from proxy.config.source import Written
from proxy.edge.admin import Admin
from proxy.edge.inspector.api import Api
from proxy.edge.state import Reloads
from proxy.net.addresses import beside, bind_shared

log = logging.getLogger("proxy")

# How long a worker may take to start, or to make a reload ready and take it.
START_S = 30.0
# How long to wait before starting a worker again: doubled each time, until one has lived for a while.
FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.1, 30.0, 60.0
# What a worker may take at most when its drain is over.
STOP_S = 15.0

Sockets = list[list[socket.socket]]
"""For each address the sockets that are bound to it and do not listen: they keep the port."""


class Supervisor:
    """Made with the nursery that was opened before the loop; `start` begins."""

    def __init__(self, nursery: Nursery, config: Config, written: Written, instance: str, count: int) -> None:
        self._nursery = nursery
        self._first = self._written = written
        self._config = config
        self._instance = instance
        self._places = [Place(number) for number in range(1, count + 1)]
        self._asked: list[Address] = []
        self._bound: Sockets = []
        self._changing = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._aborting: asyncio.Future[Any] | None = None
        self._pages = Pages(self._places, self)
        self._admin: Admin | None = None
        self.reloads = Reloads()
        self.addresses: list[str] = []
        """Where the workers listen, as URLs."""
        self.draining = False
        self.failed = asyncio.Event()
        """Set when no worker can be started any more."""

    async def start(self) -> None:
        """Returns when every worker and the admin listener listen. Errors: CannotStart, and nothing listens then."""
        self._tasks = [asyncio.create_task(self._read_reports(), name="nursery: reports")]
        settings = compiled(self._config, self._instance)
        warn_of_few_files(settings)
        try:
            self._asked = list(self._config.listen)
            self._bound = _bound_all(self._asked)
            found = await asyncio.gather(*[self._launch(place) for place in self._places], return_exceptions=True)
            for told in found:
                if isinstance(told, BaseException):
                    raise told
                self.addresses = told
            if settings.admin is not None:
                api = Api(Exchanges(self._places), __version__) if settings.inspector is not None else None
                self._admin = await open_admin(settings.admin, self, self._pages, self._pages, api)
        except BaseException:  # a cancelled start too leaves no process behind
            await self.stop(0)
            raise
        self._tasks += [asyncio.create_task(self._keep(one), name=f"keep worker {one.number}") for one in self._places]

    @property
    def admin_address(self) -> str | None:
        """Where the admin listener is; None where there is none."""
        return self._admin.address if self._admin else None

    @property
    def not_ready(self) -> str:
        """Why no requests are taken; empty if they are."""
        if self.draining:
            return DRAINING
        return "" if any(place.asker for place in self._places) else "no worker runs: the log says why"

    async def apply(self, config: Config, written: Written) -> None:
        """Gives a configuration to all workers: each makes it ready, and when all have, each takes it.

        Errors: CannotStart where one of them cannot, and all keep the one before.
        """
        async with self._changing:
            kept = stays(self._asked, config.listen)
            bound = _bound_all(where if at is None else None for at, where in zip(kept, config.listen, strict=True))
            living = [place for place in self._places if place.asker is not None]
            told = await asyncio.gather(*[self._prepare(place, bound, written) for place in living])
            failed = next((one for one in told if one is not None), None)
            if failed is not None:
                await asyncio.gather(*[_tell(place, "discard") for place in living])
                _close(bound)
                raise failed
            now = [bound[new] if at is None else self._bound[at] for new, at in enumerate(kept)]
            gone = [self._bound[at] for at in range(len(self._bound)) if at not in kept]
            self._written, self._asked, self._bound = written, list(config.listen), now
            took = await asyncio.gather(*[_tell(place, "commit") for place in living])
            _close(gone)
        self.addresses = next((one["addresses"] for one in took if one), self.addresses)
        settings = compiled(config, self._instance)
        if self._admin is not None and settings.admin is not None:
            self._admin.admit(settings.admin.hosts, settings.admin.token)

    async def under_way(self) -> tuple[int, float]:
        """How many exchanges are open, and how long the oldest has been, in seconds."""
        loads = [one for one in await asyncio.gather(*[_tell(place, "load") for place in self._places]) if one]
        return sum(one["open"] for one in loads), max([one["age_s"] for one in loads], default=0.0)

    async def stop(self, drain_s: float) -> int:
        """Lets every worker end; returns how many exchanges were cut. The admin listener goes last."""
        self.draining = True
        reading, *keeping = self._tasks
        for task in keeping:
            task.cancel()
        await asyncio.gather(*keeping, return_exceptions=True)
        _close(self._bound)
        self._bound = []
        cut = sum(await asyncio.gather(*[self._end(place, drain_s) for place in self._places]))
        if self._admin is not None:
            await self._admin.close()
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        self._nursery.close()
        return cut

    def abort(self) -> None:
        """Cuts what is open in every worker."""
        self._aborting = asyncio.ensure_future(asyncio.gather(*[_tell(place, "abort") for place in self._places]))

    async def _launch(self, place: Place) -> list[str]:
        """Starts a worker, and returns where it listens. Errors: CannotStart."""
        sockets: Sockets = []
        ours, theirs = socket.socketpair()
        hatch, their_hatch = socket.socketpair()
        asker: Asker | None = None
        try:
            sockets = [[beside(one) for one in at] for at in self._bound]
            place.begin()
            self._nursery.fork(place.number, theirs, their_hatch)
            asker = await Asker.open(ours, hatch)
            written = {"first": asdict(self._first), "written": asdict(self._written), "instance": self._instance}
            more = {"counts": _counts(sockets), "share": len(self._places)}
            told = await asker.ask("start", START_S, _flat(sockets), **more, **written)
            _raise_failure(told)
            place.asker = asker
        except OSError as error:
            raise WorkerFailed(place.number, str(error)) from error
        except WorkerGone as error:
            raise WorkerFailed(place.number, "it ended, or did not answer") from error
        finally:
            for one in (theirs, their_hatch, *_flat(sockets)):
                one.close()
            if asker is None:
                ours.close()
                hatch.close()
            elif place.asker is not asker:
                asker.close()
        return list(told["addresses"])

    async def _keep(self, place: Place) -> None:
        """Starts a worker again whenever it has ended, sooner or later."""
        pause = FIRST_PAUSE_S
        while True:
            code = await place.wait_ended()
            lived = time.monotonic() - place.forked_at
            place.leave()
            self._pages.bury(place)
            pause = FIRST_PAUSE_S if lived > STEADY_S else pause
            log.error(
                "worker %d (%d) %s after %.1f s: it is started again in %g s",
                *(place.number, place.pid, _how(code), lived, pause),
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            place.restarts += 1
            try:
                async with self._changing:
                    await self._launch(place)
            except CannotStart as error:
                log.error("worker %d cannot be started: %s", place.number, error)
                await place.wait_gone(1.0)
            else:
                log.info("worker %d (%d) serves", place.number, place.pid)

    async def _prepare(self, place: Place, bound: Sockets, written: Written) -> CannotStart | None:
        """Has a worker make a configuration ready; what it fails with, if it does."""
        assert place.asker is not None
        sockets: Sockets = []
        try:
            sockets = [[beside(one) for one in at] for at in bound]
            told = await place.asker.ask(
                "prepare", START_S, _flat(sockets), counts=_counts(sockets), written=asdict(written)
            )
            _raise_failure(told)
        except CannotStart as error:
            return error
        except (OSError, WorkerGone) as error:
            return WorkerFailed(place.number, str(error) or "it ended, or did not answer")
        finally:
            for one in _flat(sockets):
                one.close()
        return None

    async def _end(self, place: Place, drain_s: float) -> int:
        """Lets a worker end; what it had to cut."""
        if not place.forked_at:
            return 0
        told = await _tell(place, "drain", drain_s + STOP_S, seconds=drain_s)
        place.leave()
        await place.wait_gone(STOP_S)
        return int(told["cut"]) if told else 0

    async def _read_reports(self) -> None:
        """What the nursery tells, until it is gone."""
        loop, reports, rest = asyncio.get_running_loop(), self._nursery.reports, b""
        reports.setblocking(False)
        with contextlib.suppress(OSError):
            while data := await loop.sock_recv(reports, 4096):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    report = json.loads(line)
                    self._places[report["slot"] - 1].reported(report["pid"], report.get("status"))
        for place in self._places:
            place.watched = False
        if not self.draining:
            log.critical("the process that starts workers is gone: stopping")
            self.failed.set()


async def _tell(place: Place, what: str, within_s: float = START_S, **more: Any) -> Message | None:
    """Asks a worker; None where it is gone, which is somebody else's to mend."""
    try:
        told = await place.ask(what, within_s, **more)
    except WorkerGone:
        return None
    if "failed" in told:
        log.error("worker %d: %s: %s", place.number, what, told["failed"])
        return None
    return told


def _bound_all(addresses: Iterable[Address | None]) -> Sockets:
    """Sockets for each address, none where there is None. Errors: CannotListen, and nothing is bound then."""
    made: Sockets = []
    for where in addresses:
        try:
            made.append(bind_shared(where.host, where.port or 0, where.path) if where is not None else [])
        except OSError as error:
            _close(made)
            raise CannotListen(str(where), error) from error
    return made


def _close(sockets: Sockets) -> None:
    for one in _flat(sockets):
        one.close()


def _flat(sockets: Sockets) -> list[socket.socket]:
    return [one for at in sockets for one in at]


def _counts(sockets: Sockets) -> list[int]:
    return [len(at) for at in sockets]


def _raise_failure(told: Message) -> None:
    if "failed" in told:
        error = CannotStart(told["failed"])
        error.exit_code = told["exit_code"]
        raise error


def _how(code: int) -> str:
    """How a process ended."""
    if code >= 0:
        return f"ended with {code}"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
