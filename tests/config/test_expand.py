"""`${...}` stands for a variable or a file, inside values only."""

from pathlib import Path

import pytest

from proxy.config.load import ConfigError, load_text


def name(written: str, environ: dict[str, str]) -> str | None:
    return load_text(f"name: {written}\nroutes: [{{upstream: 'http://a'}}]", "f", environ).name


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("${X}", "x"),
        ("a${X}b", "axb"),
        ("${X}${X}", "xx"),
        ("${X:-d}", "x"),
        ("${UNSET:-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("'${UNSET:-}a'", "a"),
        ("${EMPTY}a", "a"),
    ],
)
def test_a_reference_stands_for_the_variable_or_its_default(written: str, value: str) -> None:
    assert name(written, {"X": "x", "EMPTY": ""}) == value


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("${UNSET}", "expected UNSET in the environment, found it not set"),
        ("${X", "expected } after ${, found the end of the text"),
        ("${}", "expected ${NAME}, ${NAME:-default} or ${file:/path}, found something else in ${}"),
        ("${1X}", "expected ${NAME}, ${NAME:-default} or ${file:/path}, found something else in ${}"),
        ("${X:?no}", "expected ${NAME}, ${NAME:-default} or ${file:/path}, found something else in ${}"),
        ("${file:/nowhere/x}", "expected a readable file at /nowhere/x, found: no such file or directory"),
        ("${file:}", "expected a readable file at , found: no such file or directory"),
    ],
)
def test_a_reference_that_stands_for_nothing_is_one_error(written: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        name(f"'{written}'", {"X": "x"})
    assert [message.text for message in caught.value.messages] == [problem]


def headers(written: str, environ: dict[str, str]) -> object:
    text = f"routes: [{{upstream: 'http://a', headers: {{request: {{set: {{a: {written}}}}}}}}}]"
    return load_text(text, "f", environ).routes[0].headers.request.set["a"]


@pytest.mark.parametrize(
    ("written", "value"),
    [("'$${X}'", "${X}"), ("'$X'", "$X"), ("'$$'", "$$"), ("'$${'", "${"), ("'$${X}${X}'", "${X}x")],
)
def test_a_doubled_dollar_is_no_reference(written: str, value: str) -> None:
    assert headers(written, {"X": "x"}) == (value,)


@pytest.mark.parametrize("hostile", ["x, b: y}", "'\"", "[1]", "${X}", "$${X}", "- a: b", "{"])
def test_a_value_can_never_become_structure(hostile: str) -> None:
    assert headers("'${X}'", {"X": hostile}) == (hostile,)


def test_keys_are_not_expanded() -> None:
    with pytest.raises(ConfigError, match=r'expected one of name, listen, .*, found "\$\{X\}"'):
        load_text("'${X}': 1", "f", {"X": "name"})


def test_a_file_stands_for_its_text(tmp_path: Path) -> None:
    file = tmp_path / "team"
    file.write_text("core\n")
    file.chmod(0o600)
    assert headers("'a ${file:" + str(file) + "}'", {}) == ("a core",)


def test_numbers_durations_and_booleans_may_come_from_variables() -> None:
    text = """
drain: "${DRAIN}"
listen: "127.0.0.1:${PORT}"
routes:
  - upstream: http://a
    preserve_host: "${HOST}"
    timeouts: {idle: "${IDLE}", total: "${TOTAL}"}
    limits: {request_body: "${BODY}"}
    stream: "${STREAM}"
"""
    environ = {
        "DRAIN": "5",
        "PORT": "99",
        "HOST": "true",
        "IDLE": "2m",
        "TOTAL": "off",
        "BODY": "1MB",
        "STREAM": "always",
    }
    config = load_text(text, "f", environ)
    route = config.routes[0]
    assert (config.drain, config.listen[0].port, route.preserve_host) == (5.0, 99, True)
    assert (route.timeouts.idle, route.timeouts.total, route.limits.request_body) == (120.0, None, 1_000_000)
    assert route.stream.classify == "always"


def test_messages_quote_what_was_written_not_what_it_stood_for() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("drain: ${DRAIN}\nroutes: [{upstream: 'http://a'}]", "f", {"DRAIN": "five"})
    assert str(caught.value) == ('f:1:8: drain: expected a duration such as 250ms, 15s, 5m or 1h, found "${DRAIN}"')
