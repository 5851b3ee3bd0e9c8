"""Rules of when a coded body is undone on its way, and of what its head then says."""

import zlib

import pytest

from proxy.core.answer import Answer
from proxy.core.framing import Framing
from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.stages.decode import Decode
from proxy.core.streams import StreamPolicy
from tests.core.samples import answered, lines, request, response

EVENTS = b"Content-Type: text/event-stream; charset=utf-8"
OK = b"HTTP/1.1 200 OK"


def undone(got: Answer) -> bool:
    """Whether the body is decoded; label and stage have to agree."""
    labelled = any(entry[0] == b"content-encoding" for entry in got.fields)
    assert labelled is (got.stage is None)
    return got.stage is not None


@pytest.mark.parametrize(
    "coding",
    [b"gzip", b"x-gzip", b"deflate", b"br", b"zstd", b"GZIP", b" gzip ", b"gzip,"],
    ids=lambda coding: repr(coding),
)
def test_an_event_stream_of_one_known_coding_is_decoded(coding: bytes) -> None:
    """MUST. RFC 9110 section 8.4; E3."""
    got = answered(response(OK, EVENTS, b"Content-Encoding: " + coding, b"Transfer-Encoding: chunked"))
    assert undone(got)
    assert isinstance(got.stage, Decode)
    assert got.body.framing == "chunked"


def test_the_stage_undoes_the_coding_that_was_named() -> None:
    """MUST. E3, E5."""
    got = answered(response(OK, EVENTS, b"Content-Encoding: deflate"))
    assert got.stage is not None
    assert got.stage.feed(zlib.compress(b"data: x\n\n")) == b"data: x\n\n"


def test_every_answer_has_a_stage_of_its_own() -> None:
    """MUST. H18: what one stream left in a decoder is no other's."""
    head = response(OK, EVENTS, b"Content-Encoding: gzip")
    assert answered(head).stage is not answered(head).stage


@pytest.mark.parametrize(
    ("line", "received", "asked", "policy"),
    [
        pytest.param(OK, [EVENTS, b"Content-Encoding: snappy"], [], StreamPolicy(), id="an unknown coding"),
        pytest.param(OK, [EVENTS, b"Content-Encoding: identity"], [], StreamPolicy(), id="identity"),
        pytest.param(OK, [EVENTS, b"Content-Encoding:"], [], StreamPolicy(), id="an empty label"),
        pytest.param(OK, [EVENTS, b"Content-Encoding: gzip, br"], [], StreamPolicy(), id="two codings"),
        pytest.param(
            OK, [EVENTS, b"Content-Encoding: gzip", b"Content-Encoding: gzip"], [], StreamPolicy(), id="two lines"
        ),
        pytest.param(b"HTTP/1.1 206 x", [EVENTS, b"Content-Encoding: gzip"], [], StreamPolicy(), id="a part"),
        pytest.param(
            OK,
            [EVENTS, b"Content-Encoding: gzip", b"Cache-Control: private, No-Transform"],
            [],
            StreamPolicy(),
            id="no-transform",
        ),
        pytest.param(
            OK, [b"Content-Type: application/json", b"Content-Encoding: gzip"], [], StreamPolicy(), id="another type"
        ),
        pytest.param(
            OK,
            [b"Content-Type: application/x-ndjson", b"Content-Encoding: gzip"],
            [],
            StreamPolicy(),
            id="another stream",
        ),
        pytest.param(
            OK,
            [b"Content-Type: text/plain", b"Content-Encoding: gzip"],
            [],
            StreamPolicy("always"),
            id="always a stream",
        ),
        pytest.param(OK, [b"Content-Encoding: gzip"], [b"Accept: text/event-stream"], StreamPolicy(), id="no type"),
        pytest.param(OK, [EVENTS, b"Content-Encoding: gzip"], [], StreamPolicy(decode=False), id="compression passes"),
        pytest.param(
            OK,
            [EVENTS, b"Content-Encoding: gzip"],
            [b"Accept-Encoding: gzip, identity;q=0"],
            StreamPolicy(),
            id="the client refuses identity",
        ),
        pytest.param(
            OK,
            [EVENTS, b"Content-Encoding: gzip"],
            [b"Accept-Encoding: gzip, *;q=0"],
            StreamPolicy(),
            id="the client refuses all else",
        ),
        pytest.param(b"HTTP/1.1 304 x", [EVENTS, b"Content-Encoding: gzip"], [], StreamPolicy(), id="304"),
        pytest.param(b"HTTP/1.1 204 x", [EVENTS, b"Content-Encoding: gzip"], [], StreamPolicy(), id="204"),
    ],
)
def test_any_other_coded_body_passes_with_its_label(
    line: bytes, received: list[bytes], asked: list[bytes], policy: StreamPolicy
) -> None:
    """MUST. E1, E2, E4, E5, E7, E10."""
    got = answered(
        response(line, *received, b"Accept-Ranges: bytes", b'ETag: "x"'),
        request(b"GET / HTTP/1.1", *asked),
        stream=policy,
    )
    assert not undone(got)
    assert {b"Accept-Ranges: bytes", b'ETag: "x"'} <= set(lines(got.fields))


def test_the_answer_to_head_keeps_label_and_length() -> None:
    """MUST. E10, X9: there is no body to undo."""
    got = answered(response(OK, EVENTS, b"Content-Encoding: gzip", b"Content-Length: 5"), request(b"HEAD / HTTP/1.1"))
    assert not undone(got)
    assert b"Content-Length: 5" in lines(got.fields)


@pytest.mark.parametrize(
    ("line", "framing"),
    [(b"GET / HTTP/1.1", "chunked"), (b"GET / HTTP/1.0", "close")],
    ids=["1.1", "1.0"],
)
def test_what_described_the_coded_bytes_goes_with_the_coding(line: bytes, framing: Framing) -> None:
    """MUST. RFC 9110 section 8, RFC 9530; E6: the length is not known any more."""
    received = [
        EVENTS,
        b"Content-Encoding: gzip",
        b"Content-Length: 5",
        b"Accept-Ranges: bytes",
        b"Content-MD5: x",
        b"Content-Digest: x",
        b"Repr-Digest: x",
        b"Vary: Accept-Encoding",
        b"Cache-Control: no-cache, no-transformation",
    ]
    got = answered(response(OK, *received), request(line))
    framed = [b"Transfer-Encoding: chunked"] if framing == "chunked" else []
    assert lines(got.fields) == [
        EVENTS,
        b"Vary: Accept-Encoding",
        b"Cache-Control: no-cache, no-transformation, no-transform",
        b"X-Accel-Buffering: no",
        *framed,
    ]
    assert (got.body.framing, got.body.length) == (framing, None)


@pytest.mark.parametrize(
    ("received", "told"),
    [(b'ETag: "x"', b'ETag: W/"x"'), (b'etag: W/"x"', b'etag: W/"x"'), (b'ETAG: ""', b'ETAG: W/""')],
    ids=["strong", "weak", "empty"],
)
def test_a_strong_etag_becomes_weak(received: bytes, told: bytes) -> None:
    """MUST. RFC 9110 section 8.8.1; E6."""
    assert told in lines(answered(response(OK, EVENTS, b"Content-Encoding: gzip", received)).fields)


def test_our_own_no_transform_does_not_keep_us_from_decoding() -> None:
    """MUST. E3, S12: the hint is for the hop after us."""
    got = answered(response(OK, EVENTS, b"Content-Encoding: gzip"))
    assert undone(got)
    assert b"Cache-Control: no-cache, no-transform" in lines(got.fields)


def test_a_rule_is_too_late_to_change_whether_a_body_is_decoded() -> None:
    """MUST. E5, H22: label and bytes have to agree, so the upstream's head decides."""
    rules = Rules(set=(field(b"Cache-Control", b"no-transform"),))
    assert undone(answered(response(OK, EVENTS, b"Content-Encoding: gzip"), response_rules=rules))


def test_a_stream_that_is_decoded_though_the_route_calls_it_none() -> None:
    """MUST. E3: decoding is a matter of type and coding alone."""
    got = answered(response(OK, EVENTS, b"Content-Encoding: gzip"), stream=StreamPolicy("never"))
    assert undone(got)
    assert got.stream is None
