"""`make` alone shows what there is to make; it starts nothing."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def made(*arguments: str) -> str:
    """What make prints; as if it was not make that runs these tests."""
    command = ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), *arguments]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def test_make_alone_names_every_target_with_what_it_is_for() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    told = [re.fullmatch(r"make (\S+) +(\S.*)", line) for line in made().splitlines()]
    assert [line[1] for line in told if line] == phony.split()
    assert made("help") == made()


def test_a_dry_run_of_the_default_runs_nothing_but_the_help() -> None:
    (line,) = made("-n").splitlines()
    assert line.startswith("awk ")
