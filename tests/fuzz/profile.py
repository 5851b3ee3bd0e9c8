"""How long the fuzzer runs: the same few hundred examples every time, or for STREAMSAFE_FUZZ_SECONDS at random.

A random run prints the seed of each batch; STREAMSAFE_FUZZ_SEED plays one batch again. Hypothesis prints the smallest
example that fails, and a blob that reproduces it.
"""

import os
import random
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, seed, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from hypothesis.strategies import SearchStrategy

SECONDS = float(os.environ.get("STREAMSAFE_FUZZ_SECONDS") or 0)
SEED = os.environ.get("STREAMSAFE_FUZZ_SEED")
PARTS = 4
"""Tests that share the time."""
BATCH = 100
"""Examples under one seed."""
_QUIET: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}


def fuzz(check: Callable[[Any], None], examples: SearchStrategy[Any], short: int) -> None:
    """Runs the check on `short` examples that are always the same, or on random ones while there is time."""

    def batch(chosen: settings, number: int | None) -> None:
        test = chosen(given(examples)(check))
        (test if number is None else seed(number)(test))()

    _run(batch, short)


def fuzz_machine(machine: type[RuleBasedStateMachine], short: int, steps: int) -> None:
    """The same for a state machine with runs of at most so many steps."""

    def batch(chosen: settings, number: int | None) -> None:
        one = type(machine.__name__, (machine,), {})
        run_state_machine_as_test(
            one if number is None else seed(number)(one),
            settings=settings(chosen, stateful_step_count=steps),
        )

    _run(batch, short)


def _run(batch: Callable[[settings, int | None], None], short: int) -> None:
    if not SECONDS and not SEED:
        batch(settings(max_examples=short, derandomize=True, print_blob=True, **_QUIET), None)
        return
    until = time.monotonic() + SECONDS / PARTS
    number = int(SEED) if SEED else random.SystemRandom().getrandbits(32)
    while True:
        print(f"seed {number}, {BATCH} examples", flush=True)
        batch(settings(max_examples=BATCH, print_blob=True, **_QUIET), number)
        if SEED or time.monotonic() > until:
            return
        number = random.SystemRandom().getrandbits(32)
