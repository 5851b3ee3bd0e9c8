"""docs/logs.md says neither more nor less than the code does."""

import json
import re
from collections import defaultdict
from pathlib import Path
from typing import get_args

from proxy.core.errors import ProxyError
from proxy.core.exchange import Exchange, Outcome
from proxy.edge.access_log import fields
from proxy.edge.inspector.api import Api
from proxy.edge.inspector.captured import Budget, Captured, Kind
from proxy.edge.inspector.masking import masker_of
from proxy.edge.inspector.record import Record
from proxy.edge.inspector.store import Store

from .figures import families

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "logs.md").read_text("utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """The table below a heading: its first column, without backticks, to the other columns."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.split("\n") if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert all(cells)
    assert len({row[0] for row in cells}) == len(cells), f"a row of {heading} is there twice"
    return {row[0].strip("`"): row[1:] for row in cells}


def errors(kind: type[ProxyError]) -> list[type[ProxyError]]:
    return [kind, *[below for direct in kind.__subclasses__() for below in errors(direct)]]


def line() -> list[str]:
    return list(fields(Exchange("", 0.0, 0.0)))


def test_every_field_of_a_line_is_described_in_its_order() -> None:
    assert list(rows("Fields")) == line()


def test_every_outcome_is_described() -> None:
    assert list(rows("Outcomes")) == list(get_args(Outcome))


def test_every_code_is_described_with_the_statuses_it_is_answered_with() -> None:
    statuses: dict[str, set[int]] = defaultdict(set)
    for kind in errors(ProxyError):
        statuses[kind.log_code or kind.token].add(kind.status)
    described = {code: {int(status) for status in cells[0].split(", ")} for code, cells in rows("Codes").items()}
    assert described == statuses


def test_no_cell_of_a_table_is_empty() -> None:
    for heading, columns in (("Fields", 2), ("Outcomes", 2), ("Codes", 3)):
        for name, cells in rows(heading).items():
            assert [bool(cell) for cell in cells] == [True] * columns, name


def test_the_example_lines_have_the_fields_of_a_line() -> None:
    (in_text,) = re.findall(r"^time=.*$", TEXT, re.MULTILINE)
    (in_json,) = re.findall(r"^\{\"time\".*$", TEXT, re.MULTILINE)
    names = [pair.partition("=")[0] for pair in in_text.split(" ")]
    assert names == [name for name in line() if name in names]
    assert list(json.loads(in_json)) == line()


OPERATIONS = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text("utf-8")
NOT_OF_OURS = "process_"


def test_every_metric_is_described_with_its_kind_and_labels() -> None:
    described = {}
    for line in OPERATIONS.split("\n"):
        if line.startswith("| `streamsafe_"):
            name, kind, labels, what = [cell.strip() for cell in line.strip("|").split("|")]
            described[name.strip("`")] = kind, set(re.findall(r"`(\w+)`", labels))
            assert what, name
    actual = {}
    for family in families():
        if not family.name.startswith(NOT_OF_OURS):
            labels = {label for sample in family.samples for label in sample.labels if label != "le"}
            name = f"{family.name}_total" if family.type == "counter" else family.name
            actual[name] = family.type, labels
    assert described == actual


def test_every_metric_of_the_process_is_named() -> None:
    found = {family.name for family in families() if family.name.startswith(NOT_OF_OURS)}
    assert found, "the system tells nothing of processes"
    assert {name for name in found if f"`{name}" not in OPERATIONS} == set()


INSPECTOR = (Path(__file__).resolve().parents[2] / "docs" / "inspector.md").read_text("utf-8")


def test_every_member_of_a_summary_is_named_in_its_order() -> None:
    exchange = Exchange("id", 0.0, 0.0)
    record = Record(1, exchange)
    redactor, masker = masker_of([])
    record.captured = Captured(Budget(1000), redactor, masker, late=False)
    assert record.look(redactor)
    (listed,) = re.findall(r"^id request_id .*?(?=^```)", INSPECTOR, re.MULTILINE | re.DOTALL)
    assert listed.split() == list(record.summary)


def test_every_path_and_kind_of_mark_is_described() -> None:
    store = Store(1000, [], list)
    for route in Api(store, "0").routes():
        path = route.path.replace("{id:[0-9]{1,15}}", "{id}")
        assert f"| `{path}" in INSPECTOR, path
    for kind in get_args(Kind):
        assert f"`{kind}`" in INSPECTOR, kind
