"""The small types a configuration is made of: text, numbers, durations, sizes, secrets. Addresses are in addresses.py.

Each reads what may be written, says `expected ...` if it cannot, and writes itself back so that it can be read again. A
value that came out of `${...}` arrives here as `Expanded` text, which is why numbers are read from text too.
"""

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from proxy.config.secrets import Expanded, Secret, shown

T = TypeVar("T")

REFERENCE_PATTERN = r"\$\{[^}]+\}"
SECRET_PATTERN = r"^\$\{([A-Za-z_][A-Za-z0-9_]*|file:[^}]+)\}$"

_NUMBER = r"[0-9]+(?:\.[0-9]+)?"
_DURATION = re.compile(rf"({_NUMBER})\s*(ms|s|m|h)?")
_SECONDS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), None: Decimal(1)}
# Longer deadlines are mistakes, and event loops refuse timers that are too far away.
_LONGEST_S = 365 * 24 * 3600
_SIZE = re.compile(rf"({_NUMBER})\s*(B|KB|MB|GB|KiB|MiB|GiB)?", re.IGNORECASE)
_BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_LARGEST_BYTES = 2**50
_TRUE = frozenset({"true", "on", "yes"})
_FALSE = frozenset({"false", "off", "no"})


def wrong(expected: str, found: str | None = None, at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """The error that becomes `expected ..., found ...`.

    Without `found` the message quotes the value as written; give it for values that must not be quoted. `at` is where
    inside the value the fault lies.
    """
    return PydanticCustomError("expected", "expected {expected}", {"expected": expected, "found": found, "at": at})


def is_off(value: object) -> bool:
    """Whether this is one of the ways to write off: bare (YAML 1.1 reads it as false), as text, or null."""
    return value is None or value is False or (isinstance(value, str) and value.lower() == "off")


def number_in(value: object) -> object:
    """The text of an int or float, text itself, anything else as it is; true and false are no numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return format(Decimal(repr(value)), "f") if math.isfinite(value) else value
    return value


def parse_duration(value: object) -> float | None:
    """Seconds from `250ms 15s 5m 1h`, from a number of seconds, or None where it is neither."""
    text = number_in(value)
    if not isinstance(text, str) or not (match := _DURATION.fullmatch(text)):
        return None
    seconds = float(Decimal(match[1]) * _SECONDS[match[2]])
    return seconds if seconds <= _LONGEST_S else None


def write_duration(seconds: float) -> str:
    """A duration in its largest whole unit; reads back as exactly the same number."""
    exact = Decimal(repr(float(seconds)))
    for unit in ("h", "m", "s", "ms"):
        amount = exact / _SECONDS[unit]
        # A minute is better known as 60s.
        if amount == amount.to_integral_value() and amount >= 1 and not (unit == "m" and amount == 1):
            return f"{amount:f}".partition(".")[0] + unit
    return f"{exact:f}s" if exact else "0s"


def parse_size(value: object) -> int | None:
    """Bytes from `64KiB 10MB 1GiB`, from a whole number, or None where it is neither or not a whole number of bytes."""
    text = number_in(value)
    if not isinstance(text, str) or not (match := _SIZE.fullmatch(text)):
        return None
    size = Decimal(match[1]) * _BYTES[(match[2] or "B").lower()]
    return int(size) if size == size.to_integral_value() and size <= _LARGEST_BYTES else None


def write_size(size: int) -> str | int:
    """A size in its largest whole unit, or the number of bytes."""
    for unit in ("GiB", "GB", "MiB", "MB", "KiB", "KB"):
        if size and size % _BYTES[unit.lower()] == 0:
            return f"{size // _BYTES[unit.lower()]}{unit}"
    return size


def _duration(value: object) -> float:
    if (seconds := parse_duration(value)) is None:
        raise wrong("a duration such as 250ms, 15s, 5m or 1h")
    return seconds


def _interval(value: object) -> float:
    if not (seconds := parse_duration(value)):
        raise wrong("a duration above 0, such as 250ms, 15s, 5m or 1h")
    return seconds


def _timeout(value: object) -> float | None:
    if is_off(value):
        return None
    if not (seconds := parse_duration(value)):
        raise wrong("a duration above 0, such as 250ms, 15s, 5m or 1h, or off")
    return seconds


def _size(value: object) -> int:
    if not (size := parse_size(value)):
        raise wrong("a size above 0, such as 64KiB, 10MB or 1GiB")
    return size


def _limit(value: object) -> int | None:
    if is_off(value):
        return None
    if not (size := parse_size(value)):
        raise wrong("a size above 0, such as 64KiB, 10MB or 1GiB, or off")
    return size


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    # Quoted text is no boolean, but the value of a variable can only be text.
    if isinstance(value, Expanded) and value.lower() in _TRUE | _FALSE:
        return value.lower() in _TRUE
    raise wrong("true or false")


def parse_count(value: object, expected: str = "a whole number from 1") -> int:
    """A whole number from 1, also as the text of a variable. Errors: PydanticCustomError with what was expected."""
    if isinstance(value, Expanded) and value.isascii() and value.isdigit() and len(value) <= 9:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value < 10**9:
        raise wrong(expected)
    return value


def _quota(value: object) -> int | None:
    return None if is_off(value) else parse_count(value, "a whole number from 1, or off")


def has_control(text: str) -> bool:
    """Whether text holds a control character or half of a surrogate pair: neither belongs on a wire or in a log."""
    return any(ord(char) < 0x20 or 0x7F <= ord(char) < 0xA0 or 0xD800 <= ord(char) < 0xE000 for char in text)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise wrong("text")
    if not value or has_control(value):
        raise wrong("text, not empty and without control characters")
    return value


def _media_type(value: object) -> str:
    if not isinstance(value, str) or not _MEDIA_TYPE.fullmatch(value):
        raise wrong("a media type such as text/event-stream, perhaps with parameters")
    return value


def parse_instance(value: object) -> str:
    """A name that can stand in Via. Errors: PydanticCustomError for anything else.

    Source: RFC 9110 section 7.6.3, where it is a token; narrower here, as it also goes into log lines and metrics.
    """
    if not isinstance(value, str) or not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", value):
        raise wrong("a name of at most 64 letters, digits, dots, - and _")
    return str(value)


def _secret(value: object) -> Secret:
    if not isinstance(value, str):
        raise wrong("${NAME} or ${file:/path}", found="something else")
    if not isinstance(value, Expanded) or not value.references:
        raise wrong("${NAME} or ${file:/path}", found="a literal: secrets do not belong in a configuration file")
    reference = value.references[0]
    if value.source != reference.text:
        raise wrong("${NAME} or ${file:/path} alone", found="more text beside it")
    if reference.default is not None:
        raise wrong("${NAME} without a default", found="a default: secrets do not belong in a configuration file")
    if reference.world_readable:
        raise wrong(
            "a file that only its owner and group can read (chmod o= FILE; in a container mode or defaultMode 0440)",
            found=f"{reference.name} readable by everyone",
        )
    if not value:
        raise wrong(f"a value in {reference.name}", found="it empty")
    if has_control(value) or not value.isascii() or value != value.strip():
        raise wrong(
            "a secret of printable ASCII without blanks around it", found=f"other characters in {reference.name}"
        )
    return Secret(value)


def unexpanded(value: object) -> object:
    """Expanded text as an ordinary str, which is what a choice among literals wants."""
    return str(value) if isinstance(value, Expanded) else value


def or_off(write: Callable[[Any], object]) -> Callable[[Any], object]:
    """Writes None as off, anything else as `write` does."""
    return lambda value: "off" if value is None else write(value)


_REFERENCE_SCHEMA = {"type": "string", "pattern": REFERENCE_PATTERN}
_OFF_SCHEMA = {"enum": ["off", False, None]}
DURATION_SCHEMA = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": rf"^{_NUMBER}\s*(ms|s|m|h)?$"},
        _REFERENCE_SCHEMA,
    ]
}
_SIZE_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1},
        {"type": "string", "pattern": rf"^{_NUMBER}\s*([KkMmGg]i?)?[Bb]?$"},
        _REFERENCE_SCHEMA,
    ]
}
_COUNT_SCHEMA = {"anyOf": [{"type": "integer", "minimum": 1}, _REFERENCE_SCHEMA]}


def _with_off(schema: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [*schema["anyOf"], _OFF_SCHEMA]}


def _written(write: Callable[[Any], object]) -> PlainSerializer:
    return PlainSerializer(write, when_used="json")


Duration = Annotated[float, PlainValidator(_duration), _written(write_duration), WithJsonSchema(DURATION_SCHEMA)]
"""Seconds; 0 is legal, off is not."""

Interval = Annotated[float, PlainValidator(_interval), _written(write_duration), WithJsonSchema(DURATION_SCHEMA)]
"""Seconds above 0."""

Timeout = Annotated[
    float | None,
    PlainValidator(_timeout),
    _written(or_off(write_duration)),
    WithJsonSchema(_with_off(DURATION_SCHEMA)),
]
"""Seconds above 0, or None for off."""

Size = Annotated[int, PlainValidator(_size), _written(write_size), WithJsonSchema(_SIZE_SCHEMA)]
"""Bytes above 0."""

SizeLimit = Annotated[
    int | None, PlainValidator(_limit), _written(or_off(write_size)), WithJsonSchema(_with_off(_SIZE_SCHEMA))
]
"""Bytes above 0, or None for off."""

Flag = Annotated[bool, PlainValidator(_flag), WithJsonSchema({"anyOf": [{"type": "boolean"}, _REFERENCE_SCHEMA]})]
"""true or false; text only out of `${...}`."""

Count = Annotated[int, PlainValidator(parse_count), WithJsonSchema(_COUNT_SCHEMA)]
"""A whole number from 1."""

CountLimit = Annotated[
    int | None,
    PlainValidator(_quota),
    _written(or_off(int)),
    WithJsonSchema(_with_off(_COUNT_SCHEMA)),
]
"""A whole number from 1, or None for off."""

_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*;[ \t]*[!-~]+)*")

MediaType = Annotated[
    str, PlainValidator(_media_type), _written(str), WithJsonSchema({"type": "string", "pattern": "^[^/]+/[^/]+$"})
]
"""The value of a Content-Type."""

Text = Annotated[str, PlainValidator(_text), _written(shown), WithJsonSchema({"type": "string", "minLength": 1})]
"""Text that is not empty and has no control characters; keeps what `${...}` must not show."""

SecretText = Annotated[
    Secret, PlainValidator(_secret), _written(str), WithJsonSchema({"type": "string", "pattern": SECRET_PATTERN})
]
"""A secret, given as `${NAME}` or `${file:/path}` and nothing else."""

Choice = Annotated[T, BeforeValidator(unexpanded)]
"""One of some literals; `Choice[Literal["a", "b"]]`."""
