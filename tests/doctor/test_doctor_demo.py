"""Every way in which the demo's upstream can misbehave is named by the doctor, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxy.demo import misbehaviour
from proxy.demo.misbehaviour import KINDS, Wait, start
from proxy.doctor.observation import Observation, Request
from proxy.doctor.probe import Bounds, observe
from proxy.doctor.rules import RULES, Diagnosis, diagnose
from proxy.doctor.wire import AnswerReader

from .planted import HEAD, chunk, event, examined, ids, of

CUT_KINDS = {"cut-at-15s": 15, "cut-at-30s": 30, "cut-at-60s": 60, "cut-at-100s": 100}
"""Played on a clock of their own, and after how many of its seconds they are cut."""
ALSO = {"compressed": ["buffered", "head-held"]}
"""What is found besides: who compresses without a flush holds everything."""
HARMLESS_ALONE = {"late-head", "http10", "cr", "bom"}
"""Only a warning: some readers bear it."""
UNREACHABLE = {"tls-self-signed", "tls-expired"}
PAGE: dict[str, Any] = {"origin": "http://localhost:5173", "lines": [("Authorization", "Bearer x")]}


@asynccontextmanager
async def misbehaving(kind: str, wait: Wait = asyncio.sleep) -> AsyncIterator[str]:
    listening = await start(kind, "127.0.0.1", 0, wait)
    try:
        yield f"{KINDS[kind].scheme}://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
    finally:
        listening.close()


def trust(monkeypatch: pytest.MonkeyPatch, authority: str) -> None:
    folder = Path(misbehaviour.__file__).parent / "certificates"
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / authority))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "silent" and kind not in CUT_KINDS])
async def test_each_is_named_and_nothing_else(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    played = KINDS[kind]
    if played.authority is not None:
        trust(monkeypatch, played.authority)
    async with misbehaving(kind) as url:
        diagnosis = await examined(url, timeout_s=25, **(PAGE if kind == "preflight" else {}))
    assert ids(diagnosis) == [played.finding, *ALSO.get(kind, [])]
    assert diagnosis.findings[0].severity == ("warning" if kind in HARMLESS_ALONE else "fault")
    verdict = "streams" if kind in HARMLESS_ALONE else "unreachable" if kind in UNREACHABLE else "does_not_stream"
    assert diagnosis.verdict == verdict


async def test_one_that_never_answers_is_left_when_the_time_is_up() -> None:
    async with misbehaving("silent") as url:
        diagnosis = await examined(url, timeout_s=0.5)
    assert (ids(diagnosis), diagnosis.verdict) == (["no-answer"], "unreachable")


async def test_none_of_them_may_be_read_by_a_page_of_another_origin() -> None:
    async with misbehaving("cut") as url:
        diagnosis = await examined(url, origin="http://localhost:5173")
    assert "cors-missing" in ids(diagnosis)


class Clock:
    """A clock that the upstream's pauses put forward and nothing else, for it and for the doctor: they pass at once.

    First what was sent before a pause has to have been seen, else its moment would be wrong.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        self._pieces = 0
        self._more = asyncio.Event()
        monkeypatch.setattr(AnswerReader, "elapsed", lambda reader: self.seconds)

    async def wait(self, seconds: float) -> None:
        await self._more.wait()
        self._more.clear()
        self.seconds += seconds

    def watch(self, seen: Observation) -> None:
        if len(seen.body) > self._pieces:
            self._pieces = len(seen.body)
            self._more.set()

    async def examined(self, url: str) -> Diagnosis:
        return diagnose(await observe(Request(url), Bounds(timeout_s=300), self.watch))


@pytest.mark.parametrize(("kind", "limit_s"), CUT_KINDS.items())
async def test_a_cut_at_a_limit_is_told_by_its_seconds(
    kind: str, limit_s: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    async with misbehaving(kind, clock.wait) as url:
        diagnosis = await clock.examined(url)
    assert clock.seconds == limit_s
    assert (ids(diagnosis), diagnosis.verdict) == (["cut-at-limit"], "does_not_stream")
    assert f"{limit_s} s matches" in of(diagnosis, "cut-at-limit")


async def test_a_cut_after_another_silence_is_nobodys_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin: 45 seconds is where nobody cuts by default."""
    clock = Clock(monkeypatch)
    monkeypatch.setitem(KINDS, "cut-at-45s", misbehaviour.Misbehaviour("", "", (HEAD, chunk(event(1)), 45.0)))
    async with misbehaving("cut-at-45s", clock.wait) as url:
        diagnosis = await clock.examined(url)
    assert ids(diagnosis) == ["broken-off"]


@pytest.mark.parametrize(("kind", "how"), [("cut", "closed"), ("reset", "reset")])
async def test_a_reset_is_told_from_a_close(kind: str, how: str) -> None:
    async with misbehaving(kind) as url:
        diagnosis = await examined(url)
    assert f"the connection was {how} before its body had ended" in of(diagnosis, "broken-off")


async def test_behind_the_preflight_that_is_refused_there_is_a_stream() -> None:
    """What asks for none streams, from any origin: nothing is wrong but the preflight."""
    async with misbehaving("preflight") as url:
        refused = await examined(url, **PAGE)
        simple = await examined(url, origin="http://localhost:5173")
        plain = await examined(url)
    assert "its answer is 405" in of(refused, "preflight-failed")
    assert (ids(simple), simple.verdict) == ([], "streams")
    assert (ids(plain), plain.verdict) == ([], "streams")


@pytest.mark.parametrize("kind", sorted(UNREACHABLE))
async def test_behind_a_certificate_that_is_not_trusted_there_is_a_stream(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (authority := KINDS[kind].authority) is not None:
        trust(monkeypatch, authority)
    async with misbehaving(kind) as url:
        diagnosis = await examined(url, verify=False)
    assert (ids(diagnosis), diagnosis.verdict) == ([KINDS[kind].finding], "streams")
    assert diagnosis.findings[0].severity == "warning"


async def test_an_expired_certificate_of_a_stranger_is_first_of_all_a_strangers() -> None:
    """OpenSSL looks at who signed before it looks at the date."""
    async with misbehaving("tls-expired") as url:
        assert ids(await examined(url)) == ["tls-unknown-authority"]


def test_every_finding_is_one_of_the_doctors() -> None:
    assert {kind.finding for kind in KINDS.values()} <= {rule.id for rule in RULES}
