"""The names of a request: kept where they are well-formed, made where not, and told under the names the rules leave."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.core.headers import NO_RULES, Rules
from proxy.core.message import field
from proxy.core.plan import plan
from proxy.core.tracing import BOTH, CHANCE_BITS, Trace, is_echoed, is_traceparent, lines, told, trace
from tests.core.samples import NAMED, TRACE, fields, forward, proxy, request, route, sent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CHANCE = 0x0123456789ABCDEF0123456789ABCDEF
MADE = "0123456789abcdef0123456789abcdef"


def test_both_are_made_where_none_came_and_belong_together() -> None:
    """MUST. O13: the id in the log is that of the trace."""
    assert trace((), (), CHANCE) == (MADE, f"00-{MADE}-{MADE[16:]}-01")


@given(st.integers(0, 2**CHANCE_BITS - 1))
def test_what_is_made_is_well_formed(chance: int) -> None:
    """MUST. W3C Trace Context section 3.2.2: but for the one chance in 2**64 of nothing but zeros."""
    made = trace((), (), chance)
    assert re.fullmatch("[0-9a-f]{32}", made.request_id)
    assert is_traceparent(made.traceparent) == bool(chance % 2**64)
    assert trace([made.request_id], (), 0).request_id == made.request_id


@pytest.mark.parametrize(
    "value",
    [
        "a",
        "req_011CSHoEeqs5C35K2UUqR7Fy",
        "5f0c7a3e-8d0a-4d4e-9b0e-2f6f1b6f3c11",
        "a" * 128,
        "Root=1-67:x/y+z==",
        "~|@#",
    ],
)
def test_a_well_formed_request_id_is_kept(value: str) -> None:
    """SHOULD. O13."""
    assert trace([value], (), CHANCE) == (value, f"00-{MADE}-{MADE[16:]}-01")


@pytest.mark.parametrize(
    "value", ["", "a" * 129, "a b", "a,b", 'a"b', "a\\b", "a\n", "é", "a;b", "\x1b[2J", "<a>", "a\x00"]
)
def test_any_other_request_id_is_replaced(value: str) -> None:
    """SHOULD. O13, O9: it stands in the log and in the answer."""
    assert trace([value], (), CHANCE).request_id == MADE


def test_two_request_ids_are_none() -> None:
    assert trace(["a", "a"], (), CHANCE).request_id == MADE


@pytest.mark.parametrize(
    "value",
    [
        PARENT,
        PARENT[:-2] + "00",
        PARENT[:-2] + "ff",
        "01" + PARENT[2:],
        "cc" + PARENT[2:] + "-what-the-future-will-be-like",
        "cc" + PARENT[2:] + "-",
    ],
)
def test_a_valid_traceparent_is_kept(value: str) -> None:
    """MUST. W3C Trace Context sections 3.2 and 4.3."""
    assert trace((), [value], CHANCE) == (MADE, value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        PARENT.upper(),
        "ff" + PARENT[2:],
        PARENT + "-more",
        PARENT + "-",
        PARENT + "\n",
        PARENT[:-1],
        "cc" + PARENT[2:] + ".more",
        "cc" + PARENT[2:] + "-" + "a" * 201,
        PARENT.replace("0af7651916cd43dd8448eb211c80319c", "0" * 32),
        PARENT.replace("b7ad6b7169203331", "0" * 16),
        PARENT.replace("-", "_"),
        " " + PARENT,
    ],
)
def test_any_other_traceparent_is_replaced(value: str) -> None:
    """MUST. W3C Trace Context section 3.2.2."""
    assert trace(["a"], [value], CHANCE) == ("a", f"00-{MADE}-{MADE[16:]}-01")


def test_two_traceparents_are_none() -> None:
    """MUST. W3C Trace Context section 3.2."""
    assert trace((), [PARENT, PARENT], CHANCE).traceparent != PARENT


@pytest.mark.parametrize(
    ("parents", "passes"),
    [((PARENT,), True), ((), False), ((PARENT, PARENT), False), (("00-nothing",), False), (("\xff",), False)],
)
def test_a_tracestate_goes_with_its_trace_and_with_no_other(parents: tuple[str, ...], passes: bool) -> None:
    """MUST. W3C Trace Context section 3.3."""
    came = [f"traceparent: {value}".encode("latin-1") for value in parents]
    head = sent(request(b"GET / HTTP/1.1", *came, b"tracestate: rojo=00f067aa0ba902b7"))
    assert (b"tracestate: rojo=00f067aa0ba902b7" in head) == passes


def test_what_came_is_told_once_and_behind_the_other_fields() -> None:
    """MUST. O13: also if Connection names it."""
    asked = request(
        b"POST / HTTP/1.1",
        b"x-request-ID: %b" % TRACE.request_id.encode(),
        b"Traceparent: %b" % TRACE.traceparent.encode(),
        b"Connection: x-request-id",
        b"A: b",
        b"Content-Length: 2",
    )
    assert forward(plan(proxy(), asked)).head(TRACE).endswith(b"A: b\r\n" + NAMED + b"Content-Length: 2\r\n\r\n")


def ruled(rules: Rules, *came: bytes) -> bytes:
    """The lines that go upstream behind Host."""
    asked = request(b"GET / HTTP/1.1", *came)
    head = forward(plan(proxy(route(request_rules=rules)), asked)).head(Trace("our-id", PARENT))
    return head.partition(b"Host: upstream.example\r\n")[2].removesuffix(b"\r\n")


PARENT_LINE = f"traceparent: {PARENT}\r\n".encode()
ID, OTHER_ID = field(b"X-Request-Id", b"theirs"), field(b"X-Correlation-ID", b"theirs")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (Rules(set=(field(b"A", b"b"),)), b"A: b\r\nX-Request-ID: our-id\r\n" + PARENT_LINE),
        (Rules(remove=frozenset({b"x-request-id"})), PARENT_LINE),
        (Rules(remove=frozenset({b"traceparent"})), b"X-Request-ID: our-id\r\n"),
        (Rules(remove=frozenset({b"traceparent", b"x-request-id"})), b""),
        (Rules(set=(ID,)), b"X-Request-Id: theirs\r\n" + PARENT_LINE),
        (Rules(add=(ID,)), b"X-Request-Id: theirs\r\n" + PARENT_LINE),
        (Rules(set=(field(b"X-Request-Id", b""),)), PARENT_LINE),
        (Rules(rename=((b"x-request-id", b"X-Correlation-ID"),)), b"X-Correlation-ID: our-id\r\n" + PARENT_LINE),
        (
            Rules(rename=((b"x-request-id", b"X-Correlation-ID"),), set=(OTHER_ID,)),
            b"X-Correlation-ID: theirs\r\n" + PARENT_LINE,
        ),
    ],
)
def test_rules_of_a_route_change_the_names_like_any_field(rules: Rules, expected: bytes) -> None:
    """MUST. The rules of a route run last and win."""
    assert ruled(rules) == expected
    assert ruled(rules, b"X-Request-ID: our-id") == expected


def test_a_field_that_a_rule_renames_to_ours_takes_its_place() -> None:
    rules = Rules(rename=((b"x-correlation-id", b"X-Request-ID"),))
    assert ruled(rules, b"X-Correlation-ID: theirs") == b"X-Request-ID: theirs\r\n" + PARENT_LINE
    assert ruled(rules) == b"X-Request-ID: our-id\r\n" + PARENT_LINE


def test_without_rules_both_are_told() -> None:
    assert told(NO_RULES, fields(b"A: b")) is BOTH
    assert lines(BOTH, TRACE) == NAMED == lines(told(Rules(remove=frozenset({b"a"})), []), TRACE)


@pytest.mark.parametrize(
    ("rules", "echoed"),
    [
        (NO_RULES, True),
        (Rules(set=(field(b"A", b"b"),)), True),
        (Rules(remove=frozenset({b"x-request-id"})), False),
        (Rules(set=(field(b"X-Request-ID", b""),)), False),
        (Rules(set=(field(b"X-Request-ID", b"fixed"),)), True),  # it is there then, and ours is not added
        (Rules(rename=((b"x-request-id", b"X-Upstream-ID"),)), True),
    ],
)
def test_an_answer_gets_the_id_unless_the_rules_say_that_there_is_none(rules: Rules, echoed: bool) -> None:
    assert route(response_rules=rules).echoes_request_id == is_echoed(rules) == echoed
