"""Runs a proxy of several processes until a signal: what `serve` does where `workers` is more than one."""

import asyncio
import logging
import sys
from contextlib import closing

from proxy.app.logs import Logs
from proxy.app.process import loop_factory, open_standard_streams, raise_file_limit
from proxy.app.reloading import Reloader
from proxy.app.serving import reloading, stop
from proxy.app.signals import Signals
from proxy.app.workers.nursery import Nursery
from proxy.app.workers.supervisor import Supervisor
from proxy.app.workers.worker import work
from proxy.cli.run import refusing, tell
from proxy.config.compile import instance_name
from proxy.config.model import Config
from proxy.config.source import Source, Written
from proxy.config.warnings import warnings

log = logging.getLogger("proxy")


def run_workers(count: int, config: Config, source: Source, written: Written, watched: bool) -> None:
    """Runs until SIGINT or SIGTERM, then lets streams end. Exits like `run`, and with 1 if no worker can be started."""
    open_standard_streams()
    raise_file_limit()
    nursery = Nursery.open(work)
    with refusing(), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_supervise(nursery, count, config, source, written, watched))


async def _supervise(
    nursery: Nursery, count: int, config: Config, source: Source, written: Written, watched: bool
) -> None:
    signals = Signals()
    with closing(Logs(config)) as logs:
        for warning in warnings(config):
            log.warning("%s", warning)
        supervisor = Supervisor(nursery, config, written, instance_name(config), count)
        await supervisor.start()
        tell(config, supervisor.addresses, supervisor.admin_address)

        async def apply(changed: Config, written: Written) -> None:
            logs.hide(changed)
            await supervisor.apply(changed, written)

        reloader = Reloader(source, written, config, apply)
        supervisor.reloads = reloader.counts
        async with reloading(reloader, signals, source.file if watched else None):
            ends = [asyncio.create_task(one.wait(), name="end") for one in (signals.first, supervisor.failed)]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            for end in ends:
                end.cancel()
        await stop(supervisor, reloader.config.drain, signals, logs)
    if supervisor.failed.is_set():
        sys.exit(1)
