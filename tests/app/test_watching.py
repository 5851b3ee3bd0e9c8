"""The watch over a file: only other content is told, and that once, whatever else goes on in its folder."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proxy.app import watching
from tests.net.waiting import Changing


class Watched(Changing):
    """A file that is watched, how often it was read, and what it held whenever a change was told."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file = file
        self.reads = 0
        self.told: list[bytes] = []

    def tell(self) -> None:
        self.told.append(self.file.read_bytes())
        self.changed()

    async def looked_again(self) -> None:
        """Returns when the file has been looked at because of something else in its folder."""
        reads = self.reads
        (self.file.parent / "other").write_bytes(b"%d" % reads)
        await self.until(lambda: self.reads >= reads + 2, "two looks at the file")


@pytest.fixture
async def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    one = Watched(tmp_path / "file")
    one.file.write_bytes(b"first")
    read = watching._read

    def counting(file: Path) -> bytes | None:
        found = read(file)
        one.reads += 1
        one.changed()
        return found

    monkeypatch.setattr(watching, "_read", counting)
    task = asyncio.create_task(watching.watch(one.file, b"first", one.tell))
    yield one
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_each_change_is_told_once(watched: Watched) -> None:
    """MUST. O1. What has been told is what the next look is compared with."""
    for number, content in enumerate((b"second", b"third", b"second"), 1):
        watched.file.write_bytes(content)
        await watched.until(lambda number=number: len(watched.told) >= number, "the change")
        await watched.looked_again()
    assert watched.told == [b"second", b"third", b"second"]


async def test_the_same_content_is_not_told(watched: Watched) -> None:
    """MUST NOT. Nor what is not there for a moment, as between two steps of a writer."""
    watched.file.write_bytes(b"first")
    await watched.looked_again()
    watched.file.unlink()
    await watched.looked_again()
    watched.file.write_bytes(b"first")
    await watched.looked_again()
    assert watched.told == []
