"""The checklist of the wire, by number: each rule is claimed by one test here, or named as what is still to come.

A rule is a test's docstring that begins with its number, as `M7: ...`. A test of another rule may go on to show it too.
"""

import ast
import re
from collections import Counter
from pathlib import Path

# How many rules each section has.
SECTIONS = {
    "H": (27, "fields and hops"),
    "F": (16, "forwarding fields"),
    "P": (12, "targets and paths"),
    "M": (19, "framing and smuggling"),
    "S": (25, "streaming"),
    "E": (10, "content codings"),
    "X": (13, "interim answers, methods, special statuses"),
    "A": (19, "aborts and errors"),
    "D": (12, "clients that leave"),
    "R": (13, "retries and redirects"),
    "T": (9, "timers"),
    "U": (13, "upgrades and tunnels"),
    "K": (11, "kept connections"),
    "Z": (8, "limits and hostile input"),
    "C": (14, "CORS"),
    "O": (14, "operation"),
}
# Rules of what does not exist yet, or that are tested with the part of the program that they belong to.
ELSEWHERE = {
    "dialects, whole events and heartbeats": {"S20", "S21", "S22", "S24", "S25", "A11", "A12", "D6", "D7", "D8"},
    "request identity and tracing": {"F12", "F14", "F15"},
    "logins and limits of connections": {"K5", "K6"},
    "streams that may begin twice": {"R13"},
    "operation": {f"O{number}" for number in range(1, 15)},
    "slow and hostile clients in numbers": {"Z4", "Z6", "Z7", "Z8"},
}
CLAIM = re.compile(r"([A-Z]\d+): \S")


def claims() -> Counter[str]:
    """The numbers that tests of this folder claim."""
    claimed: Counter[str] = Counter()
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found = CLAIM.match(ast.get_docstring(node) or "")
                claimed.update([found[1]] if found else [])
    return claimed


def test_every_rule_is_claimed_once():
    """No number is missing, none is claimed by two tests, and none is claimed that does not exist."""
    rules = {f"{section}{number}" for section, (count, _) in SECTIONS.items() for number in range(1, count + 1)}
    elsewhere = set().union(*ELSEWHERE.values())
    assert elsewhere <= rules
    claimed = claims()
    assert {number: times for number, times in claimed.items() if times > 1} == {}
    assert sorted(claimed) == sorted(rules - elsewhere)
