"""`streamsafe check`: is a configuration right, what does it come to, and does the proxy that runs with it answer?"""

import sys

import click
import yaml

from proxy.cli import configuration, health
from proxy.config.addresses import Address
from proxy.config.compile import compiled
from proxy.config.model import Config, resolved
from proxy.config.warnings import warnings


@click.command(short_help="Check a configuration file; tell all that is wrong.")
@click.option("-c", "--config", "file", metavar="FILE", required=True, help="Configuration file (YAML).")
@click.option("--print", "show", is_flag=True, help="Print what is in force, secrets redacted.")
@click.option(
    "--health",
    "ask",
    is_flag=True,
    help="Ask the running proxy's /healthz on `admin` instead; exit 1 if it is not well.",
)
@click.option("--admin", metavar="HOST:PORT", help="With --health: where to ask, if not where the file says.")
def check(file: str, show: bool, ask: bool, admin: str | None) -> None:
    """Check a configuration file; what is wrong is told with line and column, all at once."""
    if admin is not None and not ask:
        raise click.UsageError("--admin goes with --health.")
    config = configuration.from_file(file, {"admin": admin} if admin is not None else {})
    if ask:
        _ask(file, config.admin)
        return
    _read_certificates(file, config)
    for warning in warnings(config):
        click.echo(f"{file}: warning: {warning}", err=True)
    if show:
        click.echo(yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True), nl=False)
    click.echo(f"{file}: fine, {_counted(config)}", err=True)


def _read_certificates(file: str, config: Config) -> None:
    """Exits with 2 where a file that TLS needs cannot be used."""
    if config.tls is None and not any(route.tls.ca or route.tls.cert for route in config.routes):
        return
    from proxy.app.certificates import faults  # takes longer to import than all else takes

    found = faults(compiled(config))
    for fault in found:
        click.echo(f"{file}: {fault}", err=True)
    if found:
        sys.exit(2)


def _counted(config: Config) -> str:
    return f"{len(config.routes)} route{'s' if len(config.routes) != 1 else ''}"


def _ask(file: str, admin: Address | None) -> None:
    """Exits with 1 where the proxy is not well, with 2 where the file does not say how to ask."""
    if admin is None or admin.port == 0:
        click.echo(f"{file}: admin: expected an address that can be asked, found {admin or 'off'}", err=True)
        sys.exit(2)
    try:
        health.ask(admin)
    except health.Unhealthy as error:
        click.echo(f"streamsafe: {error}", err=True)
        sys.exit(1)
    click.echo("healthy")
