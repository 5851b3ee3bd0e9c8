"""Rules of what happens to the body of a stream: its stages, what reads it, and whether anything may be put in."""

from typing import Any

import pytest

from proxy.core.answer import Answer, early
from proxy.core.cors import Cors
from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.plan import plan
from proxy.core.routes import Limits
from proxy.core.stages import Chain
from proxy.core.stages.convert import LinesToEvents
from proxy.core.stages.decode import Decode
from proxy.core.stages.events import Whole
from proxy.core.streams import Heartbeat, StreamPolicy
from tests.core.samples import answered, forward, lines, proxy, request, response, route

OK = b"HTTP/1.1 200 OK"
EVENTS, LINES, JSON = (
    b"Content-Type: " + kind for kind in (b"text/event-stream", b"application/x-ndjson", b"application/json")
)
CHAT, GEMINI = b"POST /v1/chat/completions HTTP/1.1", b"POST /v1/models/m:streamGenerateContent HTTP/1.1"
INJECTS = StreamPolicy(error_event=True)
CONVERTS = StreamPolicy(to_events=True)
WHOLE = StreamPolicy(whole=True)


def got(
    policy: StreamPolicy, *received: bytes, line: bytes = CHAT, head: bytes = OK, asked: tuple[bytes, ...] = ()
) -> Answer:
    return answered(response(head, *received), request(line, *asked), stream=policy)


def stages(answer: Answer) -> list[type]:
    """The stages of an answer, in order."""
    if answer.stage is None:
        return []
    return [type(stage) for stage in (answer.stage._stages if isinstance(answer.stage, Chain) else [answer.stage])]


@pytest.mark.parametrize(
    ("line", "received", "policy", "framing", "dialect"),
    [
        (CHAT, [EVENTS], StreamPolicy(), "sse", "openai-chat"),
        (CHAT, [EVENTS], StreamPolicy(family="plain-sse"), "sse", "plain"),
        (b"POST /v1/chat/completions?a=/messages HTTP/1.1", [EVENTS], StreamPolicy(), "sse", "openai-chat"),
        (b"POST /v1/messages HTTP/1.1", [EVENTS], StreamPolicy(family="openai"), "sse", "anthropic"),
        (CHAT, [EVENTS], StreamPolicy(family="anthropic"), "sse", "openai-chat"),
        (CHAT, [EVENTS], StreamPolicy(family="gemini"), "sse", "openai-chat"),
        (b"POST /x HTTP/1.1", [EVENTS], StreamPolicy(family="anthropic"), "sse", "anthropic"),
        (b"POST /x HTTP/1.1", [EVENTS], StreamPolicy(family="gemini"), "sse", "gemini"),
        (b"POST /x HTTP/1.1", [EVENTS], StreamPolicy(family="ollama"), "sse", "plain"),
        (b"POST /x HTTP/1.1", [EVENTS], StreamPolicy(), "sse", "plain"),
        (b"GET /v1/responses/resp_1?stream=true HTTP/1.1", [EVENTS], StreamPolicy(), "sse", "openai-responses"),
        (GEMINI, [EVENTS], StreamPolicy(), "sse", "gemini"),
        (GEMINI, [JSON], StreamPolicy(), "array", "gemini"),
        (b"POST /api/chat HTTP/1.1", [LINES], StreamPolicy(), "lines", "ollama-ndjson"),
        (b"POST /x HTTP/1.1", [b"Content-Type: application/json-seq"], StreamPolicy(), "lines", "plain"),
        (CHAT, [b"Content-Type: application/vnd.amazon.eventstream"], StreamPolicy(), "aws", "bedrock-eventstream"),
        (CHAT, [EVENTS, b"Content-Encoding: gzip"], StreamPolicy(), "sse", "openai-chat"),
        (CHAT, [b"Content-Type: text/plain"], StreamPolicy(content_type=b"text/event-stream"), "sse", "openai-chat"),
        (b"POST /api/chat HTTP/1.1", [LINES], CONVERTS, "sse", "ollama-ndjson"),
    ],
)
def test_a_stream_is_read_as_what_it_is(
    line: bytes, received: list[bytes], policy: StreamPolicy, framing: str, dialect: str
) -> None:
    """MUST. Its path tells more than the preset: most providers speak a second dialect at another path."""
    watch = got(policy, *received, line=line).watch
    assert watch is not None
    assert (watch.framing, watch.dialect.name) == (framing, dialect)


@pytest.mark.parametrize(
    ("received", "policy", "line", "head"),
    [
        pytest.param([JSON], StreamPolicy(), CHAT, OK, id="no stream"),
        pytest.param([JSON], StreamPolicy("always"), CHAT, OK, id="no frames that anybody knows"),
        pytest.param([EVENTS], StreamPolicy("never"), CHAT, OK, id="never"),
        pytest.param([EVENTS, b"Content-Encoding: gzip"], StreamPolicy("never"), CHAT, OK, id="never, though decoded"),
        pytest.param([EVENTS, b"Content-Encoding: gzip"], StreamPolicy(decode=False), CHAT, OK, id="coded"),
        pytest.param([EVENTS, b"Content-Encoding: compress"], StreamPolicy(), CHAT, OK, id="an unknown coding"),
        pytest.param([EVENTS], StreamPolicy(), CHAT, b"HTTP/1.1 206 Partial Content", id="a part"),
        pytest.param([EVENTS], StreamPolicy(), CHAT, b"HTTP/1.1 503 x", id="an error"),
        pytest.param([EVENTS], StreamPolicy(), CHAT, b"HTTP/1.1 204 No Content", id="no body"),
        pytest.param([EVENTS], StreamPolicy(), b"HEAD /v1/chat/completions HTTP/1.1", OK, id="HEAD"),
    ],
)
def test_what_is_no_stream_of_frames_is_not_read(
    received: list[bytes], policy: StreamPolicy, line: bytes, head: bytes
) -> None:
    """MUST. Nor is anything put in."""
    injecting = StreamPolicy(policy.classify, policy.decode, error_event=True, heartbeat=Heartbeat(1.0))
    answer = got(injecting, *received, line=line, head=head)
    assert answer.watch is None
    assert not answer.injects


@pytest.mark.parametrize(
    ("received", "policy", "injects"),
    [
        ([], INJECTS, True),
        ([], StreamPolicy(heartbeat=Heartbeat(1.0)), True),
        ([], StreamPolicy(), False),
        ([b"Content-Length: 5"], INJECTS, False),
        ([b"Cache-Control: no-transform"], INJECTS, False),
        ([b"Content-Digest: x"], INJECTS, False),
        ([b"Repr-Digest: x"], INJECTS, False),
        ([b"Signature: x"], INJECTS, False),
        ([b"Content-Encoding: gzip"], INJECTS, True),
        ([b"Content-Encoding: gzip", b"Content-Length: 5"], INJECTS, True),
        ([b"Content-Encoding: gzip", b"Content-Digest: x"], INJECTS, False),
        ([b"Content-Encoding: gzip"], StreamPolicy(decode=False, error_event=True), False),
    ],
)
def test_something_is_put_in_only_where_nobody_vouches_for_the_bytes(
    received: list[bytes], policy: StreamPolicy, injects: bool
) -> None:
    """MUST. S20, A11: asked for, no length, no digest, no coding, and the upstream did not forbid it."""
    answer = got(policy, EVENTS, *received)
    assert answer.injects is injects
    if answer.watch is not None:
        answer.watch.feed(b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', 0.0)
        assert (answer.watch.error_event() is not None) is injects


def test_our_own_hint_is_no_reason_to_put_nothing_in() -> None:
    """MUST. S12: it is for the hop after us."""
    answer = got(INJECTS, EVENTS)
    assert b"Cache-Control: no-cache, no-transform" in lines(answer.fields)
    assert answer.injects


@pytest.mark.parametrize(
    ("policy", "received", "found"),
    [
        (StreamPolicy(), [EVENTS], []),
        (WHOLE, [EVENTS], [Whole]),
        (WHOLE, [LINES], [Whole]),
        (WHOLE, [b"Content-Type: application/vnd.amazon.eventstream"], []),
        (WHOLE, [JSON], []),
        (WHOLE, [EVENTS, b"Content-Encoding: br"], [Decode, Whole]),
        (StreamPolicy(whole=True, decode=False), [EVENTS, b"Content-Encoding: br"], []),
        (StreamPolicy("never", whole=True), [EVENTS], []),
        (CONVERTS, [EVENTS], []),
        (CONVERTS, [LINES], [LinesToEvents]),
        (CONVERTS, [b"Content-Type: text/plain; charset=utf-8"], [LinesToEvents]),
        (CONVERTS, [], [LinesToEvents]),
        (CONVERTS, [b"Content-Type: application/octet-stream"], [LinesToEvents]),
        (CONVERTS, [b"Content-Type: text/html"], []),
        (CONVERTS, [JSON], []),
        (StreamPolicy("never", to_events=True), [LINES], [LinesToEvents]),
        (StreamPolicy(to_events=True, whole=True), [LINES, b"Content-Encoding: gzip"], [Decode, LinesToEvents, Whole]),
        (StreamPolicy(to_events=True, decode=False), [LINES, b"Content-Encoding: gzip"], []),
        (CONVERTS, [LINES, b"Content-Encoding: compress"], []),
        (
            StreamPolicy(to_events=True, content_type=b"application/x-ndjson"),
            [b"Content-Type: text/html"],
            [LinesToEvents],
        ),
    ],
)
def test_only_the_stages_that_the_route_asks_for_are_in_the_path(
    policy: StreamPolicy, received: list[bytes], found: list[type]
) -> None:
    """MUST. S24; and the label says what the stages make of the body."""
    answer = got(policy, *received)
    assert stages(answer) == found
    labels = {line.partition(b":")[0].lower() for line in lines(answer.fields)}
    if LinesToEvents in found:
        assert EVENTS in lines(answer.fields)
        assert b"content-encoding" not in labels
        assert answer.body.framing == "chunked"


def test_one_json_text_is_taken_for_lines_where_the_client_asks_for_events() -> None:
    """MUST. Else it may be just what its label says."""
    assert stages(got(CONVERTS, JSON, asked=(b"Accept: text/event-stream",))) == [LinesToEvents]


@pytest.mark.parametrize("head", [b"HTTP/1.1 206 Partial Content", b"HTTP/1.1 400 x", b"HTTP/1.1 304 Not Modified"])
def test_only_a_whole_success_is_relabelled_or_converted(head: bytes) -> None:
    """MUST. An error's label stays, so that a client reads it as what it is."""
    answer = got(StreamPolicy(to_events=True, content_type=b"text/event-stream", whole=True), LINES, head=head)
    assert LINES in lines(answer.fields)
    assert answer.stage is None


def test_a_replaced_type_makes_a_stream() -> None:
    """MUST. What the route says of its upstream's label counts in place of it."""
    answer = got(StreamPolicy(content_type=b"text/event-stream"), b"Content-Type: text/plain", b"Content-Length: 5")
    assert answer.stream == "type"
    assert EVENTS in lines(answer.fields)
    assert b"Content-Length: 5" in lines(answer.fields)


def test_what_described_the_lines_does_not_describe_the_events() -> None:
    """MUST. E6."""
    answer = got(CONVERTS, LINES, b"Content-Length: 5", b"Content-Digest: x", b'ETag: "x"')
    assert {line.partition(b":")[0] for line in lines(answer.fields)} & {b"Content-Length", b"Content-Digest"} == set()
    assert b'ETag: W/"x"' in lines(answer.fields)


def test_the_limit_of_an_event_is_the_routes() -> None:
    """MUST. limits.event, in stages and watch."""
    answer = answered(response(OK, EVENTS), request(CHAT), stream=WHOLE, limits=Limits(event=10))
    assert isinstance(answer.stage, Whole)
    assert answer.stage.feed(b"data: 0123456789") == b"data: 0123456789"
    assert answer.stage.oversized


def began(policy: StreamPolicy, line: bytes = CHAT, *asked: bytes, **changes: Any) -> Answer:
    return early(forward(plan(proxy(route(stream=policy, **changes)), request(line, *asked))))


def test_an_early_answer_is_an_event_stream_with_hints_and_the_routes_fields() -> None:
    """MAY. S22: all that does not depend on the upstream."""
    answer = began(
        StreamPolicy(heartbeat=Heartbeat(1.0, early=True)),
        CHAT,
        b"Origin: https://app.example",
        cors=Cors(frozenset({b"https://app.example"}), expose=b"x-request-id"),
        response_rules=Rules(set=(field(b"X-A", b"1"),)),
    )
    assert (answer.status, answer.reason, answer.stream, answer.stage, answer.injects) == (
        200,
        b"OK",
        "route",
        None,
        False,
    )
    assert lines(answer.fields) == [
        EVENTS,
        b"Cache-Control: no-cache, no-transform",
        b"X-Accel-Buffering: no",
        b"Access-Control-Allow-Origin: https://app.example",
        b"Vary: Origin",
        b"Access-Control-Expose-Headers: x-request-id",
        b"X-A: 1",
        b"Transfer-Encoding: chunked",
    ]
    assert answer.body.framing == "chunked"


@pytest.mark.parametrize(
    ("line", "beat", "said"),
    [
        (CHAT, b": ping\n\n", b"data: {"),
        (b"POST /v1/messages HTTP/1.1", b'event: ping\ndata: {"type":"ping"}\n\n', b"event: error\n"),
        (b"POST /v1/responses HTTP/1.1", b": ping\n\n", b'event: error\ndata: {"type":"error","sequence_number":0,'),
        (GEMINI, None, b'data: {"error":{"code":503,'),
        (b"POST /x HTTP/1.1", b": ping\n\n", b""),
    ],
)
def test_an_early_answer_speaks_the_dialect_of_its_path(line: bytes, beat: bytes | None, said: bytes) -> None:
    """MAY. S22: heartbeats, and an event where the upstream then fails."""
    watch = began(StreamPolicy(heartbeat=Heartbeat(1.0, early=True)), line).watch
    assert watch is not None
    assert watch.heartbeat("auto") == beat
    assert (watch.error_event() or b"").startswith(said)


def test_an_early_answer_to_an_old_client_ends_with_the_connection() -> None:
    """MUST. RFC 9112 section 6.3."""
    answer = began(StreamPolicy(), b"POST /x HTTP/1.0")
    assert answer.body.framing == "close"
    assert not any(line.startswith(b"Transfer-Encoding") for line in lines(answer.fields))


@pytest.mark.parametrize(
    ("policy", "received", "is_plain"),
    [
        (StreamPolicy(), [JSON], True),
        (StreamPolicy(), [b"Content-Length: 3", JSON], True),
        (StreamPolicy(), [EVENTS], False),
        (StreamPolicy(classify="never"), [EVENTS], True),
        (StreamPolicy(), [EVENTS, b"Content-Encoding: gzip"], False),
        (CONVERTS, [LINES], False),
    ],
)
def test_a_body_is_plain_where_nobody_changes_or_reads_it(
    policy: StreamPolicy, received: list[bytes], is_plain: bool
) -> None:
    """Such a body needs nothing that follows it on its way."""
    assert got(policy, *received).is_plain == is_plain
