"""Lines for a terminal: columns that stand below each other, colours only where they are wanted, nothing that acts."""

import logging
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.access_log import FORMATS
from proxy.edge.log_lines import LineFormatter
from proxy.edge.terminal import seconds, size, wants_colour

from .figures import exchange

_COLOUR = re.compile(r"\x1b\[\d+m")
plain, coloured = FORMATS["columns"], FORMATS["coloured columns"]


def record(message: str, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord("proxy", level, "", 0, message, None, None)


def test_a_line_says_what_happened_in_columns() -> None:
    line = plain(exchange(method="POST", target="/v1/chat?key=abc", wall_time=0.25))
    time, _, rest = line.partition("  ")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.250", time)
    assert rest == (
        "200  POST     llm             complete            200ms    2.0s    1.0kB  " + r'"/v1/chat?key=\u2026"  id'
    )


@given(
    st.sampled_from(["complete", "client_closed", "upstream_aborted", "upstream_timeout", "refused", "tunnel_closed"]),
    st.sampled_from([0, 101, 200, 302, 404, 502]),
    st.floats(0, 90),
    st.integers(0, 10**13),
)
def test_columns_stand_below_each_other(outcome: str, status: int, duration: float, sent: int) -> None:
    made = exchange(outcome=outcome, status=status, ended=100 + duration, bytes_out=sent, method="GET", target="/mark")
    assert plain(made).index("/mark") == plain(exchange(method="GET", target="/mark")).index("/mark")


def test_colours_change_nothing_but_colour() -> None:
    for changed in ({}, {"status": 502, "outcome": "upstream_aborted", "code": "dns_error"}, {"status": 0}):
        made = exchange(**changed)
        assert _COLOUR.sub("", coloured(made)) == plain(made)
        assert "\x1b" in coloured(made)
        assert coloured(made).count("\x1b[0m") * 2 == coloured(made).count("\x1b")


@given(st.text())
def test_nothing_from_outside_acts_on_the_terminal(text: str) -> None:
    """SEC-40, O9."""
    for line in (plain(exchange(target=text, route=text)), LineFormatter("columns").format(record(text))):
        assert line.isascii()
        assert line.isprintable()


def test_other_lines_have_the_same_beginning() -> None:
    line = LineFormatter("columns").format(record("stopped"))
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3}  warning  stopped", line)
    painted = LineFormatter("columns", colour=True).format(record("stopped"))
    assert _COLOUR.sub("", painted)[12:] == line[12:]
    assert "\x1b[33mwarning" in painted


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, True),
        ({"TERM": "xterm-256color"}, True),
        ({"NO_COLOR": ""}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_can_be_declined(environ: dict[str, str], wanted: bool) -> None:
    """Source: no-color.org."""
    assert wants_colour(environ) == wanted


@pytest.mark.parametrize(
    ("duration", "shown"),
    [(0, "0ms"), (0.0049, "5ms"), (0.999, "999ms"), (1, "1.0s"), (99.9, "99.9s"), (120, "2.0min")],
)
def test_durations_have_the_unit_that_suits_them(duration: float, shown: str) -> None:
    assert seconds(duration) == shown


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.0kB"),
        (99_400, "99.4kB"),
        (123_456, "123kB"),
        (10**6, "1.0MB"),
        (5 * 10**12, "5.0TB"),
    ],
)
def test_sizes_have_the_unit_that_suits_them(number: int, shown: str) -> None:
    assert size(number) == shown
