"""Laws of every framer: nothing is lost or moved, no cutting changes a frame, and what is held has a limit."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.framers import Framer
from proxy.core.framers.aws import AwsFramer
from proxy.core.framers.json_array import JsonArrayFramer
from proxy.core.framers.lines import LineFramer
from proxy.core.framers.sse import BOM, SseFramer
from tests.core.framers import LIMIT, aws_message, bytewise, cut, fed, some_cuts, whole


@dataclass(frozen=True)
class Transcript:
    """A stream as its frames, and what is no frame behind them."""

    framer: Callable[[int], Framer]
    frames: list[bytes]
    tail: bytes = b""

    @property
    def stream(self) -> bytes:
        return b"".join(self.frames) + self.tail


def text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def chat(choices: list[object], **more: object) -> bytes:
    head = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1700000000, "model": "some-model"}
    return b"data: " + text({**head, "choices": choices, **more}) + b"\n\n"


def delta(finish: str | None = None, **parts: object) -> bytes:
    return chat([{"index": 0, "delta": parts, "finish_reason": finish}])


def named(kind: str, **more: object) -> bytes:
    return f"event: {kind}\n".encode() + b"data: " + text({"type": kind, **more}) + b"\n\n"


def candidate(said: str, **more: object) -> dict[str, object]:
    return {"candidates": [{"content": {"role": "model", "parts": [{"text": said}]}, "index": 0, **more}]}


def bedrock(kind: str, **payload: object) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return aws_message(headers, text(payload))


CHAT = [
    b": OPENROUTER PROCESSING\n\n",
    chat([], prompt_filter_results=[{"prompt_index": 0}]),
    delta(role="assistant", content=""),
    delta(content="Grüße, 世界 \N{GRINNING FACE}\u2028\n"),
    delta(tool_calls=[{"index": 0, "function": {"arguments": '{"city":"B'}}]),
    delta("stop"),
    chat([], usage={"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}),
    b"data: [DONE]\n\n",
]
RESPONSES = [
    named("response.created", sequence_number=0, response={"id": "resp_1", "status": "in_progress", "output": []}),
    named("response.output_text.delta", sequence_number=1, item_id="msg_1", output_index=0, delta="a\r\nb"),
    named("response.completed", sequence_number=2, response={"id": "resp_1", "usage": {"total_tokens": 3}}),
]
ANTHROPIC = [
    named("message_start", message={"id": "msg_1", "role": "assistant", "usage": {"input_tokens": 7}}),
    named("content_block_start", index=0, content_block={"type": "text", "text": ""}),
    named("ping"),
    named("content_block_delta", index=0, delta={"type": "text_delta", "text": "event: message_stop"}),
    named("content_block_stop", index=0),
    named("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
    named("message_stop"),
]
USAGE = {"usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 6}}
GEMINI = [candidate('Say ["]}\\'), candidate(" {[ there", finishReason="STOP") | USAGE]
GEMINI_SSE = [b"data: " + text(chunk) + b"\r\n\r\n" for chunk in GEMINI]
GEMINI_ARRAY = [b"[" + text(GEMINI[0]), b"\n,\r\n" + json.dumps(GEMINI[1], indent=2).encode(), b"\n]"]
OLLAMA = [
    text({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"content": "Hi\n"}, "done": False}) + b"\n",
    text({"model": "m", "done": True, "done_reason": "stop", "eval_count": 2, "eval_duration": 3}) + b"\r\n",
]
SEQUENCE = [b"\x1e" + line for line in OLLAMA]
BEDROCK = [
    bedrock("messageStart", role="assistant"),
    bedrock("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hé"}),
    bedrock("contentBlockStop", contentBlockIndex=0),
    bedrock("messageStop", stopReason="end_turn"),
    aws_message({":event-type": "metadata"}, b""),
    aws_message({}, text({"usage": {"inputTokens": 5, "outputTokens": 1, "totalTokens": 6}})),
]


def ending(end: bytes, frames: list[bytes]) -> list[bytes]:
    return [frame.replace(b"\n", end) for frame in frames]


TRANSCRIPTS = {
    "chat": Transcript(SseFramer, CHAT),
    "chat-crlf": Transcript(SseFramer, ending(b"\r\n", CHAT)),
    "chat-cr": Transcript(SseFramer, ending(b"\r", CHAT)),
    "chat-bom": Transcript(SseFramer, [BOM + CHAT[0], *CHAT[1:]]),
    "chat-cut-off": Transcript(SseFramer, CHAT[:3], CHAT[3][:-1]),
    "responses": Transcript(SseFramer, RESPONSES),
    "anthropic": Transcript(SseFramer, ANTHROPIC),
    "gemini-sse": Transcript(SseFramer, GEMINI_SSE),
    "gemini-array": Transcript(JsonArrayFramer, GEMINI_ARRAY, b"\n"),
    "gemini-array-cut-off": Transcript(JsonArrayFramer, GEMINI_ARRAY[:1], b",\n"),
    "ollama": Transcript(LineFramer, OLLAMA),
    "ollama-without-last-lf": Transcript(LineFramer, OLLAMA, text({"error": "runner stopped"})),
    "json-seq": Transcript(LineFramer, SEQUENCE),
    "bedrock": Transcript(AwsFramer, BEDROCK),
    "bedrock-cut-off": Transcript(AwsFramer, BEDROCK[:2], BEDROCK[2][:-1]),
}
every_transcript = pytest.mark.parametrize("transcript", TRANSCRIPTS.values(), ids=TRANSCRIPTS)


@every_transcript
def test_the_frames_of_a_transcript_are_its_events(transcript: Transcript) -> None:
    """MUST. One frame for each event, line, element or message; what never ended is left for the flush."""
    tail = [(transcript.tail, False)] if transcript.tail else []
    framer = transcript.framer(LIMIT)
    assert fed(framer, [transcript.stream]) == [(frame, True) for frame in transcript.frames] + tail
    assert not framer.oversized


@every_transcript
def test_a_cut_at_any_byte_gives_the_same_frames(transcript: Transcript) -> None:
    """MUST. The split law over every position of streams as they are really sent."""
    stream = transcript.stream
    for at in range(len(stream) + 1):
        assert whole(fed(transcript.framer(LIMIT), [stream[:at], stream[at:]])) == transcript.frames


@every_transcript
@given(cuts=some_cuts)
def test_any_cutting_gives_the_same_frames(transcript: Transcript, cuts: list[int]) -> None:
    """MUST. The split law, with as many cuts as one likes, and reads of nothing between them."""
    assert whole(fed(transcript.framer(LIMIT), cut(transcript.stream, cuts))) == transcript.frames


@every_transcript
def test_a_frame_leaves_with_its_last_byte(transcript: Transcript) -> None:
    """MUST. No frame waits for one that comes later, even where each read is one byte."""
    framer, end, ends = transcript.framer(LIMIT), 0, {}
    for frame in transcript.frames:
        end += len(frame)
        ends[end] = [(frame, True)]
    for at, byte in enumerate(bytewise(transcript.stream), start=1):
        assert framer.feed(byte) == ends.get(at, [])


@pytest.mark.parametrize("name", [name for name in TRANSCRIPTS if name != "chat-cr"])
def test_a_boundary_is_where_a_frame_ends_and_nowhere_else(name: str) -> None:
    """MUST. Only there may the proxy say something of its own. Streams of lone CR have rules of theirs."""
    transcript = TRANSCRIPTS[name]
    framer, ends = transcript.framer(LIMIT), {0}
    for frame in transcript.frames:
        ends.add(max(ends) + len(frame))
    found = {0} if framer.at_boundary else set()
    for at, byte in enumerate(bytewise(transcript.stream), start=1):
        framer.feed(byte)
        if framer.at_boundary:
            found.add(at)
    assert found == ends


MARKS: dict[str, tuple[Callable[[int], Framer], list[bytes]]] = {
    "sse": (SseFramer, [b"\r", b"\n", b"\r\n", b"\n\n", b"data: a", b":", b"id", BOM, b"\xef"]),
    "lines": (LineFramer, [b"\r", b"\n", b"{}", b"\x1e"]),
    "json": (JsonArrayFramer, [b"[", b"]", b"{", b"}", b'"', b"\\", b",", b"1", b"\n"]),
    "aws": (AwsFramer, [*BEDROCK, b"\0", b"\0\0\0\x10", BEDROCK[0][:12]]),
}


@pytest.mark.parametrize(("framer", "marks"), MARKS.values(), ids=MARKS)
@given(data=st.data(), cuts=some_cuts, limit=st.sampled_from([12, 16, 40, LIMIT]))
def test_no_bytes_of_any_kind_are_lost_or_hoarded(
    framer: Callable[[int], Framer], marks: list[bytes], data: st.DataObject, cuts: list[int], limit: int
) -> None:
    """MUST. What comes out is what went in, for sense and nonsense, at any limit; `fed` watches each step."""
    stream = b"".join(data.draw(st.lists(st.one_of(st.sampled_from(marks), st.binary(max_size=4)), max_size=30)))
    for reads in ([stream], cut(stream, cuts), bytewise(stream)):
        fed(framer(limit), reads, limit)


@pytest.mark.parametrize("name", ["lines", "json", "aws"])
@given(data=st.data(), cuts=some_cuts)
def test_the_split_law_holds_for_nonsense_too(name: str, data: st.DataObject, cuts: list[int]) -> None:
    """MUST. For events see test_sse.py: theirs has an exception."""
    framer, marks = MARKS[name]
    stream = b"".join(data.draw(st.lists(st.one_of(st.sampled_from(marks), st.binary(max_size=4)), max_size=30)))
    frames = whole(fed(framer(LIMIT), [stream]))
    assert whole(fed(framer(LIMIT), cut(stream, cuts))) == frames
    assert whole(fed(framer(LIMIT), bytewise(stream))) == frames


# A frame of any size that all framers have in common: this much around as much as one likes.
FRAMED: dict[str, tuple[Callable[[int], Framer], Callable[[bytes], bytes]]] = {
    "sse-lf": (SseFramer, lambda filling: b"data: " + filling + b"\n\n"),
    "sse-crlf": (SseFramer, lambda filling: b"data: " + filling + b"\r\n\r\n"),
    "sse-cr": (SseFramer, lambda filling: b"data: " + filling + b"\r\r"),
    "sse-lf-cr": (SseFramer, lambda filling: b"data: " + filling + b"\n\r"),
    "lines": (LineFramer, lambda filling: b'{"a":"' + filling + b'"}\n'),
    "json": (JsonArrayFramer, lambda filling: b',{"a":["' + filling + b'"]}'),
    "aws": (AwsFramer, lambda filling: aws_message({"a": "b"}, filling)),
}
every_framing = pytest.mark.parametrize(("framer", "framed"), FRAMED.values(), ids=FRAMED)
# Without the one whose end shows with the byte behind it.
DECIDED = {name: framing for name, framing in FRAMED.items() if name != "sse-lf-cr"}
every_decided_framing = pytest.mark.parametrize(("framer", "framed"), DECIDED.values(), ids=DECIDED)
Framed = Callable[[bytes], bytes]


def opened(framer: Callable[[int], Framer], limit: int) -> Framer:
    """A framer in the middle of its stream; only an array has to be opened."""
    made = framer(limit)
    if isinstance(made, JsonArrayFramer):
        assert made.feed(b"[{}") == [(b"[{}", True)]
    return made


@every_framing
@given(excess=st.integers(1, 300), cuts=some_cuts)
def test_a_frame_over_the_limit_goes_on_as_it_comes(
    framer: Callable[[int], Framer], framed: Framed, excess: int, cuts: list[int]
) -> None:
    """MUST. Its bytes are the same, in parts, none of them called whole; the frames around it are."""
    limit, small = 100, framed(b"x" * 20)
    large = framed(b"x" * (limit + excess - len(framed(b""))))
    made = opened(framer, limit)
    # No read that passes the limit may bring the end too: then the frame is whole, see below.
    at = min(limit + 1, len(large) - 1)
    reads = [small, *cut(large[:at], cuts), *bytewise(large[at:]), small, framed(b"y"), b"data"]
    pieces = fed(made, reads, limit)
    assert whole(pieces)[0] == small
    if len(large) > limit + 1:
        assert made.oversized
        assert large not in whole(pieces)
    assert whole(pieces)[-2:] == [small, framed(b"y")]


@every_decided_framing
def test_a_frame_as_large_as_the_limit_is_whole_and_two_bytes_more_are_not(
    framer: Callable[[int], Framer], framed: Framed
) -> None:
    """MUST. The limit is what may be held, to the byte: all of a frame but the byte that ends it."""
    limit = 100
    for size, is_whole in ((limit, True), (limit + 1, True), (limit + 2, False)):
        frame = framed(b"x" * (size - len(framed(b""))))
        assert len(frame) == size
        made = opened(framer, limit)
        pieces = fed(made, [*bytewise(frame), b"data"], limit)
        assert (frame in whole(pieces)) is is_whole
        assert made.oversized is not is_whole


@every_decided_framing
def test_a_frame_over_the_limit_that_comes_at_once_is_whole(framer: Callable[[int], Framer], framed: Framed) -> None:
    """MAY. Nothing of it had to be held."""
    made, frame = opened(framer, 100), framed(b"x" * 1000)
    assert fed(made, [frame, b"data"], 100)[0] == (frame, True)
    assert not made.oversized


@every_framing
def test_inside_a_frame_over_the_limit_is_no_boundary(framer: Callable[[int], Framer], framed: Framed) -> None:
    """MUST. Nothing is held there, and still nothing may be put in."""
    made, frame = opened(framer, 100), framed(b"x" * 1000)
    for byte in bytewise(frame[:-1]):
        made.feed(byte)
        assert not made.at_boundary


@pytest.mark.parametrize("name", ["sse-lf", "lines", "json", "aws"])
def test_a_frame_of_megabytes_costs_no_more_than_the_limit(name: str) -> None:
    """MUST. It is passed on read by read, and the frames around it are whole."""
    framer, framed = FRAMED[name]
    small, large = framed(b"x"), framed(b"x" * (4 << 20))
    made = opened(framer, LIMIT)
    reads = [large[at : at + LIMIT] for at in range(0, len(large), LIMIT)]
    pieces = fed(made, [small, *reads, small])
    assert whole(pieces) == [small, small]
    assert made.oversized
    assert len(pieces) <= len(reads) + 3
