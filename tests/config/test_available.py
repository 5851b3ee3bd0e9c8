"""A key that is not built yet is refused, never ignored, and says what works today."""

import pytest

from proxy.config.available import NOT_YET
from proxy.config.load import ConfigError, load_text
from proxy.config.model import Config
from proxy.config.schema import sections

ASKED = {
    "routes[].stream.on_client_gone": (
        "stream: {on_client_gone: keep}",
        "cancel or drain (stream.on_client_gone is not available yet: nobody can come back to a stream)",
    ),
}


def text(written: str) -> str:
    return f"routes: [{{upstream: 'http://a', {written}}}]"


@pytest.mark.parametrize("key", NOT_YET)
def test_a_key_that_is_not_built_is_refused_with_what_works_today(key: str) -> None:
    written, expected = ASKED[key]
    with pytest.raises(ConfigError) as caught:
        load_text(text(written), "f", {})
    (message,) = caught.value.messages
    assert message.text.startswith(f"expected {expected}, found ")


@pytest.mark.parametrize("key", NOT_YET)
def test_such_a_key_is_refused_in_the_defaults_too(key: str) -> None:
    with pytest.raises(ConfigError, match="not available yet"):
        load_text(f"defaults: {{{ASKED[key][0]}}}\nroutes: [{{upstream: 'http://a'}}]", "f", {})


@pytest.mark.parametrize(
    "written",
    [
        *("websocket: false", "cookies: {}", "balance: round_robin", "retry: {attempts: 1, on: [connect]}"),
        *("health: {every: 10s}", "timeouts: {tunnel_idle: off}", "limits: {event: 1MiB}"),
        "stream: {deliver: bytes, heartbeat: off, on_break: abort, on_client_gone: cancel, convert: none}",
        "stream: {content_type: null}",
    ],
)
def test_the_value_that_asks_for_nothing_is_fine(written: str) -> None:
    load_text(text(written), "f", {})


def test_every_line_of_the_table_is_a_key_of_the_model() -> None:
    keys = {section.place + key for section in sections(Config) for key in section.by_key()}
    assert set(NOT_YET) <= keys
