"""`${NAME}`, `${NAME:-default}` and `${file:/path}` inside text.

Only values are expanded, never keys, and only after the YAML was parsed: what a variable holds can never become
structure. `$${` stands for `${`. This module reads the files and notes who else may read them; what that means for a
secret is decided by its type.
"""

import os
import re
import stat
from collections.abc import Mapping

from proxy.config.messages import Place, Report
from proxy.config.secrets import Expanded, Reference, redacted

_REFERENCE = re.compile(r"\$\$\{|\$\{(?P<body>[^}]*)(?P<end>\}?)")
_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>.*))?", re.DOTALL)
_MOST_FILE_BYTES = 64 * 1024
_SECRET_KEYS = frozenset({"api_key", "admin_token", "tokens", "headers"})


class _Unusable(Exception):
    """A reference that stands for nothing; raised with what to say."""


def expand(value: object, environ: Mapping[str, str], report: Report, place: Place = ()) -> object:
    """The value with every reference in it replaced; what cannot be is noted, and its place marked as failed."""
    if isinstance(value, dict):
        return {key: expand(entry, environ, report, (*place, key)) for key, entry in value.items()}
    if isinstance(value, list):
        return [expand(entry, environ, report, (*place, index)) for index, entry in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    try:
        expanded = _expand_text(value, environ, secret=not _SECRET_KEYS.isdisjoint(place))
    except _Unusable as error:
        report.add(place, str(error))
        report.failed.add(place)
        return Expanded("", source=value)
    if isinstance(expanded, Expanded):
        report.secrets.update(
            reference.value
            for reference in expanded.references
            if reference.is_secret or not _SECRET_KEYS.isdisjoint(place)
        )
    return expanded


def expand_option(text: str, environ: Mapping[str, str]) -> str:
    """A command's option with its references replaced. Errors: ValueError, which says what is wrong with one."""
    try:
        return _expand_text(text, environ, secret=True)
    except _Unusable as error:
        raise ValueError(str(error)) from None


def _expand_text(text: str, environ: Mapping[str, str], secret: bool) -> str:
    """The text with its references replaced. `secret`: what they stand for must not be shown. Errors: _Unusable."""
    full: list[str] = []
    shown: list[str] = []
    references: list[Reference] = []
    end = 0
    for match in _REFERENCE.finditer(text):
        literal = text[end : match.start()]
        end = match.end()
        if match["body"] is None:
            full.append(literal + "${")
            shown.append(literal + "${")
            continue
        if not match["end"]:
            raise _Unusable("expected } after ${, found the end of the text")
        reference = _resolve(match.group(), match["body"], environ)
        references.append(reference)
        full.append(literal + reference.value)
        shown.append(literal + (redacted(reference.value) if secret or reference.is_secret else reference.value))
    full.append(text[end:])
    shown.append(text[end:])
    if not references:
        return "".join(full)
    return Expanded("".join(full), "".join(shown), text, tuple(references))


def _resolve(text: str, body: str, environ: Mapping[str, str]) -> Reference:
    if body.startswith("file:"):
        return _file(text, body.removeprefix("file:"))
    match = _BODY.fullmatch(body)
    if match is None:
        raise _Unusable("expected ${NAME}, ${NAME:-default} or ${file:/path}, found something else in ${}")
    name, default = match["name"], match["default"]
    value = environ.get(name, "")
    if not value and default is not None:
        value = default
    elif name not in environ:
        raise _Unusable(f"expected {name} in the environment, found it not set")
    return Reference(text, name, is_file=False, default=default, value=value)


def _file(text: str, path: str) -> Reference:
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_MOST_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "no usable path"
        raise _Unusable(f"expected a readable file at {path}, found: {reason.lower()}") from None
    if len(content) > _MOST_FILE_BYTES:
        raise _Unusable(f"expected at most {_MOST_FILE_BYTES // 1024} KiB in {path}, found more")
    try:
        value = content.decode()
    except UnicodeDecodeError:
        raise _Unusable(f"expected UTF-8 in {path}, found something else") from None
    # Editors and `echo` end a file with a newline that nobody means.
    value = value.removesuffix("\n").removesuffix("\r") if value.endswith("\n") else value
    # Windows has other means than mode bits; a pipe is not read by others.
    world_readable = os.name == "posix" and stat.S_ISREG(status.st_mode) and bool(status.st_mode & stat.S_IROTH)
    return Reference(text, path, is_file=True, default=None, value=value, world_readable=world_readable)
