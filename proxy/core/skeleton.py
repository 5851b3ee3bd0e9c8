"""What the frames of one stream have in common, so that those that say nothing new are known without being searched.

Most frames of a model's answer are alike but for the insides of a few JSON strings, and for a number or two. What
stands between is the same from frame to frame: a frame that is made of just that, and of insides, says nothing new.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

# The inside of a string that is a value, or a number.
_INSIDE = re.compile(rb'((?:(?<=:")|(?<=: "))(?:[^"\\]|\\.)*(?=")|(?:(?<=:)|(?<=: ))[0-9]+)')


class Words(NamedTuple):
    """What makes a frame matter, if it is found in it."""

    whole: frozenset[bytes]
    """As the whole inside of a string."""
    within: tuple[bytes, ...]
    """Anywhere in it."""
    table: bytes
    """For `translate`: changes whatever may hold one of `within`, an end of a line or of the string."""
    members: tuple[bytes, ...]
    """Names of members in quotes, whose values matter."""


def words_of(keys: Iterable[bytes]) -> Words:
    """The words in these keys, of which those in quotes are whole strings."""
    keys = list(keys)
    within = [key for key in keys if not key.startswith(b'"')]
    marks = [min(re.findall(rb"[^0-9A-Za-z]", word) or [word[:1]], key=_COMMON.find) for word in within]
    table = bytes.maketrans(b'"\n\r' + b"".join(marks), b"\0\0\0" + b"\0" * len(marks))
    members = tuple([key for key in keys if key not in within])
    return Words(frozenset([member.strip(b'"') for member in members]), tuple(within), table, members)


# Marks by how common they are in text; any other comes seldom.
_COMMON = b"-:. "


class Skeleton:
    """The constant parts of a stream's harmless frames: how they begin, go on between insides, and end."""

    __slots__ = ("_middle", "_words", "around_bytes", "end", "seen", "start", "table", "whole")

    def __init__(self, runs: Sequence[bytes], words: Words) -> None:
        self.start, *middle, self.end = runs
        self.around_bytes = len(self.start) + len(self.end)
        self._middle = tuple(middle)
        self._words = words
        # Of what stands between several insides each frame has to be asked.
        self.whole, self.table = (words.whole, words.table) if not middle else (frozenset((b"",)), bytes(256))
        self.seen = 0
        """Frames that fitted, and were counted here."""

    def fits_all(self, frames: Sequence[bytes]) -> bool:
        """Whether each of these is a frame that says nothing new."""
        insides = [frame.removeprefix(self.start).removesuffix(self.end) for frame in frames]
        text = b"".join(insides)
        if sum(map(len, frames)) - len(text) != len(frames) * self.around_bytes:
            return False
        if text.translate(self.table) == text and self.whole.isdisjoint(insides):
            return True
        return all(map(self.says_nothing, insides))

    def says_nothing(self, inside: bytes) -> bool:
        """Whether a frame says nothing new that has this between `start` and `end`.

        Where that is not in `whole`, and `table` does not change it, nobody has to ask. Written with what is quick in
        CPython 3.11: `in`, `find` and `startswith` of bytes cost two to five times as much as methods that take one
        argument, and a search for each word ten times as much as the table.
        """
        whole, _, table, _ = self._words
        for run in self._middle:
            before, found, inside = inside.partition(run)
            if not found or before in whole or (before.translate(table) != before and self._may_matter(before)):
                return False
        return inside not in whole and (inside.translate(table) == inside or not self._may_matter(inside))

    def _may_matter(self, inside: bytes) -> bool:
        """The same as the table tells, but for sure: most marks of punctuation are just that."""
        if inside.find(b'"') >= 0 and inside.replace(b'\\"', b"").find(b'"') >= 0:
            return True
        return any(inside.find(word) >= 0 for word in (b"\n", b"\r", *self._words.within))


def learn(frames: Sequence[bytes], words: Words) -> Skeleton | None:
    """The skeleton of these frames, each with its end, all of them harmless; None where they are not alike."""
    parts = _INSIDE.split(frames[0])  # runs, and at the odd places insides
    varying: set[int] = set()
    for frame in frames[1:]:
        others = _INSIDE.split(frame)
        if others[::2] != parts[::2]:
            return None
        varying.update([at for at in range(1, len(parts), 2) if parts[at] != others[at]])
    if not varying or any(parts[at - 1].rstrip(b" ").removesuffix(b":").endswith(words.members) for at in varying):
        return None  # the number of a member that matters: strings there would be in quotes
    runs = [b""]
    for at, part in enumerate(parts):
        if at in varying:
            runs.append(b"")
        else:
            runs[-1] += part
    if any(_may_complete(words, before, after) for before, after in pairwise(runs)):
        return None
    return Skeleton(runs, words)


def _may_complete(words: Words, before: bytes, after: bytes) -> bool:
    """Whether what stands between these may be a part of a word. Between quotes it never is."""
    cuts = [(word, cut) for word in words.within for cut in range(1, len(word))]
    return not before.endswith(b'"') and any(
        before.endswith(word[:cut]) or after.startswith(word[cut:]) for word, cut in cuts
    )
