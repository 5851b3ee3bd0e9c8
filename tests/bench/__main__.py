"""Runs the bench: `python -m tests.bench [--quick] [--rounds N] [--only ...] [--peers ...] [--json FILE] [--docs]`.

Tables go to stdout, all else to stderr. Exit codes: 0 all was measured, 1 something was spoiled (a lost event, a body
that was not whole, a failed request), 2 wrong usage. How fast anything was never makes it fail.
"""

import argparse
import json
import sys
from collections.abc import Collection
from pathlib import Path

from . import run
from .report import page


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measures streamsafe beside its peers.")
    parser.add_argument("--quick", action="store_true", help="one round of the main measures, under two minutes")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each; default: 3 or 5 of what wanders, 1 or 2 else")
    parser.add_argument("--only", metavar="NAME,...", help=f"of {','.join(run.SECTIONS)}")
    parser.add_argument("--peers", metavar="NAME,...", help=f"of {','.join(run.FINDERS)}; empty for none")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where all rows of all rounds are written")
    parser.add_argument("--docs", action="store_true", help="write docs/performance.*: page, figures and chart")
    found = parser.parse_args()
    found.only = chosen(parser, "--only", found.only, run.QUICK if found.quick else run.SECTIONS, run.SECTIONS)
    found.peers = chosen(parser, "--peers", found.peers, run.QUICK_PEERS if found.quick else run.FINDERS, run.FINDERS)
    if found.rounds is not None and not 1 <= found.rounds <= 20:
        parser.error("--rounds: 1 to 20")
    if found.json and not found.json.parent.is_dir():
        parser.error(f"--json: no such folder: {found.json.parent}")
    return found


def chosen(
    parser: argparse.ArgumentParser, option: str, asked: str | None, usual: Collection[str], known: Collection[str]
) -> list[str]:
    """The names of a list, in the order of the run."""
    wanted = list(usual) if asked is None else [name for name in asked.split(",") if name]
    if unknown := [name for name in wanted if name not in known]:
        parser.error(f"{option}: unknown: {', '.join(unknown)}; there are {', '.join(known)}")
    return [name for name in known if name in wanted]


def main() -> int:
    """Measures, prints and writes; the exit code."""
    asked = arguments()
    with run.ended_by_signals():
        found = run.run(asked.only, asked.peers, asked.rounds, asked.quick)
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if asked.docs:
        page.write(found)
    for what in found["left_out"]:
        run.tell(f"left out: {what}")
    for what in found["spoiled"]:
        run.tell(f"SPOILED: {what}")
    return 1 if found["spoiled"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
