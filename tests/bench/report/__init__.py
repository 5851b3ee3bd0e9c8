"""What was found, told: `table` for eyes on a terminal and in a page, `page` and `chart` for docs/performance.md.

Run as `python -m tests.bench.report RESULTS.json` it writes page and chart again from an earlier run.
"""
