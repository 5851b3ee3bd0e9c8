"""Rules of server-sent events: where one ends under any mix of line ends, what it says, and where one may be put in.

The split law has one exception, and it is here: where CR CR LF is cut before the LF, the two CRs have already ended an
event, which leaves at once; the LF, which belongs to the second CR, then is a frame of its own that says nothing.
"""

import re
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.framers.sse import BOM, Event, SseFramer, parse
from tests.core.framers import LIMIT, bytewise, cut, fed, some_cuts, whole

U2028, U2029, U0085 = "\u2028", "\u2029", "\u0085"


class Dispatched(NamedTuple):
    """What an application sees of an event."""

    name: str
    data: str
    last_id: str


def browsed(stream: bytes) -> list[Dispatched]:
    """The events of a whole stream, read as the standard tells it: decoded first, then line by line."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    found, name, last_id, data = [], "", "", ""
    for line in re.split("\r\n|\r|\n", text)[:-1]:
        key, _, value = line.partition(":")
        value = value[1:] if value[:1] == " " else value
        if not line:
            if data:
                found.append(Dispatched(name or "message", data[:-1], last_id))
            name = data = ""
        elif key == "data":
            data += value + "\n"
        elif key == "event":
            name = value
        elif key == "id" and "\0" not in value:
            last_id = value
    return found


def observed(frames: list[bytes]) -> list[Dispatched]:
    """The same from our frames: each parsed alone, a BOM in front of the first removed."""
    found, last_id = [], ""
    for number, frame in enumerate(frames):
        event = parse(frame if number else frame.removeprefix(BOM))
        last_id = last_id if event.id is None else event.id
        if event.data is not None:
            found.append(Dispatched(event.name, event.data, last_id))
    return found


def glued(frames: list[bytes]) -> list[bytes]:
    """Frames with every LF that came alone put back to the CR that it belongs to."""
    found: list[bytes] = []
    for frame in frames:
        if frame == b"\n" and found and found[-1].endswith(b"\r"):
            found[-1] += frame
        else:
            found.append(frame)
    return found


LINES = [b"data: a", b"data", b"data:", b"data:\xf0\x9f\x98\x80", b": x", b":", b"event: e", b"event:", b"id: 1", b"id"]
ODD = [b"id: \0", b"retry: 5", b"Data: a", b"data : a", b" data: a", b"\xff", b"\xef\xbb", BOM, b"\xc2\x85", b"x"]
some_line = st.sampled_from(LINES + ODD)
some_end = st.sampled_from([b"\n", b"\r", b"\r\n", b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r", b"\r\r\n", b"\n\r\n", b""])
some_stream = st.lists(st.one_of(some_line, some_end, st.tuples(some_line, some_end).map(b"".join)), max_size=24).map(
    b"".join
)
one_end = st.sampled_from([b"\n", b"\r", b"\r\n"])

A, B = Event("message", "a"), Event("message", "b")
NOTHING = Event("message", None)
ENDS: dict[str, tuple[list[bytes], list[Event]]] = {
    "lf": ([b"data: a\n\n", b"data: b\n\n"], [A, B]),
    "crlf": ([b"data: a\r\n\r\n", b"data: b\r\n\r\n"], [A, B]),
    "cr": ([b"data: a\r\r", b"data: b\r\r"], [A, B]),
    "crlf-then-lf": ([b"data: a\r\n\n", b"data: b\r\n\n"], [A, B]),
    "lf-then-crlf": ([b"data: a\n\r\n", b"data: b\n\r\n"], [A, B]),
    "lf-then-cr": ([b"data: a\n\r", b"data: b\n\n"], [A, B]),
    "crlf-then-cr": ([b"data: a\r\n\r", b"data: b\n\n"], [A, B]),
    "cr-then-crlf": ([b"data: a\r\r\n", b"data: b\n\n"], [A, B]),
    "all-different": ([b"data: a\rdata: b\r\n\n", b"data: a\ndata: b\n\r\n"], [Event("message", "a\nb")] * 2),
    "empty-lines-between": ([b"data: a\n\n", b"\n", b"\r\n", b"data: b\n\n"], [A, NOTHING, NOTHING, B]),
    "empty-lines-first": ([b"\r\n", b"\n", b"data: a\n\n"], [NOTHING, NOTHING, A]),
    "cr-first": ([b"\r", b"data: a\n\n"], [NOTHING, A]),
    "crs-between": ([b"data: a\r\r", b"\r", b"\r", b"data: b\r\r"], [A, NOTHING, NOTHING, B]),
    "cr-in-front-of-lf-cr": ([b"data: a\n\r", b"\r", b"data: b\n\n"], [A, NOTHING, B]),
}


@pytest.mark.parametrize(("frames", "events"), ENDS.values(), ids=ENDS)
def test_an_event_ends_with_an_empty_line_of_any_end(frames: list[bytes], events: list[Event]) -> None:
    """MUST. WHATWG HTML section 9.2.5: CR, LF and CRLF, in any mix, and never inside a CRLF."""
    stream = b"".join(frames)
    assert fed(SseFramer(LIMIT), [stream]) == [(frame, True) for frame in frames]
    assert [parse(frame) for frame in frames] == events
    for at in range(len(stream)):
        assert glued(whole(fed(SseFramer(LIMIT), [stream[:at], stream[at:]]))) == frames
    assert glued(whole(fed(SseFramer(LIMIT), bytewise(stream)))) == frames


BOMS: dict[str, tuple[list[bytes], list[Dispatched]]] = {
    "one": ([BOM + b"data: a\n\n", b"data: b\n\n"], [Dispatched("message", "a", ""), Dispatched("message", "b", "")]),
    "two": ([BOM + BOM + b"data: a\n\n", b"data: b\n\n"], [Dispatched("message", "b", "")]),
    "later": ([b"data: a\n\n", BOM + b"data: b\n\n"], [Dispatched("message", "a", "")]),
    "empty-line": ([BOM + b"\n", b"\n", b"data: a\n\n"], [Dispatched("message", "a", "")]),
    "empty-line-crlf": ([BOM + b"\r\n", b"\r\n", b"data: a\n\n"], [Dispatched("message", "a", "")]),
    "empty-line-cr": ([BOM + b"\r", b"\r", b"data: a\n\n"], [Dispatched("message", "a", "")]),
    "half": ([BOM[:2] + b"data: a\n\n", b"data: b\n\n"], [Dispatched("message", "b", "")]),
}


@pytest.mark.parametrize(("frames", "events"), BOMS.values(), ids=BOMS)
def test_one_bom_in_front_is_no_part_of_a_line(frames: list[bytes], events: list[Dispatched]) -> None:
    """MUST. WHATWG HTML section 9.2.5; it stays in the bytes, and any other is part of a field's name."""
    stream = b"".join(frames)
    assert whole(fed(SseFramer(LIMIT), [stream])) == frames
    assert whole(fed(SseFramer(LIMIT), bytewise(stream))) == frames
    assert observed(frames) == browsed(stream) == events


def test_a_bom_alone_is_no_event() -> None:
    """MUST. Nothing ended."""
    assert fed(SseFramer(LIMIT), [BOM]) == [(BOM, False)]


SAID: dict[str, tuple[bytes, Event]] = {
    "data": (b"data: a\n\n", A),
    "no-space": (b"data:a\n\n", A),
    "only-one-space-goes": (b"data:  a\n\n", Event("message", " a")),
    "a-tab-stays": (b"data:\ta\n\n", Event("message", "\ta")),
    "a-space-in-front-is-another-field": (b" data: a\n\n", NOTHING),
    "a-space-behind-is-another-field": (b"data : a\n\n", NOTHING),
    "letter-case": (b"Data: a\n\n", NOTHING),
    "colons-in-data": (b"data: a: b:\n\n", Event("message", "a: b:")),
    "lines-joined": (b"data: a\ndata\ndata: b\n\n", Event("message", "a\n\nb")),
    "lines-joined-over-others": (b"data: a\n: x\nfoo: b\r\ndata: b\r\r", Event("message", "a\nb")),
    "data-without-colon": (b"data\n\n", Event("message", "")),
    "data-empty": (b"data:\n\n", Event("message", "")),
    "data-one-space": (b"data: \n\n", Event("message", "")),
    "data-empty-twice": (b"data\ndata\n\n", Event("message", "\n")),
    "comment": (b": data: a\n\n", NOTHING),
    "comment-empty": (b":\ndata: a\n\n", A),
    "comment-last": (b"data: a\n:b\n\n", A),
    "event": (b"event: e\ndata: a\n\n", Event("e", "a")),
    "event-behind-data": (b"data: a\nevent:e\n\n", Event("e", "a")),
    "event-alone": (b"event: e\n\n", Event("e", None)),
    "event-empty": (b"event:\ndata: a\n\n", A),
    "event-without-colon": (b"event\ndata: a\n\n", A),
    "event-last-wins": (b"event: d\nevent: e\ndata: a\n\n", Event("e", "a")),
    "event-last-wins-empty": (b"event: d\nevent:\ndata: a\n\n", A),
    "id": (b"id: 1\n\n", Event("message", None, "1")),
    "id-empty": (b"id:\ndata: a\n\n", Event("message", "a", "")),
    "id-without-colon": (b"id\n\n", Event("message", None, "")),
    "id-with-nul": (b"id: 1\0\ndata: a\n\n", A),
    "id-with-nul-keeps-the-one-before": (b"id: 1\nid: \0\n\n", Event("message", None, "1")),
    "id-last-wins": (b"id: 1\nid: 2\n\n", Event("message", None, "2")),
    "retry": (b"retry: 10\n\n", Event("message", None, None, 10)),
    "retry-zeros": (b"retry:0005\n\n", Event("message", None, None, 5)),
    "retry-unit": (b"retry: 10s\n\n", NOTHING),
    "retry-sign": (b"retry: -1\n\n", NOTHING),
    "retry-two-spaces": (b"retry:  1\n\n", NOTHING),
    "retry-fraction": (b"retry: 1.5\n\n", NOTHING),
    "retry-empty": (b"retry\n\n", NOTHING),
    "retry-other-digits": ("retry: ٣\n\n".encode(), NOTHING),
    "retry-bogus-keeps-the-one-before": (b"retry: 10\nretry: x\n\n", Event("message", None, None, 10)),
    "retry-endless": (b"retry: " + b"9" * 5000 + b"\n\n", Event("message", None, None, 10**18 - 1)),
    "nul-in-data": (b"data: \0\n\n", Event("message", "\0")),
    "only-cr-and-lf-end-lines": (
        f"data: a{U2028}{U2029}{U0085}\v\f\x1c\x1d\x1edata: b\n\n".encode(),
        Event("message", f"a{U2028}{U2029}{U0085}\v\f\x1c\x1d\x1edata: b"),
    ),
    "no-utf-8": (b"data: \xff\xf0\x9f\n\n", Event("message", "\ufffd\ufffd")),
    "fields-of-no-meaning": (b"x\nfoo: bar\n\n", NOTHING),
    "empty-line": (b"\n", NOTHING),
    "all": (b"id: 7\r\nevent: e\r\nretry: 3\r\ndata: a\r\n\r\n", Event("e", "a", "7", 3)),
}


@pytest.mark.parametrize(("frame", "event"), SAID.values(), ids=SAID)
def test_an_event_says_what_the_standard_reads(frame: bytes, event: Event) -> None:
    """MUST. WHATWG HTML section 9.2.6; and each is one frame, however it is cut."""
    assert parse(frame) == event
    for reads in ([frame], bytewise(frame)):
        assert fed(SseFramer(LIMIT), reads) == [(frame, True)]


@pytest.mark.parametrize(
    ("frames", "tail"),
    [
        ([], b"data: a"),
        ([], b"data: a\n"),
        ([], b"data: a\r\n"),
        ([], b"data: a\r"),
        ([b"data: a\n\n"], b"data: b"),
        ([b"data: a\n\n"], b"data: b\r\n"),
        ([b"data: a\r\r"], b"data: b\r"),
        ([b": x\n\n"], b"data"),
        ([b"data: a\r\n\r\n"], b"\r"),
    ],
)
def test_what_never_ended_is_no_event(frames: list[bytes], tail: bytes) -> None:
    """MUST. WHATWG HTML section 9.2.6: it is thrown away there, so it is no frame here; its bytes pass."""
    for reads in ([b"".join(frames) + tail], bytewise(b"".join(frames) + tail)):
        assert fed(SseFramer(LIMIT), reads) == [*((frame, True) for frame in frames), (tail, False)]


@pytest.mark.parametrize("held", [b"data: a\n\r", b"data: a\r\n\r"])
def test_a_last_cr_behind_another_end_waits_for_its_lf(held: bytes) -> None:
    """SHOULD. So a CRLF stays together. At the end of the stream it was an end after all, which nobody sends."""
    framer = SseFramer(LIMIT)
    assert framer.feed(held) == []
    assert not framer.at_boundary
    assert framer.flush() == held
    assert fed(SseFramer(LIMIT), [held, b"\n", b"x"]) == [(held + b"\n", True), (b"x", False)]
    assert fed(SseFramer(LIMIT), [held, b"data: b\n\n"]) == [(held, True), (b"data: b\n\n", True)]


def test_where_all_ends_are_cr_nothing_waits() -> None:
    """MUST. An event leaves with its second CR, and so does each empty line behind it."""
    framer = SseFramer(LIMIT)
    for frame in (b"data: a\r\r", b"\r", b"\r", b": x\r\r"):
        assert framer.feed(frame) == [(frame, True)]


def test_an_event_of_lone_crs_leaves_at_once_and_an_lf_behind_it_is_a_frame_of_its_own() -> None:
    """MUST. Where all ends are CR there is nothing to wait for; the exception of the split law, to the byte."""
    stream = b"data: a\r\r\ndata: b\r\r\n"
    at_once = [b"data: a\r\r\n", b"data: b\r\r\n"]
    in_two = [b"data: a\r\r", b"\n", b"data: b\r\r\n"]
    assert whole(fed(SseFramer(LIMIT), [stream])) == at_once
    for at in range(len(stream)):
        is_between = stream[:at].endswith(b"\r\r") and stream[at:].startswith(b"\n")
        frames = whole(fed(SseFramer(LIMIT), [stream[:at], stream[at:]]))
        assert frames == (at_once if not is_between else in_two if at < 10 else [at_once[0], b"data: b\r\r", b"\n"])
        assert observed(frames) == observed(at_once)


@given(stream=some_stream, cuts=some_cuts)
def test_no_cut_outside_cr_cr_lf_changes_a_frame(stream: bytes, cuts: list[int]) -> None:
    """MUST. The split law where it holds to the byte: that is everywhere but between CR CR and LF."""
    reads, frames = cut(stream, cuts), whole(fed(SseFramer(LIMIT), [stream]))
    found = whole(fed(SseFramer(LIMIT), reads))
    assert glued(found) == frames
    ends = {sum(map(len, reads[:count])) for count in range(len(reads))}
    if not any(stream[:end].endswith(b"\r\r") and stream[end:].startswith(b"\n") for end in ends):
        assert found == frames


@given(lines=st.lists(st.one_of(some_line, st.just(b"")), max_size=24), end=one_end, cuts=some_cuts)
def test_no_cut_changes_a_frame_where_all_lines_end_alike(lines: list[bytes], end: bytes, cuts: list[int]) -> None:
    """MUST. The split law of all streams that are really sent: no exception."""
    stream = b"".join(line + end for line in lines)
    frames = whole(fed(SseFramer(LIMIT), [stream]))
    assert whole(fed(SseFramer(LIMIT), cut(stream, cuts))) == frames
    assert whole(fed(SseFramer(LIMIT), bytewise(stream))) == frames


@given(stream=some_stream, cuts=some_cuts)
def test_the_events_are_those_of_a_browser_whatever_the_cutting(stream: bytes, cuts: list[int]) -> None:
    """MUST. WHATWG HTML section 9.2.6. A line that never ends stands behind, so that no last CR is in doubt."""
    stream += b":"
    for reads in ([stream], cut(stream, cuts), bytewise(stream)):
        assert observed(whole(fed(SseFramer(LIMIT), reads))) == browsed(stream)


COMMENT = b": x\n\n"


@given(stream=some_stream, cuts=some_cuts)
def test_a_comment_at_a_boundary_changes_no_event(stream: bytes, cuts: list[int]) -> None:
    """MUST. Put in at any one boundary and at all of them, it is seen by nobody. But see the one in front of a BOM."""
    framer, at, boundaries = SseFramer(LIMIT), 0, []
    for read in cut(stream, cuts):
        framer.feed(read)
        at += len(read)
        if framer.at_boundary and at:
            boundaries.append(at)
    stream += b":"
    events = browsed(stream)
    for boundary in boundaries:
        assert browsed(stream[:boundary] + COMMENT + stream[boundary:]) == events
    assert browsed(COMMENT.join(cut(stream, boundaries))) == events


def test_in_front_of_the_first_byte_is_a_boundary_unless_a_bom_follows() -> None:
    """MAY. Nobody can know; a comment there would make the BOM part of a field's name, and nobody sends BOMs."""
    assert SseFramer(LIMIT).at_boundary
    assert browsed(BOM + b"data: a\n\n") == [Dispatched("message", "a", "")]
    assert browsed(COMMENT + BOM + b"data: a\n\n") == []


@pytest.mark.parametrize(
    ("fed_so_far", "at_boundary"),
    [
        (b"", True),
        (b"data: a\n\n", True),
        (b"data: a\r\n\r\n", True),
        (b": x\n\n", True),
        (b"\n", True),
        (b"data: a\r\r\n", True),
        (b"data: a\r\r\n\n", True),
        (b"d", False),
        (b"data: a", False),
        (b"data: a\n", False),
        (b"data: a\r\n", False),
        (b"data: a\r\n\r", False),
        (b"data: a\n\r", False),
        (b"data: a\r\r", False),
        (b"data: a\r\r\r", False),
        (b"\r", False),
        (BOM, False),
        (BOM[:1], False),
        (b"data: a\n\ndata: b\n", False),
        (b"data: a\n\n\r", False),
    ],
)
def test_a_boundary_is_no_place_inside_an_event_or_behind_a_lone_cr(fed_so_far: bytes, at_boundary: bool) -> None:
    """MUST. An LF may follow that CR and is half of its end: a comment between them would end the line twice."""
    for reads in ([fed_so_far], bytewise(fed_so_far)):
        framer = SseFramer(LIMIT)
        for read in reads:
            framer.feed(read)
        assert framer.at_boundary is at_boundary


def test_a_boundary_comes_back_with_the_lf_behind_a_lone_cr() -> None:
    """MUST. The end of the line is over then."""
    framer = SseFramer(LIMIT)
    framer.feed(b"data: a\r\r")
    assert not framer.at_boundary
    assert framer.feed(b"\n") == [(b"\n", True)]
    assert framer.at_boundary


def test_an_event_over_the_limit_whose_end_shows_late_leaves_nothing_empty_behind() -> None:
    """MUST. All of it was given when the end was found; an empty piece would end a chunked body."""
    large, small = b"data: " + b"x" * 20 + b"\n\r", b"data: b\n\n"
    assert fed(SseFramer(16), [large, small], 16) == [(large, False), (small, True)]
    assert fed(SseFramer(16), [large, b"\n" + small], 16) == [(large, False), (b"\n", False), (small, True)]


@given(stream=some_stream, cuts=some_cuts, excess=st.integers(0, 20))
def test_an_event_over_the_limit_ends_where_it_would_end_below_it(stream: bytes, cuts: list[int], excess: int) -> None:
    """MUST. Put together, its parts and its end are the frame of an endless limit; what follows it is unchanged."""
    limit, long = 16, b"data: " + b"x" * (12 + excess)
    stream = long + stream + b":"
    frames, ends, at = whole(fed(SseFramer(LIMIT), [stream])), {0}, 0
    for frame in frames:
        at += len(frame)
        ends.add(at)
    for reads in ([long, stream[len(long) :]], cut(stream, cuts), bytewise(stream)):
        at = 0
        for piece, is_whole in fed(SseFramer(limit), reads, limit):
            begin, at = at, at + len(piece)
            if is_whole and piece != b"\n":
                assert begin in ends
                assert at in ends or stream[at : at + 1] == b"\n"
            assert not any(begin < end < at for end in ends)
