"""YAML is read with places, without surprises of YAML 1.1, and bounded."""

import functools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.config.load import ConfigError, from_values, load_text
from proxy.config.marks import of_values, read
from proxy.config.messages import Mark
from proxy.config.model import Config


def outcome(load: Callable[[], Config]) -> tuple[Config | None, list[str]]:
    """The configuration, or what is wrong with it."""
    try:
        return load(), []
    except ConfigError as error:
        return None, [str(message) for message in error.messages]


def first_message(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(text, "f")
    return str(caught.value.messages[0])


def test_every_value_and_key_has_its_line_and_column() -> None:
    document = read("a: 1\nb:\n  - c: [x, off]\n", "f")
    assert document.value == {"a": 1, "b": [{"c": ["x", False]}]}
    assert document.marks[("a",)] == Mark("f", 1, 4, "1")
    assert document.marks[("b", 0)] == Mark("f", 3, 5, None)
    assert document.marks[("b", 0, "c", 0)] == Mark("f", 3, 9, '"x"')
    assert document.marks[("b", 0, "c", 1)] == Mark("f", 3, 12, "off")
    assert document.keys[("b", 0, "c")] == Mark("f", 3, 5)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("off", False),
        ("yes", True),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("0x10", 16),
        ("1_000", 1000),
        ("1.5", 1.5),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("10:30", "10:30"),
        ("010", "010"),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
    ],
)
def test_only_null_booleans_numbers_and_text_exist(written: str, value: object) -> None:
    result = read(f"a: {written}", "f").value
    assert result == {"a": value}
    assert isinstance(result, dict)
    assert type(result["a"]) is type(value)


def test_keys_are_text_whatever_they_look_like() -> None:
    assert read("{on: 1, no: 2, 3: 4, null: 5}", "f").value == {"on": 1, "no": 2, "3": 4, "null": 5}


def test_a_repeated_key_is_an_error_that_names_both_places() -> None:
    with pytest.raises(ConfigError) as caught:
        read("a: 1\nb: {c: 1, c: 2}\na: 3\n", "f")
    assert list(map(str, caught.value.messages)) == [
        "f:2:11: b.c: expected each key once, found the same key in line 2, column 5",
        "f:3:1: a: expected each key once, found the same key in line 1, column 1",
    ]


def test_aliases_and_merge_keys_work_and_own_keys_win() -> None:
    text = "a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [{x: 9}, *a]}\nd: *a\n"
    document = read(text, "f")
    assert document.value == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 9, "y": 2},
        "d": {"x": 1, "y": 2},
    }
    assert document.marks[("b", "x")] == Mark("f", 1, 11, "1")


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
MERGE_BOMB = "a: &a {x: 1}\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{', '.join([f'*{chr(97 + i)}'] * 9)}]}}\n" for i in range(9)
)


WIDE_MERGE = (
    "a: &a {" + ", ".join(f"k{index}: 1" for index in range(2000)) + "}\n"
    "b: &b {<<: [" + ", ".join(["*a"] * 9) + "]}\nc: {<<: [" + ", ".join(["*b"] * 9) + "]}\n"
)


@pytest.mark.parametrize("text", [BOMB, MERGE_BOMB, WIDE_MERGE])
def test_what_aliases_expand_to_is_bounded(text: str) -> None:
    assert first_message(text) == ("f:1:1: expected at most 100000 values, found more (aliases are counted each time)")


@pytest.mark.parametrize(
    "text", ["a: &a [*a]", "a: &a {b: *a}", "&a {<<: *a}", "[" * 40 + "]" * 40, "[" * 20_000, "{a: " * 5000]
)
def test_nesting_is_bounded_and_no_alias_holds_itself(text: str) -> None:
    assert first_message(text) == "f:1:1: expected at most 32 levels, found more"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "f:1:6: expected ',' or ']', found '<stream end>'"),
        ("a: b: c", "f:1:5: expected one `key: value` a line, with a blank after the colon"),
        ("a:\n\t- b", "f:2:1: expected blanks for indentation, found a tab"),
        ("a: *sk-planted", "f:1:4: expected valid YAML, found undefined alias"),
        ("a: !sk-planted b", "f:1:4: a: expected a plain value, found a YAML tag"),
        ("a: !!binary aGk=", "f:1:4: a: expected a plain value, found a YAML tag"),
        ("a: 1\n---\nb: 2", "f:2:1: expected a single document in the stream, found another document"),
        ("a: \x00", "f:1:4: expected text, found U+0000"),
        ('a: "\\ud800"', "f:1:4: a: expected text, found half of a surrogate pair"),
        ('a: "\\UFFFFFFFF"', "f:1:1: expected valid YAML, found an escape that is no character"),
        ("{[a]: 1}", "f:1:2: expected a plain key, found something else"),
        ("<<: 3", "f:1:5: expected a map to merge, found something else"),
        ("", "f:1:1: expected a configuration, found nothing"),
        ("# only a comment\n", "f:1:1: expected a configuration, found nothing"),
    ],
)
def test_what_is_no_yaml_or_too_much_of_it_is_one_clear_line(text: str, message: str) -> None:
    assert first_message(text) == message


def test_a_byte_order_mark_is_no_part_of_the_text() -> None:
    assert read("\ufeffa: 1", "f").value == {"a": 1}


def test_plain_values_have_marks_that_say_where_from() -> None:
    document = of_values({"a": ("x", None), "b": {1: True}}, "command line")
    assert document.value == {"a": ["x", None], "b": {"1": True}}
    assert document.marks[("a", 0)] == Mark("command line", written='"x"')


YAML_PIECES = st.sampled_from(
    [
        *"abc:-[]{},&*!|>'\"%@`#? \n\t",
        "\n  ",
        ": ",
        "- ",
        "<<: ",
        "&a ",
        "*a",
        "${X}",
        "${",
        "routes:",
        "upstream: http://a",
        "off",
    ]
)


# A bomb may take its time: what counts here is how it ends.
@settings(deadline=None)
@given(st.one_of(st.text(), st.lists(YAML_PIECES).map("".join)))
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    config, messages = outcome(lambda: load_text(text, "f", {}))
    assert (config is None) == bool(messages)
    assert all("\n" not in message for message in messages)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["listen", "name", "routes", "defaults", "tls", "clients", "log", "drain"]), JSON),
    st.lists(
        st.dictionaries(st.sampled_from(["path", "upstream", "stream", "headers", "cors", "limits", "balance"]), JSON)
    ),
)
def test_no_values_raise_anything_but_a_config_error(values: dict[str, object], routes: list[object]) -> None:
    for candidate in (values, {**values, "routes": routes}):
        config, messages = outcome(functools.partial(from_values, candidate, {}))
        assert (config is None) == bool(messages)
        assert all("\n" not in message for message in messages)
