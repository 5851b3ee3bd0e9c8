"""The same conversations with nginx and with us: docs/differences.md lists what differs, all of it."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.net import harness

from .differential_conversations import CONVERSATIONS
from .differential_play import Conversation, Nginx, Origin, Outcome, play
from .differential_table import DIFFERENCES, page

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"


async def _both(conversation: Conversation, origin: Origin, nginx_port: int) -> tuple[Outcome, Outcome]:
    """What comes of a conversation with nginx, and with us."""
    theirs = await play(conversation, nginx_port, origin)
    proxied = await harness.start(harness.route(origin.port), settings={}, proxy={})
    try:
        return theirs, await play(conversation, proxied.port, origin)
    finally:
        await proxied.stop()


async def _measured(binary: str, folder: Path) -> dict[str, tuple[str, str]]:
    """Name, and what each side did that the other did not."""
    async with AsyncExitStack() as stack:
        origins = [await stack.enter_async_context(Origin(one)) for one in CONVERSATIONS.values()]
        nginx = await stack.enter_async_context(Nginx(binary, folder, [origin.port for origin in origins]))
        outcomes = await asyncio.gather(*map(_both, CONVERSATIONS.values(), origins, nginx.ports))
    return {
        name: (theirs.told_apart(ours), ours.told_apart(theirs))
        for name, (theirs, ours) in zip(CONVERSATIONS, outcomes, strict=True)
        if theirs != ours
    }


async def test_what_differs_from_nginx_is_what_the_table_lists(left_behind: None, tmp_path: Path) -> None:
    """Whatever changes on either side has to be judged: RFC 9110 and 9112, one sentence a row."""
    binary = shutil.which("nginx")
    if binary is None:
        pytest.skip("nginx is not installed (apt-get install nginx-light): nothing to compare with")
    listed = {name: (one.nginx, one.ours) for name, one in DIFFERENCES.items()}
    assert await _measured(binary, tmp_path) == listed


def test_the_page_is_what_the_table_says() -> None:
    """Regenerate it with: python -m tests.spec.differential_table > docs/differences.md"""
    assert PAGE.read_text() == page()
