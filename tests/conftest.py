"""Which event loop the tests run on: STREAMSAFE_TEST_LOOP says `uvloop` or `asyncio`; uvloop where it is installed."""

import asyncio
import importlib.util
import os
from collections.abc import Callable

import pytest

LoopFactory = Callable[[], asyncio.AbstractEventLoop]

ASKED_LOOP = os.environ.get("STREAMSAFE_TEST_LOOP") or ("uvloop" if importlib.util.find_spec("uvloop") else "asyncio")


def _loop_factory(name: str) -> LoopFactory:
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    raise pytest.UsageError(f"STREAMSAFE_TEST_LOOP: expected uvloop or asyncio, found {name!r}")


def pytest_asyncio_loop_factories() -> dict[str, LoopFactory]:
    """The one loop that this run is for."""
    return {ASKED_LOOP: _loop_factory(ASKED_LOOP)}


def pytest_report_header() -> str:
    """Tells the loop at the top of the report."""
    return f"event loop: {ASKED_LOOP}"


def pytest_configure(config: pytest.Config) -> None:
    """Declares our markers."""
    config.addinivalue_line("markers", "logs_errors: this test makes the proxy log at level ERROR, on purpose")


@pytest.fixture
def asked_loop() -> str:
    """The name of the loop that was asked for."""
    return ASKED_LOOP


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a test that was left out is a failure: by hand its reason is printed, there nobody would read it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter is not None and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
