"""`streamsafe schema`: the JSON Schema of the configuration, for editors."""

import json

import click

from proxy.config.schema import json_schema


@click.command()
def schema() -> None:
    """Print the JSON Schema of the configuration."""
    click.echo(json.dumps(json_schema(), indent=2))
