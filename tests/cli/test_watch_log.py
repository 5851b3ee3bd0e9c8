"""A log in the folder that is watched: what is written there is no reason to write more."""

from pathlib import Path

from .conftest import Echo, Serve
from .test_reload import reloaded, write


async def test_watch_says_nothing_of_other_files(serve: Serve, echo: Echo, tmp_path: Path) -> None:
    """MUST NOT. A line for each write would make its own log grow for ever, where that stands beside the file."""
    folder = tmp_path / "watched"
    folder.mkdir()
    file = write(folder / "proxy.yaml", echo.url)
    command = serve("-c", str(file), "--watch")
    await command.wait_url()
    for number in range(1, 4):
        (folder / "proxy.log").write_text("a line\n" * number)
        write(file, echo.url, f"/v{number}/")
        await reloaded(command, number)
    assert "detected" not in command.stderr
    assert len([line for line in command.stderr.splitlines() if "reload" in line]) == 3
