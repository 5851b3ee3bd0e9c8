"""Rules of the small types: what may be written, what it means, how it is written back."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from proxy.config.secrets import Expanded
from proxy.config.values import (
    Count,
    CountLimit,
    Duration,
    Flag,
    Interval,
    Size,
    SizeLimit,
    Text,
    Timeout,
    parse_duration,
    parse_size,
    write_duration,
    write_size,
)


def from_variable(text: str) -> Expanded:
    return Expanded(text, text, "${X}")


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("250ms", 0.25),
        ("15s", 15.0),
        ("5m", 300.0),
        ("1h", 3600.0),
        ("1.5s", 1.5),
        ("10 s", 10.0),
        ("0", 0.0),
        ("0s", 0.0),
        (15, 15.0),
        (0.5, 0.5),
        (1e-7, 1e-7),
        ("8760h", 31536000.0),
    ],
)
def test_a_duration_is_a_number_with_a_unit_or_of_seconds(written: object, seconds: float) -> None:
    assert parse_duration(written) == seconds


@pytest.mark.parametrize(
    "written",
    [*("", "s", "-1s", "1d", "1m30s", "1e3s", "5 parsecs", "١s", "8761h", "15S"), -1, True, None, [], float("inf")],
)
def test_anything_else_is_no_duration(written: object) -> None:
    assert parse_duration(written) is None


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.0, "0s"),
        (0.25, "250ms"),
        (1.5, "1500ms"),
        (60.0, "60s"),
        (75.0, "75s"),
        (600.0, "10m"),
        (7200.0, "2h"),
        (0.0001, "0.0001s"),
    ],
)
def test_a_duration_is_written_in_its_largest_whole_unit(seconds: float, written: str) -> None:
    assert write_duration(seconds) == written


@given(st.floats(min_value=0, max_value=365 * 24 * 3600))
def test_a_written_duration_reads_back_as_the_same_number(seconds: float) -> None:
    assert parse_duration(write_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("64KiB", 65536),
        ("10MB", 10_000_000),
        ("1GiB", 2**30),
        ("1.5KiB", 1536),
        ("7B", 7),
        ("7", 7),
        ("64kib", 65536),
        ("1 MB", 10**6),
        (4096, 4096),
        (0, 0),
    ],
)
def test_a_size_is_a_number_with_a_unit_or_of_bytes(written: object, size: int) -> None:
    assert parse_size(written) == size


@pytest.mark.parametrize("written", ["", "B", "-1", "1.5B", "64K", "10M", "1TB", 1.5, True, None, {}, "9999999GiB"])
def test_anything_else_is_no_size(written: object) -> None:
    assert parse_size(written) is None


@given(st.integers(min_value=0, max_value=2**50))
def test_a_written_size_reads_back_as_the_same_number(size: int) -> None:
    assert parse_size(write_size(size)) == size


@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    assert parse_duration(text) is None or isinstance(parse_duration(text), float)
    assert parse_size(text) is None or isinstance(parse_size(text), int)


@pytest.mark.parametrize("off", ["off", "OFF", False, None])
@pytest.mark.parametrize("kind", [Timeout, SizeLimit, CountLimit])
def test_off_is_none_wherever_it_is_legal(kind: Any, off: object) -> None:
    assert TypeAdapter(kind).validate_python(off) is None


@pytest.mark.parametrize("kind", [Duration, Interval, Size, Count])
def test_off_is_an_error_where_it_means_nothing(kind: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python("off")


@pytest.mark.parametrize("kind", [Interval, Timeout, Size, SizeLimit, Count, CountLimit])
def test_zero_is_an_error_where_it_would_mean_never(kind: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(0)


def test_zero_is_a_duration_where_it_means_at_once() -> None:
    assert TypeAdapter(Duration).validate_python(0) == 0


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Timeout, "15s", 15.0),
        (Timeout, "15", 15.0),
        (Timeout, "off", None),
        (Size, "64KiB", 65536),
        (Count, "3", 3),
        (Flag, "true", True),
        (Flag, "Off", False),
        (Text, "abc", "abc"),
    ],
)
def test_the_text_of_a_variable_is_read_as_the_type_of_its_key(kind: Any, text: str, value: object) -> None:
    assert TypeAdapter(kind).validate_python(from_variable(text)) == value


@pytest.mark.parametrize("wrong", ["true", "yes", 1, 0, None])
def test_quoted_text_and_numbers_are_no_booleans(wrong: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Flag).validate_python(wrong)


@pytest.mark.parametrize("wrong", ["", "a\nb", "a\x00", "\x7f", "\x85", "\ud800", 3, None])
def test_text_is_not_empty_and_has_no_control_characters(wrong: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python(wrong)


@pytest.mark.parametrize("write", [lambda kind, value: TypeAdapter(kind).dump_python(value, mode="json")])
def test_values_are_written_as_people_write_them(write: Callable[[Any, object], object]) -> None:
    assert write(Timeout, None) == "off"
    assert write(Timeout, 15.0) == "15s"
    assert write(SizeLimit, None) == "off"
    assert write(Size, 65536) == "64KiB"
    assert write(CountLimit, 3) == 3
