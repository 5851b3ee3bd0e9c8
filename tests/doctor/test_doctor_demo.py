"""Every way in which the demo's upstream can misbehave is named by the doctor, and the worst of them are faults."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.demo.misbehaviour import KINDS, start
from proxy.doctor.rules import RULES

from .planted import examined, ids

HARMLESS_ALONE = {"late-head", "http10", "cr", "bom"}
"""Only a warning: some readers bear it."""


@asynccontextmanager
async def misbehaving(kind: str) -> AsyncIterator[str]:
    server = await start(kind, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    finally:
        server.close()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("silent", "cut-at-60s")])
async def test_each_is_named(kind: str) -> None:
    async with misbehaving(kind) as url:
        diagnosis = await examined(url, timeout_s=25)
    assert KINDS[kind].finding in ids(diagnosis)
    faults = [finding.id for finding in diagnosis.findings if finding.severity == "fault"]
    if kind in HARMLESS_ALONE:
        assert KINDS[kind].finding not in faults
    else:
        assert KINDS[kind].finding in faults
        assert diagnosis.verdict == "does_not_stream"


async def test_one_that_never_answers_is_left_when_the_time_is_up() -> None:
    async with misbehaving("silent") as url:
        diagnosis = await examined(url, timeout_s=0.5)
    assert (ids(diagnosis), diagnosis.verdict) == (["no-answer"], "unreachable")


async def test_none_of_them_may_be_read_by_a_page_of_another_origin() -> None:
    async with misbehaving("cut") as url:
        diagnosis = await examined(url, origin="http://localhost:5173")
    assert "cors-missing" in ids(diagnosis)


async def test_the_sixty_second_cut_is_one_by_its_script() -> None:
    """Not waited for: what it sends before its silence has come, and the silence is as long as the limit."""
    assert KINDS["cut-at-60s"].steps[-1] == 60.0
    async with misbehaving("cut-at-60s") as url:
        diagnosis = await examined(url, timeout_s=0.5)
    assert len(diagnosis.chain.events) == 1
    assert diagnosis.chain.seen.end == "timeout"


def test_every_finding_is_one_of_the_doctors() -> None:
    assert {kind.finding for kind in KINDS.values()} <= {rule.id for rule in RULES}
