"""What our scripts have in common: telling in JSON lines with the monotonic clock's time, and orders from stdin."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any


def tell(*, at: float | None = None, **told: Any) -> None:
    """Tells one thing; `at` is when it happened, in seconds of the monotonic clock."""
    print(json.dumps({**told, "at": time.monotonic() if at is None else at}), flush=True)


async def orders() -> AsyncIterator[Any]:
    """Every order, until stdin ends."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


def run(client: Callable[[str], Coroutine[Any, Any, None]]) -> None:
    """Runs a client with the URL that the script was given, and tells how it ended."""
    try:
        asyncio.run(client(sys.argv[1]))
    except Exception as error:  # noqa: BLE001  whatever a client says is the result
        tell(error=f"{type(error).__name__}: {error}")
    else:
        tell(end=True)
