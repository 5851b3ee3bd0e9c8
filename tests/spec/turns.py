"""Turns of the event loop, counted: what leaves in the turn in which it came cannot have waited for anything."""

import asyncio
import statistics
from collections.abc import Callable, Sequence

from tests.net.client import Client
from tests.net.origin import Connection
from tests.net.wire import Message

_PATIENCE = 50
"""Turns after which something counts as held back: it is a timer's work then."""


class Turns:
    """Counts while it is entered. Something is due in every turn then, so that the loop never sleeps."""

    def __init__(self) -> None:
        self.count = 0
        self._next: asyncio.Handle | None = None

    def _turn(self) -> None:
        self.count += 1
        self._next = asyncio.get_running_loop().call_soon(self._turn)

    def __enter__(self) -> "Turns":
        self._turn()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._next is not None
        self._next.cancel()


async def _turns_until(turns: Turns, act: Callable[[], None], met: Callable[[], bool]) -> int:
    await asyncio.sleep(0)
    before = turns.count
    act()
    for _ in range(_PATIENCE):
        if met():
            break
        await asyncio.sleep(0)
    return turns.count - before


async def turns_of_pieces(client: Client, response: Message, origin: Connection, pieces: Sequence[tuple[bytes, int]]):
    """The turns between the sending of a piece and its arrival, the middle of all; a piece is bytes and body bytes."""
    taken, size = [], response.size
    with Turns() as turns:
        for data, body_bytes in pieces:
            size += body_bytes
            taken.append(
                await _turns_until(turns, lambda data=data: origin.send(data), lambda size=size: response.size >= size)
            )
    await client.wait_body(response, size)
    return statistics.median(taken)


async def turns_of_end(client: Client, response: Message, end: Callable[[], None]) -> int:
    """The turns between the upstream's end and the client's."""
    with Turns() as turns:
        taken = await _turns_until(turns, end, lambda: response.complete)
    assert await client.wait_body_end(response) == "complete"
    return taken
