"""`streamsafe doctor`: asks a URL once, watches the bytes and the clock, and says whether the answer streams."""

import asyncio
import json
import os
import re
import signal
import sys
from typing import Any

import click
from rich.console import Console
from yarl import URL

from proxy.config.expand import expand_option
from proxy.config.values import parse_duration
from proxy.doctor.live import shown
from proxy.doctor.observation import Observation, Request
from proxy.doctor.probe import Bounds, observe, preflight_of
from proxy.doctor.report import WIDTH, as_json, print_text
from proxy.doctor.rules import Diagnosis, Verdict, diagnose

# 2 is wrong usage, as for every command.
EXIT_CODES: dict[Verdict, int] = {"streams": 0, "cannot_tell": 0, "unreachable": 1, "does_not_stream": 3}

_HEADER = re.compile(r"\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*:\s*([^\x00-\x1f\x7f]*?)\s*\Z")
_METHOD = re.compile(r"[A-Za-z]+")
_ORIGIN = re.compile(r"https?://[^/?#\s@]+|null")


@click.command(short_help="Tell why an answer does not stream.")
@click.argument("url")
@click.option("--method", metavar="METHOD", help="How to ask.  [default: GET, with --json POST]")
@click.option("--json", "json_file", metavar="FILE", help="JSON to send as the request's body; - is standard input.")
@click.option(
    "--header", multiple=True, metavar="'NAME: VALUE'", help="Field to send; ${NAME} is taken from the environment."
)
@click.option("--direct", metavar="URL", help="The server itself: what differs from it, somebody in between does.")
@click.option("--origin", metavar="ORIGIN", help="A page's origin: could it read the answer?")
@click.option("--timeout", default="120s", show_default=True, metavar="DURATION", help="How long to watch each answer.")
@click.option("--insecure", is_flag=True, help="Go on where the certificate is not trusted.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="For people or for machines."
)
def doctor(url: str, form: str, timeout: str, insecure: bool, **options: Any) -> None:
    """Ask URL once, watch when its bytes arrive, and say in plain words whether the answer streams and if not, why.

    Exits with 0 if it streams or nothing speaks against it, 1 if there is no answer to judge, 3 if it does not stream.
    """
    seconds = parse_duration(timeout)
    if not seconds:
        raise click.UsageError("--timeout: expected a duration above 0, such as 30s or 5m.")
    request = _request(url, options)
    direct = Request(_url(options["direct"], "--direct"), request.method, request.fields, request.body, request.origin)
    bounds = {"timeout_s": seconds, "verify": not insecure}
    diagnosis = asyncio.run(_examined(request, direct if options["direct"] else None, bounds))
    if form == "json":
        click.echo(json.dumps(as_json(diagnosis), indent=2, ensure_ascii=False))
    else:
        console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
        if not console.is_terminal:
            console.width = WIDTH
        print_text(diagnosis, console)
    sys.exit(EXIT_CODES[diagnosis.verdict])


async def _examined(request: Request, direct: Request | None, options: dict[str, Any]) -> Diagnosis:
    """Preflight, chain and server, one after the other: at the same time each would slow the others."""
    bounds = Bounds(**options)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, bounds.stop.set)
    console = Console(stderr=True, highlight=False, markup=False, emoji=False)

    async def look(one: Request | None) -> Observation | None:
        if one is None or bounds.stop.is_set():
            return None
        with shown(console, one) as watch:
            return await observe(one, bounds, watch)

    preflight = await look(preflight_of(request))
    seen = await look(request) or Observation(request, end="stopped")
    return diagnose(seen, preflight, await look(direct))


def _request(url: str, options: dict[str, Any]) -> Request:
    body = _body(options["json_file"])
    method = options["method"] or ("POST" if body else "GET")
    if not _METHOD.fullmatch(method):
        raise click.UsageError("--method: expected a method such as GET or POST.")
    origin = options["origin"]
    if origin is not None and not _ORIGIN.fullmatch(origin):
        raise click.UsageError("--origin: expected an origin such as http://localhost:5173, without a path.")
    return Request.of(_url(url, "URL"), method, [_field(line) for line in options["header"]], body, origin)


def _url(text: str | None, option: str) -> str:
    if text is None:
        return ""
    try:
        url = URL(text)
        usable = (
            not re.search(r"[\s\x00-\x1f\x7f]", text)
            and url.scheme in ("http", "https")
            and bool(url.raw_host)
            and bool(url.port)
        )
    except ValueError:
        usable = False
    if not usable:
        raise click.UsageError(f"{option}: expected an http:// or https:// URL with a host.")
    if url.raw_user is not None or url.raw_password is not None:
        raise click.UsageError(f"{option}: a password in a URL is seen by others; send it with --header.")
    return text


def _field(line: str) -> tuple[str, str]:
    try:
        expanded = expand_option(line, os.environ)
    except ValueError as error:
        raise click.UsageError(f"--header: {error}.") from None
    match = _HEADER.match(expanded)
    if match is None:
        raise click.UsageError("--header: expected 'Name: value'.")
    return match[1], match[2]


def _body(file: str | None) -> bytes:
    if file is None:
        return b""
    try:
        with click.open_file(file, "rb") as opened:
            content: bytes = opened.read()
        json.loads(content)
    except OSError as error:
        raise click.UsageError(f"--json: {file}: {error.strerror}.") from None
    except json.JSONDecodeError as error:
        raise click.UsageError(f"--json: {file}:{error.lineno}:{error.colno}: no JSON: {error.msg}.") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"--json: {file}: expected UTF-8.") from None
    return content
