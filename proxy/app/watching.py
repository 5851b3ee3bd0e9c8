"""Notices that a configuration file has other content, however it got there.

Editors write a new file and rename it, Kubernetes swaps a symbolic link two steps away. So the folders are watched, of
the name and of what it leads to, and only what is then read at the name decides.
"""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from watchfiles import awatch

log = logging.getLogger("proxy")

# How long changes are collected before they are looked at, in ms: a file is often written in several steps.
SETTLE_MS = 200
# How long to wait before watching again what could not be watched: a folder that is gone for a moment.
AGAIN_S = 1.0


async def watch(file: Path, content: bytes, changed: Callable[[], None]) -> None:
    """Calls `changed` whenever the file has other content than before, first than `content`. Runs until cancelled."""
    # It tells of every write in the folder: a log that stands there would be written on and on by its own lines.
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
    while True:
        folders = _folders(file)
        try:
            content = await _watched(file, folders, content, changed)
        except (OSError, RuntimeError) as error:  # what watchfiles raises where a folder is gone
            log.warning("%s cannot be watched at the moment: %s", file, error)
            await asyncio.sleep(AGAIN_S)


async def _watched(file: Path, folders: set[Path], content: bytes, changed: Callable[[], None]) -> bytes:
    """Watches those folders until others matter; returns the content then."""
    # Told every 50 ms even if nothing happened, the first of which finds what changed before the watch began.
    async for _ in awatch(
        *folders, step=50, debounce=SETTLE_MS, recursive=False, rust_timeout=1000, yield_on_timeout=True
    ):
        found = _read(file)
        if found is not None and found != content:
            content = found
            changed()
        if _folders(file) != folders:
            break
    return content


def _folders(file: Path) -> set[Path]:
    """Where a change of the file can show: the folder of its name, of what it leads to, and of the links between."""
    found, step = {file.absolute().parent}, file.absolute()
    for _ in range(16):  # a ring of links ends somewhere
        if not step.is_symlink():
            break
        step = step.parent / step.readlink()
        found.add(step.parent.resolve())
    found.add(file.resolve().parent)
    return {folder for folder in found if folder.is_dir()}


def _read(file: Path) -> bytes | None:
    """What stands there; None while nothing does, as between two steps of a writer."""
    try:
        return file.read_bytes()
    except OSError:
        return None
