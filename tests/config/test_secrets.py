"""Secrets are taken from variables and files only, and are never shown."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.load import ConfigError, load_text
from proxy.config.model import resolved
from proxy.config.secrets import Expanded, Secret, is_secret_name, redacted

PLANTED = "sk-planted-7f3a9c2e51d84b60"


@pytest.mark.parametrize(
    ("secret", "form"),
    [
        ("sk-proj-0123456789abcd", "sk-…abcd"),
        ("gsk_0123456789abcd", "gsk_…abcd"),
        ("AIzaSyA0123456789abcd", "…abcd"),
        ("123e4567-e89b-12d3-a456-426614174000", "…4000"),
        ("longprefix-0123456789", "…6789"),
        ("sk-short", "…"),
        ("", "…"),
        ("Bearer sk-0123456789abcd", "Bearer sk-…abcd"),
        ("Basic dXNlcjpwYXNzd29yZA==", "Basic …ZA=="),
    ],
)
def test_a_secret_is_shown_by_its_known_prefix_and_last_four_characters(secret: str, form: str) -> None:
    assert redacted(secret) == form


@given(st.text(min_size=16))
def test_a_secret_keeps_most_of_itself_back(secret: str) -> None:
    assert len(redacted(secret)) <= len("Bearer ") * len(secret.split()) + 13


def test_a_secret_is_only_given_out_by_name() -> None:
    secret = Secret(PLANTED)
    assert secret.reveal() == PLANTED
    assert (repr(secret), str(secret), f"{secret}") == ("Secret('sk-…4b60')", "sk-…4b60", "sk-…4b60")
    assert secret == Secret(PLANTED)
    assert secret != PLANTED
    assert len({secret, Secret(PLANTED)}) == 1


def test_expanded_text_is_its_full_text_but_shows_less() -> None:
    text = Expanded("Bearer " + PLANTED, "Bearer sk-…4b60")
    assert text == "Bearer " + PLANTED
    assert repr(text) == "'Bearer sk-…4b60'"


@pytest.mark.parametrize("name", ["Authorization", "X-Api-Key", "cookie", "PROXY_TOKEN", "DB_PASSWORD", "x-signature"])
def test_names_tell_what_is_likely_a_secret(name: str) -> None:
    assert is_secret_name(name)
    assert not is_secret_name("x-request-id")


def key_file(folder: Path, content: bytes, mode: int = 0o600) -> Path:
    file = folder / "key"
    file.write_bytes(content)
    file.chmod(mode)
    return file


def reference(file: object) -> str:
    return "${file:" + str(file) + "}"


def api_key(source: str, environ: dict[str, str]) -> str:
    config = load_text(f"routes: [{{preset: openai, api_key: '{source}'}}]", "f", environ)
    assert config.routes[0].api_key is not None
    return config.routes[0].api_key.reveal()


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
def test_a_secret_comes_from_a_file_without_its_one_final_newline(tmp_path: Path, ending: bytes) -> None:
    assert api_key(reference(key_file(tmp_path, PLANTED.encode() + ending)), {}) == PLANTED


def test_a_secret_comes_from_a_variable() -> None:
    assert api_key("${KEY}", {"KEY": PLANTED}) == PLANTED


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("", "expected a value in KEY, found it empty"),
        *(
            (wrong, "expected a secret of printable ASCII without blanks around it, found other characters in KEY")
            for wrong in (
                PLANTED + "\n",
                " " + PLANTED,
                PLANTED + " ",
                PLANTED[:9] + "\r\n" + PLANTED[9:],
                "\x00",
                "ä",
                "\udc80",
            )
        ),
    ],
)
def test_a_secret_that_cannot_be_sent_is_an_error_that_names_only_its_source(value: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        api_key("${KEY}", {"KEY": value})
    assert [message.text for message in caught.value.messages] == [problem]


def test_a_secret_file_with_two_newlines_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a secret of printable ASCII"):
        api_key(reference(key_file(tmp_path, PLANTED.encode() + b"\n\n")), {})


def test_a_secret_file_that_everyone_can_read_is_an_error(tmp_path: Path) -> None:
    file = key_file(tmp_path, PLANTED.encode(), 0o644)
    with pytest.raises(ConfigError) as caught:
        api_key(reference(file), {})
    assert caught.value.messages[0].text == (
        "expected a file that only its owner and group can read "
        "(chmod o= FILE; in a container mode or defaultMode 0440), "
        f"found {file} readable by everyone"
    )


def test_a_file_that_everyone_can_read_is_fine_for_what_is_no_secret(tmp_path: Path) -> None:
    file = key_file(tmp_path, b"edge-1\n", 0o644)
    text = f"name: {reference(file)}\nroutes: [{{upstream: 'http://a'}}]"
    assert load_text(text, "f", {}).name == "edge-1"


def test_a_secret_may_come_through_a_pipe(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, PLANTED.encode())
    os.close(writer)
    assert api_key(reference(f"/dev/fd/{reader}"), {}) == PLANTED
    os.close(reader)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x" * 70_000])
def test_a_secret_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "missing" if content is None else key_file(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        api_key(reference(file), {})
    assert len(caught.value.messages) == 1


PLANTED_EVERYWHERE = """
name: "${KEY}"
listen: "${KEY}"
allowed_hosts: ["${KEY}/"]
trusted_proxies: ["${KEY}"]
drain: "${KEY}"
log: {format: "${KEY}", level: "${OTHER}"}
tls: {cert: "${KEY}", kez: "${KEY}"}
workers: "${KEY}"
clients: {tokens: ["${KEY}", "x${KEY}", literal-sk-planted-7f3a9c2e51d84b60]}
admin_token: "${KEY:-x}"
routes:
  - name: "${KEY}"
    path: "${KEY}"
    path_regex: "(${KEY}"
    upstream: "http://${KEY}@host"
    preset: "${KEY}"
    api_key: sk-planted-7f3a9c2e51d84b60
    cors: {origins: ["${KEY}"], expose: ["${KEY} "]}
    headers: {request: {set: {"a": "${KEY}\\n", b: "${FILE}${KEY} "}, remove: ["${KEY} "]}}
    stream: "${KEY}"
    timeouts: {idle: "${KEY}", head: "${KEY"}
    limits: {request_body: "${KEY}"}
    rewrite: {from: "${KEY}", to: "\\\\9${KEY}"}
  - {name: "${KEY}", path: /a, upstream: "http://a/?k=${KEY}"}
  - {name: "${KEY}", path: /a, upstream: "http://a", websocket: "${KEY}", balance: "${KEY}", retry: {on: ["${KEY}"]}}
"""


def test_no_message_shows_a_planted_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text(PLANTED_EVERYWHERE, "proxy.yaml", {"KEY": PLANTED, "OTHER": PLANTED})
    error = caught.value
    assert len(error.messages) > 25
    for text in (str(error), repr(error), *map(repr, error.messages), *map(str, error.args)):
        assert PLANTED not in text
        assert PLANTED[9:-4] not in text
    assert error.__cause__ is None
    assert error.__context__ is None


def test_a_secret_that_got_into_a_name_is_blacked_out_of_messages() -> None:
    text = "routes: [{name: '${KEY}', preset: openai, api_key: '${KEY}', cors: {origins: ['*']}}]"
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f", {"KEY": PLANTED})
    assert str(caught.value) == (
        "f:1:79: routes[0].cors.origins[0]: expected exact origins, as route sk-…4b60 injects a secret (api_key), "
        'found "*"'
    )


PLANTED_RIGHTLY = """
name: edge
routes:
  - path: /a
    preset: openai
    api_key: ${KEY}
    headers:
      request: {set: {authorization: "Bearer ${KEY}", x-team: "${TEAM}", x-old-key: sk-planted-7f3a9c2e51d84b60}}
      response: {add: {set-cookie: ["a=sk-planted-7f3a9c2e51d84b60", "b=${KEY}"]}}
  - {path: /b, upstream: "http://a/?key=${KEY}"}
"""


def test_neither_repr_nor_resolved_shows_a_planted_secret() -> None:
    config = load_text(PLANTED_RIGHTLY, "proxy.yaml", {"KEY": PLANTED, "TEAM": "team-planted-0123456789"})
    shown = resolved(config)
    for text in (repr(config), str(config), repr(config.routes[0].headers), json.dumps(shown), repr(shown)):
        assert PLANTED not in text
        assert "team-planted" not in text
    assert config.routes[0].headers.request.set["authorization"] == (f"Bearer {PLANTED}",)
    assert config.routes[1].upstream[0].url == f"http://a/?key={PLANTED}"
    assert shown["routes"][0]["api_key"] == "sk-…4b60"
    assert shown["routes"][0]["headers"]["request"]["set"]["authorization"] == ["Bearer sk-…4b60"]
    assert shown["routes"][1]["upstream"] == [{"url": "http://a/?key=sk-…4b60", "weight": 1}]
