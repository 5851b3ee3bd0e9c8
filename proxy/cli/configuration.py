"""Reads configurations for the commands; what is wrong with one becomes lines on stderr and exit code 2."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import click

from proxy.config.load import COMMAND_LINE, ConfigError, Message, from_values, load_file
from proxy.config.model import Config
from proxy.config.source import Source, Written


def from_file(path: str, overrides: Mapping[str, Any]) -> Config:
    """The configuration in a file, with top-level keys from the command line above it."""
    try:
        return load_file(Path(path), os.environ, overrides)
    except ConfigError as error:
        _refuse(error)


def written(source: Source) -> tuple[Written, Config]:
    """What a source says now, and what that comes to."""
    try:
        found = source.read()
        return found, found.config(os.environ)
    except ConfigError as error:
        _refuse(error)


def from_options(values: Mapping[str, Any]) -> Config:
    """The configuration that the command line alone describes."""
    try:
        return from_values(values, os.environ)
    except ConfigError as error:
        _refuse(error)


# Where the one route of the command line has what an option said: who typed options shall not read of keys.
_OPTIONS = {
    "routes.default.upstream": "UPSTREAM",
    "routes.default.cors": "--cors",
    "routes.default.api_key": "--api-key",
    "routes.default.headers": "--header",
    "routes.default.path": "--strip-prefix",
    "listen": "--listen",
    "admin": "--admin",
    "workers": "--workers",
}


def _refuse(error: ConfigError) -> NoReturn:
    for message in error.messages:
        click.echo(_worded(message) if message.file == COMMAND_LINE else message, err=True)
    sys.exit(2)


def _worded(message: Message) -> str:
    option = next((name for key, name in _OPTIONS.items() if message.path.startswith(key)), message.path)
    return f"streamsafe: {': '.join(part for part in (option, message.text) if part)}"
