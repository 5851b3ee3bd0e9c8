"""The recipes show what `make e2e` runs: the same files, the same commands."""

from pathlib import Path

import pytest

from tests.e2e.chains import ALL, PROXY, Chain
from tests.test_readme import ROOT, blocks

RECIPES = ROOT / "docs" / "recipes"

every_chain = pytest.mark.parametrize("chain", ALL, ids=lambda chain: chain.name)


def shown(page: Path) -> list[str]:
    """The configurations on a page."""
    return [body for _, body in blocks(page.read_text("utf-8"), "js", "ts", "nginx", "yaml")]


@every_chain
def test_a_recipe_shows_the_configuration_that_is_tested(chain: Chain) -> None:
    assert shown(RECIPES / f"{chain.name}.md") == [chain.config]
    assert chain.config.count(PROXY) == 1


@every_chain
def test_a_recipe_shows_the_command_that_is_run_and_the_address_the_proxy_has(chain: Chain) -> None:
    text = (RECIPES / f"{chain.name}.md").read_text("utf-8")
    commands = [body for _, body in blocks(text, "sh")]
    assert f"{chain.command}\n" in commands
    assert "streamsafe serve http://localhost:9000\n" in commands
    assert [command for command in commands if command.startswith("curl -N ")]


def test_every_recipe_is_tested_and_listed() -> None:
    pages = {page.stem for page in RECIPES.glob("*.md")} - {"README"}
    assert pages == {chain.name for chain in ALL}
    index = (RECIPES / "README.md").read_text("utf-8")
    assert [page for page in pages if f"({page}.md)" not in index] == []


def test_a_recipe_that_differs_by_a_character_is_found(tmp_path: Path) -> None:
    chain = ALL[0]
    page = tmp_path / "page.md"
    page.write_text(f"```js\n{chain.config.replace('8787', '8788')}```\n", "utf-8")
    assert shown(page) != [chain.config]
