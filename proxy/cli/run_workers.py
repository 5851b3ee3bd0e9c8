"""Runs a proxy of several processes until a signal: what `serve` does where `workers` is more than one."""

import asyncio
import logging
import sys

from proxy.app import CannotStart
from proxy.app.logs import Logs
from proxy.app.process import loop_factory, open_standard_streams, raise_file_limit
from proxy.app.reloading import Reloader
from proxy.app.serving import reloading, stop
from proxy.app.signals import Signals
from proxy.app.workers.nursery import Nursery
from proxy.app.workers.supervisor import Supervisor
from proxy.app.workers.worker import work
from proxy.cli.run import refuse, tell
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
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_supervise(nursery, count, config, source, written, watched))


async def _supervise(
    nursery: Nursery, count: int, config: Config, source: Source, written: Written, watched: bool
) -> None:
    signals = Signals()
    logs = Logs(config)
    for warning in warnings(config):
        log.warning("%s", warning)
    supervisor = Supervisor(nursery, config, written, instance_name(config), count)
    try:
        await supervisor.start()
    except CannotStart as error:
        refuse(error)
    tell(config, supervisor.addresses, supervisor.admin_address)
    reloader = Reloader(source, written, config, supervisor.apply)
    supervisor.reloads = reloader.counts
    async with reloading(reloader, signals, source.file if watched else None):
        ends = [asyncio.create_task(one.wait(), name="end") for one in (signals.first, supervisor.failed)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()
    await stop(supervisor, reloader.config.drain, signals, logs)
    logs.close()
    if supervisor.failed.is_set():
        sys.exit(1)
