"""`streamsafe check`: is a configuration right, and what does it come to?"""

import click
import yaml

from proxy.cli import configuration
from proxy.config.model import resolved
from proxy.config.warnings import warnings


@click.command(short_help="Check a configuration file; tell all that is wrong.")
@click.option("-c", "--config", "file", metavar="FILE", required=True, help="Configuration file (YAML).")
@click.option("--print", "show", is_flag=True, help="Print what is in force, secrets redacted.")
def check(file: str, show: bool) -> None:
    """Check a configuration file; what is wrong is told with line and column, all at once."""
    config = configuration.from_file(file, {})
    for warning in warnings(config):
        click.echo(f"{file}: warning: {warning}", err=True)
    if show:
        click.echo(yaml.safe_dump(resolved(config), sort_keys=False, allow_unicode=True), nl=False)
    click.echo(f"{file}: fine, {len(config.routes)} route{'s' if len(config.routes) != 1 else ''}", err=True)
