"""Rules of what is stripped and of the operator's own header rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.headers import (
    HOP_BY_HOP,
    NO_RULES,
    REQUEST_DROPPED,
    RESPONSE_DROPPED,
    Rules,
    accepts_trailers,
    end_to_end,
    replace,
)
from proxy.core.message import Field, Fields, field, members
from tests.core.samples import fields, lines, request


def travelling(received: Fields, dropped: frozenset[bytes]) -> list[Field]:
    return end_to_end(received, dropped, frozenset(entry[0] for entry in received))


def stripped(*received: bytes, dropped: frozenset[bytes] = REQUEST_DROPPED) -> list[bytes]:
    return lines(travelling(tuple(fields(*received)), dropped))


@pytest.mark.parametrize("dropped", [REQUEST_DROPPED, RESPONSE_DROPPED], ids=["request", "response"])
@pytest.mark.parametrize("spelling", [bytes.lower, bytes.upper, bytes.title], ids=["lower", "upper", "title"])
@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Proxy-Connection",
        b"Keep-Alive",
        b"Proxy-Authenticate",
        b"Proxy-Authorization",
        b"TE",
        b"Trailer",
        b"Transfer-Encoding",
        b"Upgrade",
        b"HTTP2-Settings",
    ],
    ids=bytes.decode,
)
def test_hop_by_hop_fields_stop_here_in_any_letter_case(
    name: bytes, spelling: object, dropped: frozenset[bytes]
) -> None:
    """MUST. RFC 9110 section 7.6.1; H1, H7: named by Connection or not, in both directions."""
    assert stripped(b"A: 1", spelling(name) + b": x", b"B: 2", dropped=dropped) == [b"A: 1", b"B: 2"]  # type: ignore[operator]


def test_the_table_of_hop_by_hop_fields_is_complete_and_has_nothing_else() -> None:
    """MUST. RFC 9110 section 7.6.1; H1, H17, H23."""
    assert len(HOP_BY_HOP) == 10
    assert {b"proxy"} == REQUEST_DROPPED - HOP_BY_HOP
    assert {
        *(
            b"alt-svc",
            b"x-accel-redirect",
            b"x-accel-charset",
            b"x-accel-expires",
            b"x-accel-limit-rate",
            b"x-sendfile",
        ),
    } == RESPONSE_DROPPED - HOP_BY_HOP


@pytest.mark.parametrize(
    ("received", "kept"),
    [
        pytest.param([b"Connection: x-a", b"X-A: 1", b"X-B: 2"], [b"X-B: 2"], id="one"),
        pytest.param([b"X-A: 1", b"X-B: 2", b"Connection: x-a"], [b"X-B: 2"], id="named after it came"),
        pytest.param([b"Connection: X-a", b"x-A: 1"], [], id="letter case of both"),
        pytest.param([b"CONNECTION: X-A", b"X-A: 1"], [], id="letter case of Connection"),
        pytest.param([b"Connection: close, x-a ,\tx-b", b"X-A: 1", b"X-B: 2", b"X-C: 3"], [b"X-C: 3"], id="a list"),
        pytest.param([b"Connection: x-a,,x-b,", b"X-A: 1", b"X-B: 2"], [], id="empty members"),
        pytest.param([b"Connection: x-a", b"Connection: x-b", b"X-A: 1", b"X-B: 2"], [], id="two lines"),
        pytest.param([b"Connection:", b"Connection: x-a", b"X-A: 1"], [], id="an empty first line"),
        pytest.param([b"Connection: ", b"connection:", b"CoNNection: x-a", b"X-A: 1"], [], id="two empty first lines"),
        pytest.param([b"Connection: x-a", b"X-A: 1", b"X-A: 2"], [], id="every line of the name"),
        pytest.param([b"Connection: x-a", b"X-Ab: 1", b"A: 2"], [b"X-Ab: 1", b"A: 2"], id="only the whole name"),
        pytest.param([b"Connection: close", b"Close: 1"], [], id="close is a name too"),
        pytest.param([b"Connection:", b"X-A: 1"], [b"X-A: 1"], id="empty"),
        pytest.param([b"Connection: ,", b"X-A: 1"], [b"X-A: 1"], id="no member"),
        pytest.param([b"X-A: 1"], [b"X-A: 1"], id="none"),
        pytest.param([], [], id="no fields"),
    ],
)
@pytest.mark.parametrize("dropped", [REQUEST_DROPPED, RESPONSE_DROPPED], ids=["request", "response"])
def test_what_any_connection_line_names_stops_here(
    received: list[bytes], kept: list[bytes], dropped: frozenset[bytes]
) -> None:
    """MUST. RFC 9110 section 7.6.1; H2, and H3 for the empty line before (CVE-2021-33197)."""
    assert stripped(*received, dropped=dropped) == kept


@pytest.mark.parametrize("name", [b"Host", b"Content-Length"], ids=bytes.decode)
def test_connection_cannot_remove_host_or_the_length(name: bytes) -> None:
    """MUST. H5: both are made anew for each side, so naming them does nothing."""
    received = [b"Connection: %b, x-a" % name.lower(), name + b": 5", b"X-A: 1"]
    assert stripped(*received, dropped=HOP_BY_HOP) == [name + b": 5"]


def test_the_proxy_field_stops_here_but_only_on_requests() -> None:
    """MUST. httpoxy; H17."""
    assert stripped(b"Proxy: http://evil.example", b"A: 1") == [b"A: 1"]
    assert stripped(b"Proxy: x", dropped=RESPONSE_DROPPED) == [b"Proxy: x"]


@pytest.mark.parametrize(
    "line",
    [b"Trailers: x", b"X-Connection: x", b"Upgrade-Insecure-Requests: 1", b"Keep-Alives: x", b"Early-Data: 1"],
    ids=bytes.decode,
)
def test_a_field_that_only_resembles_a_hop_by_hop_one_passes(line: bytes) -> None:
    """MUST. H6, H27."""
    assert stripped(b"Connection: close", line) == [line]
    assert stripped(b"Connection: close", line, dropped=RESPONSE_DROPPED) == [line]


def test_orders_to_a_proxy_in_front_of_us_stop_here_but_for_buffering() -> None:
    """SHOULD. H23; Alt-Svc is H7, a MUST."""
    received = [
        b"Alt-Svc: h3=:443",
        b"X-Accel-Redirect: /secret",
        b"X-Accel-Charset: utf-8",
        b"X-Accel-Expires: 5",
        b"X-Accel-Limit-Rate: 1",
        b"X-Sendfile: /etc/passwd",
        b"X-Accel-Buffering: yes",
    ]
    assert stripped(*received, dropped=RESPONSE_DROPPED) == [b"X-Accel-Buffering: yes"]


def test_lines_of_one_name_keep_their_order_number_and_case() -> None:
    """MUST. RFC 9110 section 5.3; H11, H12, H13."""
    received = [b"Set-Cookie: a=1", b"x-ODD: \xff", b"Set-Cookie: b=2", b"SET-cookie: a=1", b"Empty: "]
    assert stripped(*received, b"Connection: close", dropped=RESPONSE_DROPPED) == received


NAMES = [b"Connection", b"TE", b"Host", b"Content-Length", b"X-A", b"X-B", b"Cookie", b"close", b"Upgrade"]
spelled = st.sampled_from(NAMES).flatmap(lambda name: st.sampled_from([name, name.lower(), name.upper()]))
named_lists = st.lists(spelled, max_size=4).map(b" , ".join)


@given(st.lists(st.tuples(spelled, named_lists), max_size=8))
def test_exactly_what_is_dropped_or_named_is_missing_and_the_rest_is_in_order(
    received: list[tuple[bytes, bytes]],
) -> None:
    """MUST. RFC 9110 section 7.6.1; H1, H2, H5: the law behind the table."""
    given_fields = tuple(field(name, value) for name, value in received)
    named = set(members([value for key, _, value in given_fields if key == b"connection"]))
    gone = HOP_BY_HOP | (named - {b"host", b"content-length"})
    assert travelling(given_fields, HOP_BY_HOP) == [entry for entry in given_fields if entry[0] not in gone]


@pytest.mark.parametrize(
    ("te", "accepted"),
    [
        pytest.param([b"TE: trailers"], True, id="alone"),
        pytest.param([b"TE: gzip, Trailers"], True, id="last, any case"),
        pytest.param([b"te: trailers, gzip;q=0.5"], True, id="first"),
        pytest.param([b"TE: gzip", b"TE: trailers"], True, id="second line"),
        pytest.param([b"TE: gzip"], False, id="another coding"),
        pytest.param([b"TE: trailersfoo"], False, id="a longer word"),
        pytest.param([b"TE:"], False, id="empty"),
        pytest.param([b"Trailers: trailers"], False, id="another field"),
        pytest.param([], False, id="none"),
    ],
)
def test_trailers_are_accepted_if_te_says_so_in_any_position(te: list[bytes], accepted: bool) -> None:
    """MUST. RFC 9110 section 10.1.4; H6."""
    assert accepts_trailers(request(b"GET / HTTP/1.1", *te)) is accepted


@pytest.mark.parametrize(
    ("rules", "after"),
    [
        pytest.param(NO_RULES, [b"A: 1", b"B: 2", b"a: 3"], id="none"),
        pytest.param(Rules(), [b"A: 1", b"B: 2", b"a: 3"], id="empty"),
        pytest.param(Rules(remove=frozenset({b"a"})), [b"B: 2"], id="remove takes every line"),
        pytest.param(Rules(remove=frozenset({b"x"})), [b"A: 1", b"B: 2", b"a: 3"], id="remove what is not there"),
        pytest.param(Rules(rename=((b"a", b"New"),)), [b"New: 1", b"B: 2", b"New: 3"], id="rename keeps the places"),
        pytest.param(Rules(rename=((b"b", b"A"),)), [b"A: 1", b"A: 2", b"a: 3"], id="rename to a name that is there"),
        pytest.param(Rules(rename=((b"a", b"C"), (b"c", b"D"))), [b"D: 1", b"B: 2", b"D: 3"], id="renames follow on"),
        pytest.param(Rules(set=(field(b"A", b"9"),)), [b"B: 2", b"A: 9"], id="set replaces every line"),
        pytest.param(
            Rules(set=(field(b"A", b"8"), field(b"A", b"9"))), [b"B: 2", b"A: 8", b"A: 9"], id="set several lines"
        ),
        pytest.param(Rules(set=(field(b"C", b"9"),)), [b"A: 1", b"B: 2", b"a: 3", b"C: 9"], id="set what is not there"),
        pytest.param(Rules(set=(field(b"A", b""),)), [b"B: 2"], id="set to nothing removes"),
        pytest.param(Rules(set=(field(b"A", b""), field(b"A", b"9"))), [b"B: 2", b"A: 9"], id="set one empty line"),
        pytest.param(
            Rules(add=(field(b"B", b"9"),)), [b"A: 1", b"B: 2", b"a: 3", b"B: 9"], id="add leaves what is there"
        ),
        pytest.param(Rules(add=(field(b"B", b""),)), [b"A: 1", b"B: 2", b"a: 3"], id="add nothing"),
        pytest.param(
            Rules(
                remove=frozenset({b"a"}),
                rename=((b"b", b"A"),),
                set=(field(b"C", b"3"),),
                add=(field(b"A", b"4"), field(b"C", b"5")),
            ),
            [b"A: 2", b"C: 3", b"A: 4", b"C: 5"],
            id="remove, then rename, then set, then add",
        ),
        pytest.param(
            Rules(rename=((b"b", b"A"),), set=(field(b"A", b"9"),)), [b"A: 9"], id="set sees what a rename made"
        ),
        pytest.param(
            Rules(remove=frozenset({b"c"}), set=(field(b"C", b"9"),)),
            [b"A: 1", b"B: 2", b"a: 3", b"C: 9"],
            id="remove does not undo set",
        ),
    ],
)
def test_rules_run_in_their_order_and_leave_the_given_list_alone(rules: Rules, after: list[bytes]) -> None:
    """MUST. H10, H16, H22."""
    before = fields(b"A: 1", b"B: 2", b"a: 3")
    assert lines(rules.apply(before)) == after
    assert lines(before) == [b"A: 1", b"B: 2", b"a: 3"]


def test_a_renamed_field_is_found_under_its_new_name() -> None:
    """MUST. H16: what is compared is the lower-case name, and it has to follow."""
    assert Rules(rename=((b"a", b"New-Name"),)).apply(fields(b"A: 1")) == [(b"new-name", b"New-Name", b"1")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param([b"A: 1", b"N: 2", b"B: 3"], [b"A: 1", b"N: new", b"B: 3"], id="in its place"),
        pytest.param([b"n: 1", b"A: 2", b"N: 3"], [b"N: new", b"A: 2"], id="in the place of the first"),
        pytest.param([b"A: 1"], [b"A: 1", b"N: new"], id="at the end"),
        pytest.param([], [b"N: new"], id="alone"),
    ],
)
def test_a_replacement_stands_where_the_first_line_stood(before: list[bytes], after: list[bytes]) -> None:
    """MUST. H12: the order of the others does not change."""
    received = fields(*before)
    assert lines(replace(received, field(b"N", b"new"))) == after
    assert lines(received) == before
