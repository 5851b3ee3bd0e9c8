"""`streamsafe serve`: the proxy, from a file or from the command line alone."""

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import click

from proxy.cli import configuration
from proxy.cli.run import ready, run, told
from proxy.config.model import Config
from proxy.config.presets import PRESETS
from proxy.config.source import Source

_HEADER = re.compile(r"\s*([^:\s]+)\s*:\s*(.*?)\s*\Z", re.DOTALL)


@click.command(short_help="Run the proxy, for a URL or from a file.")
@click.argument("upstream", required=False)
@click.option("-c", "--config", "file", metavar="FILE", help="Configuration file (YAML).")
@click.option("--listen", metavar="HOST:PORT", help="Where clients connect.  [default: 127.0.0.1:8787]")
@click.option(
    "--admin",
    metavar="HOST:PORT|off",
    help="Where /healthz, /readyz, /metrics and /status are.  [default: 127.0.0.1:8788]",
)
@click.option("--cors", multiple=True, metavar="ORIGIN", help="Origin whose pages may use the proxy; repeatable.")
@click.option(
    "--header", multiple=True, metavar="'NAME: VALUE'", help="Header set on requests to the upstream; repeatable."
)
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Provider: where it is and how its key is sent.")
@click.option("--api-key", metavar="env:NAME|@FILE", help="Where the key to send upstream is.")
@click.option("--strip-prefix", metavar="/PATH", help="Serve below this path, which is taken off.")
@click.option(
    "--workers", metavar="N", help="Processes that share the listeners, or auto: one for each core.  [default: 1]"
)
@click.option("--watch", is_flag=True, help="Reload when the configuration file changes, as SIGHUP does.")
@click.option("--log", "log_format", type=click.Choice(["text", "json"]), help="Form of the log lines on stderr.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="The least that is logged.")
def serve(upstream: str | None, file: str | None, watch: bool, **options: Any) -> None:
    """Run the proxy, for UPSTREAM (a URL) or with the routes of a configuration file."""
    overrides = _top_level(options)
    if file is not None:
        for name in ("cors", "header", "preset", "api_key", "strip_prefix"):
            if options[name]:
                raise click.UsageError(f"--{name.replace('_', '-')} goes with UPSTREAM; with --config write it there.")
        if upstream is not None:
            raise click.UsageError("Give either UPSTREAM or --config.")
        source = Source(overrides, Path(file))
    else:
        if watch:
            raise click.UsageError("--watch goes with --config: options do not change.")
        if upstream is None and options["preset"] is None:
            raise click.UsageError("Say where to: UPSTREAM (a URL), --preset or --config. See --help.")
        source = Source({**overrides, "routes": [_route(upstream, options)]})
    written, config = configuration.written(source)
    if (count := _workers(config)) > 1:
        from proxy.cli.run_workers import run_workers

        run_workers(count, config, source, written, watch)
    else:
        run(lambda: ready(config), told, (source, written), watch)


def _top_level(options: dict[str, Any]) -> dict[str, Any]:
    values = {key: options[key] for key in ("listen", "admin", "workers") if options[key] is not None}
    if values.get("workers", "").isdigit():
        values["workers"] = int(values["workers"])
    log = {"format": options["log_format"], "level": options["log_level"]}
    if given := {key: value for key, value in log.items() if value is not None}:
        values["log"] = given
    return values


def _route(upstream: str | None, options: dict[str, Any]) -> dict[str, Any]:
    """The one route that the command line describes, as it would stand in a file."""
    route: dict[str, Any] = {"name": "default", "path": options["strip_prefix"] or "/"}
    if upstream is not None:
        route["upstream"] = upstream
    if options["strip_prefix"]:
        route["strip_prefix"] = True
    if options["preset"]:
        route["preset"] = options["preset"]
    if options["api_key"]:
        route["api_key"] = _secret_reference(options["api_key"])
    if options["cors"]:
        route["cors"] = {"origins": list(options["cors"])}
    if options["header"]:
        route["headers"] = {"request": {"set": _headers(options["header"])}}
    return route


def _secret_reference(text: str) -> str:
    """`${...}` for what --api-key says; a key itself would be seen in `ps` and in the shell's history."""
    if re.fullmatch(r"env:[A-Za-z_][A-Za-z0-9_]*", text):
        return "${" + text[4:] + "}"
    if text.startswith("@"):
        return "${file:" + os.path.abspath(text[1:]) + "}"
    click.echo("streamsafe: --api-key: expected env:NAME or @FILE, found neither (others would see a key)", err=True)
    sys.exit(2)


def _headers(lines: tuple[str, ...]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for line in lines:
        match = _HEADER.match(line)
        if match is None:
            raise click.UsageError("--header: expected 'Name: value'.")
        name = next((known for known in headers if known.lower() == match[1].lower()), match[1])
        headers.setdefault(name, []).append(match[2])
    return headers


def _workers(config: Config) -> int:
    """How many processes the configuration asks for."""
    if config.workers != "auto":
        return config.workers
    with contextlib.suppress(AttributeError):  # Linux tells which cores are ours
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
