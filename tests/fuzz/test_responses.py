"""What upstreams answer, changed byte by byte: the client gets that answer or an abort, and never anybody else's."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from hypothesis import strategies as st

from tests.net.client import Client
from tests.net.origin import Connection
from tests.net.wire import head

from . import known, mutations, reading, responses
from .profile import fuzz
from .world import HOP_BY_HOP, World, closes, end_to_end, is_own, next_request, pause, plain_answer, send, whole

End = Literal["open", "fin", "reset"]
WITHIN_S = 2.0
# What the proxy sets, changes or drops on the way to the client: BEHAVIOUR H7, H15, H23, H24, S11, S12.
OURS_DOWN = frozenset(
    {b"date", b"content-length", b"cache-control", b"x-accel-buffering", b"location", b"alt-svc", b"x-sendfile"}
)


@dataclass
class Upstream:
    """The origin: sends the pieces once, ends as told, and then answers as any other."""

    pieces: list[bytes]
    end: End
    sent: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, connection: Connection) -> None:
        """Answers what comes on one connection."""
        while (request := await next_request(connection)) is not None:
            if await plain_answer(connection, request):
                continue
            await whole(connection, request)
            for piece in self.pieces:
                send(connection, piece)
                await pause()
            self.sent.set()
            if connection.transport.is_closing():
                continue
            if self.end == "fin":
                connection.finish_writing()
            elif self.end == "reset":
                connection.reset()


@dataclass
class Case:
    """One answer and how it is asked for and sent."""

    method: bytes
    start: bytes
    changes: list[mutations.Mutation]
    places: list[int]
    end: End

    @property
    def data(self) -> bytes:
        """The bytes that the upstream sends."""
        return mutations.mutated(self.start, self.changes)

    @property
    def is_large(self) -> bool:
        """Whether head, chunk extensions or trailers may be over `limits.response_head`."""
        return len(self.data) > 60_000

    @property
    def expected(self) -> list[reading.Message]:
        """The messages that the answer consists of."""
        return reading.responses(self.data, self.method, self.end == "fin")


async def converse(world: World, upstream: Upstream, case: Case) -> None:
    """One client asks for it and for something plain after it, while another has exchanges of its own."""
    expected = case.expected
    other, client = await world.connect(), await world.connect()
    await world.plain_exchange(other)
    lines = [b"Content-Length: 4"] if case.method == b"POST" else []
    client.methods.append(case.method)
    client.send(head(b"%b /changed HTTP/1.1" % case.method, b"Host: localhost", *lines) + (b"body" if lines else b""))
    await upstream.sent.wait()
    await world.plain_exchange(other)
    await _settled(client)
    _judge(client, expected, case)
    await world.plain_exchange(other)
    if client.ending == "open":
        await world.plain_exchange(client)
    final = [message for message in client.reader.messages if message.status >= 200]
    assert len(final) <= 1 + (client.ending == "open")


async def _settled(client: Client) -> None:
    """Waits until the client has all that it will get."""

    def over() -> bool:
        answers = [message for message in client.reader.messages if message.status >= 200]
        return client.ending != "open" or bool(answers and answers[0].complete)

    await client.until(over, "an answer or the end", WITHIN_S)
    answers = [message for message in client.reader.messages if message.status >= 200]
    if answers and closes(answers[0]):
        await client.wait_ended(WITHIN_S)


def _judge(client: Client, expected: list[reading.Message], case: Case) -> None:
    """What the client has got against the ground truth."""
    if client.fault is not None and not client.reader.messages:
        raise client.fault
    final = expected[-1]
    answers = [message for message in client.reader.messages if message.status >= 200]
    interim = [message for message in client.reader.messages if message.status < 200]
    told = [message for message in expected if 100 <= message.status < 200 and message.ending == "whole"]
    assert len(interim) <= len(told)
    for got, sent in zip(interim, told, strict=False):
        passed_on = [entry for entry in _fields(sent.fields) if entry[0].lower() != b"host"]  # a request's field
        assert (got.status, _fields(got.fields)) == (sent.status, passed_on)
    assert len(answers) == 1, f"{len(answers)} answers"
    answer = answers[0]
    if is_own(answer):
        assert answer.complete
        assert answer.status in (500, 502, 504)
        assert answer.status != 500, "the proxy's own fault"
        refusable = final.ending != "whole" or final.status == 101 or case.end == "reset" or case.is_large
        refusable = refusable or final.is_loose or _frames_twice(final) or _is_coded_for_transfer(final)
        assert refusable, f"a good answer was refused: {answer.body!r}"
        return
    assert final.has_head, f"an answer out of what is none: {final.cause}"
    assert (answer.status, answer.reason) == (final.status, final.reason)
    assert _fields(answer.fields) == _fields(final.fields)
    assert final.body.startswith(answer.body)
    may_be_cut = case.is_large or final.is_loose or _frames_twice(final)
    if answer.complete or not (case.end == "reset" or may_be_cut):  # a reset takes along what has not been read
        assert answer.complete == (final.ending == "whole"), f"complete {answer.complete}, but it was {final.ending}"
        assert answer.body == final.body, "bytes that had come are missing"
    if case.method == b"HEAD" and answer.status != 204:
        assert answer.all(b"content-length") == final.all(b"content-length")


def _frames_twice(answer: reading.Message) -> bool:
    """Whether its trailers name a framing field, which no sender may do and llhttp refuses. RFC 9110 section 6.5.1."""
    return any(name.lower() in (b"content-length", b"transfer-encoding") for name, _ in answer.trailers)


def _is_coded_for_transfer(answer: reading.Message) -> bool:
    """Whether it has a transfer coding that is refused whether or not a body follows: not `chunked`, or in HTTP/1.0."""
    codings = answer.all(b"transfer-encoding")
    return codings not in ([], [b"chunked"]) or (bool(codings) and answer.version == 0)


def _fields(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [
        (name, value)
        for name, value in end_to_end(fields)
        if name.lower() not in OURS_DOWN | HOP_BY_HOP and not name.lower().startswith(b"x-accel-")
    ]


def run(case: Case) -> None:
    if known.has_closing_interim(case.expected):
        return
    upstream = Upstream(mutations.cut(case.data, case.places), case.end)
    with World(upstream.serve) as world:
        world.run(asyncio.wait_for(converse(world, upstream, case), 30))


def _cases(changes: int) -> st.SearchStrategy[Case]:
    many = st.lists(mutations.MUTATION, max_size=changes)
    ends = st.sampled_from(["open", "fin", "fin", "reset"])
    return st.builds(Case, responses.METHODS, responses.STARTS, many, mutations.CUTS, ends).filter(
        lambda case: case.end != "open" or not _waits(case)
    )


def _waits(case: Case) -> bool:
    """Whether more may be waited for: something is incomplete, or a head that is wrong already has not ended."""
    final = case.expected[-1]
    return final.ending == "incomplete" or not (final.has_head or b"\r\n\r\n" in case.data[final.begins :])


def test_changed_responses_are_passed_on_or_broken_off() -> None:
    """MUST. M2, M6, M7, M15 to M17, A5, A6, A9, X1, X9, X10, H9, K1, Z5. RFC 9112 sections 4 to 8."""
    fuzz(run, _cases(3), 250)
