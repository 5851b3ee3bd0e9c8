"""Reads configurations for the commands; what is wrong with one becomes lines on stderr and exit code 2."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from proxy.config.load import ConfigError, from_values, load_file
from proxy.config.model import Config


def from_file(path: str, overrides: Mapping[str, Any]) -> Config:
    """The configuration in a file, with top-level keys from the command line above it."""
    try:
        return load_file(Path(path), os.environ, overrides)
    except ConfigError as error:
        _refuse(error)


def from_options(values: Mapping[str, Any]) -> Config:
    """The configuration that the command line alone describes."""
    try:
        return from_values(values, os.environ)
    except ConfigError as error:
        _refuse(error)


def _refuse(error: ConfigError) -> NoReturn:
    for message in error.messages:
        click.echo(message, err=True)
    sys.exit(2)
