"""Runs a proxy until a signal: what `serve` and `demo` have in common."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager

import click

from proxy import __version__
from proxy.app import CannotStart, Running
from proxy.app.logs import Logs
from proxy.app.process import calm_collector, loop_factory, open_standard_streams, raise_file_limit
from proxy.app.reloading import Reloader
from proxy.app.serving import reloading, stop
from proxy.app.signals import Signals
from proxy.config.addresses import shown_url
from proxy.config.compile import compiled, instance_name
from proxy.config.model import Config
from proxy.config.source import Source, Written
from proxy.config.warnings import warnings

log = logging.getLogger("proxy")


def run(
    prepare: Callable[[], AbstractAsyncContextManager[Config]],
    started: Callable[[Config, Running], None],
    again: tuple[Source, Written] | None = None,
    watched: bool = False,
) -> None:
    """Runs until SIGINT or SIGTERM, then lets streams end. Exits with 1 where it cannot listen, 2 on bad TLS files.

    `prepare` gives the configuration, once the loop runs; `started` is told when everything listens. `again` is where a
    reload reads and what was found there; without it there is none.
    """
    open_standard_streams()
    raise_file_limit()
    with refusing(), asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(prepare, started, again, watched))


async def _serve(
    prepare: Callable[[], AbstractAsyncContextManager[Config]],
    started: Callable[[Config, Running], None],
    again: tuple[Source, Written] | None,
    watched: bool,
) -> None:
    signals = Signals()  # before anybody can know that we run
    async with prepare() as config:
        with closing(Logs(config)) as logs:
            for warning in warnings(config):
                log.warning("%s", warning)
            instance = instance_name(config)
            running = await Running.start(compiled(config, instance), [logs.access], logs.sink)
            started(config, running)
            calm_collector()
            if again is None:
                await signals.first.wait()
                await stop(running, config.drain, signals, logs)
                return

            async def apply(changed: Config, written: Written) -> None:
                logs.hide(changed)
                await running.reload(compiled(changed, instance))

            reloader = Reloader(*again, config, apply)
            running.reloads = reloader.counts
            async with reloading(reloader, signals, again[0].file if watched else None):
                await signals.first.wait()
            await stop(running, reloader.config.drain, signals, logs)


@contextmanager
def refusing() -> Iterator[None]:
    """Says why its block cannot run, behind all that was logged in it, and exits."""
    try:
        yield
    except CannotStart as error:
        click.echo(f"streamsafe: {error}", err=True)
        sys.exit(error.exit_code)


@asynccontextmanager
async def ready(config: Config) -> AsyncIterator[Config]:
    """A configuration that needs nothing else to run."""
    yield config


def told(config: Config, running: Running) -> None:
    """Says where it listens and what goes where."""
    tell(config, running.addresses, running.admin_address)


def tell(config: Config, addresses: list[str], admin: str | None) -> None:
    """Says where it listens and what goes where."""
    for address in addresses:
        log.info("streamsafe %s listens on %s", __version__, address)
    if admin is not None:
        what = "/healthz" if config.inspector is None else "the inspector, /healthz"
        log.info("%s, /readyz, /metrics and /status are at %s", what, admin)
    for route in config.routes:
        urls = ", ".join(shown_url(upstream.url) for upstream in route.upstream)
        log.info("%s goes to %s", route.path or route.path_regex, urls)
