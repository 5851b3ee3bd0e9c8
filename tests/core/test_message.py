"""Rules of messages as values, and of heads as bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.message import (
    BODYLESS_STATUSES,
    Peer,
    field,
    field_lines,
    first,
    keep_alive_timeout,
    members,
    persists,
    phrase,
    request_head,
    request_lines,
    response_bytes,
    values,
)
from tests.core.samples import fields, lines, request, response

RECEIVED = fields(b"A: 1", b"b: 2", b"a: 3", b"Empty: ")


def test_a_field_is_compared_in_lower_case_and_sent_as_written() -> None:
    """SHOULD. H12."""
    assert field(b"X-ODD-Case", b"V \xff") == (b"x-odd-case", b"X-ODD-Case", b"V \xff")


@pytest.mark.parametrize(
    ("key", "all_of_it", "first_of_it"),
    [
        (b"a", [b"1", b"3"], b"1"),
        (b"b", [b"2"], b"2"),
        (b"empty", [b""], b""),
        (b"missing", [], None),
        (b"A", [], None),
    ],
    ids=["several", "one", "empty", "missing", "not lower-case"],
)
def test_lines_of_one_name_are_found_in_order(key: bytes, all_of_it: list[bytes], first_of_it: bytes | None) -> None:
    """MUST. RFC 9110 section 5.3; H11."""
    head = request_head(b"GET", b"/", (1, 1), tuple(RECEIVED), Peer("", secure=False))
    assert values(RECEIVED, key) == head.values(key) == all_of_it
    assert first(RECEIVED, key) == head.first(key) == first_of_it


@pytest.mark.parametrize(
    ("lists", "found"),
    [
        pytest.param([], [], id="no line"),
        pytest.param([b""], [], id="an empty line"),
        pytest.param([b"a"], [b"a"], id="one"),
        pytest.param([b"a, B ,\tc\t"], [b"a", b"b", b"c"], id="blanks, tabs, letter case"),
        pytest.param([b",, a,,b ,", b" , "], [b"a", b"b"], id="empty members"),
        pytest.param([b"a", b"b, c"], [b"a", b"b", b"c"], id="several lines"),
        pytest.param([b"a;q=0, b"], [b"a;q=0", b"b"], id="parameters stay"),
        pytest.param([b"a b"], [b"a b"], id="blanks inside stay"),
        pytest.param([b"a\x0bb\x0c"], [b"a\x0bb\x0c"], id="other white space is none"),
    ],
)
def test_members_of_a_list_are_without_blanks_and_in_lower_case(lists: list[bytes], found: list[bytes]) -> None:
    """MUST. RFC 9110 section 5.6.1; H2."""
    assert members(lists) == found


words = st.binary(min_size=1, max_size=4).map(lambda data: bytes(0x61 + byte % 26 for byte in data))


@given(st.lists(words, max_size=6), st.data())
def test_it_makes_no_difference_over_how_many_lines_a_list_is_spread(listed: list[bytes], data: st.DataObject) -> None:
    """MUST. RFC 9110 section 5.3."""
    at = data.draw(st.integers(0, len(listed)))
    assert members([b",".join(listed[:at]), b" , ".join(listed[at:])]) == listed


def test_names_say_at_once_what_does_not_occur() -> None:
    """MUST. They are what every look-up asks first."""
    assert request(b"GET / HTTP/1.1", b"X-A: 1", b"x-a: 2").names == {b"host", b"x-a"}


@pytest.mark.parametrize(
    "head",
    [
        request(host=None),
        request(b"POST /a?b=c HTTP/1.1", b"Content-Length: 5", b"Empty: ", b"X-\xff: \xff"),
    ],
    ids=["no fields", "fields"],
)
def test_the_size_of_a_head_is_that_of_its_lines(head: object) -> None:
    """MUST. Z1: request line and fields with their line ends, without the empty line."""
    written = request_lines(head.method, head.target, list(head.fields))  # type: ignore[attr-defined]
    assert head.size == len(written)  # type: ignore[attr-defined]


@given(st.lists(st.tuples(words, st.binary(max_size=40)), max_size=8), st.integers(0, 400))
def test_a_head_is_over_a_limit_if_its_size_is(received: list[tuple[bytes, bytes]], limit: int) -> None:
    """MUST. Z1: a quick look first must not change the verdict."""
    named = tuple(field(name, value) for name, value in received)
    head = request_head(b"POST", b"/x", (1, 1), named, Peer("", secure=False))
    assert head.is_over(limit) is (head.size > limit)
    assert not head.is_over(head.size)
    assert head.is_over(head.size - 1)


def test_another_host_replaces_every_line_of_it() -> None:
    """MUST. RFC 9112 section 3.2.2; P9: it stands first, and all else stays."""
    head = request(b"GET / HTTP/1.1", b"A: 1", b"hOST: c.example", host=b"b.example").for_host(b"a.example")
    assert lines(head.fields) == [b"Host: a.example", b"A: 1"]
    assert head.names == {b"host", b"a"}
    assert request(b"GET / HTTP/1.0", host=None).for_host(b"a.example").first(b"host") == b"a.example"


@pytest.mark.parametrize(
    ("line", "more", "again"),
    [
        pytest.param(b"HTTP/1.1 200 OK", [], True, id="1.1"),
        pytest.param(b"HTTP/1.1 200 OK", [b"Connection: close"], False, id="1.1, close"),
        pytest.param(b"HTTP/1.1 200 OK", [b"Connection: x, Close"], False, id="1.1, close among others"),
        pytest.param(b"HTTP/1.1 200 OK", [b"Connection: keep-alive", b"Connection: close"], False, id="1.1, both"),
        pytest.param(b"HTTP/1.1 200 OK", [b"Connection: closed"], True, id="1.1, a longer word"),
        pytest.param(b"HTTP/1.0 200 OK", [], False, id="1.0"),
        pytest.param(b"HTTP/1.0 200 OK", [b"Connection: Keep-Alive"], True, id="1.0, keep-alive"),
        pytest.param(b"HTTP/1.0 200 OK", [b"Connection: keep-alive, close"], False, id="1.0, both"),
    ],
)
def test_a_connection_persists_as_version_and_connection_say(line: bytes, more: list[bytes], again: bool) -> None:
    """MUST. RFC 9112 section 9.3; K1."""
    assert persists(response(line, *more)) is again


def test_a_request_head_is_written_line_by_line() -> None:
    """SHOULD. RFC 9112 section 3; H12, M17: letter case, order and high bytes stay, the version is ours."""
    received = fields(b"hOST: a", b"B: \xe4\xff", b"a: ", b"B: 2")
    assert request_lines(b"QUERY", b"/%zz?;", received) == (
        b"QUERY /%zz?; HTTP/1.1\r\nhOST: a\r\nB: \xe4\xff\r\na: \r\nB: 2\r\n"
    )
    assert request_lines(b"GET", b"/", []) == b"GET / HTTP/1.1\r\n"


def test_a_response_head_is_written_as_its_bytes() -> None:
    """MUST. RFC 9112 section 4; H13: unknown statuses and odd or empty reason phrases too."""
    assert response_bytes(299, b"\xe4 odd", fields(b"sET-cookie: \xff", b"A: ")) == (
        b"HTTP/1.1 299 \xe4 odd\r\nsET-cookie: \xff\r\nA: \r\n\r\n"
    )
    assert response_bytes(200, b"", []) == b"HTTP/1.1 200 \r\n\r\n"


def test_204_and_304_have_no_body() -> None:
    """MUST. RFC 9112 section 6.3; X10."""
    assert {204, 304} == BODYLESS_STATUSES


@pytest.mark.parametrize(
    ("status", "text"),
    [(204, b"No Content"), (421, b"Misdirected Request"), (502, b"Bad Gateway"), (499, b""), (799, b"")],
)
def test_a_status_of_our_own_has_its_usual_phrase(status: int, text: bytes) -> None:
    """MUST. RFC 9110 section 15; 499 is in no standard."""
    assert phrase(status) == text


@pytest.mark.parametrize(
    ("received", "seconds"),
    [
        ([b"Keep-Alive: timeout=5"], 5),
        ([b"Keep-Alive: max=100, Timeout=7"], 7),
        ([b"Keep-Alive: max=100", b"keep-alive: timeout = 0"], 0),
        ([b"Keep-Alive: timeout=" + b"9" * 5000], 999999999),
        ([b"Keep-Alive: timeout=soon"], None),
        ([b"Keep-Alive: max=100"], None),
        ([], None),
    ],
    ids=["alone", "in a list", "two lines", "for ever", "no number", "another", "none"],
)
def test_an_upstream_may_say_how_long_it_keeps_a_connection(received: list[bytes], seconds: int | None) -> None:
    """SHOULD. K3."""
    assert keep_alive_timeout(response(b"HTTP/1.1 200 OK", *received)) == seconds


def test_a_trailer_section_is_written_line_by_line() -> None:
    """RFC 9112 section 7.1.2."""
    assert field_lines(fields(b"a: \xff", b"B: ", b"a: 2")) == b"a: \xff\r\nB: \r\na: 2\r\n"
    assert field_lines([]) == b""
