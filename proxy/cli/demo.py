"""`streamsafe demo`: a fake LLM, the proxy in front of it, and a page that shows the difference."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from proxy.app import Running
from proxy.cli import configuration
from proxy.cli.run import run
from proxy.config.model import Config
from proxy.demo.run import start


@click.command(short_help="Show the proxy at work, on a page.")
@click.option("--listen", default="127.0.0.1:8787", show_default=True, metavar="HOST:PORT", help="Where the page is.")
def demo(listen: str) -> None:
    """Show the proxy at work: an embedded fake LLM and a page."""
    configuration.from_options(
        {"listen": listen, "admin": "off", "routes": [{"upstream": "http://127.0.0.1:1"}]}
    )  # or exit with 2

    @asynccontextmanager
    async def prepare() -> AsyncIterator[Config]:
        async with await start() as upstream:
            route = {"name": "demo", "path": "/", "upstream": upstream.upstream_url}
            written = {"listen": listen, "admin": "off", "routes": [route], "log": {"level": "warning"}}
            yield configuration.from_options(written)

    run(prepare, _started)


def _started(config: Config, running: Running) -> None:
    click.echo(f"The demo is at {running.addresses[0]}/ (Ctrl-C ends it).")
