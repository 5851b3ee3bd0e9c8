"""docs/why-streams-break.md has a place for whatever the doctor calls a fault."""

import re
from pathlib import Path

from proxy.demo.misbehaviour import KINDS
from proxy.doctor.rules import RULES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "why-streams-break.md").read_text("utf-8")
NAMED = set(re.findall(r"`([a-z0-9.]+(?:-[a-z0-9.]+)*)`", TEXT))
RECIPES = Path(__file__).resolve().parents[2] / "docs" / "recipes"


def test_every_fault_is_mentioned() -> None:
    assert [rule.id for rule in RULES if rule.severity == "fault" and rule.id not in NAMED] == []


def test_every_finding_in_the_table_of_symptoms_is_one_of_the_doctors() -> None:
    table = TEXT.partition("| what one sees |")[2].partition("\n\n")[0]
    cells = {name for row in table.split("\n")[2:] for name in re.findall(r"`([a-z0-9.-]+)`", row.split("|")[3])}
    assert len(cells) > 40
    assert cells <= {rule.id for rule in RULES}


def test_every_recipe_is_linked() -> None:
    assert [
        page.name for page in RECIPES.glob("*.md") if page.stem != "README" and f"recipes/{page.name}" not in TEXT
    ] == []


def test_what_the_demo_shows_is_mentioned() -> None:
    assert {kind.finding for kind in KINDS.values()} <= NAMED
