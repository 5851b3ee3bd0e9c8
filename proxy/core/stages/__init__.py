"""Stages change the bytes of a stream on their way; a plain route has none.

A stage is fed what arrived and gives back what may leave, in pieces: a small input can unfold to a huge output, and the
relay has to be able to stop in between when the client reads slowly.
"""

from collections.abc import Sequence
from typing import Protocol

PIECE_BYTES = 64 * 1024
"""How much a stage that unfolds gives at once."""


class Stage(Protocol):
    """One change to a body, incremental: any cutting of the input gives the same output."""

    def feed(self, data: bytes) -> bytes:
        """What may leave now. While `more()`, only `b""` may be fed. Errors: ContentCodingBroken."""

    def more(self) -> bool:
        """Whether another piece is ready without further input."""

    def flush(self) -> bytes:
        """What is left at the end of the input. Errors: ContentCodingBroken if the input ended inside its coding."""

    def held(self) -> bytes:
        """What came and has not left, where the input broke off."""


class Chain:
    """Several stages as one; what the last one still has comes out before the first one is fed again."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._stages = tuple(stages)

    def feed(self, data: bytes) -> bytes:
        """The next piece that came through all of them."""
        start = next((at for at in reversed(range(len(self._stages))) if self._stages[at].more()), 0)
        piece = self._stages[start].feed(data)
        for stage in self._stages[start + 1 :]:
            if not piece:
                return b""
            piece = stage.feed(piece)
        return piece

    def more(self) -> bool:
        """Whether any of them has another piece."""
        return any(stage.more() for stage in self._stages)

    def flush(self) -> bytes:
        """What all of them still hold, each given to those behind it."""
        rest = b""
        for stage in self._stages:
            out = [stage.feed(rest)] if rest else []
            while stage.more():
                out.append(stage.feed(b""))
            rest = b"".join([*out, stage.flush()])
        return rest

    def held(self) -> bytes:
        """What each of them holds, the last one's first."""
        return b"".join([stage.held() for stage in reversed(self._stages)])


def stages_of(stages: Sequence[Stage]) -> Stage | None:
    """One stage for these, none for none."""
    return (stages[0] if len(stages) == 1 else Chain(stages)) if stages else None
