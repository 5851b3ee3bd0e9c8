"""What of a changed configuration waits for a restart."""

import pytest

from proxy.config.changes import FIXED, fixed_changes, taken
from proxy.config.load import load_text

ROUTES = "routes: [{upstream: 'http://a'}]\n"


def config(text: str = ""):
    return load_text(text + ROUTES, "test.yaml", {})


@pytest.mark.parametrize(
    ("key", "text"),
    [("name", "name: me"), ("admin", "admin: off"), ("workers", "workers: 2"), ("log", "log: {level: debug}")],
)
def test_what_belongs_to_the_processes_is_named_and_stays(key: str, text: str) -> None:
    before, after = config(), config(f"{text}\ndrain: 5s\n")
    assert fixed_changes(before, after) == [key]
    found = taken(before, after)
    assert getattr(found, key) == getattr(before, key)
    assert found.drain == 5


@pytest.mark.parametrize("text", ["listen: 127.0.0.1:1", "drain: 1s", "keep_alive: 1s", "allowed_hosts: [a.test]"])
def test_everything_else_is_taken(text: str) -> None:
    before, after = config(), config(f"{text}\n")
    assert fixed_changes(before, after) == []
    assert taken(before, after) == after


def test_every_fixed_key_exists() -> None:
    assert set(FIXED) <= set(type(config()).model_fields)
