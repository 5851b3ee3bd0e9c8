"""The table: a line for each figure, the median over the rounds of each subject, the ratio within the rounds."""

import os
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path

from .measures import Figure, Measure, Row

Rounds = list[dict[str, Row]]
"""What each subject gave, round by round; a subject that failed in a round is missing there."""

OURS = "streamsafe"
LABEL_WIDTH, COLUMN_WIDTH = 36, 13


def median(rounds: Rounds, subject: str, key: str) -> float | None:
    """Over the rounds in which the subject has that figure; None where there is none."""
    values = [row[subject][key] for row in rounds if key in row.get(subject, {})]
    return statistics.median(values) if values else None


def ratio(rounds: Rounds, peer: str, key: str) -> float | None:
    """Ours to the peer's, taken within each round; None where the peer's is nothing to divide by."""
    pairs = ((row[OURS].get(key), row[peer].get(key)) for row in rounds if OURS in row and peer in row)
    ratios = [ours / theirs for ours, theirs in pairs if ours is not None and theirs is not None and theirs > 0]
    return statistics.median(ratios) if ratios else None


def lines(measure: Measure, rounds: Rounds, subjects: list[str]) -> Iterator[str]:
    """The part of the table that one measure fills."""
    for number, figure in enumerate(measure.figures):
        start = measure.name if not number else ""
        values = [_number(median(rounds, subject, figure.key), figure.digits) for subject in subjects]
        ratios = [_ratio(rounds, peer, figure) for peer in _peers(subjects)]
        direct = [_number(median(rounds, "direct", figure.key), figure.digits)] if measure.direct else []
        yield _line(f"{start:9} {figure.label}", [*values, *ratios, *direct])


def header(subjects: list[str]) -> str:
    """The names of the columns."""
    return _line("median of the rounds", [*subjects, *(f"/ {peer}" for peer in _peers(subjects)), "no proxy"])


def summary(measure: Measure, rounds: Rounds, subjects: list[str]) -> dict[str, dict[str, float | None]]:
    """The same, for a program: by figure, then by subject, and `ratio_to_PEER`; `direct` is without a proxy."""
    measured = [*subjects, "direct"] if measure.direct else subjects
    return {
        figure.key: {subject: median(rounds, subject, figure.key) for subject in measured}
        | {f"ratio_to_{peer}": ratio(rounds, peer, figure.key) for peer in _peers(subjects) if figure.compared}
        for figure in measure.figures
    }


def machine() -> dict[str, str]:
    """Where the figures come from; without it they mean nothing."""
    model = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        named = [
            line.split(":", 1)[1].strip() for line in cpus.read_text().splitlines() if line.startswith("model name")
        ]
        model = named[0] if named else model
    return {
        "cpu": f"{os.cpu_count()} x {model}",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }


def _peers(subjects: list[str]) -> list[str]:
    return [subject for subject in subjects if subject != OURS]


def _ratio(rounds: Rounds, peer: str, figure: Figure) -> str:
    found = ratio(rounds, peer, figure.key) if figure.compared else None
    return "" if found is None else f"{found:.2f}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _line(label: str, cells: list[str]) -> str:
    return (f"{label:{LABEL_WIDTH}}" + "".join(f"{cell:>{COLUMN_WIDTH}}" for cell in cells)).rstrip()
