"""Runs a soak and says what came of it; exits with 1 where anything is wrong."""

import asyncio
import os
import random
import sys
import tempfile
from pathlib import Path

from proxy.app.process import loop_factory, raise_file_limit
from tests.soak.run import Settings, soak


def main() -> None:
    """As the environment says."""
    settings = Settings(
        seconds=float(os.environ.get("STREAMSAFE_SOAK_SECONDS") or 600),
        streams=int(os.environ.get("STREAMSAFE_SOAK_STREAMS") or 1500),
        seed=int(os.environ.get("STREAMSAFE_SOAK_SEED") or random.randrange(10**6)),
    )
    print(f"{settings.streams} streams at a time for {settings.seconds:g} s, seed {settings.seed}", file=sys.stderr)
    raise_file_limit()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=loop_factory) as runner:
        report = runner.run(soak(settings, Path(folder)))
    print(report)
    sys.exit(1 if report.faults else 0)


if __name__ == "__main__":
    main()
