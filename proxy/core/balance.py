"""Whose turn it is among the upstreams of a route that can be used. Ties and what has no key go round.

round_robin     nginx's smooth one: with weights 5, 1, 1 it is a a b a c a a
least_streams   the fewest open exchanges for each unit of weight
hash            weighted rendezvous: an upstream that leaves moves its own share and no other
"""

import hashlib
import math
from collections.abc import Sequence

from proxy.core.routes import Upstream


class RoundRobin:
    """Turns by weight, spread as evenly as they can be; numbers are places in `weights`."""

    __slots__ = ("_credit", "_weights")

    def __init__(self, weights: Sequence[int]) -> None:
        self._weights = weights
        self._credit = [0] * len(weights)

    def next(self, among: Sequence[int]) -> int:
        """Whose turn it is among these; those that are not asked for gain nothing by it."""
        credit, best = self._credit, among[0]
        for number in among:
            credit[number] += self._weights[number]
            if credit[number] > credit[best]:
                best = number
        credit[best] -= sum([self._weights[number] for number in among])
        return best


def least(among: Sequence[int], open_exchanges: Sequence[int], weights: Sequence[int]) -> list[int]:
    """Those with the fewest open exchanges for their weight: one or, of equals, several."""
    loads = [open_exchanges[number] / weights[number] for number in among]
    lowest = min(loads)
    return [number for number, load in zip(among, loads, strict=True) if load == lowest]


def hashed(key: bytes, upstreams: Sequence[Upstream], among: Sequence[int]) -> int:
    """To whom that key belongs among these. It depends on the URLs alone, not on their order nor on the process.

    Source: "A New Weighted Rendezvous Hashing" by Schindelhauer and Schomaker, the logarithmic method.
    """
    return max(among, key=lambda number: _score(key, upstreams[number]))


def _score(key: bytes, upstream: Upstream) -> float:
    url = b"%b %b %b" % (upstream.origin.name.encode(), upstream.base_path, upstream.query)
    digest = hashlib.blake2b(key, digest_size=8, key=hashlib.blake2b(url, digest_size=16).digest()).digest()
    place = (int.from_bytes(digest, "big") >> 11) + 0.5  # 53 bits, the middle of each step: never 0 and never 1
    return -upstream.weight / math.log(place / 2**53)
