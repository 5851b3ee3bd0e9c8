"""The chart of docs/performance.md, as SVG: bars for each proxy, and lines over the number of open streams.

Colours follow the reader's choice of a light or a dark page. What was not measured leaves its panel out.
"""

import math
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LABELS, ROW, BAR = 820, 170, 26, 16
PANEL = WIDTH - LABELS - 90
FAR = 3.0  # a bar this much longer than the next is cut, and says so
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.ours { fill: #0969da; stroke: #0969da }
.other { fill: #8c959f; stroke: #8c959f }
.axis { stroke: #d0d7de; stroke-width: 1 }
polyline { fill: none !important; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .ours { fill: #4493f8; stroke: #4493f8 }
  .other { fill: #6e7681; stroke: #6e7681 }
  .axis { stroke: #30363d }
}
"""
OURS = "streamsafe"
PANELS = (
    ("cpu_us_per_event", "CPU per event, microseconds (less is better)", 1),
    ("added_p50_us", "latency added per event, median, microseconds (less is better)", 0),
)


def chart(found: dict[str, Any]) -> str:
    """The whole picture."""
    drawn, top = [], 10
    events = found["sections"].get("events")
    for key, title, digits in PANELS if events else ():
        values = {
            found["titles"].get(name, name): told["median"]
            for name, told in events["summary"][key].items()
            if name != "direct" and told["median"] is not None
        }
        lines, height = bars(title, values, digits, top)
        drawn += lines
        top += height
    if growth := found["sections"].get("growth"):
        lines, height = curves(growth["rounds"], top)
        drawn += lines
        top += height
    size = f'viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}"'
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', f"<style>{STYLE}</style>", *drawn, "</svg>\n"]
    )


def bars(title: str, values: dict[str, float], digits: int, top: int) -> tuple[list[str], int]:
    """A bar for each subject, ours first, and how high all is. One far beyond the others is cut."""
    longest = _longest(sorted(max(value, 0) for value in values.values()))
    drawn = [_text(0, top + 14, title, "title")]
    for at, (name, value) in enumerate(values.items()):
        y = top + 26 + at * ROW
        long = max(1.0, min(max(value, 0), longest) / longest * PANEL)
        kind = "ours" if name == OURS else "other"
        drawn.append(_text(0, y + 13, name, "name"))
        drawn.append(f'<rect class="{kind}" x="{LABELS}" y="{y}" width="{long:.1f}" height="{BAR}" rx="2"/>')
        cut = " »" if value > longest else ""
        drawn.append(_text(LABELS + long + 8, y + 13, f"{value:,.{digits}f}{cut}", "value"))
    return drawn, 26 + len(values) * ROW + 16


def _longest(ordered: list[float]) -> float:
    """Where the axis ends."""
    if len(ordered) > 1 and ordered[-1] > FAR * ordered[-2] > 0:
        return ordered[-2] * 1.15
    return (ordered[-1] if ordered else 0) or 1.0


def curves(rounds: dict[str, list[dict[str, Any]]], top: int) -> tuple[list[str], int]:
    """CPU per event over the open streams, both on their own scale: streams by powers of ten."""
    height, base = 150, top + 190
    points: dict[str, list[tuple[float, float]]] = {}
    for count, found in rounds.items():
        for name, row in found[0].items():
            points.setdefault(name, []).append((math.log10(int(count)), row["cpu_us_per_event"]))
    counts = sorted(int(count) for count in rounds)
    most = max((cost for line in points.values() for _, cost in line), default=1) * 1.1
    first, span = math.log10(counts[0]), math.log10(counts[-1] / counts[0]) or 1

    def place(x: float, cost: float) -> tuple[float, float]:
        return LABELS + (x - first) / span * (PANEL - 40), base - cost / most * height

    drawn = [
        _text(0, top + 14, "CPU per event, microseconds, as open streams grow (events a second the same)", "title")
    ]
    drawn.append(f'<line class="axis" x1="{LABELS}" y1="{base}" x2="{LABELS + PANEL}" y2="{base}"/>')
    for count in counts:
        x, _ = place(math.log10(count), 0)
        drawn.append(_text(x, base + 18, f"{count:,}", "value", "middle"))
    for name, line in points.items():
        kind, placed = "ours" if name == OURS else "other", [place(*point) for point in line]
        drawn.append(f'<polyline class="{kind}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in placed)}"/>')
        drawn += [f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed]
        beside = -8 if name == OURS else 18  # one line's values above it, the other's below
        drawn += [
            _text(x, y + beside, f"{cost:.1f}", "value", "middle")
            for (x, y), (_, cost) in zip(placed, line, strict=True)
        ]
        drawn.append(_text(placed[-1][0] + 22, placed[-1][1] + 4, name, "name"))
    return drawn, 190 + 34


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
