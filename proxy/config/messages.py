"""What is said about a configuration that cannot be used, and where it is.

Every message is one line: `file:line:column: path: expected ..., found ...`. Nothing that came out of `${...}` is
quoted: what is found is shown as it was written, and known secrets are blacked out of everything else.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath

from proxy.config.secrets import Expanded
from proxy.core.redact import Redactor

Place = tuple[str | int, ...]
"""Where a value is: keys and list indexes from the top."""

_LONGEST_QUOTE = 60
_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_USER_INFO = re.compile(r"//[^/@\s]*@")


@dataclass(frozen=True, slots=True)
class Message:
    """One thing that is wrong. `line` and `column` begin at 1, None where there is no file; `path` may be empty."""

    file: str
    line: int | None
    column: int | None
    path: str
    text: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column}"
        return ": ".join(part for part in (place, self.path, self.text) if part)


class ConfigError(Exception):
    """The configuration cannot be used; `messages` says everything that is wrong with it, by position."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self.messages = tuple(sorted(messages, key=lambda found: (found.file, found.line or 0, found.column or 0)))
        super().__init__("\n".join(map(str, self.messages)))


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something was written, and how, if it was a single value: ready to be quoted."""

    file: str
    line: int | None = None
    column: int | None = None
    written: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What was written: plain values, and the marks of every value and of every key, by place."""

    value: object
    marks: dict[Place, Mark]
    keys: dict[Place, Mark] = field(default_factory=dict)


def quoted(value: object) -> str:
    """A value as a message shows it: short, on one line, without a URL's password or what `${...}` stood for."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(_shortened(value.source if isinstance(value, Expanded) else value), ensure_ascii=False)
    if isinstance(value, dict):
        return "a map" if value else "an empty map"
    if isinstance(value, list | tuple):
        return "a list" if value else "an empty list"
    return _shortened(str(value))


def _shortened(text: str) -> str:
    text = _USER_INFO.sub("//…@", text.encode("utf-8", "backslashreplace").decode())
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 1] + "…"


class Report:
    """Collects messages about one document and finds their places.

    `secrets` are values that no message may show. Messages about a place in `failed`, or below it, are dropped: what is
    wrong there was said already.
    """

    def __init__(self, document: Document) -> None:
        self._document = document
        self._messages: list[Message] = []
        self.secrets: set[str] = set()
        self.failed: set[Place] = set()

    def add(self, place: Place, text: str, *, at_key: bool = False) -> None:
        """Notes what is wrong at a place."""
        if any(place[:length] in self.failed for length in range(len(place) + 1)):
            return
        mark, shown = self._find(place, at_key)
        path = write_place(shown, self._document.value)
        self._messages.append(Message(mark.file, mark.line, mark.column, self._black_out(path), self._black_out(text)))

    def expected(self, place: Place, expected: str, found: object) -> None:
        """Notes that something else was expected at a place than what is written there."""
        mark, shown = self._find(place, False)
        written = mark.written if mark.written is not None and self._covers(shown) else quoted(found)
        self.add(place, f"expected {expected}, found {written}")

    def line(self, place: Place) -> str:
        """Where a place is, for a message about another one; empty where there is no file."""
        mark, _ = self._find(place, False)
        return "" if mark.line is None else f" in line {mark.line}"

    def path(self, place: Place) -> str:
        """A place as messages write it."""
        return write_place(place, self._document.value)

    def raise_if_any(self) -> None:
        """Errors: ConfigError with all that was noted, once each."""
        if self._messages:
            raise ConfigError(dict.fromkeys(self._messages))

    def _covers(self, shown: Place) -> bool:
        return shown in self._document.marks

    def _find(self, place: Place, at_key: bool) -> tuple[Mark, Place]:
        """The mark of a place or of what surrounds it, and the place to name.

        A route's key may have come from `defaults`. Where the text holds a single value in a place with parts (a short
        form), the place is that of the value.
        """
        if at_key:
            for candidate in _origins(place, len(place)):
                if candidate in self._document.keys:
                    return self._document.keys[candidate], candidate
        for length in range(len(place), -1, -1):
            for candidate in _origins(place, length):
                if mark := self._document.marks.get(candidate):
                    return mark, candidate if mark.written is not None else candidate + place[length:]
        raise AssertionError("every document has a mark at its top")

    def _black_out(self, text: str) -> str:
        return Redactor(self.secrets).text(text)


def _origins(place: Place, length: int) -> Iterator[Place]:
    yield place[:length]
    if length > 2 and place[0] == "routes":
        yield ("defaults", *place[2:length])


def write_place(place: Place, value: object) -> str:
    """A place as people write it: `listen[1]`, `routes.openai.stream` by the route's name, `set."odd key"`."""
    parts: list[str] = []
    for index, step in enumerate(place):
        if isinstance(step, int):
            name = _route_name(place, value) if index == 1 and place[0] == "routes" else None
            parts.append(f".{name}" if name else f"[{step}]")
        else:
            parts.append("." + (step if _SIMPLE_KEY.fullmatch(step) else quoted(step)))
    return "".join(parts).removeprefix(".")


def _route_name(place: Place, value: object) -> str | None:
    """The name written for the route at this place, if it is written plainly and by no other route."""
    routes = value.get("routes") if isinstance(value, dict) else None
    if not isinstance(routes, list | tuple):
        return None
    names = [route.get("name") if isinstance(route, dict) else None for route in routes]
    name = names[place[1]] if isinstance(place[1], int) and place[1] < len(names) else None
    if not isinstance(name, str) or not _SIMPLE_KEY.fullmatch(name) or names.count(name) > 1:
        return None
    return name


def unreadable(file: str | PurePath, text: str) -> ConfigError:
    """The error for a file or text that cannot be read at all."""
    return ConfigError([Message(str(file), None, None, "", text)])
