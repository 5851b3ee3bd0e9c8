"""The lines that are about the proxy itself: one each, whatever is in them."""

import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.log_lines import LineFormatter, timestamp


def record(message: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    made = logging.LogRecord("proxy", level, __file__, 1, message, arguments, None)
    made.created = 1_700_000_000.25
    return made


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_700_000_000.5, "2023-11-14T22:13:20.500Z"),
        (1_700_000_000.03125, "2023-11-14T22:13:20.031Z"),
        (1_700_000_000.9999, "2023-11-14T22:13:20.999Z"),
        (1_709_164_799.0, "2024-02-28T23:59:59.000Z"),
        (1_709_164_800.0, "2024-02-29T00:00:00.000Z"),
    ],
)
def test_a_time_is_utc_to_the_millisecond(seconds: float, written: str) -> None:
    assert timestamp(seconds) == written


def test_text_has_time_level_and_message() -> None:
    line = LineFormatter("text").format(record("listens on %s", "http://127.0.0.1:8787", level=logging.WARNING))
    assert line == ('time=2023-11-14T22:13:20.250Z level=warning message="listens on http://127.0.0.1:8787"')


def test_json_has_the_same_three() -> None:
    line = LineFormatter("json").format(record('it is "%s"', "so"))
    assert json.loads(line) == {"time": "2023-11-14T22:13:20.250Z", "level": "info", "message": 'it is "so"'}


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("text", ["a\nb", "a\r\nb", 'a" level=error', "a\x1b[2Jb", "a\\"])
def test_a_message_cannot_leave_its_line(form: str, text: str) -> None:
    line = LineFormatter(form).format(record("%s", text))
    assert len(line.splitlines()) == 1
    assert line.isprintable()
    assert _message(form, line) == text


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("text", ["a\x85b", "a\u2028b", "a\x9b2Jb", "a\x7fb", "a\udcffb"])
def test_other_separators_and_controls_cannot_either(form: str, text: str) -> None:
    line = LineFormatter(form).format(record("%s", text))
    assert line.isprintable()
    assert _message(form, line) == text


@pytest.mark.parametrize("form", ["text", "json"])
@given(text=st.text())
def test_every_message_can_be_read_back(form: str, text: str) -> None:
    line = LineFormatter(form).format(record("%s", text))
    assert "\n" not in line
    assert _message(form, line) == text


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_is_part_of_the_message(form: str) -> None:
    made = record("request failed", level=logging.ERROR)
    try:
        raise KeyError("a\nb")
    except KeyError:
        made.exc_info = sys.exc_info()
    line = LineFormatter(form).format(made)
    assert len(line.splitlines()) == 1
    message = _message(form, line)
    assert message.startswith("request failed\nTraceback (most recent call last):\n")
    assert message.endswith("KeyError: 'a\\nb'")


def _message(form: str, line: str) -> str:
    said = json.loads(line)["message"] if form == "json" else json.loads(line.partition(" message=")[2])
    assert isinstance(said, str)
    return said
