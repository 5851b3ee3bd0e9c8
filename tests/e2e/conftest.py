"""One stage a test; whatever was started on it is ended with the test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .harness import Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Programs take longer to start than code to run."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(240))


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(tmp_path)
    try:
        yield made
    finally:
        await made.end()
