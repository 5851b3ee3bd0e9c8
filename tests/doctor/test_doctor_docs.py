"""docs/doctor.md knows every finding, and no other."""

import re
from pathlib import Path

from proxy.cli.doctor import EXIT_CODES, doctor
from proxy.demo.misbehaviour import KINDS
from proxy.doctor.rules import RULES
from proxy.doctor.suspects import BLOCKS, CUTS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "doctor.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([a-z0-9.-]+)` \| (fault|warning|note) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)


def test_every_finding_is_described_in_the_order_of_the_table_with_its_severity() -> None:
    assert [(row[0], row[1]) for row in ROWS] == [(rule.id, rule.severity) for rule in RULES]


def test_every_option_is_described() -> None:
    section = TEXT.partition("| option |")[2].partition("\n\n")[0]
    named = re.findall(r"^\| `(--[a-z]+)", section, re.MULTILINE)
    options = [option for parameter in doctor.params for option in parameter.opts if option.startswith("--")]
    assert sorted(named) == sorted(options)


def test_the_exit_codes_are_those_of_the_command() -> None:
    codes = re.findall(r"^\| (\d) \|", TEXT, re.MULTILINE)
    assert sorted(map(int, codes)) == sorted({*EXIT_CODES.values(), 2})


def test_the_exit_codes_can_stand_in_a_build() -> None:
    assert EXIT_CODES == {"streams": 0, "cannot_tell": 0, "unreachable": 1, "does_not_stream": 3}


def test_the_limits_and_blocks_are_those_of_the_rules() -> None:
    (limits,) = [row[2] for row in ROWS if row[0] == "cut-at-limit"]
    assert [int(number) for number in re.findall(r"\d+", limits)] == [cut.after_s for cut in CUTS]
    (blocks,) = [row[2] for row in ROWS if row[0] == "buffered-blocks"]
    assert {int(number) for number in re.findall(r"\d+", blocks.partition(":")[2])} == set(BLOCKS)


def test_every_kind_of_misbehaviour_is_described_with_what_is_found() -> None:
    rows = re.findall(r"^\| `(\S+)` \| (.+) \| `(\S+)` \|$", TEXT.partition("## Faults to try")[2], re.MULTILINE)
    assert rows == [(name, kind.says, kind.finding) for name, kind in KINDS.items()]
