"""Runs a proxy until a signal: what `serve` and `demo` have in common."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import click

from proxy import __version__
from proxy.app import CannotListen, LaxParser, Running, UnusableTlsFile
from proxy.config.addresses import shown_url
from proxy.config.compile import Settings, compiled
from proxy.config.injection import hide
from proxy.config.model import Config
from proxy.config.warnings import warnings
from proxy.edge.access_log import AccessLog
from proxy.edge.log_lines import LineFormatter
from proxy.edge.log_sink import Descriptor, LogSink
from proxy.edge.terminal import wants_colour

log = logging.getLogger("proxy")

# How long a stop waits for whoever reads the log.
LAST_LINES_S = 1.0


def loop_factory() -> asyncio.AbstractEventLoop:
    """A uvloop loop where there is one, else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(prepare: Callable[[], AbstractAsyncContextManager[Config]], started: Callable[[Config, Running], None]) -> None:
    """Runs until SIGINT or SIGTERM, then lets streams end. Exits with 1 where it cannot listen, 2 on bad TLS files.

    `prepare` gives the configuration, once the loop runs; `started` is told when everything listens.
    """
    _open_standard_streams()
    _raise_file_limit()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_serve(prepare, started))


class _Signals:
    """SIGINT and SIGTERM: the first asks to stop, the second to stop at once. Caught from the moment this is made."""

    def __init__(self) -> None:
        self.first, self.second = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._caught)

    def _caught(self) -> None:
        (self.second if self.first.is_set() else self.first).set()


async def _serve(
    prepare: Callable[[], AbstractAsyncContextManager[Config]], started: Callable[[Config, Running], None]
) -> None:
    signals = _Signals()  # before anybody can know that we run
    async with prepare() as config:
        form = _form(config)
        told = partial(_own_line, LineFormatter(*form))
        sink = LogSink(Descriptor(sys.stderr.fileno()), told, hide(config))
        _set_up_logging(config, sink, form)
        for warning in warnings(config):
            log.warning("%s", warning)
        access_log = AccessLog(sink, f"coloured {form[0]}" if form[1] else form[0], config.log.level)
        running = await _start(compiled(config), access_log, sink)
        started(config, running)
        _calm_collector()
        await signals.first.wait()
        cut = await _stop(running, config.drain, signals)
        access_log.flush()
        log.info("stopped%s", f": open exchanges cut: {cut}" if cut else "")
        sink.drain(LAST_LINES_S)


async def _start(settings: Settings, access_log: AccessLog, sink: LogSink) -> Running:
    try:
        return await Running.start(settings, [access_log], sink)
    except UnusableTlsFile as error:
        click.echo(f"streamsafe: {error}", err=True)
        sys.exit(2)
    except (CannotListen, LaxParser) as error:
        click.echo(f"streamsafe: {error}", err=True)
        sys.exit(1)


async def _stop(running: Running, drain_s: float, signals: _Signals) -> int:
    """Waits for open exchanges; a second signal ends the wait. Returns how many had to be cut."""
    if running.open_exchanges:
        log.info("stopping: up to %g s for what is open (%d)", drain_s, running.open_exchanges)
    waiting = asyncio.ensure_future(running.stop(drain_s))
    again = asyncio.ensure_future(signals.second.wait())
    await asyncio.wait({waiting, again}, return_when=asyncio.FIRST_COMPLETED)
    again.cancel()
    if not waiting.done():
        running.abort()
    return await waiting


def _form(config: Config) -> tuple[str, bool]:
    """How log lines look, and whether in colour: text becomes columns where it goes to a terminal."""
    if config.log.format != "text" or not sys.stderr.isatty():
        return config.log.format, False
    return "columns", wants_colour(os.environ)


def _own_line(formatter: LineFormatter, message: str) -> str:
    """A line of the log about itself, for whoever cannot go through `logging`."""
    return formatter.format(logging.LogRecord("proxy", logging.WARNING, "", 0, message, None, None)) + "\n"


def _set_up_logging(config: Config, sink: LogSink, form: tuple[str, bool]) -> None:
    handler = logging.StreamHandler(sink)
    handler.setFormatter(LineFormatter(*form))
    logging.basicConfig(level=config.log.level.upper(), handlers=[handler], force=True)


def _calm_collector() -> None:
    """What was loaded stays; what a request leaves is freed by reference counts. 7 % of a request's time otherwise."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _open_standard_streams() -> None:
    """Opens /dev/null where a parent closed 0, 1 or 2: our sockets would get their numbers, and the log's bytes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w")


def _raise_file_limit() -> None:
    """Two files an exchange: the soft limit is for programs that use select()."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):  # macOS calls the hard limit unlimited and then refuses it
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@asynccontextmanager
async def ready(config: Config) -> AsyncIterator[Config]:
    """A configuration that needs nothing else to run."""
    yield config


def told(config: Config, running: Running) -> None:
    """Says where it listens and what goes where."""
    for address in running.addresses:
        log.info("streamsafe %s listens on %s", __version__, address)
    if running.admin_address is not None:
        what = "the inspector, /healthz" if config.inspector else "/healthz"
        log.info("%s, /readyz, /metrics and /status are at %s", what, running.admin_address)
    for route in config.routes:
        log.info("%s goes to %s", route.path or route.path_regex, shown_url(route.upstream[0].url))
