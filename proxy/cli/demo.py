"""`streamsafe demo`: a fake LLM, the proxy in front of it, and a page that shows the difference."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from proxy.app import Running
from proxy.cli import configuration
from proxy.cli.run import run
from proxy.config.addresses import Address
from proxy.config.model import Config
from proxy.demo import misbehaviour
from proxy.demo.run import start


@click.command(short_help="Show the proxy at work, on a page.")
@click.option("--listen", default="127.0.0.1:8787", show_default=True, metavar="HOST:PORT", help="Where the page is.")
@click.option(
    "--admin",
    default="127.0.0.1:8788",
    show_default=True,
    metavar="HOST:PORT|off",
    help="Where the inspector shows what passes.",
)
@click.option(
    "--misbehave",
    type=click.Choice(list(misbehaviour.KINDS)),
    help="Instead of all that, an upstream that breaks its streams in this way, for `streamsafe doctor` to look at.",
)
def demo(listen: str, admin: str, misbehave: str | None) -> None:
    """Show the proxy at work: an embedded fake LLM and a page."""
    asked = configuration.from_options(
        {"listen": listen, "admin": admin, "routes": [{"upstream": "http://127.0.0.1:1"}]}
    )  # or exit with 2
    if misbehave is not None:
        asyncio.run(_misbehave(misbehave, asked.listen[0]))
        return

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Config]:
        async with await start() as upstream:
            route = {"name": "demo", "path": "/", "upstream": upstream.upstream_url}
            written = {"listen": listen, "admin": admin, "routes": [route], "log": {"level": "warning"}}
            yield configuration.from_options(written)

    run(prepare, _started)


def _started(config: Config, running: Running) -> None:
    click.echo(f"The demo is at {running.addresses[0]}/ (Ctrl-C ends it).")
    if running.admin_address is not None:
        click.echo(f"The inspector at {running.admin_address}/ shows each answer while it passes.")


async def _misbehave(kind: str, where: Address) -> None:
    """Runs that upstream until SIGINT or SIGTERM, with no proxy in front, which would mend it."""
    if where.host is None or where.port is None or not where.is_local:
        raise click.UsageError("--misbehave: expected --listen HOST:PORT on loopback.")
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    try:
        server = await misbehaviour.start(kind, where.host, where.port)
    except OSError as error:
        click.echo(f"streamsafe: cannot listen on {where}: {(error.strerror or str(error)).lower()}", err=True)
        sys.exit(1)
    port = server.sockets[0].getsockname()[1]
    plays = misbehaviour.KINDS[kind]
    url = f"{plays.scheme}://{Address(where.host, port)}/"
    click.echo(f"An upstream that {plays.says} is at {url} (Ctrl-C ends it).\nLook at it: {plays.command(url)}")
    await stopped.wait()
    server.close()
