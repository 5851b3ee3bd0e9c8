"""Rules of a JSON array that grows: where its elements end, whatever is in their strings."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.framers.json_array import JsonArrayFramer
from tests.core.framers import LIMIT, bytewise, cut, fed, some_cuts, whole

CASES: dict[str, list[bytes]] = {
    "objects": [b'[{"a":1}', b',{"b":2}', b"]"],
    "empty-array": [b"[]"],
    "empty-elements": [b"[{}", b",[]", b"]"],
    "blanks": [b" \t\r\n[ { }", b" , {\n}", b"\n\n]"],
    "arrays-in-arrays": [b"[[1,[2,[]]]", b",[{},[{}]]", b"]"],
    "brackets-in-strings": [b'[{"]}[{":"}]"}', b',["[[{"]', b"]"],
    "escaped-quotes": [b'[{"\\"}":"\\"]"}', b"]"],
    "escaped-backslashes": [b'[{"a\\\\":"\\\\\\\\"}', b',{"b":"\\\\\\""}', b"]"],
    "escaped-code-points": [b'[{"a":"\\u005d\\u007D\\/"}', b"]"],
    "more-than-ascii": ['[{"ü世":"\N{GRINNING FACE}"}'.encode(), b"]"],
    "scalars-leave-with-what-ends-next": [b'[1,"]",null,{"a":1}', b',true,"{",[2]', b",-1.5e3]"],
    "scalars-only": [b'[1,"a",null]'],
    "object-in-place-of-the-array": [b'{"error":{"code":503,"details":[{"a":[1]}]}}'],
    "object-then-object": [b'{"a":{"b":{}}}', b'\n{"c":[]}'],
}


@pytest.mark.parametrize("frames", CASES.values(), ids=CASES)
def test_a_frame_is_an_element_or_the_closing_bracket(frames: list[bytes]) -> None:
    """MUST. RFC 8259: what is in a string opens and closes nothing. No cut changes that."""
    stream = b"".join(frames)
    expected = [(frame, True) for frame in frames]
    framer = JsonArrayFramer(LIMIT)
    assert fed(framer, [stream]) == expected
    assert framer.is_closed
    assert fed(JsonArrayFramer(LIMIT), bytewise(stream)) == expected
    for at in range(len(stream)):
        assert fed(JsonArrayFramer(LIMIT), [stream[:at], stream[at:]]) == expected


scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text('[]{}"\\,: aü\n\u2028', max_size=8))
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('{]"\\', max_size=3), inner, max_size=3),
)
separators = st.sampled_from([b",", b", ", b"\n,\n", b",\r\n"])


@given(elements=st.lists(values, max_size=6), comma=separators, indent=st.sampled_from([None, 2]), cuts=some_cuts)
def test_the_frames_of_any_array_are_its_elements(
    elements: list[object], comma: bytes, indent: int | None, cuts: list[int]
) -> None:
    """MUST. Whatever is in it, however it is set and cut; scalars leave with the element behind them."""
    frames, waiting = [], b"["
    for number, element in enumerate(elements):
        waiting += (comma if number else b"") + json.dumps(element, indent=indent, ensure_ascii=False).encode()
        if isinstance(element, list | dict):
            frames.append(waiting)
            waiting = b""
    frames.append(waiting + b"]")
    stream = b"".join(frames)
    assert whole(fed(JsonArrayFramer(LIMIT), [stream])) == frames
    assert whole(fed(JsonArrayFramer(LIMIT), cut(stream, cuts))) == frames
    assert whole(fed(JsonArrayFramer(LIMIT), bytewise(stream))) == frames


@pytest.mark.parametrize(
    ("stream", "is_closed"),
    [
        (b"", False),
        (b"[", False),
        (b'[{"a":1}', False),
        (b'[{"a":1},', False),
        (b'[{"a":"]', False),
        (b"[[]", False),
        (b"[]", True),
        (b'[{"a":1}\n]\n', True),
    ],
)
def test_only_the_outermost_bracket_closes_the_array(stream: bytes, is_closed: bool) -> None:
    """MUST. What was cut off behind a comma or an element is no complete array."""
    framer = JsonArrayFramer(LIMIT)
    fed(framer, bytewise(stream))
    assert framer.is_closed is is_closed


def test_a_bracket_that_closes_nothing_passes() -> None:
    """MUST. It is no JSON, and its bytes are still the client's."""
    frames = [b"]", b"}", b'[{"a":{}}', b"]"]
    assert whole(fed(JsonArrayFramer(LIMIT), [b"".join(frames)])) == frames
