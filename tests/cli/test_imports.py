"""What a command loads: what runs for weeks keeps nothing that another command needs, or that is switched off."""

from pathlib import Path

import pytest

from proxy import cli
from tests.test_layering import under

from .command import run_once
from .conftest import Serve

UPSTREAM = "http://127.0.0.1:1"
OF_OTHER_COMMANDS = {"crossplane", "rich", "proxy.importer", "proxy.demo", "proxy.doctor.probe", "proxy.doctor.report"}
OF_THE_ADMIN_LISTENER = {"prometheus_client", "proxy.edge.admin", "proxy.edge.metrics"}
OF_THE_INSPECTOR = {"proxy.edge.inspector"}
OF_SEVERAL_PROCESSES = {"proxy.app.workers", "proxy.cli.run_workers"}
OF_WATCHING = {"watchfiles"}
TOLD = {"PYTHONPROFILEIMPORTTIME": "1"}  # Python then says on stderr what it imports


def imported(stderr: str) -> set[str]:
    return {line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:")}


def loaded(stderr: str, parts: set[str]) -> set[str]:
    """Which of these packages and modules were."""
    modules = imported(stderr)
    return {part for part in parts if any(under(name, {part}) for name in modules)}


OPTIONAL = OF_OTHER_COMMANDS | OF_THE_ADMIN_LISTENER | OF_THE_INSPECTOR | OF_SEVERAL_PROCESSES | OF_WATCHING


@pytest.mark.parametrize(
    ("options", "needed"),
    [
        ([], set()),
        (["--admin", "127.0.0.1:0"], OF_THE_ADMIN_LISTENER | OF_THE_INSPECTOR),
        (["--admin", "127.0.0.1:0", "inspector: off"], OF_THE_ADMIN_LISTENER),
        (["--watch"], OF_WATCHING),
        (["--workers", "2"], OF_SEVERAL_PROCESSES),
    ],
    ids=["nothing", "admin", "no inspector", "watch", "workers"],
)
async def test_serve_loads_what_it_was_asked_for(
    serve: Serve, tmp_path: Path, options: list[str], needed: set[str]
) -> None:
    """The twin of each: what one of them needs is loaded there, and nowhere else."""
    file = tmp_path / "proxy.yaml"
    settings = [option for option in options if ": " in option]
    file.write_text("\n".join([f"routes: [{{upstream: '{UPSTREAM}'}}]", *settings]), "utf-8")
    command = serve("-c", str(file), *[option for option in options if option not in settings], environ=TOLD)
    await command.wait_url()
    if options == ["--watch"]:
        await command.wait_match(r"\| +watchfiles$")
    found = loaded(command.stderr, OPTIONAL)
    if options == ["--workers", "2"]:
        found -= OF_THE_ADMIN_LISTENER | OF_THE_INSPECTOR  # workers tell their figures to whoever serves them
    assert found == needed


def test_a_check_loads_nothing_that_serves(tmp_path: Path) -> None:
    """An image asks `check --health` every few seconds."""
    (tmp_path / "proxy.yaml").write_text(f"routes: [{{upstream: '{UPSTREAM}'}}]", "utf-8")
    done = run_once(tmp_path, "check", "-c", "proxy.yaml", environ=TOLD)
    assert loaded(done.stderr, OPTIONAL | {"aiohttp", "asyncio", "uvloop"}) == set()
    assert "pydantic" in imported(done.stderr)


def test_the_help_has_all_commands_with_what_they_say_of_themselves(tmp_path: Path) -> None:
    said = " ".join(run_once(tmp_path, "--help").stdout.split())
    modules = {path.stem.strip("_") for path in Path(cli.__file__).parent.glob("*.py")}
    assert set(cli.COMMANDS) == {"serve", "demo", "check", "doctor", "import", "schema"}
    assert set(cli.COMMANDS) <= modules
    for name, found in cli.COMMANDS.items():
        command = found()
        assert command.name == name
        assert f"{name} {command.get_short_help_str(200)}" in said


def test_a_command_that_there_is_not_is_wrong_usage(tmp_path: Path) -> None:
    done = run_once(tmp_path, "server")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such command 'server'" in done.stderr
