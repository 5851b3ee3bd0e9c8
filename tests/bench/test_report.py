"""What a run writes: tables, ratios within rounds, the page between its marks, and the chart."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

from .load import window_s
from .peers import Missing, version_of
from .report import page
from .report.chart import chart
from .report.table import Table, median, ratio

ROUNDS = [
    {"streamsafe": {"us": 10.0}, "nginx": {"us": 5.0}},
    {"streamsafe": {"us": 30.0}, "nginx": {"us": 20.0}},
    {"streamsafe": {"us": 12.0}},
]
SVG = "{http://www.w3.org/2000/svg}"


def found(**events: float) -> dict[str, Any]:
    """A run that measured the events of these subjects."""
    values = {name: {"median": value} for name, value in events.items()}
    return {
        "when": "2026-01-01 00:00 UTC",
        "took_s": 1,
        "machine": {"cpu": "2 cores"},
        "titles": {"litellm": "LiteLLM"},
        "versions": {"nginx": "1.22"},
        "left_out": ["caddy: not installed"],
        "spoiled": [],
        "sections": {
            "events": {
                "table": {"title": "An event", "columns": ["a"], "rows": [["b", "1"]], "note": ""},
                "summary": {"cpu_us_per_event": values, "added_p50_us": values},
            }
        },
    }


def widths(svg: str) -> list[float]:
    """Of the bars of the first panel, as long as all panels have as many."""
    bars = [float(one.attrib["width"]) for one in ElementTree.fromstring(svg).iter(f"{SVG}rect")]
    return bars[: len(bars) // 2]


def test_a_ratio_is_taken_within_a_round_and_then_the_median() -> None:
    """Of medians it would be 12 / 12.5; a round in which one is missing counts for the other's median alone."""
    assert ratio(ROUNDS, "streamsafe", "nginx", "us") == pytest.approx((2.0 + 1.5) / 2)
    assert median(ROUNDS, "streamsafe", "us") == 12.0
    assert median(ROUNDS, "caddy", "us") is None
    assert ratio(ROUNDS, "streamsafe", "caddy", "us") is None


def test_a_table_is_the_same_for_a_terminal_and_for_a_page() -> None:
    table = Table("Title", ("one", "two"), (("first", "1", "2"), ("second", "30", "-")), "A note.")
    assert table.text() == "\nTitle\n          one  two\n  first     1    2\n  second   30    -"
    head = "### Title\n\n| | one | two |\n|---|---:|---:|\n"
    assert table.markdown() == f"{head}| first | 1 | 2 |\n| second | 30 | - |\n\nA note."


def test_only_what_is_between_the_marks_is_replaced() -> None:
    text = f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n"
    assert page.replaced(text, "new") == f"before\n{page.BEGIN}\n\nnew\n\n{page.END}\nafter\n"


@pytest.mark.parametrize("text", ["", page.BEGIN, page.END, f"{page.END}\n{page.BEGIN}"])
def test_a_page_without_its_marks_is_left_alone(text: str) -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        page.replaced(text, "new")


def test_a_run_writes_page_chart_and_figures(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "performance.md").write_text(f"{page.BEGIN}\n{page.END}\n", "utf-8")
    page.write(found(streamsafe=10, nginx=20), tmp_path)
    text = (tmp_path / "performance.md").read_text("utf-8")
    assert "### An event\n\n| | a |\n|---|---:|\n| b | 1 |\n" in text
    assert "Left out in this run:\n\n* caddy: not installed\n" in text
    assert "Spoiled" not in text
    assert json.loads((tmp_path / "performance.json").read_text("utf-8")) == found(streamsafe=10, nginx=20)
    assert (tmp_path / "images/performance.svg").read_text("utf-8") == chart(found(streamsafe=10, nginx=20))


def test_bars_are_as_long_as_their_values() -> None:
    ours, nginx = widths(chart(found(streamsafe=10, nginx=20)))
    assert ours * 2 == pytest.approx(nginx, abs=0.2)


def test_a_bar_far_beyond_the_others_is_cut_and_says_so() -> None:
    svg = chart(found(streamsafe=10, nginx=20, litellm=700))
    ours, nginx, litellm = widths(svg)
    assert ">LiteLLM</text>" in svg
    assert nginx > litellm / 2 > ours / 2
    assert [one.text for one in ElementTree.fromstring(svg).iter(f"{SVG}text") if "»" in (one.text or "")] == [
        "700.0 »",
        "700 »",
    ]


def test_the_page_shows_the_figures_that_lie_beside_it() -> None:
    """The last run wrote both; nobody has edited one of them."""
    figures = json.loads((page.DOCS / "performance.json").read_text("utf-8"))
    text = (page.DOCS / "performance.md").read_text("utf-8")
    assert page.replaced(text, page.measured(figures)) == text
    assert (page.DOCS / "images/performance.svg").read_text("utf-8") == chart(figures)


@pytest.mark.parametrize(("events", "hz", "counted_s"), [(120, 40, 2.375), (12, 1, 10.4), (2, 1, 0.5)])
def test_counting_ends_before_the_first_stream_does(events: int, hz: float, counted_s: float) -> None:
    assert window_s(events, hz) == pytest.approx(counted_s)


def test_a_peer_that_is_not_there_says_so() -> None:
    with pytest.raises(Missing, match="no-such-program is not installed"):
        version_of(["no-such-program", "--version"])
    with pytest.raises(Missing, match="false does not run"):
        version_of(["false"])
