"""The upstreams of one route: who gets a request, and what is learnt from how it went.

One for each route and process. A new configuration makes another one, which takes over what is known of the upstreams
that stay. No clock and no socket in here: the time is passed in, and each event is returned for whoever logs it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from proxy.core.balance import RoundRobin, hashed, least
from proxy.core.errors import NoUpstream
from proxy.core.health import Event, Health, State, is_failure
from proxy.core.message import RequestHead
from proxy.core.retry import Budget
from proxy.core.routes import Sharing, Upstream


class Turn(NamedTuple):
    """A request that was given to an upstream: its number, and that of the trial it is after an ejection, or 0."""

    number: int
    trial: int = 0


_TOO_MANY = 429
_ASK_FOR_REST = frozenset({_TOO_MANY, 503})


@dataclass(frozen=True, slots=True)
class Seen:
    """An upstream of a route as it is told."""

    route: str
    upstream: str
    state: State
    open_exchanges: int


class Member:
    """What is known of one upstream of a route; outlives a reload in which it stays."""

    __slots__ = ("health", "open_exchanges", "upstream")

    def __init__(self, upstream: Upstream, health: Health) -> None:
        self.upstream = upstream
        self.health = health
        self.open_exchanges = 0


class Group:
    """The upstreams of a route, by their numbers in the configuration."""

    def __init__(self, route: str, sharing: Sharing, before: "Group | None" = None) -> None:
        self.route = route
        self.sharing = sharing
        known = {member.upstream: member for member in before.members} if before is not None else {}
        self.members: list[Member] = [
            known.get(upstream) or Member(upstream, Health(sharing.health)) for upstream in sharing.upstreams
        ]
        for member in self.members:
            member.health.policy = sharing.health
            if sharing.health.path is None:
                member.health.unchecked()
        self.budget: Budget = before.budget if before is not None else Budget()
        self._weights = [upstream.weight for upstream in sharing.upstreams]
        self._turns = RoundRobin(self._weights)

    def choose(self, request: RequestHead, now: float) -> Turn:
        """Who gets a new request. One that asked to be left alone gets it only if nobody else is there.

        Errors: NoUpstream where all are left out.
        """
        self.budget.asked(now)
        usable = [number for number, member in enumerate(self.members) if member.health.is_usable(now)]
        if not usable:
            raise NoUpstream(min([member.health.usable_in(now) for member in self.members]))
        rested = [number for number in usable if not self.members[number].health.rests_until(now)]
        if rested:
            return self._begun(self._next(request, rested))
        return self._begun(min(usable, key=lambda number: self.members[number].health.rests_until(now)))

    def choose_other(self, request: RequestHead, now: float, tried: Collection[int]) -> Turn | None:
        """Who gets a request that others have had; None where nobody is left, or the budget is spent."""
        others = [
            number
            for number, member in enumerate(self.members)
            if number not in tried and member.health.is_usable(now) and not member.health.rests_until(now)
        ]
        if not others or not self.budget.spend(now):
            return None
        return self._begun(self._next(request, others))

    def _next(self, request: RequestHead, among: list[int]) -> int:
        """Whose turn it is."""
        balance = self.sharing.balance
        if balance == "hash":
            key = request.first(self.sharing.hash_by)
            if key is not None:
                return hashed(key, self.sharing.upstreams, among)
        elif balance == "least_streams":
            among = least(among, [member.open_exchanges for member in self.members], self._weights)
        return self._turns.next(among)

    def _begun(self, number: int) -> Turn:
        member = self.members[number]
        member.open_exchanges += 1
        return Turn(number, member.health.begin())

    def answered(self, turn: Turn, status: int, rest_s: float | None, now: float) -> Event | None:
        """The head of an answer came, which asks to be left alone for `rest_s`.

        A 5xx that the route tries again after is a failure; a 429 says nothing of health.
        """
        member = self.members[turn.number]
        if status not in self.sharing.retry.statuses:
            return member.health.succeeded(now, turn.trial)
        if rest_s is not None and status in _ASK_FOR_REST:
            member.health.rest(now, rest_s)
        if status == _TOO_MANY:
            member.health.spared(turn.trial)
            return None
        return member.health.failed(now, turn.trial)

    def failed(self, turn: Turn, code: str, now: float) -> Event | None:
        """The request failed, with that code as observers are told."""
        member = self.members[turn.number]
        if is_failure(code):
            return member.health.failed(now, turn.trial)
        member.health.spared(turn.trial)
        return None

    def left(self, turn: Turn) -> None:
        """The request is over there. What it has not told by now it never will."""
        member = self.members[turn.number]
        member.open_exchanges -= 1
        member.health.spared(turn.trial)

    def checked(self, number: int, good: bool) -> Event | None:
        """An upstream was asked how it is."""
        return self.members[number].health.checked(good)

    def seen(self, now: float) -> list[Seen]:
        """How they are."""
        return [
            Seen(self.route, member.upstream.name, member.health.state(now), member.open_exchanges)
            for member in self.members
        ]
