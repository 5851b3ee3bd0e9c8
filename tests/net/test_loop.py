"""The event loop under test."""

import asyncio


async def test_the_loop_is_the_one_that_was_asked_for(asked_loop: str):
    """STREAMSAFE_TEST_LOOP decides; the same suite is run once for each."""
    loop = asyncio.get_running_loop()
    assert type(loop).__module__.split(".")[0] == ("uvloop" if asked_loop == "uvloop" else "asyncio")
