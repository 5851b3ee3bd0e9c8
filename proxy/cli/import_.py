"""`streamsafe import`: another tool's proxy entries as a configuration of ours."""

import sys
from pathlib import Path

import click

from proxy.importer import javascript, nginx
from proxy.importer.draft import NAMES, Imported, NotImported
from proxy.importer.write import Written, written

_JAVASCRIPT = frozenset({".js", ".cjs", ".mjs", ".ts", ".cts", ".mts"})


@click.command(name="import", short_help="Turn the proxy entries of a dev server or nginx into a configuration.")
@click.argument("file", metavar="FILE")
@click.option("--out", metavar="FILE", help="Write there, to a file that does not exist yet, and not to stdout.")
def import_(file: str, out: str | None) -> None:
    """Turn the proxy entries in FILE into a configuration, with comments that say what broke streams there and what
    could not be carried over.

    FILE is a vite.config, vue.config, webpack.config, .umirc or setupProxy in JavaScript or TypeScript, or an nginx
    configuration.

    JavaScript and TypeScript are EXECUTED, by the Node on your PATH, for 10 seconds at most: import only files that you
    would start. Packages are not loaded, and the functions of proxy entries are run once to see what they do.
    """
    try:
        result = written(_read(Path(file)), Path(file).name)
    except NotImported as error:
        click.echo(f"streamsafe: {error}", err=True)
        sys.exit(2 if error.could_run else 1)
    if out is None:
        click.echo(result.text, nl=False)
    else:
        _write(Path(out), result.text)
    _tell(result, out)


def _read(file: Path) -> Imported:
    try:
        with open(file, "rb") as opened:
            opened.read(1)
    except OSError as error:
        raise NotImported(f"{file}: expected a readable file, found: {(error.strerror or 'none').lower()}") from None
    if file.suffix.lower() in _JAVASCRIPT:
        return javascript.read(file)
    if file.suffix.lower() in ("", ".conf", ".nginx", ".vhost"):
        return nginx.read(file)
    known = ".js, .cjs, .mjs, .ts, .cts, .mts, or .conf for nginx"
    raise NotImported(f"{file}: expected a file that ends in {known}, found {file.suffix}")


def _write(out: Path, text: str) -> None:
    try:
        with open(out, "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise click.UsageError(f"--out: {out} exists already; choose another name.") from None
    except OSError as error:
        raise click.UsageError(f"--out: {out}: {error.strerror}.") from None


def _tell(result: Written, out: str | None) -> None:
    counted = ", ".join(f"{NAMES[kind]}: {count}" for kind, count in result.counts.items() if count)
    routes = f"{result.routes} route{'s' if result.routes != 1 else ''}"
    click.echo(f"streamsafe: {routes}{f' in {out}' if out else ''}; comments say what was found ({counted})", err=True)
    if result.secrets:
        click.echo(f"streamsafe: set in the environment: {', '.join(result.secrets)}", err=True)
