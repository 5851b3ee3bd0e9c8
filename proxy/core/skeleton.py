"""What the frames of one stream have in common, so that those that say nothing new are known without being searched.

Most frames of a model's answer are alike but for the insides of a few JSON strings, and for a number or two. What
stands between is the same from frame to frame: a frame that is made of just that, and of insides, says nothing new.
"""

import re
from collections.abc import Sequence

# The inside of a string that is a value, or a number.
_INSIDE = re.compile(rb'((?:(?<=:")|(?<=: "))(?:[^"\\]|\\.)*(?=")|(?:(?<=:)|(?<=: ))[0-9]+)')


class Skeleton:
    """The constant parts of a stream's harmless frames: how they begin, go on between insides, and end."""

    __slots__ = ("_constant", "_end", "_middle", "_start", "_whole", "_within")

    def __init__(self, runs: Sequence[bytes], whole: frozenset[bytes], within: Sequence[bytes]) -> None:
        """An inside may not be one of `whole`, nor hold one of `within`."""
        self._start, *middle, self._end = runs
        self._middle = tuple(middle)
        self._constant = len(self._start) + len(self._end)
        self._whole, self._within = whole, within

    def fits(self, frame: bytes) -> bool:
        """Whether this is one frame, and one that says nothing new. Runs once per event.

        Methods with one argument and `len` are quick; `in`, `find` and `startswith` of bytes cost two to five times as
        much (CPython 3.11).
        """
        inside = frame.removeprefix(self._start).removesuffix(self._end)
        if len(frame) - len(inside) != self._constant:
            return False
        for run in self._middle:
            before, _, inside = inside.partition(run)
            if not self._is_harmless(before):
                return False
        return (inside.removeprefix(b" ").isalnum() and inside not in self._whole) or self._is_harmless(inside)

    def _is_harmless(self, inside: bytes) -> bool:
        if inside.find(b'"') >= 0 and inside.replace(b'\\"', b"").find(b'"') >= 0:
            return False
        return inside not in self._whole and all(inside.find(word) < 0 for word in self._within)


def learn(frames: Sequence[bytes], words: Sequence[bytes], takes_numbers: bool) -> Skeleton | None:
    """The skeleton of these frames, each with its end, all of them harmless; None where they are not alike.

    `words` make a frame matter, those in quotes where they are a whole string, and others are more than letters and
    digits; `takes_numbers` is whether numbers never matter.
    """
    parts = _INSIDE.split(frames[0])  # runs, and at the odd places insides
    varying: set[int] = set()
    for frame in frames[1:]:
        others = _INSIDE.split(frame)
        if others[::2] != parts[::2]:
            return None
        varying.update([at for at in range(1, len(parts), 2) if parts[at] != others[at]])
    if not varying or not (takes_numbers or all(parts[at - 1].endswith(b'"') for at in varying)):
        return None
    runs = [b""]
    for at, part in enumerate(parts):
        if at in varying:
            runs.append(b"")
        else:
            runs[-1] += part
    whole = frozenset([word.strip(b'"') for word in words if word.startswith(b'"')])
    return Skeleton(runs, whole, (b"\n", b"\r", *[word for word in words if not word.startswith(b'"')]))
