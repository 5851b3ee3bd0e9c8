"""What clients send, changed byte by byte: proxy and origin have to agree with the standard on where a request ends."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.net.client import Client
from tests.net.origin import Connection
from tests.net.responses import counted
from tests.net.wire import Malformed, Message, head

from . import known, mutations, reading, requests
from .profile import fuzz
from .world import (
    OURS_UP,
    World,
    close,
    closes,
    end_to_end,
    finals,
    is_own,
    next_request,
    pause,
    plain_answer,
    send,
    whole,
)

WITHIN_S = 2.0


@dataclass
class Sightings:
    """The origin: answers every request with the number under which it has seen it."""

    seen: list[Message] = field(default_factory=list)

    async def serve(self, connection: Connection) -> None:
        """Answers what comes on one connection."""
        while (request := await next_request(connection)) is not None:
            if await plain_answer(connection, request):
                continue
            self.seen.append(request)
            number = b"%d" % len(self.seen)
            if b"100-continue" in [value.lower() for value in request.all(b"expect")]:
                send(connection, head(b"HTTP/1.1 100 Continue"))
            await whole(connection, request)
            answer = counted(b"seen " + number, b"X-Seen: " + number)
            send(connection, answer if request.method != b"HEAD" else answer.removesuffix(b"seen " + number))


async def converse(world: World, sightings: Sightings, data: bytes, pieces: list[bytes]) -> None:
    """One client sends all of it, while another has exchanges of its own before, during and after."""
    expected = reading.requests(data)
    other = await world.connect()
    await world.plain_exchange(other)
    client = await world.connect()
    client.methods = [message.method for message in expected]
    for number, piece in enumerate(pieces):
        send(client, piece)
        await pause()
        if number == len(pieces) // 2:
            await world.plain_exchange(other)
    with contextlib.suppress(Malformed):  # which `_judge` looks at
        await _answered(client, expected)
    await close(client)
    await world.plain_exchange(other)
    _judge(client, expected, sightings.seen)


def _reachable(expected: list[reading.Message]) -> list[reading.Message]:
    """The whole requests up to the first after which the client wants no other."""
    whole = [message for message in expected if message.ending == "whole"]
    last = next((number for number, message in enumerate(whole) if message.is_last), len(whole))
    return whole[: last + 1]


async def _answered(client: Client, expected: list[reading.Message]) -> None:
    """Waits for an answer to each whole request, or for the end of the connection."""
    due = len(_reachable(expected))
    broken = [message for message in expected if message.ending != "whole"]
    await client.until(
        lambda: client.gone or client.ending != "open" or sum(one.complete for one in finals(client)) >= due,
        f"{due} answers or the end",
        WITHIN_S,
    )
    if expected and _reachable(expected)[-1:] and _reachable(expected)[-1].is_last and client.ending == "open":
        await client.wait_ended(WITHIN_S)
    elif any(closes(answer) for answer in finals(client)):
        pass  # the rest of a body is read and thrown away for a while: RFC 9112 section 9.6
    elif broken and broken[0].ending == "malformed" and client.ending == "open" and _is_certain(broken[0]):
        await client.wait_ended(WITHIN_S)


def _is_certain(broken: reading.Message) -> bool:
    """Whether the proxy has to act at once on what is malformed, instead of waiting for the rest of a head."""
    return broken.has_head


def _judge(client: Client, expected: list[reading.Message], seen: list[Message]) -> None:
    """Answers and sightings against the ground truth, one by one."""
    answers, due = finals(client), _reachable(expected)
    if client.fault is not None and not _answered_for_head(client, answers):
        raise client.fault
    assert len(answers) <= len(expected), f"{len(answers)} answers to {len(expected)} requests"
    forwarded = 0
    for number, answer in enumerate(answers):
        assert not closes(answer) or number == len(answers) - 1, "an answer after Connection: close"
        if is_own(answer):
            continue
        forwarded += 1
        assert number < len(due), f"an origin answered what is no request: {expected[number]}"
        assert answer.get(b"x-seen") == b"%d" % forwarded, "an answer to another request"
        _same(due[number], seen[forwarded - 1])
    for late in seen[forwarded:]:
        assert not late.complete, f"seen, and not answered: {late.start!r}"
        assert len(seen) == forwarded + 1
        partial = expected[min(len(answers), len(expected) - 1)]
        assert partial.has_head, f"forwarded without a head: {late.start!r}, {partial}"
    if len(answers) < len(due):
        assert (answers and closes(answers[-1])) or client.ending != "ours", f"{len(answers)} answers to {len(due)}"


def _answered_for_head(client: Client, answers: list[Message]) -> bool:
    """Whether all that is wrong is the body of an error in the place of an answer to HEAD, before a close."""
    return bool(answers) and is_own(answers[-1]) and closes(answers[-1]) and client.methods[len(answers) - 1] == b"HEAD"


def _same(sent: reading.Message, seen: Message) -> None:
    """The origin has seen what was sent, and nothing else."""
    target = sent.target
    if not target.startswith(b"/"):
        rest = target.partition(b"://")[2]
        target = b"/" + rest.partition(b"/")[2] if b"/" in rest else b"/"
    assert seen.complete
    assert (seen.method, seen.target, seen.body) == (sent.method, target, sent.body)
    assert _fields(seen.fields) == _fields(sent.fields, not sent.version)


def _fields(fields: list[tuple[bytes, bytes]], old: bool = False) -> list[tuple[bytes, bytes]]:
    return [
        (name, value)
        for name, value in end_to_end(fields)
        if name.lower() not in OURS_UP
        and not name.lower().startswith(b"x-forwarded-")
        and not (old and name.lower() == b"expect")
    ]


def run(conversation: list[bytes], changes: list[mutations.Mutation], places: list[int]) -> None:
    data = mutations.mutated(requests.tokened(conversation), changes)
    sightings = Sightings()
    with World(sightings.serve) as world:
        world.run(asyncio.wait_for(converse(world, sightings, data, mutations.cut(data, places)), 30))


def test_changed_requests_end_where_the_standard_says() -> None:
    """MUST. M1 to M8, M13, M17, M18, Z5. RFC 9112 sections 2 to 7, 11.2."""
    changes = st.lists(mutations.MUTATION, max_size=3)
    fuzz(lambda drawn: run(*drawn), st.tuples(requests.CONVERSATIONS, changes, mutations.CUTS), 250)


def test_valid_requests_are_seen_exactly() -> None:
    """MUST. M9 to M11, M18, S16. Every request of a pipeline is seen once, in order, whatever the cuts."""

    def check(drawn: tuple[tuple[list[bytes], list[bytes]], list[int]]) -> None:
        (good, last), places = drawn
        data = requests.tokened([*good, *last])
        if known.ends_early(reading.requests(data)):
            return
        sightings = Sightings()
        with World(sightings.serve) as world:
            world.run(asyncio.wait_for(converse(world, sightings, data, mutations.cut(data, places)), 30))
        assert len(sightings.seen) == len(reading.requests(data)) == len(good) + len(last)
        assert all(one.complete for one in sightings.seen)

    fuzz(check, st.tuples(requests.VALID, mutations.CUTS), 60)
