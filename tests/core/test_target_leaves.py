"""Rules of paths that climb out of the prefix they were matched by, in whichever way a server may read them."""

import itertools
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from proxy.core import target
from proxy.core.target import leaves


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"..", id="alone"),
        pytest.param(b"../x", id="first"),
        pytest.param(b"/../x", id="after the slash of a prefix without one"),
        pytest.param(b"a/../../x", id="further up than down"),
        pytest.param(b"a/b/../../..", id="at the end"),
        pytest.param(b"./../x", id="a single dot does not count"),
        pytest.param(b"//../x", id="empty segments do not count"),
        pytest.param(b"a//../../x", id="an empty segment between"),
        pytest.param(b"%2e%2e/x", id="encoded"),
        pytest.param(b"%2E%2E/x", id="encoded, upper case"),
        pytest.param(b".%2e/x", id="half encoded"),
        pytest.param(b"%2e./x", id="the other half"),
        pytest.param(b"a/%2e%2e/%2e%2e/x", id="encoded, further up than down"),
        pytest.param(b"%2e/../x", id="an encoded single dot does not count"),
        pytest.param(b"%252e%252e/x", id="encoded twice"),
        pytest.param(b"%25%32%65%252e/x", id="encoded twice, the percent sign apart"),
        pytest.param(b"..%2fx", id="encoded slash"),
        pytest.param(b"a%2f..%2f..%2fx", id="encoded slashes between"),
        pytest.param(b"%2e%2e%2fx", id="all encoded"),
        pytest.param(b"..%252fx", id="slash encoded twice"),
        pytest.param(rb"..\x", id="backslash"),
        pytest.param(rb"a\..\..\x", id="backslashes between"),
        pytest.param(b"..%5cx", id="encoded backslash"),
        pytest.param(b"..%5Cx", id="encoded backslash, upper case"),
        pytest.param(b"..%255cx", id="backslash encoded twice"),
        pytest.param(b"..;x/y", id="path parameter"),
        pytest.param(b"..;/y", id="empty path parameter"),
        pytest.param(b"a/..;v=1/..;v=2/y", id="path parameters, further up than down"),
        pytest.param(b"%2e%2e;x/y", id="encoded dots with a path parameter"),
        pytest.param(b"..%3bx/y", id="encoded semicolon"),
        pytest.param(b";x/../y", id="a segment of a parameter alone does not count"),
        pytest.param(rb"a\b/../../x", id="a backslash that is no separator"),
        pytest.param(b"a%5cb/%2e%2e/%2e%2e/x", id="an encoded backslash that is no separator"),
        pytest.param(b"a%2fb/../../x", id="an encoded slash that is no separator"),
        pytest.param(b"a%2fb/%2e%2e/%2e%2e/x", id="encoded dots beside an encoded slash that is no separator"),
        pytest.param(b"a%252fb/%252e%252e/../x", id="the same, encoded twice"),
    ],
)
def test_a_path_leaves_if_any_reading_of_it_does(rest: bytes) -> None:
    """MUST. P7: as it is, decoded once, decoded twice; backslashes, encoded separators and parameters, or not."""
    assert leaves(rest)


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b"/",
        b"a",
        b"a/..",
        b"a/../b",
        b"a/b/../../c",
        b"a/%2e%2e/b",
        b"a/./b",
        b"./a",
        b"a/%252e%252e",
        b"...",
        b"..a",
        b"a..",
        b".. x".replace(b" ", b"%20"),
        b"....//",
        b"v1/models/gpt-4..5",
        b"files/a%20b%25c",
        b"a%2fb",
        b"%2525252e%2525252e/x",
        b"x;../y",
        b"a%zz/b",
        b"1.5/..%41",
    ],
    ids=lambda rest: rest.decode() or "empty",
)
def test_a_path_that_stays_is_let_through(rest: bytes) -> None:
    """MUST. P1, P7: dots inside a name, or that go no further up than down, harm nobody."""
    assert not leaves(rest)


parts = st.sampled_from(
    [
        b"/",
        b"\\",
        b"%2f",
        b"%5c",
        b"%252F",
        b"%255c",
        b"..",
        b".",
        b"%2e",
        b"%2E",
        b"%252e",
        b"a",
        b"b",
        b";",
        b"%3b",
        b"%",
    ]
)
paths = st.lists(parts, max_size=12).map(b"".join)
clean = st.binary(max_size=40).map(lambda data: data.replace(b".", b"").replace(b"%", b""))


@given(clean)
def test_a_path_without_dots_and_percent_signs_never_leaves(rest: bytes) -> None:
    """MUST. P1, P7."""
    assert not leaves(rest)


@given(clean)
def test_two_dots_in_front_always_leave(rest: bytes) -> None:
    """MUST. P7."""
    assert leaves(b"../" + rest)


def unescaped(path: bytes, only: bytes = b"") -> bytes:
    """The path decoded once: every byte, or those of `only`."""
    return re.sub(
        rb"%([0-9a-fA-F]{2})",
        lambda code: byte if (byte := bytes.fromhex(code[1].decode())) in only or not only else code[0],
        path,
    )


def climbs(path: bytes, separators: bytes, parameters: bool) -> bool:
    """Whether one server, which knows these separators and perhaps path parameters, ends above where it began."""
    depth = 0
    for segment in re.split(b"[%b]" % re.escape(separators), path):
        name = segment.partition(b";")[0] if parameters else segment
        depth += -1 if name == b".." else name not in (b"", b".")
        if depth < 0:
            return True
    return False


def readings(path: bytes) -> set[bytes]:
    """What servers make of a path before they look for dots: nothing, decoded once or twice, or only dots decoded."""
    whole = {path, unescaped(path), unescaped(unescaped(path))}
    return whole | {unescaped(reading, only=b".") for reading in (path, unescaped(path))}


@given(paths)
@example(rb"a\b/../../x")
@example(b"a%2fb/%2e%2e/%2e%2e/x")
def test_no_server_ends_above_a_path_that_was_let_through(rest: bytes) -> None:
    """MUST. P7: the law behind the table, with each server written out."""
    servers = itertools.product(readings(rest), (b"/", b"/\\"), (False, True))
    above = any(climbs(reading, separators, parameters) for reading, separators, parameters in servers)
    assert leaves(rest) or not above


@given(paths)
def test_a_path_on_which_all_servers_agree_is_judged_as_they_do(rest: bytes) -> None:
    """MUST. P1, P7: where nothing is encoded, and no sign has two meanings, nothing is refused for caution's sake."""
    plain = re.sub(rb"[%\\;]", b"c", rest)
    assert leaves(plain) == climbs(plain, b"/", parameters=False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (b"/v1/chat/../x", True),
        (b"/v1/%2e%2E/x", True),
        (b"/v1/..%2fx", True),
        (b"/v1/%252e%252e/x", True),
        (rb"/v1\..\x", True),
        (b"/v1/..;x/y", True),
        (b"/v1/..x/...", False),
        (b"/v1/./chat", False),
        (b"/v1/chat", False),
        (b"/v1/%20.%20", False),
    ],
)
def test_a_path_climbs_where_any_reading_of_it_has_a_double_dot_segment(path: bytes, expected: bool) -> None:
    """MUST. P7: what a regular expression matched has no prefix that depth could be counted from."""
    assert target.climbs(path) is expected
