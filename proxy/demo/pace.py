"""When the tokens leave, as the request asks: `?name=` in its query or `x-demo-name` in its head. The query wins.

pace    tokens per second, 0 to 1000; 0 is as fast as possible; 20 unless told
first   seconds before the first token, 0 to 600
tokens  how long the answer is, 1 to 100000 tokens; the text's own length unless told
fail    `after=N`: the connection breaks after N tokens, without a clean end
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Self

from aiohttp import web

from proxy.demo.fields import Refused

DEFAULT_PACE = 20.0
MAX_PACE = 1000.0
MAX_FIRST_S = 600.0
MAX_TOKENS = 100_000

_FAIL = re.compile(r"after=([0-9]{1,6})")
_WHOLE = re.compile(r"[0-9]{1,6}")


class BrokenOff(Exception):
    """The connection shall break here, because the request asked for it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How one answer is given. `tokens_per_s` 0 means without waiting; `fail_after` None means never."""

    tokens_per_s: float = DEFAULT_PACE
    first_s: float = 0.0
    tokens: int | None = None
    fail_after: int | None = None

    @classmethod
    def read(cls, request: web.Request) -> Self:
        """The settings a request asks for. Raises Refused on a value that is no number or out of its range."""
        tokens = _setting(request, "tokens")
        fail = _setting(request, "fail")
        failure = None if fail is None else _FAIL.fullmatch(fail)
        if fail is not None and failure is None:
            raise Refused("fail must be after=N, N a number of tokens.", "fail")
        if tokens is not None and not (_WHOLE.fullmatch(tokens) and 1 <= int(tokens) <= MAX_TOKENS):
            raise Refused(f"tokens must be a whole number from 1 to {MAX_TOKENS}.", "tokens")
        return cls(
            tokens_per_s=_number(request, "pace", DEFAULT_PACE, MAX_PACE),
            first_s=_number(request, "first", 0.0, MAX_FIRST_S),
            tokens=None if tokens is None else int(tokens),
            fail_after=None if failure is None else int(failure[1]),
        )


class Metronome:
    """The beat of one answer, counted from its making. Times are due dates, so a late beat does not delay the next."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._started_at = asyncio.get_running_loop().time()

    async def wait_token(self, index: int) -> None:
        """Waits until token `index`, from 0, may leave. Raises BrokenOff where the connection shall break instead."""
        settings = self._settings
        if settings.fail_after is not None and index >= settings.fail_after:
            raise BrokenOff
        due_s = settings.first_s + (index / settings.tokens_per_s if settings.tokens_per_s else 0.0)
        # sleep(0) where nothing is to wait for: a client that left, and the others, get their turn.
        await asyncio.sleep(max(0.0, self._started_at + due_s - asyncio.get_running_loop().time()))


def _setting(request: web.Request, name: str) -> str | None:
    return request.query.get(name, request.headers.get(f"x-demo-{name}"))


def _number(request: web.Request, name: str, default: float, maximum: float) -> float:
    value = _setting(request, name)
    if value is None:
        return default
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= maximum:  # written so that NaN is refused too
        raise Refused(f"{name} must be a number from 0 to {maximum:g}.", name)
    return number
