"""What the fuzzer has found, as bytes."""

import asyncio
from collections.abc import Sequence

import pytest

from tests.net.harness import settles
from tests.net.origin import Connection
from tests.net.wire import Message, chunk, head

from . import mutations, responses, test_responses
from .test_requests import Sightings
from .world import World, close, finals, next_request, pause, plain_answer, send

_HOST = b"Host: localhost"
_CHUNKED = head(b"POST /chunked HTTP/1.1", _HOST, b"Transfer-Encoding: chunked")
_NEXT = head(b"GET /next HTTP/1.1", _HOST)
_H2C = head(b"GET /h2c HTTP/1.1", _HOST, b"Connection: upgrade", b"Upgrade: h2c")


def _played(pieces: Sequence[bytes], answers: int, deaf: bool = False) -> tuple[list[Message], list[Message]]:
    """Sends the pieces; returns the answers, at most as many as expected, and what the origin has seen."""
    sightings = Sightings()

    async def act(world: World) -> list[Message]:
        client = await world.connect()
        client.methods = [piece.split(b" ")[0] for piece in pieces]
        if deaf:
            client.pause()
        for piece in pieces:
            send(client, piece)
            await asyncio.sleep(0.02)  # a write of its own each
        client.resume()
        await pause()
        try:
            await client.until(lambda: len(finals(client)) >= answers or client.ending != "open", "answers", 1)
        finally:
            client.fault = None
            await close(client)
        return finals(client)

    with World(sightings.serve) as world:
        return world.run(act(world)), sightings.seen


def test_a_trailer_does_not_become_a_field_of_the_next_request() -> None:
    """MUST. X8, M13. RFC 9110 section 6.5.1. Behind another proxy the next request may be somebody else's."""
    body = chunk(b"abc") + b"0\r\nX-User: admin\r\n\r\n"
    answers, seen = _played([_CHUNKED + body + _NEXT], 2)
    assert [request.target for request in seen] == [b"/chunked"]
    assert [answer.get(b"connection") for answer in answers] == [b"close"]


def test_a_trailer_does_not_become_a_field_of_a_later_request() -> None:
    """MUST. X8. The same with a next request that comes by itself."""
    _, seen = _played([_CHUNKED + chunk(b"abc") + b"0\r\nX-User: admin\r\n\r\n", _NEXT], 2)
    assert not any(request.get(b"x-user") for request in seen)


def test_a_body_behind_an_upgrade_is_never_run_as_a_request() -> None:
    """MUST. M13, U2, trap 16. The head of the POST is lost, and its body is the next thing that is read."""
    hidden = head(b"GET /hidden HTTP/1.1", _HOST)
    post = head(b"POST /post HTTP/1.1", _HOST, b"Content-Length: %d" % len(hidden))
    _, seen = _played([_H2C + post, hidden], 2)
    assert b"/hidden" not in [request.target for request in seen]


def test_a_request_behind_an_upgrade_is_answered_or_the_connection_ends() -> None:
    """MUST. M18, U2."""
    answers, _ = _played([_H2C + _NEXT], 2)
    assert [answer.get(b"connection") for answer in answers] == [b"close"]


def test_good_requests_in_front_of_a_bad_one_in_the_same_read_are_answered() -> None:
    """SHOULD. M18, Z5. Today the error takes the place of the first answer, with a body even where that was HEAD."""
    answers, _ = _played([_NEXT + b"\0\r\n\r\n"], 2)
    assert [answer.status for answer in answers] == [200, 400]


@pytest.mark.parametrize(
    "begins",
    [
        _CHUNKED + b"z\r\n",
        head(b"POST / HTTP/1.1", _HOST, _HOST, b"Content-Length: 2000"),
        b"GARBAGE\r\n\r\n",
    ],
)
def test_the_answer_to_what_is_malformed_survives_what_the_client_still_sends(begins: bytes) -> None:
    """MUST. K9. RFC 9112 section 9.6."""
    answers, _ = _played([begins, b"x" * 1000, b"x" * 1000], 1, deaf=True)
    assert [answer.status for answer in answers] == [400]


def test_a_client_that_leaves_is_noticed_however_much_it_has_pipelined() -> None:
    """MUST. D1, D2, trap 7. 140 000 bytes behind a request whose answer takes its time."""

    async def silent(connection: Connection) -> None:
        while (request := await next_request(connection)) is not None:
            await plain_answer(connection, request)

    async def act(world: World) -> bool:
        client = await world.connect()
        client.send(_NEXT + head(b"POST / HTTP/1.1", _HOST, b"Content-Length: 140000"))
        for _ in range(14):
            client.send(b"x" * 10_000)
            await asyncio.sleep(0.005)
        assert world.proxied.running.open_exchanges == 1
        client.reset()
        await client.wait_gone()
        noticed = await settles(lambda: not world.proxied.running.open_exchanges)
        await world.proxied.stop()
        return noticed

    world = World(silent)
    world.__enter__()
    noticed = world.run(act(world))
    world.__exit__(AssertionError, AssertionError(), None)  # what is left open is not to be checked again
    assert noticed


def _answered(data: bytes) -> None:
    case = test_responses.Case(b"GET", data, [], [], "open")
    upstream = test_responses.Upstream(mutations.cut(data, []), "open")
    with World(upstream.serve) as world:
        world.run(asyncio.wait_for(test_responses.converse(world, upstream, case), 10))


@pytest.mark.parametrize("protocol", [b"RTSP/1.0", b"ICE/1.0"])
def test_an_answer_of_another_protocol_is_refused(protocol: bytes) -> None:
    """MUST. M17. RFC 9112 section 2.3."""
    _answered(protocol + b" 200 OK\r\nContent-Length: 4\r\n\r\nbody")


@pytest.mark.parametrize("control", [b"\0", b"\x0b", b"\x7f"])
def test_control_characters_in_a_reason_phrase_are_refused(control: bytes) -> None:
    """MUST. H9, M6. RFC 9112 section 4."""
    _answered(b"HTTP/1.1 200 a" + control + b"b\r\nContent-Length: 4\r\n\r\nbody")


def test_an_extension_that_is_none_is_not_passed_on() -> None:
    """SHOULD. Nobody behind the proxy can read it differently."""
    _answered(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;a=b"c"\r\nbody\r\n0\r\n\r\n')


def test_the_corpus_itself_is_passed_on_or_refused() -> None:
    """MUST. Every answer of the corpus as it stands, in one piece."""
    for data in responses.GOOD:
        test_responses.run(test_responses.Case(b"GET", data, [], [], "fin"))
