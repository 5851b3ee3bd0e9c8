"""Rules of lines that become events."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.stages.convert import LinesToEvents
from tests.core.dialects.transcripts.ollama import OLLAMA
from tests.core.framers import bytewise, cut, some_cuts

LIMIT = 64 * 1024


def converted(reads: list[bytes], limit: int = LIMIT) -> bytes:
    stage = LinesToEvents(limit)
    found = []
    for read in reads:
        found.append(stage.feed(read))
        assert not stage.more()
    return b"".join([*found, stage.flush()])


@pytest.mark.parametrize(
    ("lines", "events"),
    [
        (b'{"a":1}\n', b'data: {"a":1}\n\n'),
        (b'{"a":1}\r\n{"b":2}\n', b'data: {"a":1}\n\ndata: {"b":2}\n\n'),
        (b'{"a":1}\n{"b":2}', b'data: {"a":1}\n\ndata: {"b":2}\n\n'),
        (b'\n\r\n \t\n{"a":1}\n\n', b'data: {"a":1}\n\n'),
        (b"", b""),
        (b'{\r"a":1}\n', b'data: { "a":1}\n\n'),
        (b'\x1e{"a":1}\n\x1e{"b":2}\n', b'data: {"a":1}\n\ndata: {"b":2}\n\n'),
        (b"\x1e\n", b""),
        ('{"a":"\u2028\x85"}\n'.encode(), 'data: {"a":"\u2028\x85"}\n\n'.encode()),
        (b'data: {"a":1}\n', b'data: data: {"a":1}\n\n'),
        (b"\xff\n", b"data: \xff\n\n"),
    ],
)
def test_every_line_that_is_not_blank_becomes_one_event(lines: bytes, events: bytes) -> None:
    """MUST. And any cutting gives the same."""
    assert converted([lines]) == converted(bytewise(lines)) == events


@given(
    lines=st.lists(st.sampled_from([b"{}", b"\n", b"\r\n", b"\r", b" ", b"\x1e", b"a"])).map(b"".join), cuts=some_cuts
)
def test_any_cutting_gives_the_same_events(lines: bytes, cuts: list[int]) -> None:
    """MUST. S24: the split law."""
    assert converted(cut(lines, cuts)) == converted([lines])


@pytest.mark.parametrize("transcript", OLLAMA.values(), ids=OLLAMA)
def test_the_events_of_a_transcript_hold_its_json(transcript: object) -> None:
    """MUST. W30: each line's JSON is one event's data, in order."""
    stream = transcript.stream  # type: ignore[attr-defined]
    events = converted([stream]).split(b"\n\n")
    said = [json.loads(line.strip(b"\x1e \t\r")) for line in stream.split(b"\n")[:-1] if line.strip(b"\x1e \t\r")]
    assert [json.loads(event.removeprefix(b"data: ")) for event in events[: len(said)]] == said


def test_an_event_leaves_with_the_end_of_its_line() -> None:
    """MUST. S24: no event waits for the next one."""
    stage = LinesToEvents(LIMIT)
    assert [stage.feed(byte) for byte in bytewise(b"{}\n{")] == [b"", b"", b"data: {}\n\n", b""]


@pytest.mark.parametrize(
    ("reads", "held"),
    [
        ([], b""),
        ([b"{}\n"], b""),
        ([b"{}\n{"], b"data: {"),
        ([b"{\r"], b"data: { "),
        ([b"\x1e{"], b"data: {"),
        ([b"x" * 101, b""], b""),
    ],
)
def test_a_line_that_never_ended_is_held_as_an_event_that_does_not_end(reads: list[bytes], held: bytes) -> None:
    """MUST. A blank line behind it would call it whole."""
    stage = LinesToEvents(100)
    for read in reads:
        stage.feed(read)
    assert stage.held() == held


def test_a_line_over_the_limit_passes_in_parts_as_one_event() -> None:
    """MUST. Nothing is lost, and it is told."""
    reads = [b"a\n", b'{"a":"', *[b"x" * 60] * 4, b'"}\r\n', b"b\n"]
    stage = LinesToEvents(100)
    found = [stage.feed(read) for read in reads]
    assert b"".join(found).rstrip() == b'data: a\n\ndata: {"a":"' + b"x" * 240 + b'"}\n\ndata: b'
    assert found[3] != b""
    assert stage.oversized
    assert not LinesToEvents(100).oversized


def test_a_line_over_the_limit_that_never_ends_is_ended_with_the_body() -> None:
    """MUST. The body came to its end, so its last line did too."""
    assert converted([b"x" * 200], 100) == b"data: " + b"x" * 200 + b"\n\n"
