"""docs/streams.md says what the code does: dialects, bounds, and settings that load."""

import re
from pathlib import Path

import yaml

from proxy.config.load import load_text
from proxy.core import watch
from proxy.core.dialects import Dialect, recognise
from proxy.net import life, relay

PAGE = (Path(__file__).parent.parent / "docs" / "streams.md").read_text()


def dialects(kind: type[Dialect] = Dialect) -> set[str]:
    """The names of every dialect there is."""
    assert recognise.recognise  # which imports them all
    below = [name for direct in kind.__subclasses__() for name in dialects(direct)]
    return {*below, *([kind.name] if kind is not Dialect else [])}


def test_every_dialect_is_in_the_table():
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`([^`]+)`", row)} == dialects()


def test_the_bounds_are_the_codes():
    assert f"more than {watch.COPY_BYTES // 1024} KiB would have to be kept" in PAGE
    assert life.READ_ON_S == 120
    assert f"{relay.READ_ON_BYTES // 2**20} MiB at most" in PAGE
    assert f"{life.READ_ON_AT_ONCE} exchanges at once" in PAGE


def test_every_setting_loads():
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        config = load_text(f"routes: [{{upstream: 'http://a', {block.splitlines()[0].split('#')[0]}}}]", "f", {})
        assert config.routes[0].stream != load_text("routes: [{upstream: 'http://a'}]", "f", {}).routes[0].stream
        assert yaml.safe_load(block)
