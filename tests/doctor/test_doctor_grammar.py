"""What is wrong with an event stream's text, and that cutting it elsewhere changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.framers.sse import SseFramer
from proxy.doctor import grammar
from proxy.doctor.observation import Bytes, Observation, Request
from proxy.doctor.reading import read

BOM = b"\xef\xbb\xbf"
CASES: dict[bytes, list[tuple[str, bool]]] = {
    b"": [],
    b"data: a\n\ndata: b\n\n": [],
    b"data: a\r\n\r\ndata: b\r\n\r\n": [],
    b"data\n\n": [],
    b": ping\n\n": [],
    b"retry: 10\n\nid: 7\n\n": [],
    b"data: a\nother: b\n\n": [],
    b'data: {\ndata: "a": 1}\n\n': [],
    b"data: 1\ndata: 2\n\n": [],
    b'data: {"a": "\xe2\x80\xa8"}\n\n': [],
    BOM + b"data: a\n\n": [("sse-bom", False)],
    BOM + BOM + b"data: a\n\n": [("sse-no-data", True), ("sse-bom", True)],
    b"data: a\r\rdata: b\r\r": [("sse-cr-only", False)],
    b"hello\n\n": [("sse-no-data", True)],
    b"Data: a\n\ndata: b\n\n": [("sse-no-data", False)],
    b"event: a\n\ndata: b\n\n": [("sse-no-data", False)],
    b'{"a":1}\n{"a":2}\n': [("sse-json-lines", True)],
    b'{"a":1}\n\n{"a":2}\n\n[DONE]\n\n': [("sse-json-lines", True)],
    b'data: {"a":1}\ndata: {"a":2}\n\n': [("sse-single-newline", True)],
    b'data: {"a":1}\ndata: [DONE]\n': [("sse-single-newline", True)],
    b"data: a\n": [("sse-never-ends", True)],
    rb"data: a\n\ndata: b\n\n": [("sse-never-ends", True)],
    b"data: a\n\ndata: b\n": [("sse-last-event-lost", False)],
    b"data: a\n\n: comment": [],
    b"data: a\n\nevent: x": [],
}


def faults_of(text: bytes, ended: bool = True) -> list[tuple[str, bool]]:
    framer = SseFramer(1 << 20)
    frames = [octets for octets, whole in framer.feed(text) if whole]
    return [(fault.kind, fault.is_fatal) for fault in grammar.faults(frames, framer.flush(), ended)]


@pytest.mark.parametrize(("text", "expected"), CASES.items(), ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_found_and_what_is_right_is_not(text: bytes, expected: list[tuple[str, bool]]) -> None:
    assert faults_of(text) == expected


def test_an_open_end_is_no_fault_while_more_may_come() -> None:
    assert faults_of(b"data: a\n", ended=False) == []
    assert faults_of(b"data: a\n\ndata: b", ended=False) == []


@given(st.binary(max_size=400))
def test_no_text_is_too_strange(text: bytes) -> None:
    faults_of(text)
    found = grammar.utf8(text)
    assert (found.bad_at is None) is (text.decode("utf-8", "replace").encode() == text)


def test_an_end_inside_a_character_is_told_from_a_wrong_byte() -> None:
    whole = "data: 你".encode()
    assert grammar.utf8(whole) == (None, False, 0)
    assert grammar.utf8(whole[:-1]) == (6, True, 0)
    assert grammar.utf8(b"data: \xff\n\n") == (6, False, 0)
    assert grammar.utf8("\ufffd\ufffd".encode()) == (None, False, 2)


def test_pieces_that_end_inside_a_character_are_counted() -> None:
    text = "é你🙂".encode()
    assert grammar.splits([text]) == 0
    assert grammar.splits([text[:2], text[2:5], text[5:]]) == 0
    assert grammar.splits([text[index : index + 1] for index in range(len(text))]) == 6


@given(st.lists(st.sampled_from(list(CASES)), max_size=5), st.data())
def test_any_cutting_reads_the_same(parts: list[bytes], data: st.DataObject) -> None:
    text = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    fields = ((b"content-type", b"Content-Type", b"text/event-stream"),)

    def told(*bodies: bytes) -> list[tuple[str, str | None]]:
        seen = Observation(Request("http://a/"), status=200, fields=fields, head_s=0.0, sent_s=0.0, end="complete")
        seen.body = [Bytes(float(number), body) for number, body in enumerate(bodies)]
        reading = read(seen)
        assert b"".join([*(frame.octets for frame in reading.frames), reading.rest]) == text
        return [(event.name, event.data) for event in reading.events]

    assert told(*pieces) == told(text)
