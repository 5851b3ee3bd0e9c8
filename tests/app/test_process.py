"""The limit of open files: raised as far as it goes, and told of where it is too low for what the routes allow."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.app import process
from tests.cli.command import environment

NONE = resource.RLIM_INFINITY


class Limits:
    """A system with limits of its own; above `refused` it takes no soft limit, whatever the hard one says."""

    def __init__(self, soft: int, hard: int, refused: int | None = None) -> None:
        self.soft, self.hard, self.refused = soft, hard, refused

    def getrlimit(self, _which: int) -> tuple[int, int]:
        return self.soft, self.hard

    def setrlimit(self, _which: int, limits: tuple[int, int]) -> None:
        unlimited = limits[0] == resource.RLIM_INFINITY
        if self.refused is not None and (unlimited or limits[0] > self.refused):
            raise ValueError("current limit exceeds maximum limit")
        self.soft, self.hard = limits


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Limits:
    limits = Limits(*request.param)
    monkeypatch.setattr(resource, "getrlimit", limits.getrlimit)
    monkeypatch.setattr(resource, "setrlimit", limits.setrlimit)
    return limits


@pytest.mark.parametrize(
    ("system", "soft"),
    [
        ((1024, 524_288), 524_288),
        ((4096, 4096), 4096),
        ((256, NONE), NONE),
        ((256, NONE, 245_760), 65_536),
        ((256, NONE, 24_576), 10_240),
        ((256, NONE, 1000), 256),
        ((200_000, NONE, 245_760), 200_000),
        ((NONE, NONE), NONE),
    ],
    indirect=["system"],
)
def test_the_soft_limit_is_raised_as_far_as_the_system_lets(system: Limits, soft: int) -> None:
    hard = system.hard
    process.raise_file_limit()
    assert (system.soft, system.hard) == (soft, hard)


@pytest.mark.parametrize(
    ("system", "concurrent", "held", "wanted"),
    [
        ((1024, 1024), [None], 462, 1000),
        ((1024, 1024), [None, None], 462, 1000),
        ((1024, 1024), [400, 63], 462, 463),
        ((1024, 1024), [400, None], 462, 1400),
        ((50, 50), [1], 0, 1),
        ((256, NONE), [100], 78, 100),
    ],
    indirect=["system"],
)
@pytest.mark.usefixtures("system")
def test_too_few_files_are_told_with_what_they_hold_and_what_is_needed(
    concurrent: list[int | None], held: int, wanted: int
) -> None:
    told = process.few_files(concurrent)
    assert f"enough for {held} exchanges at once and not for {wanted};" in told
    assert f"raise the limit to {2 * wanted + 100} " in told


@pytest.mark.parametrize(
    ("system", "concurrent"),
    [
        ((1024, 1024), [400, 62]),
        ((1024, 524_288), [None, 100_000]),
        ((NONE, NONE), [10**9]),
        ((2100, 2100), [None]),
    ],
    indirect=["system"],
)
@pytest.mark.usefixtures("system")
def test_nothing_is_told_where_the_files_suffice(concurrent: list[int | None]) -> None:
    assert process.few_files(concurrent) == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_says_in_one_line_that_files_are_too_few(tmp_path: Path, workers: int) -> None:
    """Once, however many workers; the limit is really raised, since the soft one below would not do to start."""
    (tmp_path / "proxy.yaml").write_text(
        f"listen: 127.0.0.1:0\nadmin: off\nworkers: {workers}\n"
        "routes: [{path: /, upstream: 'http://127.0.0.1:9', limits: {concurrent: 200}}]\n"
    )
    limited = f"ulimit -Sn 40; ulimit -Hn 300; exec '{sys.executable}' -m proxy serve -c proxy.yaml"
    with subprocess.Popen(
        ["sh", "-c", limited], cwd=tmp_path, env=environment(tmp_path, {}), stderr=subprocess.PIPE, text=True
    ) as started:
        try:
            assert started.stderr is not None
            lines: list[str] = []
            while not lines or "goes to" not in lines[-1]:
                lines.append(started.stderr.readline())
                assert lines[-1], lines
        finally:
            started.terminate()
            started.wait(20)
    (told,) = [line for line in lines if "open files" in line]
    assert "level=warning" in told
    assert "this process may have 300, enough for 100 exchanges at once and not for 200; raise the limit to 500" in told
