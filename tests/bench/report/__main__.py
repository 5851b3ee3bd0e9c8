"""Writes docs/performance.* again from the JSON of an earlier run: `python -m tests.bench.report RESULTS.json`."""

import json
import sys
from pathlib import Path

from . import page

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {__doc__}")
    page.write(json.loads(Path(sys.argv[1]).read_text("utf-8")))
