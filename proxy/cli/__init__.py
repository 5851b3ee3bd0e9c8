"""Commands: arguments, exit codes and printing, nothing else. Data goes to stdout, everything else to stderr.

Exit codes: 0 fine, 1 could not run, 2 wrong usage or configuration; `doctor` adds 3 for an answer that does not stream.
"""

from collections.abc import Callable, Mapping

import click

from proxy import __version__

# Each command is a module of its own, imported when it is asked for: `serve` stays in memory for weeks, and has no use
# for what the doctor and the importer need.


def _serve() -> click.Command:
    from proxy.cli.serve import serve

    return serve


def _demo() -> click.Command:
    from proxy.cli.demo import demo

    return demo


def _check() -> click.Command:
    from proxy.cli.check import check

    return check


def _doctor() -> click.Command:
    from proxy.cli.doctor import doctor

    return doctor


def _import() -> click.Command:
    from proxy.cli.import_ import import_

    return import_


def _schema() -> click.Command:
    from proxy.cli.schema import schema

    return schema


COMMANDS: Mapping[str, Callable[[], click.Command]] = {
    "serve": _serve,
    "demo": _demo,
    "check": _check,
    "doctor": _doctor,
    "import": _import,
    "schema": _schema,
}


class Commands(click.Group):
    """A group that looks its commands up in COMMANDS; `--help` imports them all, for what each says of itself."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, the most used first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        made = COMMANDS.get(cmd_name)
        return made() if made is not None else None


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="streamsafe")
def main() -> None:
    """A reverse proxy that never spoils a stream."""
