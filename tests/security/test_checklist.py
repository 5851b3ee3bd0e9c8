"""The checklist of threats, by number: each is claimed by one test of this folder, in order, or named as still to come.

A claim is a docstring that begins with a number, as `SEC-07: ...`.
"""

import ast
import re
from pathlib import Path

LAST = 50
# What does not exist yet brings its tests along.
ELSEWHERE = {
    "reload of keys": {31},
    "handles of streams that can be resumed": {49},
}
CLAIM = re.compile(r"SEC-(\d\d): \S")


def claims() -> list[int]:
    """The numbers that are claimed, file by file, in the order of the tests."""
    found = []
    for path in sorted(Path(__file__).parent.glob("test_[0-9]_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                claim = CLAIM.match(ast.get_docstring(node) or "")
                found += [int(claim[1])] if claim else []
    return found


def test_every_threat_is_claimed_once_and_in_order() -> None:
    """None is missing, none is claimed twice, and a reader finds them one after the other."""
    elsewhere = set().union(*ELSEWHERE.values())
    assert claims() == [number for number in range(1, LAST + 1) if number not in elsewhere]
