"""A configuration from a file, a text or the command line.

The steps: read (YAML with marks), expand (`${...}`), merge the defaults into the routes, validate by the model, check
what spans several keys. Every step goes on after an error, as far as it can, so that all of them are told at once.
"""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from proxy.config import marks
from proxy.config.checks import check
from proxy.config.defaults import merged_routes
from proxy.config.expand import expand
from proxy.config.messages import ConfigError, Document, Message, Place, Report, quoted, unreadable
from proxy.config.model import Config
from proxy.config.route import Route, RouteSettings
from proxy.config.section import Section, section_in

__all__ = ["ConfigError", "Message", "from_values", "load_file", "load_text", "read_text"]

COMMAND_LINE = "command line"
_MOST_BYTES = 4 * 1024 * 1024
_ROUTE_ONLY = frozenset(Route.model_fields) - frozenset(RouteSettings.model_fields)


def load_file(path: Path, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration in a file; `overrides` are top-level keys from the command line that win over it.

    Errors: ConfigError with everything that is wrong.
    """
    return load_text(read_text(path), str(path), environ, overrides)


def read_text(path: Path) -> str:
    """The text of a file. Errors: ConfigError where it cannot be read, is far too large or not UTF-8."""
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "no usable path"
        raise unreadable(path, f"expected a readable file, found: {reason.lower()}") from None
    if len(content) > _MOST_BYTES:
        raise unreadable(path, f"expected at most {_MOST_BYTES // 1024**2} MiB, found more")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise unreadable(path, f"expected UTF-8, found something else in line {line}") from None


def load_text(text: str, name: str, environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration in a YAML text; messages call it `name`. Errors: ConfigError with everything that is wrong."""
    document = marks.read(text, name)
    if overrides and isinstance(document.value, dict):
        document = _overridden(document, marks.of_values(dict(overrides), COMMAND_LINE))
    return _build(document, environ)


def from_values(values: Mapping[str, Any], environ: Mapping[str, str], origin: str = COMMAND_LINE) -> Config:
    """The configuration in plain values, as they would stand in a file. Errors: ConfigError, with all that is wrong."""
    return _build(marks.of_values(dict(values), origin), environ)


def _overridden(document: Document, above: Document) -> Document:
    assert isinstance(document.value, dict)
    assert isinstance(above.value, dict)
    kept = {place: mark for place, mark in document.marks.items() if not place or place[0] not in above.value}
    kept.update({place: mark for place, mark in above.marks.items() if place})
    keys = {place: mark for place, mark in document.keys.items() if place[0] not in above.value}
    return Document({**document.value, **above.value}, kept, keys)


def _build(document: Document, environ: Mapping[str, str]) -> Config:
    report = Report(document)
    values = expand(document.value, environ, report)
    if not isinstance(values, dict):
        report.expected((), "a map of keys", values)
        report.raise_if_any()
        raise AssertionError("a document that is no map was reported")
    values = {**values, "routes": merged_routes(values)} if "routes" in values else values
    config = None
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        # Written down here and raised below: an exception raised in this block would carry pydantic's, with the values.
        errors = error.errors(include_url=False)
    if config is None:
        for details in errors:
            _note(details, report)
    check(values, report)
    report.raise_if_any()
    assert config is not None
    return config


_EXPECTED = {
    "model_type": "a map",
    "dict_type": "a map",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "text",
    "too_short": "at least one entry",
}


def _note(error: ErrorDetails, report: Report) -> None:
    """Notes one of pydantic's errors in our words."""
    place: Place = error["loc"]
    context = error.get("ctx", {})
    at_key = bool(place) and place[-1] == "[key]"
    if at_key:
        place = place[:-1]
    match error["type"]:
        case "expected":
            place = (*place, *context["at"])
            if at_key:
                found = context["found"] or quoted(error["input"])
                report.add(place, f"expected {context['expected']}, found {found}", at_key=True)
            elif context["found"] is not None:
                report.add(place, f"expected {context['expected']}, found {context['found']}")
            else:
                report.expected(place, context["expected"], _at(error["input"], context["at"]))
        case "extra_forbidden":
            report.add(place, _unknown_key(place), at_key=True)
        case "missing":
            report.add(place, "expected a value, found no such key")
        case "too_short" if error["input"]:
            pass  # pydantic counts the entries that are right, and has said what is wrong with the others
        case "literal_error":
            report.expected(place, context["expected"].replace("'", ""), error["input"])
        case kind:
            report.expected(place, _EXPECTED.get(kind, error["msg"].lower()), error["input"])


def _at(value: object, steps: Place) -> object:
    for step in steps:
        # The steps were made from this very value.
        match value:
            case dict():
                value = value[step]
            case list() if isinstance(step, int):
                value = value[step]
    return value


def _unknown_key(place: Place) -> str:
    """What to say about a key that does not exist: the nearest one, or all there are."""
    *above, key = place
    section = _section_at(tuple(above))
    known = list(section.by_key())
    if above == ["defaults"] and key in _ROUTE_ONLY:
        return f"expected a key that several routes can share, found {key}"
    near = difflib.get_close_matches(str(key), known, n=1)
    if near:
        return f"expected a known key, found {quoted(key)}: did you mean {near[0]}?"
    return f"expected one of {', '.join(known)}, found {quoted(key)}"


def _section_at(place: Place) -> type[Section]:
    section: type[Section] = Config
    for step in place:
        if isinstance(step, str):
            section = section_in(section.by_key()[step].annotation) or section
    return section
