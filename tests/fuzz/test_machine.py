"""Several clients, in any order: pipelines, uploads in pieces, aborts, kept connections, answers of all kinds."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.net.client import Client
from tests.net.origin import Connection
from tests.net.wire import Message

from . import plans
from .plans import Asked, Exchange
from .profile import fuzz_machine
from .world import World, close, closes, finals, is_own, next_request, pause, plain_answer, send, whole

WITHIN_S = 2.0
IDEMPOTENT = (b"GET", b"HEAD", b"PUT", b"DELETE")


@dataclass
class Conversation:
    """One client's connection and what was asked on it."""

    client: Client
    exchanges: list[Exchange] = field(default_factory=list)

    @property
    def uploading(self) -> Exchange | None:
        """The request that is not all sent yet."""
        last = self.exchanges[-1] if self.exchanges else None
        return last if last is not None and not last.uploaded else None

    @property
    def usable(self) -> bool:
        """Whether the client may ask for more; what the proxy has done plays no part, so that a run can be repeated."""
        return not any(one.last for one in self.exchanges) and self.uploading is None and len(self.exchanges) < 12


class Conversations(RuleBasedStateMachine):
    """The rules."""

    def __init__(self) -> None:
        super().__init__()
        self.failed = False
        self.open: list[Conversation] = []
        self.known: dict[bytes, Exchange] = {}
        self.world = World(self.serve)
        self.world.__enter__()

    async def serve(self, connection: Connection) -> None:
        """The origin's side of one connection."""
        while (request := await next_request(connection)) is not None:
            if await plain_answer(connection, request):
                continue
            exchange = self.known[request.target[1:]]
            exchange.seen.append((connection, request))
            if not exchange.plan.early:
                await whole(connection, request)
            before = connection.requests.index(request)
            exchange.repeatable = before > 0 and exchange.plan.fault == "silent" and exchange.method in IDEMPOTENT
            await exchange.answer(connection)

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        try:
            self.world.run(asyncio.wait_for(coroutine, 30))
        except BaseException:
            self.failed = True
            raise

    def _one(self, number: int, fit: Callable[[Conversation], bool]) -> Conversation:
        fitting = [one for one in self.open if fit(one)]
        return fitting[number % len(fitting)]

    def _begun(self, one: Conversation, asked: Asked) -> Exchange:
        exchange = asked.under(b"T%04d." % len(self.known))
        self.known[exchange.token] = exchange
        one.exchanges.append(exchange)
        one.client.methods.append(asked.method)
        return exchange

    def _send(self, one: Conversation, data: bytes) -> None:
        async def act() -> None:
            send(one.client, data)

        self._run(act())

    @precondition(lambda self: len(self.open) < 4)
    @rule()
    def connect(self) -> None:
        """Another client comes."""

        async def act() -> None:
            self.open.append(Conversation(await self.world.connect()))

        self._run(act())

    @precondition(lambda self: any(one.usable for one in self.open))
    @rule(number=st.integers(0, 3), asked=plans.ASKED, at_once=st.integers(0, 4))
    def ask(self, number: int, asked: Asked, at_once: int) -> None:
        """A client asks, perhaps before its last answer, and sends a part of the body or all of it."""
        one = self._one(number, lambda one: one.usable)
        exchange = self._begun(one, asked)
        self._send(one, exchange.head() + b"".join(exchange.next_part() for _ in exchange.parts[:at_once]))

    @precondition(lambda self: any(one.usable for one in self.open))
    @rule(number=st.integers(0, 3), several=st.lists(plans.ASKED, min_size=1, max_size=5))
    def pipeline(self, number: int, several: list[Asked]) -> None:
        """A client asks for several things in one go."""
        one = self._one(number, lambda one: one.usable)
        data = b""
        for asked in several:
            if one.usable:
                exchange = self._begun(one, asked)
                data += exchange.head() + b"".join(exchange.next_part() for _ in exchange.parts)
        self._send(one, data)

    @precondition(lambda self: any(one.uploading for one in self.open))
    @rule(number=st.integers(0, 3))
    def upload(self, number: int) -> None:
        """A client sends the next part of a body."""
        one = self._one(number, lambda one: one.uploading is not None)
        if one.uploading is not None:
            self._send(one, one.uploading.next_part())

    @precondition(lambda self: any(exchange.plan.held for exchange in self.known.values()))
    @rule(number=st.integers(0, 30), pieces=st.integers(1, 3))
    def release(self, number: int, pieces: int) -> None:
        """An origin goes on with an answer that is held."""
        held = [exchange for exchange in self.known.values() if exchange.plan.held]

        async def act() -> None:
            for _ in range(pieces):
                held[number % len(held)].gate.release()
            await pause()

        self._run(act())

    @rule(turns=st.integers(1, 30))
    def let_pass(self, turns: int) -> None:
        """The loop runs on."""

        async def act() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self._run(act())

    @precondition(lambda self: any(len(one.exchanges) > 1 for one in self.open))
    @rule(number=st.integers(0, 3), by_reset=st.booleans())
    def leave(self, number: int, by_reset: bool) -> None:
        """A client goes, whatever is under way."""
        one = self._one(number, lambda one: len(one.exchanges) > 1)
        self.open.remove(one)

        async def act() -> None:
            if not one.client.gone:
                (one.client.reset if by_reset or one.client.unsent_bytes() else one.client.transport.abort)()
                await one.client.wait_gone()
            self._safe(one)

        self._run(act())

    @rule()
    def close_idle_upstreams(self) -> None:
        """The origin closes what the proxy keeps for later, or has just taken for a request that is on its way."""

        async def act() -> None:
            for one in self.open:
                done = sum(answer.complete for answer in finals(one.client))
                for exchange in one.exchanges[done:]:
                    exchange.disturbed = True
            for connection in self.world.origin.connections:
                idle = connection.requests and connection.asked > len(connection.requests)
                if idle and connection.request.complete and not connection.transport.is_closing():
                    connection.close()
                    await connection.wait_gone()

        self._run(act())

    @precondition(lambda self: any(len(one.exchanges) > 2 for one in self.open))
    @rule(number=st.integers(0, 3))
    def finish(self, number: int) -> None:
        """All that a client still waits for takes place."""
        one = self._one(number, lambda one: len(one.exchanges) > 2)
        self.open.remove(one)
        self._run(self._finish(one))

    @invariant()
    def nothing_crosses(self) -> None:
        """Whatever has come so far is the beginning of what has to come."""
        if self.failed:
            return
        try:
            for one in self.open:
                self._safe(one)
            for exchange in self.known.values():
                _seen_right(exchange)
            faults = [connection.fault for connection in self.world.origin.connections if connection.fault]
            assert not faults, f"the origin got what is no request: {faults}"
        except BaseException:
            self.failed = True
            raise

    def teardown(self) -> None:
        """Everything ends, and nothing is left."""
        if self.failed:
            self.world.__exit__(AssertionError, AssertionError(), None)
            return
        for one in self.open:
            self._run(self._finish(one))
        self.nothing_crosses()
        self.world.__exit__(None, None, None)

    async def _finish(self, one: Conversation) -> None:
        client = one.client
        while one.uploading is not None:
            send(one.client, one.uploading.next_part())
            await pause()
        for exchange in one.exchanges:
            for _ in range(20):
                exchange.gate.release()
        await client.until(
            lambda: (
                client.gone
                or client.ending != "open"
                or sum(answer.complete for answer in finals(client)) == len(one.exchanges)
            ),
            f"{len(one.exchanges)} answers or the end",
            WITHIN_S,
        )
        answers = finals(client)
        if answers and closes(answers[-1]) and answers[-1].complete:
            await client.until(lambda: client.gone or client.ending != "open", "the announced end", WITHIN_S)
        self._safe(one)
        _all_answered(one)
        await close(client)

    def _safe(self, one: Conversation) -> None:
        """Each answer is the one to its request, as far as it has come."""
        if one.client.fault is not None:
            raise one.client.fault
        answers = 0
        for message in one.client.reader.messages:
            assert answers < len(one.exchanges), f"an answer that nobody asked for: {message.start!r}"
            exchange = one.exchanges[answers]
            if message.status < 200:
                assert message.get(b"x-token") == exchange.token, "an interim answer to another request"
                continue
            _answered_right(exchange, message)
            assert not closes(message) or message is one.client.reader.messages[-1], "an answer after the last one"
            answers += 1
        tokens = set(plans.TOKENS.findall(one.client.raw))
        assert tokens <= {exchange.token for exchange in one.exchanges}, f"a client got {tokens}"


def _answered_right(exchange: Exchange, answer: Message) -> None:
    if is_own(answer):
        by_reset = exchange.is_cut and exchange.plan.by_reset
        lost = exchange.disturbed and (exchange.method == b"POST" or bool(exchange.parts))  # any other is repeated
        assert exchange.is_refused or by_reset or lost, f"refused: {answer.body!r}"
        assert answer.status == 502
        return
    assert not exchange.is_refused
    assert (answer.status, answer.get(b"x-token")) == (exchange.status, exchange.token)
    assert exchange.answer_body.startswith(answer.body), f"{answer.body!r} for {exchange.answer_body!r}"
    if answer.complete:
        assert not exchange.is_cut, "a part passed for the whole"
        assert answer.body == exchange.answer_body
    if closes(answer):
        assert exchange.last or exchange.plan.early or exchange.chunked, "Connection: close without need"


def _seen_right(exchange: Exchange) -> None:
    """The origin has seen each request once, or twice where it may be repeated, and nothing else in it."""
    assert len(exchange.seen) <= 1 + exchange.repeatable + (len(exchange.seen) == 2 and _repeated(exchange))
    for _, request in exchange.seen:
        assert (request.method, request.get(b"x-token")) == (exchange.method, exchange.token)
        assert exchange.body.startswith(request.body)
        if request.complete:
            assert request.body == exchange.body
            assert exchange.uploaded, "complete before it was sent"


def _repeated(exchange: Exchange) -> bool:
    """Whether the first attempt was on a kept connection that ended without an answer."""
    connection, request = exchange.seen[0]
    silent = exchange.plan.fault == "silent" and exchange.method in IDEMPOTENT
    return silent and connection.requests.index(request) > 0


def _all_answered(one: Conversation) -> None:
    """Every request has its whole answer, up to one that could not have it or that was the last."""
    answers = finals(one.client)
    for number, exchange in enumerate(one.exchanges):
        if number and closes(answers[number - 1]):
            assert len(answers) == number
            return
        assert number < len(answers), f"no answer to {exchange.token!r} though nothing hindered it"
        if not answers[number].complete:
            assert exchange.is_cut, f"the answer to {exchange.token!r} was cut: {answers[number]}"
            assert len(answers) == number + 1, "an answer after one that was cut"
            return
        if number == len(one.exchanges) - 1:
            assert exchange.last == closes(answers[number]) or exchange.plan.early


def test_conversations_never_cross() -> None:
    """MUST. M9, M13 to M15, M18, S15 to S18, X1, X9, X10, A5, A6, A9, D1, D9, H18, K1, K2, K8, R1, R4 to R6."""
    fuzz_machine(Conversations, 40, 30)
