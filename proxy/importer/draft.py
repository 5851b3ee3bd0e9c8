"""What an import is made of: routes in the making, and notes about them. Data and nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Kind = Literal["stream", "left out", "look"]
"""It broke streams there; it is not carried over; it is, or is not needed, and somebody should look at it."""

NAMES: dict[Kind, str] = {"stream": "broke streams", "left out": "not carried over", "look": "look"}


class NotImported(Exception):
    """Nothing could be made of a file. The message says what was expected and where; `could_run` is False where a
    program that is needed is missing or did not end."""

    def __init__(self, message: str, could_run: bool = True) -> None:
        super().__init__(message)
        self.could_run = could_run


class Note(NamedTuple):
    """A remark; `line` is None where the source does not tell."""

    kind: Kind
    text: str
    line: int | None = None


@dataclass(slots=True)
class Draft:
    """One route: its keys as they will be written, and what there is to say about it."""

    title: str
    """What it was called in the source: a context, a location."""
    line: int | None = None
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    secrets: set[str] = field(default_factory=set)
    """Variables that its values refer to."""

    def note(self, kind: Kind, text: str, line: int | None = None) -> None:
        """Says something once."""
        entry = Note(kind, text, line)
        if entry not in self.notes:
            self.notes.append(entry)

    def section(self, *keys: str) -> dict[str, Any]:
        """The map at these keys, made where there is none."""
        place = self.values
        for key in keys:
            place = place.setdefault(key, {})
        return place


@dataclass(slots=True)
class Imported:
    """All that was found in a file."""

    source: str
    """What the file is: `vite`, `nginx`, ..."""
    drafts: list[Draft] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    """Names that requests are for, besides those of this machine."""

    def all_notes(self) -> Iterator[Note]:
        """Those of the file and those of its routes."""
        yield from self.notes
        for draft in self.drafts:
            yield from draft.notes
