"""Rules of what is a stream, and of what a stream's head says to the hops after us."""

import pytest

from proxy.core.streams import (
    STREAM_TYPES,
    StreamPolicy,
    accepts_events,
    classify,
    directives,
    forbids_transform,
    hints,
    may_stream,
    media_type,
    refuses_identity,
)
from tests.core.samples import fields, lines, request

AUTO, ALWAYS, NEVER = StreamPolicy(), StreamPolicy("always"), StreamPolicy("never")


@pytest.mark.parametrize(
    "content_type",
    [
        b"text/event-stream",
        b"TEXT/Event-Stream",
        b"text/event-stream;charset=utf-8",
        b"text/event-stream ; charset=utf-8",
        b"text/event-stream\t;charset=utf-8",
        b"application/x-ndjson",
        b"application/ndjson; charset=utf-8",
        b"application/jsonl",
        b"application/jsonlines",
        b"application/json-seq",
        b"application/stream+json",
        b"application/vnd.amazon.eventstream",
        b"multipart/x-mixed-replace;boundary=frame",
    ],
    ids=bytes.decode,
)
def test_a_response_of_a_streaming_type_is_a_stream(content_type: bytes) -> None:
    """MUST. RFC 9110 section 8.3.1; S2: in any letter case, with parameters and blanks."""
    assert classify(request(), fields(b"Content-Type: " + content_type), AUTO) == "type"


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"text/event-streamfoo",
        b"text/event-stream nonsense",
        b"text/event-stream, text/html",
        b"xtext/event-stream",
        b"text/plain; text/event-stream",
        b"event-stream",
        b"text/html",
        b"application/json",
        b"application/jsonx",
        b"application/x-ndjsonp",
        b"application/json+stream",
        b"application/vnd.amazon.eventstreams",
        b"multipart/mixed",
    ],
    ids=lambda content_type: content_type.decode() or "empty",
)
def test_a_near_miss_of_a_streaming_type_is_none(content_type: bytes) -> None:
    """MUST. S3."""
    assert classify(request(), fields(b"Content-Type: " + content_type), AUTO) is None


def test_a_response_without_a_type_is_no_stream() -> None:
    """MUST. S2."""
    assert classify(request(), [], AUTO) is None
    assert media_type([]) == b""


def test_the_table_of_streaming_types_is_complete() -> None:
    """MUST. S2."""
    assert len(STREAM_TYPES) == 9


@pytest.mark.parametrize(
    ("accept", "accepted"),
    [
        pytest.param([b"text/event-stream"], True, id="alone"),
        pytest.param([b"Text/EVENT-stream"], True, id="letter case"),
        pytest.param([b"application/json, text/event-stream"], True, id="second"),
        pytest.param([b"application/json", b"text/event-stream"], True, id="second line"),
        pytest.param([b"text/event-stream;q=0.1"], True, id="a small weight"),
        pytest.param([b"text/event-stream; charset=utf-8 ; q=0.001"], True, id="a parameter before a small weight"),
        pytest.param([b"text/event-stream;q=1.0"], True, id="a full weight"),
        pytest.param([b"text/event-stream;q=0"], False, id="weight zero"),
        pytest.param([b"text/event-stream; Q=0.000"], False, id="weight zero with decimals"),
        pytest.param([b"text/event-stream;charset=utf-8;q=0"], False, id="weight zero behind a parameter"),
        pytest.param([b"text/event-stream;x=0"], True, id="another parameter that is zero"),
        pytest.param([b"*/*"], False, id="everything"),
        pytest.param([b"text/*"], False, id="all text"),
        pytest.param([b"text/event-streamfoo"], False, id="a longer word"),
        pytest.param([b"text/html;x=text/event-stream"], False, id="inside a parameter"),
        pytest.param([b""], False, id="empty"),
        pytest.param([], False, id="missing"),
    ],
)
def test_a_request_that_accepts_events_by_name_asks_for_a_stream(accept: list[bytes], accepted: bool) -> None:
    """MUST. RFC 9110 section 12.5.1; S2."""
    head = request(b"GET / HTTP/1.1", *(b"Accept: " + line for line in accept))
    assert accepts_events(head) is accepted
    assert classify(head, fields(b"Content-Type: text/html"), AUTO) == ("accept" if accepted else None)


@pytest.mark.parametrize(
    ("policy", "accept", "content_type", "reason"),
    [
        pytest.param(AUTO, b"text/event-stream", b"text/event-stream", "type", id="the type goes before Accept"),
        pytest.param(ALWAYS, b"*/*", b"text/html", "route", id="always"),
        pytest.param(ALWAYS, b"text/event-stream", b"text/event-stream", "route", id="always, whatever else"),
        pytest.param(NEVER, b"text/event-stream", b"text/event-stream", None, id="never, whatever else"),
    ],
)
def test_the_route_has_the_last_word(
    policy: StreamPolicy, accept: bytes, content_type: bytes, reason: str | None
) -> None:
    """MUST. S2, S25."""
    head = request(b"GET / HTTP/1.1", b"Accept: " + accept)
    assert classify(head, fields(b"Content-Type: " + content_type), policy) == reason


@pytest.mark.parametrize(
    ("line", "more", "policy", "may"),
    [
        pytest.param(b"GET / HTTP/1.1", [], AUTO, False, id="a plain GET"),
        pytest.param(b"GET / HTTP/1.1", [b"Accept: text/event-stream"], AUTO, True, id="GET that accepts events"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Type: application/json"], AUTO, True, id="POST of JSON"),
        pytest.param(
            b"POST / HTTP/1.1",
            [b"Content-Type: Application/JSON ; charset=utf-8"],
            AUTO,
            True,
            id="JSON with parameter",
        ),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Type: application/vnd.x+json"], AUTO, True, id="POST of +json"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Type: application/jsonx"], AUTO, False, id="POST of another type"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Type: text/plain"], AUTO, False, id="POST of text"),
        pytest.param(b"POST / HTTP/1.1", [], AUTO, False, id="POST of nothing"),
        pytest.param(
            b"POST / HTTP/1.1",
            [b"Content-Type: text/plain", b"Accept: text/event-stream"],
            AUTO,
            True,
            id="POST of text that accepts events",
        ),
        pytest.param(b"PUT / HTTP/1.1", [b"Content-Type: application/json"], AUTO, False, id="PUT of JSON"),
        pytest.param(b"GET / HTTP/1.1", [], ALWAYS, True, id="always"),
        pytest.param(b"POST / HTTP/1.1", [b"Content-Type: application/json"], NEVER, False, id="never"),
    ],
)
def test_a_request_may_stream_if_it_accepts_events_or_posts_json(
    line: bytes, more: list[bytes], policy: StreamPolicy, may: bool
) -> None:
    """MUST. E1."""
    assert may_stream(request(line, *more), policy) is may


@pytest.mark.parametrize(
    ("accept_encoding", "refused"),
    [
        pytest.param([], False, id="missing"),
        pytest.param([b""], False, id="empty"),
        pytest.param([b"gzip"], False, id="identity is always acceptable"),
        pytest.param([b"identity;q=0"], True, id="by name"),
        pytest.param([b"gzip, Identity ; Q=0.000"], True, id="by name, letter case and blanks"),
        pytest.param([b"gzip", b"identity;q=0"], True, id="on a second line"),
        pytest.param([b"*;q=0"], True, id="by the star"),
        pytest.param([b"gzip, *;q=0"], True, id="by the star, others accepted"),
        pytest.param([b"*;q=0, identity"], False, id="the star does not cover what is named"),
        pytest.param([b"identity;q=0.5, *;q=0"], False, id="named with a small weight"),
        pytest.param([b"identity;q=0, *"], True, id="the star does not help what is named"),
        pytest.param([b"*;q=0.1"], False, id="the star with a small weight"),
        pytest.param([b"*"], False, id="the star"),
        pytest.param([b"identityx;q=0"], False, id="a longer word"),
        pytest.param([b"gzip;q=0"], False, id="another coding"),
    ],
)
def test_identity_is_refused_by_name_or_by_a_star_that_covers_it(accept_encoding: list[bytes], refused: bool) -> None:
    """MUST. RFC 9110 section 12.5.3; E2."""
    head = request(b"GET / HTTP/1.1", *(b"Accept-Encoding: " + line for line in accept_encoding))
    assert refuses_identity(head) is refused


@pytest.mark.parametrize(
    ("received", "found"),
    [
        pytest.param([], [], id="no line"),
        pytest.param([b""], [], id="an empty line"),
        pytest.param([b" , ,"], [], id="empty members"),
        pytest.param([b"no-store, max-age=5"], [b"no-store", b"max-age=5"], id="two"),
        pytest.param([b"no-store", b"private"], [b"no-store", b"private"], id="two lines"),
        pytest.param([b'private="a, b", no-store'], [b'private="a, b"', b"no-store"], id="a comma inside quotes"),
        pytest.param([rb'x="a\", b", y'], [rb'x="a\", b"', b"y"], id="an escaped quote"),
        pytest.param([rb'x="a\\", y'], [rb'x="a\\"', b"y"], id="an escaped backslash before the closing quote"),
        pytest.param([b'"a, b", c'], [b'"a, b"', b"c"], id="a quote at the start"),
        pytest.param([b'x="a, b'], [b'x="a, b'], id="an open quote"),
        pytest.param([b'x="", y'], [b'x=""', b"y"], id="an empty quote"),
    ],
)
def test_directives_are_separated_by_commas_outside_quotes(received: list[bytes], found: list[bytes]) -> None:
    """MUST. RFC 9110 section 5.6.4; S12."""
    assert directives(received) == found


@pytest.mark.parametrize(
    ("received", "forbidden"),
    [
        pytest.param([], False, id="missing"),
        pytest.param([b"no-transform"], True, id="alone"),
        pytest.param([b"No-Transform"], True, id="letter case"),
        pytest.param([b"no-cache", b"max-age=0, no-transform"], True, id="on a second line"),
        pytest.param([b'x="no-transform"'], False, id="inside a value"),
        pytest.param([b'x="a, no-transform, b"'], False, id="inside a quoted list"),
        pytest.param([rb'x="a\\", no-transform'], True, id="behind an escaped backslash"),
        pytest.param([b"no-transformation"], False, id="a longer word"),
    ],
)
def test_a_response_may_forbid_to_be_transformed(received: list[bytes], forbidden: bool) -> None:
    """MUST. RFC 9111 section 5.2.2.6; E4."""
    assert forbids_transform(fields(*(b"Cache-Control: " + line for line in received))) is forbidden


EVENTS = b"Content-Type: text/event-stream"
NO_BUFFERING = b"X-Accel-Buffering: no"


@pytest.mark.parametrize(
    ("received", "hinted"),
    [
        pytest.param([EVENTS], [EVENTS, b"Cache-Control: no-cache, no-transform", NO_BUFFERING], id="nothing said"),
        pytest.param(
            [b"Content-Type: application/x-ndjson"],
            [b"Content-Type: application/x-ndjson", b"Cache-Control: no-transform", NO_BUFFERING],
            id="no-cache is for event streams",
        ),
        pytest.param(
            [b"Cache-Control: no-cache", EVENTS],
            [b"Cache-Control: no-cache, no-transform", EVENTS, NO_BUFFERING],
            id="no-cache is there",
        ),
        pytest.param(
            [b"cache-control: No-Store, max-age=0", EVENTS],
            [b"Cache-Control: No-Store, max-age=0, no-transform", EVENTS, NO_BUFFERING],
            id="no-store is as good",
        ),
        pytest.param(
            [b"Cache-Control: NO-TRANSFORM, no-cache", EVENTS],
            [b"Cache-Control: NO-TRANSFORM, no-cache", EVENTS, NO_BUFFERING],
            id="no duplicates",
        ),
        pytest.param(
            [b"Cache-Control: max-age=5", b"A: 1", b"Cache-Control: no-transform", EVENTS],
            [b"Cache-Control: max-age=5, no-transform, no-cache", b"A: 1", EVENTS, NO_BUFFERING],
            id="several lines become one in the place of the first",
        ),
        pytest.param(
            [b'Cache-Control: private="x, no-transform", no-cache="set-cookie"', EVENTS],
            [b'Cache-Control: private="x, no-transform", no-cache="set-cookie", no-transform', EVENTS, NO_BUFFERING],
            id="quoted commas",
        ),
        pytest.param(
            [b"Cache-Control: ", EVENTS],
            [b"Cache-Control: no-cache, no-transform", EVENTS, NO_BUFFERING],
            id="an empty line",
        ),
        pytest.param(
            [b"x-accel-buffering: yes", EVENTS, b"X-Accel-Buffering: 1"],
            [NO_BUFFERING, EVENTS, b"Cache-Control: no-cache, no-transform"],
            id="another order to nginx is replaced",
        ),
    ],
)
def test_a_stream_asks_the_next_hop_not_to_buffer_cache_or_compress(received: list[bytes], hinted: list[bytes]) -> None:
    """MUST. RFC 9111 section 5.2.2; S11, S12."""
    before = fields(*received)
    assert lines(hints(before)) == hinted
    assert lines(before) == received
    assert lines(hints(hints(before))) == hinted
