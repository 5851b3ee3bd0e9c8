"""The log of a process: what its parts share."""

import subprocess
import sys

SHARED = """
import logging
from proxy.app.logs import Logs
from proxy.config.load import load_text

logs = Logs(load_text("routes: [{upstream: http://127.0.0.1:9}]", "of this test", {}))
print([handler.lock is logs.sink.lock for handler in logging.getLogger().handlers])
"""


def test_logging_and_the_access_log_share_a_lock() -> None:
    """MUST. What is freed while a line of the access log is handed over may be logged, as another line just is."""
    done = subprocess.run([sys.executable, "-c", SHARED], capture_output=True, text=True, timeout=20, check=True)
    assert done.stdout == "[True]\n"
