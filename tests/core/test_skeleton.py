"""Rules of the skeleton: it knows the frames that say nothing new, and never takes one for such that may."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from proxy.core.dialects import Dialect
from proxy.core.dialects.anthropic import Anthropic
from proxy.core.dialects.gemini import GeminiArray
from proxy.core.dialects.ollama import Ollama
from proxy.core.dialects.openai import Chat, Responses
from proxy.core.dialects.plain import Plain
from proxy.core.skeleton import Skeleton, Words, learn, words_of
from proxy.core.watch import LESSON_BYTES, Watch, words

END = b"\n\n"
TEMPLATES: dict[type[Dialect], bytes] = {
    Chat: b'data: {"id":"c-1","created":17,"choices":[{"index":0,"delta":{"content":%s},"finish_reason":null}]}',
    Responses: b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","sequence_number":7,'
    b'"delta":%s,"obfuscation":"xY"}',
    Anthropic: b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 0, "delta": '
    b'{"type": "text_delta", "text": %s}}',
    Ollama: b'{"model":"m","created_at":"2026-01-01T00:00:00Z","response":%s,"done":false}',
}
every_dialect = pytest.mark.parametrize("dialect", TEMPLATES, ids=[dialect.name for dialect in TEMPLATES])


def frame(dialect: type[Dialect], text: str) -> bytes:
    return TEMPLATES[dialect] % json.dumps(text, ensure_ascii=False).encode() + END


def show(watch: Watch, data: bytes) -> bool:
    """Counts a frame that is known, as a relay does, or gives it to the watch; whether it is known."""
    known = watch.known
    if known is not None and known.fits_all([data]):
        known.seen += 1
        return True
    watch.feed(data, 1.0)
    return False


def learnt(dialect: type[Dialect], *texts: str) -> Skeleton:
    skeleton = learn([frame(dialect, text) for text in texts or ("one", " two")], words(dialect))
    assert skeleton is not None
    return skeleton


@every_dialect
@pytest.mark.parametrize("text", ["word", " word", "", "12", "a, b.", 'say \\"', "世界", "\n", "[done]", "errors"])
def test_a_frame_of_other_text_fits(dialect: type[Dialect], text: str) -> None:
    """MUST. Quotes and ends of lines are escaped in JSON, and so belong to the text."""
    assert learnt(dialect).fits_all([frame(dialect, text)])


@pytest.mark.parametrize(
    "other",
    [
        frame(Chat, "word").replace(b"null", b'"stop"'),
        frame(Chat, "word").replace(b'"index":0', b'"index":1'),
        frame(Chat, "word").replace(b"word", b'word","error":"x'),
        frame(Chat, "word").replace(b"word", b"wo\nrd"),
        frame(Chat, "word").replace(b"word", b"wo\rrd"),
        frame(Chat, "word") * 2,
        frame(Chat, "word")[:-1],
        frame(Chat, "word")[1:],
        frame(Chat, "word").replace(b'"word"', b'"'),
        frame(Chat, "error"),
        frame(Chat, "is [DONE]"),
        b"data: [DONE]\n\n",
        b"",
    ],
)
def test_a_frame_that_may_say_something_does_not_fit(other: bytes) -> None:
    """MUST. What is unlike is left to those who look at all of it."""
    assert not learnt(Chat).fits_all([other])
    assert not learnt(Chat).fits_all([frame(Chat, "word"), other])


def test_more_than_one_inside_may_vary() -> None:
    """As with padding against guesses by length."""
    one, two, three = (
        b'{"delta":"%b","logprobs":[],"padding":"%b","error":null}\n' % inside
        for inside in [(b"a", b"xx"), (b"bb", b"x"), (b"ccc", b"")]
    )
    skeleton = learn([one, two], words_of([b'"failed"']))
    assert skeleton is not None
    assert skeleton.fits_all([three])
    assert not skeleton.fits_all([three.replace(b"ccc", b"failed")])
    assert not skeleton.fits_all([three.replace(b"[]", b'["failed"]')])
    assert not skeleton.fits_all([three.replace(b'""', b'"failed"')])
    assert not skeleton.fits_all([three.replace(b',"logprobs"', b',"failed"')])
    assert not skeleton.fits_all([b'{"delta":"ccc","error":null}\n'])
    assert not skeleton.fits_all([b'{"delta":"","error":null}\n'])


@pytest.mark.parametrize("blank", [b"", b" "])
def test_numbers_may_vary_where_no_mark_is_one(blank: bytes) -> None:
    """A frame's number says nothing, the index of a choice does."""
    frames = [b'{"number":%b%d,"index":%b0,"text":"a"}\n' % (blank, number, blank) for number in (9, 10, 11)]
    skeleton = learn(frames[:2], words_of([b'"index"']))
    assert skeleton is not None
    assert skeleton.fits_all([frames[2]])
    assert not skeleton.fits_all([frames[2].replace(b"0,", b"1,")])
    assert learn(frames, words_of([b'"number"'])) is None


@pytest.mark.parametrize(
    ("template", "is_learnt"),
    [
        (b"event: %d\ndata: x\n\n", False),
        (b'data: {"event": %d}\n\n', True),
        (b'data: {"event": "%d"}\n\n', True),
        (b"data: %d: done\n\n", False),
        (b'id: 1\nevent: "%d: done"\n\n', True),
    ],
)
def test_nothing_is_learnt_where_an_inside_may_complete_a_mark(template: bytes, is_learnt: bool) -> None:
    """MUST. It is looked for in the inside alone: what is not in quotes may go on with what stands around it."""
    known = learn([template % 1, template % 2], words_of([b"event: done"]))
    assert (known is not None) is is_learnt


@pytest.mark.parametrize(
    "frames",
    [[b'{"a":"1"}\n'], [b'{"a":"1"}\n'] * 2, [b'{"a":"1"}\n', b'{"b":"2"}\n'], [b'{"a":"1"}\n', b'{"a":null}\n']],
)
def test_nothing_is_learnt_of_frames_that_are_not_alike(frames: list[bytes]) -> None:
    """MUST. Nor of frames that are all the same: nothing tells what in them may change."""
    assert learn(frames, words_of([])) is None


@pytest.mark.parametrize("dialect", [*Dialect.__subclasses__(), *Plain.__subclasses__(), GeminiArray])
def test_the_table_changes_whatever_may_hold_a_word(dialect: type[Dialect]) -> None:
    """MUST. Of every dialect: what passes the table is not searched."""
    known = words(dialect)
    for word in (b'"', b"\n", b"\r", *known.within):
        inside = b"a" + word + b"b"
        assert inside.translate(known.table) != inside
    if dialect in TEMPLATES:
        assert b"word, 12; %".translate(known.table) == b"word, 12; %"


@every_dialect
@given(
    texts=st.lists(st.text(max_size=12), min_size=2, max_size=3),
    at=st.integers(0, 200),
    gone=st.integers(0, 60),
    put=st.one_of(
        st.binary(max_size=6),
        st.sampled_from([b'"error"', b"error", b'":"', b'","', b"[DONE]", b'"stop"', b"message_stop", b"\\", b'\\"']),
    ),
)
def test_no_frame_with_a_mark_ever_fits(
    dialect: type[Dialect], texts: list[str], at: int, gone: int, put: bytes
) -> None:
    """MUST. However a frame is mutilated: what fits has none of the marks for which it would be taken apart."""
    harmless = [frame(dialect, text) for text in texts]
    marks = [*dialect.MARKS, *([dialect.LAST] if dialect.LAST else [])]
    assume(not any(mark.is_in(each) for mark in marks for each in harmless))
    skeleton = learn(harmless, words(dialect))
    assume(skeleton is not None)
    assert skeleton is not None
    other = harmless[0][:at] + put + harmless[0][at + gone :]
    if skeleton.fits_all([other]):
        assert not any(mark.is_in(other) for mark in marks)
        assert other.count(END) == 1


@every_dialect
@given(texts=st.lists(st.text(max_size=12), min_size=1, max_size=4))
def test_where_the_table_changes_nothing_nobody_has_to_ask(dialect: type[Dialect], texts: list[str]) -> None:
    """MUST. A lane does not."""
    skeleton = learnt(dialect)
    insides = [json.dumps(text, ensure_ascii=False).encode()[1:-1] for text in texts]
    for inside in insides:
        if inside.translate(skeleton.table) == inside and inside not in skeleton.whole:
            assert skeleton.says_nothing(inside)
    frames = [skeleton.start + inside + skeleton.end for inside in insides]
    assert skeleton.fits_all(frames) == all(map(skeleton.says_nothing, insides))


@every_dialect
def test_frames_do_not_lend_each_other_their_ends(dialect: type[Dialect]) -> None:
    """MUST. What one is too long another may be too short."""
    skeleton, data = learnt(dialect), frame(dialect, "word")
    for others in ((data[1:], b"x" + data), (data[:-1], data + b"\n"), (data * 2, b""), (skeleton.start, skeleton.end)):
        assert not skeleton.fits_all(others)


@every_dialect
def test_a_watch_that_knows_the_frames_learns_the_same(dialect: type[Dialect], monkeypatch: pytest.MonkeyPatch) -> None:
    """MUST. One event a chunk or a read, or several, each is counted, and the last word is heard."""
    known: list[bool] = []
    compare = Skeleton.fits_all

    def noted(skeleton: Skeleton, frames: Sequence[bytes]) -> bool:
        known.extend([compare(skeleton, frames)] * len(frames))
        return known[-1]

    monkeypatch.setattr(Skeleton, "fits_all", noted)
    frames = [frame(dialect, f" word{number}") for number in range(300)]
    end = b"\n" if dialect is Ollama else END
    frames = [each.removesuffix(END) + end for each in frames]
    last = {
        Chat: frame(Chat, "").replace(b"null", b'"stop"'),
        Responses: b'data: {"type":"response.completed"}\n\n',
        Anthropic: b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
        Ollama: b'{"response":"","done":true}\n',
    }[dialect]
    for together, in_chunks in ((1, True), (1, False), (2, False), (7, False)):
        watch = Watch("lines" if dialect is Ollama else "sse", dialect(), 1 << 16)
        for at in range(0, len(frames), together):
            data = b"".join(frames[at : at + together])
            if in_chunks:
                show(watch, data)
            else:
                watch.feed(data, 1.0)
        assert known.count(True) > 230
        known.clear()
        watch.feed(last, 2.0)
        assert watch.known is None or not watch._pending  # as long as something has not been read
        watch.close()
        assert (watch.events, watch.verdict(ended_well=True)) == (301, "complete")


def test_events_are_counted_on_when_other_frames_are_learnt() -> None:
    """MUST. A stream may change its form, as one does that calls a tool; what was known before was counted too."""
    watch = Watch("sse", Chat(), 1 << 16)
    learnt = set()
    for index in range(1, 4):
        for number in range(200):
            watch.feed(frame(Chat, f"word{number}").replace(b"c-1", b"c-%d" % index), 1.0)
            learnt.add(watch.known)
    watch.close()
    assert watch.events == 600
    assert len(learnt - {None}) >= 3


@pytest.mark.parametrize(("size", "is_learnt"), [(10, True), (1000, True), (5000, False), (100_000, False)])
def test_nothing_is_learnt_of_large_frames(monkeypatch: pytest.MonkeyPatch, size: int, is_learnt: bool) -> None:
    """MUST. What is kept of a stream has to stay small: a hundred thousand of them may be open."""
    taken: list[int] = []

    def noted(frames: Sequence[bytes], known: Words) -> Skeleton | None:
        taken.append(sum(map(len, frames)))
        return learn(frames, known)

    monkeypatch.setattr("proxy.core.watch.learn", noted)
    watch = Watch("sse", Chat(), 1 << 20)
    for number in range(50):
        watch.feed(frame(Chat, f"{number} " + "x" * size) + frame(Chat, f"{number} " + "y" * size), 1.0)
    watch.close()
    assert watch.events == 100
    assert bool(taken) == is_learnt
    assert max(taken, default=0) <= LESSON_BYTES


@pytest.mark.parametrize("comment", [b": %d\n\n", b"id: %d\n\n", b': {"t":"%d"}\n\n', b": %d\nretry: 1\n\n"])
def test_comments_are_alike_too_and_stay_no_events(comment: bytes) -> None:
    """MUST. Nothing is learnt of what a client does not act on."""
    watch = Watch("sse", Chat(), 1 << 16)
    watch.feed(frame(Chat, "one"), 1.0)
    for number in range(1000):
        show(watch, comment % (10_000 + number))
    watch.close()
    assert watch.events == 1


@pytest.mark.parametrize("fill", range(16))
def test_a_frame_behind_a_part_of_another_is_not_known_alone(fill: int) -> None:
    """MUST. Behind the beginning of a comment it is one, however whole it looks; also where a batch ends in between."""
    watch = Watch("sse", Chat(), 1 << 16)
    fed = 0
    while watch.known is None or fed < 100 + fill:
        watch.feed(frame(Chat, f"word{fed}"), 1.0)
        fed += 1
    watch.feed(b": ", 1.0)
    for number in range(40):
        show(watch, frame(Chat, f"word{number}"))
    watch.close()
    assert watch.events == fed + 39


def test_a_batch_that_ends_within_a_frame_leaves_none_known() -> None:
    """MUST. The same, where the part is the last of what is read at once."""
    watch = Watch("sse", Chat(), 1 << 16)
    before = 0
    while watch.known is None:
        watch.feed(frame(Chat, f"word{before}"), 1.0)
        before += 1
    many = [frame(Chat, f"word{number}") for number in range(40)]
    watch.feed(b"".join(many) + b": ", 1.0)
    assert (watch.events, watch.known) == (before + 40, None)
    watch.feed(many[0] * 40, 1.0)
    watch.close()
    assert watch.events == before + 79
