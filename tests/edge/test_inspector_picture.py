"""The README's picture of the inspector can be made again, and is small enough for a page that is read on the road."""

import struct
from pathlib import Path

from .inspector_browser import browser, needs_browser
from .inspector_picture import picture

__all__ = ["browser"]
COMMITTED = Path(__file__).parents[2] / "docs" / "images" / "inspector.png"
MOST_BYTES = 200 * 1024
WIDTH, HEIGHT = 1200, 760


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height. Source: PNG specification, section 11.2.2."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", png[16:24])


def test_the_picture_in_the_readme_is_small() -> None:
    png = COMMITTED.read_bytes()
    assert size_of(png) == (WIDTH, HEIGHT)
    assert len(png) < MOST_BYTES


@needs_browser
async def test_the_picture_can_be_made_again() -> None:
    """Its own script, in the dark, so that it is another one."""
    png = await picture(WIDTH, HEIGHT, dark=True, script="")
    assert size_of(png) == (WIDTH, HEIGHT)
    assert 50_000 < len(png) < MOST_BYTES, "a page on which nothing is would be smaller"
