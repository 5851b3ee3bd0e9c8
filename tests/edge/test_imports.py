"""What serves requests knows nothing of what watches it: not even loaded."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["proxy.net.server", "proxy.core.plan"])
def test_the_data_path_loads_neither_metrics_nor_pages(module: str) -> None:
    script = f"import sys, {module}; print([name for name in sys.modules if name.startswith(('proxy.edge', 'prom'))])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "[]\n"
