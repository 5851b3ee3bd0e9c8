"""The fuzzer's tests are few and long: their own limit of time."""

import gc

import pytest

from . import profile


@pytest.fixture(scope="session", autouse=True)
def _only_what_examples_make_is_collected() -> None:
    """What imports made stays for good: left out of the collection after each example."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A long run takes as long as was asked for, and what is found then needs shrinking."""
    for item in items:
        if item.path.parent.name == "fuzz":
            item.add_marker(pytest.mark.timeout(profile.SECONDS + 900 if profile.SECONDS else 120))
