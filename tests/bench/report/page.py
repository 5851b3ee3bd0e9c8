"""What a run leaves in docs: the tables between two marks of performance.md, a chart, and all figures as JSON."""

import json
from pathlib import Path
from typing import Any

from .chart import chart
from .table import Table

DOCS = Path(__file__).resolve().parents[3] / "docs"
BEGIN = "<!-- measured: what `make bench` writes begins here -->"
END = "<!-- measured: what `make bench` writes ends here -->"
ALT = "CPU per event and latency added per event of each proxy, and CPU per event as open streams grow"


def write(found: dict[str, Any], docs: Path = DOCS) -> None:
    """Page, chart and figures. Errors: ValueError, where the page has lost its marks."""
    file = docs / "performance.md"
    text = replaced(file.read_text("utf-8"), measured(found))
    (docs / "images/performance.svg").write_text(chart(found), "utf-8")
    (docs / "performance.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    file.write_text(text, "utf-8")


def replaced(page: str, measured: str) -> str:
    """The page with other text between its marks. Errors: ValueError."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/performance.md needs the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{measured}\n\n{END}{after}"


def measured(found: dict[str, Any]) -> str:
    """What stands between the marks."""
    machine = "; ".join(f"{key}: {value}" for key, value in found["machine"].items())
    versions = ", ".join(f"{title} {version}" for title, version in found["versions"].items())
    parts = [
        f"![{ALT}](images/performance.svg)",
        f"Measured on {found['when']}, in {found['took_s']} seconds. {machine}. {versions}.",
        "Values are medians over the rounds; a ratio is streamsafe's value by the other's, the median of the ratios "
        "within each round. All figures of all rounds are in [performance.json](performance.json).",
    ]
    for title, lines in (("Left out", found["left_out"]), ("Spoiled", found["spoiled"])):
        if lines:
            parts.append("\n".join([f"{title} in this run:", "", *(f"* {line}" for line in lines)]))
    parts += [Table(**section["table"]).markdown() for section in found["sections"].values()]
    return "\n\n".join(parts)
