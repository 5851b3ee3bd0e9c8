"""Rules of the watch: where something may be put into a stream, what it holds, and how it judges."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.core.dialects import Framing
from proxy.core.dialects.recognise import recognise
from proxy.core.errors import ClientGone, ConnectionTerminated, ProxyError
from proxy.core.exchange import Exchange
from proxy.core.watch import BATCH_BYTES, Watch
from tests.core.dialects import Transcript, learnt
from tests.core.dialects.transcripts import ALL, EVENT_STREAMS
from tests.core.dialects.transcripts.anthropic import ANTHROPIC, MESSAGES_PATH
from tests.core.dialects.transcripts.bedrock import BEDROCK
from tests.core.dialects.transcripts.frames import DONE
from tests.core.dialects.transcripts.gemini import GEMINI_ARRAY
from tests.core.dialects.transcripts.ollama import OLLAMA
from tests.core.dialects.transcripts.openai import CHAT, CHAT_PATH, RESPONSES, ROLE, STOP, said
from tests.core.framers import bytewise, cut, some_cuts

LIMIT = 64 * 1024
FORMS = ["auto", "block", "line"]


def browsed(stream: bytes) -> list[tuple[str, str, str]]:
    """Type, data and last id of the events of a whole stream, as the standard tells it: WHATWG HTML section 9.2.6."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    found, kind, last_id, data = [], "", "", ""
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        name, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if line == "":
            if data:
                found.append((kind or "message", data[:-1], last_id))
            kind = data = ""
        elif name == "data":
            data += value + "\n"
        elif name == "event":
            kind = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return found


def beaten(watch: Watch, reads: list[bytes], form: str) -> tuple[bytes, int]:
    """What a client gets that is sent a heartbeat wherever there may be one, and how many there were."""
    stream, beats = b"", 0
    for read in reads:
        if stream and (beat := watch.heartbeat(form)):
            stream, beats = stream + beat, beats + 1
        watch.feed(read, 0.0)
        stream += read
    return stream, beats


def unpinged(stream: bytes) -> list[tuple[str, str, str]]:
    return [event for event in browsed(stream) if event[0] != "ping"]


every_event_stream = pytest.mark.parametrize("transcript", EVENT_STREAMS.values(), ids=EVENT_STREAMS)


@every_event_stream
@settings(max_examples=15)
@given(
    end=st.sampled_from([b"\n", b"\r", b"\r\n"]),
    form=st.sampled_from(FORMS),
    cuts=some_cuts,
    by_bytes=st.booleans(),
)
def test_a_heartbeat_changes_no_event(
    transcript: Transcript, end: bytes, form: str, cuts: list[int], by_bytes: bool
) -> None:
    """MUST. S20, S21: wherever it may be put in, the client sees the same events."""
    stream = transcript.stream.replace(b"\n", end)
    sent, _ = beaten(transcript.watch(exact=True), bytewise(stream) if by_bytes else cut(stream, cuts), form)
    assert unpinged(sent + b":") == unpinged(stream + b":")


LINES = [b"data: a", b"data", b"data:", b": x", b"event: e", b"event: ping", b"id: 1", b"id", b"retry: 5", b"\xff"]
some_end = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\r\r\n", b""])
some_lines = st.lists(st.one_of(st.sampled_from(LINES), some_end, st.binary(max_size=3)), max_size=24).map(b"".join)


@settings(max_examples=150)
@given(stream=some_lines, cuts=some_cuts, form=st.sampled_from(FORMS), limit=st.sampled_from([8, LIMIT]))
def test_a_heartbeat_changes_no_event_of_any_stream(stream: bytes, cuts: list[int], form: str, limit: int) -> None:
    """MUST. S20, S21: for nonsense too, and inside events over the limit."""
    for path in (b"/", MESSAGES_PATH.encode()):
        for reads in (cut(stream, cuts), bytewise(stream)):
            sent, _ = beaten(Watch("sse", recognise(None, "sse", path), limit, exact=True), reads, form)
            assert unpinged(sent + b":") == unpinged(stream + b":")


@settings(max_examples=150)
@given(stream=some_lines, cuts=some_cuts)
def test_an_error_event_is_one_event_behind_those_that_came(stream: bytes, cuts: list[int]) -> None:
    """MUST. A11: where there may be one, it arrives whole, and what came before is as it was."""
    for path in (CHAT_PATH, "/v1/responses", MESSAGES_PATH):
        watch, sent = Watch("sse", recognise(None, "sse", path.encode()), LIMIT, exact=True), b""
        for read in cut(stream, cuts):
            watch.feed(read, 0.0)
            sent += read
            if event := watch.error_event():
                before, after = browsed(sent), browsed(sent + event)
                assert after[:-1] == before
                assert "error" in json.loads(after[-1][1])


@every_event_stream
def test_an_error_event_stands_behind_any_frame_but_the_last_word(transcript: Transcript) -> None:
    """MUST. A11, A12: at every end of an event, and not inside one."""
    watch, sent = transcript.watch(exact=True), b""
    for frame in transcript.frames:
        watch.feed(frame[:-1], 0.0)
        assert watch.error_event() is None
        watch.feed(frame[-1:], 0.0)
        sent += frame
        event = watch.error_event()
        is_over = watch.dialect.ended or watch.dialect.failed
        assert (event is not None) is (
            not is_over and watch.dialect.name not in ("plain", "cohere", "tgi", "replicate")
        )
        if event is not None:
            assert browsed(sent + event)[:-1] == browsed(sent)
            assert b"\r" not in event


SAYS_NOTHING: dict[str, tuple[Transcript, bytes]] = {
    "inside a line": (CHAT["complete"], ROLE + b"data: {"),
    "inside an event": (CHAT["complete"], ROLE + b"data: {}\n"),
    "behind half an end of a line": (CHAT["complete"], b"data: {}\r\n\r"),
    "behind a cr": (CHAT["complete"], b"data: {}\r\r"),
    "behind its sentinel": (CHAT["complete"], ROLE + DONE),
    "behind its last choice": (CHAT["complete"], said("a") + STOP),
    "behind an error": (CHAT["complete"], CHAT["failed"].stream),
    "inside a message": (ANTHROPIC["complete"], ANTHROPIC["complete"].stream[:-1]),
    "behind a message": (ANTHROPIC["complete"], ANTHROPIC["complete"].stream),
    "in lines": (OLLAMA["complete"], OLLAMA["complete"].frames[0]),
    "in an array": (GEMINI_ARRAY["complete"], GEMINI_ARRAY["complete"].frames[0]),
    "in messages of AWS": (BEDROCK["complete"], BEDROCK["complete"].frames[0]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("transcript", "stream"), SAYS_NOTHING.values(), ids=SAYS_NOTHING)
def test_there_is_no_heartbeat_where_it_could_be_heard(transcript: Transcript, stream: bytes, form: str) -> None:
    """MUST. S20, S21."""
    watch = transcript.watch(exact=True)
    watch.feed(stream, 0.0)
    assert watch.heartbeat(form) is None


def test_nothing_is_put_into_a_stream_that_is_read_in_batches() -> None:
    """MUST. S21: nobody knows where it stands."""
    watch = CHAT["complete"].watch(exact=False)
    watch.feed(ROLE, 0.0)
    assert watch.heartbeat("auto") == b": ping\n\n"
    watch.feed(said("a"), 0.0)
    assert (watch.at_boundary, watch.heartbeat("auto"), watch.error_event()) == (False, None, None)


@pytest.mark.parametrize(
    ("path", "fed", "form", "beat"),
    [
        (CHAT_PATH, b"", "auto", b": ping\n\n"),
        (CHAT_PATH, ROLE, "auto", b": ping\n\n"),
        (CHAT_PATH, b"id: 1\n" + ROLE, "auto", b": ping\n"),
        (CHAT_PATH, ROLE + b"id\n\n" + ROLE, "auto", b": ping\n"),
        (CHAT_PATH, said("a") + b"data: {}\r\nid: 1\r\n\r\n", "auto", b": ping\n"),
        (CHAT_PATH, said("\nid: 1"), "auto", b": ping\n\n"),
        (CHAT_PATH, b"id: 1\n" + ROLE, "block", b": ping\n\n"),
        (CHAT_PATH, ROLE, "line", b": ping\n"),
        (MESSAGES_PATH, b"", "auto", b'event: ping\ndata: {"type":"ping"}\n\n'),
        (MESSAGES_PATH, b"id: 1\n\n", "auto", b'event: ping\ndata: {"type":"ping"}\n\n'),
        (MESSAGES_PATH, b"", "block", b": ping\n\n"),
        ("/x:streamGenerateContent", b"", "auto", None),
        ("/x:streamGenerateContent", b"", "line", b": ping\n"),
        ("/x", b"data: a\n\n", "auto", b": ping\n\n"),
    ],
)
def test_a_heartbeat_has_the_form_that_clients_bear(path: str, fed: bytes, form: str, beat: bytes | None) -> None:
    """MUST. S20: a block until events have ids, a line from then on, the dialect's own where it has one."""
    watch = Watch("sse", recognise(None, "sse", path.encode()), LIMIT, exact=True)
    if fed:
        watch.feed(fed, 0.0)
    assert watch.heartbeat(form) == beat


def test_what_ended_unread_is_not_called_truncated() -> None:
    """MUST. An event over the limit may have been the last one; nobody can tell, unless the body broke off too."""
    for exact in (False, True):
        for well, verdict in ((True, "unknown"), (False, "truncated")):
            transcript = RESPONSES["complete"]._replace(well=well)
            watch = transcript.watch(exact, limit=1000)
            for frame in transcript.frames[:-1]:
                watch.feed(frame, 1.0)
            for byte in bytewise(b"event: response.completed\ndata: {" + b" " * 5000 + b"}\n\n"):
                watch.feed(byte, 2.0)
            watch.close()
            assert watch.oversized
            assert learnt(watch, well)[1:3] == (len(transcript.frames) - 1, verdict)


@pytest.mark.parametrize("exact", [False, True], ids=["batched", "exact"])
@pytest.mark.parametrize(
    ("name", "large"),
    [
        ("chat-long", b'data: {"a":"' + b"x" * (4 << 20) + b'"}\n\n'),
        ("ollama-complete", b'{"a":"' + b"x" * (4 << 20) + b'"}\n'),
    ],
)
def test_a_frame_of_megabytes_passes_unread_and_the_next_one_is_read(name: str, large: bytes, exact: bool) -> None:
    """MUST. W18: its limit is what is held, and what comes behind it counts."""
    transcript = ALL[name]
    watch = transcript.watch(exact)
    for frame in transcript.frames[:-1]:
        watch.feed(frame, 1.0)
    for start in range(0, len(large), 16 * 1024):
        watch.feed(large[start : start + 16 * 1024], 2.0)
        assert held(watch) <= 2 * LIMIT
    watch.feed(transcript.frames[-1], 3.0)
    watch.close()
    assert watch.oversized
    assert learnt(watch)[1:5] == (transcript.events, transcript.verdict, transcript.limited, transcript.usage)


def held(watch: Watch) -> int:
    """Bytes that a watch keeps of its stream."""
    framer = watch._framer
    kept = sum(map(len, watch._pending)) + len(watch._last) + sum(len(text) for _, text in watch._first_frames or ())
    return kept + (len(framer._buffer) if framer is not None else 0)


def test_a_large_event_that_comes_in_small_reads_is_not_joined_with_every_read() -> None:
    """MUST. S23: else a large frame, byte by byte, would cost all of it for each of them."""
    watch = CHAT["complete"].watch(exact=False, limit=1 << 20)
    watch.feed(said("a"), 0.0)
    joined, before = 0, None
    for _ in range(500):
        watch.feed(b"x" * 500, 0.0)
        if watch._pending and watch._pending[0] is not before:
            before = watch._pending[0]
            joined += len(before)
    assert 125_000 < joined < 4 * 250_000


@pytest.mark.parametrize("framing", ["sse", "lines", "array", "aws"])
@pytest.mark.parametrize("exact", [False, True], ids=["batched", "exact"])
@settings(max_examples=60)
@given(reads=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([*LINES, b"\n", b"\n\n", DONE])), max_size=30))
def test_nonsense_is_no_error(framing: Framing, exact: bool, reads: list[bytes]) -> None:
    """MUST. Whatever an upstream sends, its bytes pass and nothing is raised."""
    for path in (b"/", b"/chat/completions", b"/messages", b"/responses", b"/api/chat"):
        watch = Watch(framing, recognise(None, framing, path), 64, exact)
        for read in reads:
            watch.feed(read, 1.0)
            watch.heartbeat("auto")
            watch.error_event()
            assert held(watch) <= BATCH_BYTES + 5 * 64 + 2 * max(map(len, reads))
        watch.close()
        learnt(watch)


def test_a_bom_is_dropped_once_and_only_in_front() -> None:
    """MUST. WHATWG HTML section 9.2.5; W06."""
    bom = b"\xef\xbb\xbf"
    for stream, events in (
        (bom + b"data: a\n\n", 1),
        (bom * 2 + b"data: a\n\n", 0),
        (bom + b": x\n\n" + bom + b"data: a\n\n", 0),
    ):
        for reads in ([stream], bytewise(stream)):
            watch = Watch("sse", recognise(None, "sse", b"/"), LIMIT, exact=True)
            for read in reads:
                watch.feed(read, 1.0)
            assert watch.events == events


def test_lines_that_became_events_break_with_an_event() -> None:
    """MUST. A11: the dialect is that of the lines, the frame that of the stream."""
    watch = Watch("sse", recognise(None, "lines", b"/api/chat"), LIMIT, exact=True)
    watch.feed(b'data: {"done":false}\n\n', 0.0)
    [(kind, text, _)] = browsed(watch.error_event() or b"")
    assert (kind, list(json.loads(text))) == ("message", ["error"])


@pytest.mark.parametrize(
    ("frames", "error", "ended", "verdict"),
    [
        (slice(None), None, True, "complete"),
        (slice(-1), None, True, "truncated"),
        (slice(-1), ConnectionTerminated(), True, "truncated"),
        (slice(-1), ClientGone(), True, "unknown"),
        (slice(-1), None, False, "unknown"),
        (slice(None), None, False, "complete"),
        (slice(None), ClientGone(), True, "complete"),
    ],
)
def test_an_answer_is_judged_by_who_ended_it(
    frames: slice, error: ProxyError | None, ended: bool, verdict: str
) -> None:
    """MUST. A client that leaves says nothing about the answer, but for what had come already."""
    transcript = ANTHROPIC["complete"]
    watch = transcript.watch(exact=False)
    for frame in transcript.frames[frames]:
        watch.feed(frame, 1.0)
    exchange = Exchange("id", 0.0, 0.0)
    watch.tell(exchange, error, ended)
    assert (exchange.verdict, exchange.dialect, exchange.events) == (verdict, "anthropic", watch.events)
    assert exchange.first_token_at == 1.0
