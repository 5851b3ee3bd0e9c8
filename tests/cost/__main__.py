"""Prints the counts of today, and of what they are: `python -m tests.cost`."""

import asyncio
import tempfile
from pathlib import Path

from proxy.app.process import loop_factory

from . import calls, system_calls


def main() -> None:
    """Python's calls on both loops, then system calls."""
    for name, new_loop in (("asyncio", asyncio.SelectorEventLoop), ("uvloop", loop_factory)):
        for step, found in calls.counts(new_loop).items():
            print(f"Python calls on {name}, {step}: {found}")
    with tempfile.TemporaryDirectory() as folder:
        try:
            for step, found in system_calls.counts(Path(folder)).items():
                print(f"system calls, {step}: {found}")
        except system_calls.NoTracing as error:
            print(f"left out: system calls: {error}")


if __name__ == "__main__":
    main()
