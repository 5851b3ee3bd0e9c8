"""Commands: arguments, exit codes and printing, nothing else. Data goes to stdout, everything else to stderr.

Exit codes: 0 fine, 1 could not run, 2 wrong usage or configuration; `doctor` adds 3 for an answer that does not stream.
"""

import click

from proxy import __version__
from proxy.cli.check import check
from proxy.cli.demo import demo
from proxy.cli.doctor import doctor
from proxy.cli.import_ import import_
from proxy.cli.schema import schema
from proxy.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="streamsafe")
def main() -> None:
    """A reverse proxy that never spoils a stream."""


for command in (serve, demo, check, schema, doctor, import_):
    main.add_command(command)
