"""Tables, as text for a terminal and as Markdown; and medians and ratios over rounds."""

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Rounds = list[dict[str, dict[str, Any]]]
"""What each subject gave, round by round; a subject that failed in a round is missing there."""


@dataclass(frozen=True)
class Table:
    """Cells of text; the first column is left-aligned. `note` stands below it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def text(self) -> str:
        """For a terminal."""
        lines = [("", *self.columns), *self.rows]
        widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
        told = [
            "  ".join([line[0].ljust(widths[0]), *(cell.rjust(widths[at]) for at, cell in enumerate(line[1:], 1))])
            for line in lines
        ]
        return "\n".join(["", self.title, *(f"  {line}".rstrip() for line in told)])

    def markdown(self) -> str:
        """For a page, below a heading of its own."""
        head = [f"| | {' | '.join(self.columns)} |", "|---" + "|---:" * len(self.columns) + "|"]
        lines = [f"| {' | '.join(row)} |" for row in self.rows]
        return "\n".join([f"### {self.title}", "", *head, *lines, *(["", self.note] if self.note else [])])


@dataclass(frozen=True)
class Section:
    """One part of a run: a table for people, and for programs all that it was made from."""

    name: str
    table: Table
    data: dict[str, Any]


def median(rounds: Rounds, subject: str, key: str) -> float | None:
    """Over the rounds in which the subject has that figure; None where there is none."""
    values = [row[subject][key] for row in rounds if key in row.get(subject, {})]
    return statistics.median(values) if values else None


def ratio(rounds: Rounds, subject: str, other: str, key: str) -> float | None:
    """Of one to the other, taken within each round; None where there is nothing to divide by."""
    pairs = ((row[subject].get(key), row[other].get(key)) for row in rounds if subject in row and other in row)
    ratios = [mine / theirs for mine, theirs in pairs if mine is not None and theirs is not None and theirs > 0]
    return statistics.median(ratios) if ratios else None


def number(value: float | None, digits: int) -> str:
    """`1,234.5`; a dash where there is none."""
    return "-" if value is None else f"{value:,.{digits}f}"


def spread(values: Iterable[float], digits: int) -> str:
    """The median, and between which values the rounds were."""
    found = sorted(values)
    if not found:
        return "-"
    middle = number(statistics.median(found), digits)
    return middle if len(found) == 1 else f"{middle} ({number(found[0], digits)} to {number(found[-1], digits)})"
