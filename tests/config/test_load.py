"""A configuration is loaded from a file, a text or values, with the defaults beneath every route."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.config.defaults import merge
from proxy.config.load import ConfigError, from_values, load_file, load_text
from proxy.config.model import Config, Route, resolved

ENVIRON = {"KEY": "sk-0123456789abcdefgh", "OTHER": "sk-other-0123456789"}


def first_route(defaults: str, route: str) -> Route:
    return load_text(f"defaults: {defaults}\nroutes: [{{upstream: 'http://a', {route}}}]", "f", ENVIRON).routes[0]


def one_message(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "f", ENVIRON)
    (message,) = caught.value.messages
    return str(message)


def test_the_shortest_file_is_one_upstream() -> None:
    config = load_text("routes: [{upstream: 'http://a'}]", "f", {})
    assert (config.routes[0].path, config.routes[0].name) == ("/", "/")
    assert str(config.listen[0]) == "127.0.0.1:8787"


def test_a_route_is_named_by_its_path_unless_it_says_otherwise() -> None:
    text = "routes: [{path: /a, upstream: 'http://a'}, {path_regex: '^/b', preset: openai}, {name: c, preset: ark}]"
    config = load_text(text, "f", {})
    assert [route.name for route in config.routes] == ["/a", "^/b", "c"]
    assert [route.path for route in config.routes] == ["/a", None, "/"]


def test_a_preset_knows_its_upstream_and_a_route_may_say_another() -> None:
    text = "routes: [{path: /a, preset: openai}, {path: /b, preset: openai, upstream: 'http://a'}]"
    config = load_text(text, "f", {})
    assert [route.upstream[0].url for route in config.routes] == ["https://api.openai.com/v1", "http://a"]


@pytest.mark.parametrize(
    "upstream", ["'http://a'", "['http://a']", "[{url: 'http://a'}]", "[{url: 'http://a', weight: 1}]"]
)
def test_an_upstream_is_a_url_or_a_list(upstream: str) -> None:
    config = load_text(f"routes: [{{upstream: {upstream}}}]", "f", {})
    assert [(entry.url, entry.weight) for entry in config.routes[0].upstream] == [("http://a", 1)]


def test_short_forms_mean_their_long_ones() -> None:
    assert first_route("{}", "stream: always").stream.classify == "always"
    assert first_route("{}", "cors: off").cors is None
    assert first_route("{}", "stream: {heartbeat: off}").stream.heartbeat is None
    assert first_route("{}", "headers: {request: {set: {a: b}}}").headers.request.set == {"a": ("b",)}


@pytest.mark.parametrize(
    ("defaults", "route", "idle", "total"),
    [
        ("{timeouts: {idle: 1s}}", "name: r", 1.0, None),
        ("{timeouts: {idle: 1s}}", "timeouts: {total: 9s}", 1.0, 9.0),
        ("{timeouts: {idle: 1s}}", "timeouts: {idle: 2s}", 2.0, None),
        ("{timeouts: {idle: 1s, total: 9s}}", "timeouts: {idle: off}", None, 9.0),
    ],
)
def test_a_route_overrides_the_defaults_key_by_key(
    defaults: str, route: str, idle: float | None, total: float | None
) -> None:
    timeouts = first_route(defaults, route).timeouts
    assert (timeouts.idle, timeouts.total) == (idle, total)


def test_short_forms_merge_with_maps() -> None:
    assert first_route("{stream: always}", "stream: {on_refuse: close}").stream.classify == "always"
    assert first_route("{stream: {on_refuse: close}}", "stream: always").stream.on_refuse == "close"


def test_lists_and_single_values_replace() -> None:
    defaults = "{cors: {origins: [http://a, http://b], max_age: 5m}}"
    cors = first_route(defaults, "cors: {origins: [http://c]}").cors
    assert cors is not None
    assert (cors.origins, cors.max_age) == (("http://c",), 300.0)
    assert first_route(defaults, "cors: off").cors is None


def test_header_rules_merge_whatever_the_letter_case() -> None:
    route = first_route("{headers: {request: {set: {X-A: 1, X-B: 2}}}}", "headers: {request: {set: {x-a: 3}}}")
    assert route.headers.request.set == {"X-B": ("2",), "x-a": ("3",)}


def test_a_route_may_take_back_the_key_of_the_defaults() -> None:
    text = "defaults: {api_key: '${KEY}'}\nroutes: [{path: /a, preset: ark}, {path: /b, preset: ark, api_key: null}]"
    config = load_text(text, "f", ENVIRON)
    assert [route.api_key is None for route in config.routes] == [False, True]


MAPS = st.recursive(
    st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
).filter(lambda value: isinstance(value, dict))


@given(MAPS, MAPS)
def test_merging_keeps_all_of_the_upper_map(below: dict[str, object], above: dict[str, object]) -> None:
    def holds(merged: object, part: object) -> bool:
        if isinstance(part, dict):
            return isinstance(merged, dict) and all(key in merged and holds(merged[key], part[key]) for key in part)
        return merged == part

    merged = merge(below, above)
    assert holds(merged, above)
    assert set(merged) == set(below) | set(above)


def test_what_is_in_force_reads_back_as_itself() -> None:
    text = """
name: edge
listen: [127.0.0.1:1, unix:/s]
trusted_proxies: [10.0.0.0/8, unix]
tls: {cert: a, key: b}
drain: 250ms
routes:
  - path: /a
    host: A.example
    methods: [get]
    upstream: https://b/x?y=1
    rewrite: {from: a, to: /b}
    cors: {origins: [null, http://localhost:*], max_age: off}
    headers: {request: {set: {a: [b, c]}, remove: [d], rename: {e: f}}}
    limits: {request_body: 10MB}
    timeouts: {idle: 90s, first_byte: 1h}
"""
    config = load_text(text, "f", {})
    assert from_values(resolved(config), {}) == config


def test_values_from_the_command_line_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_text("listen: nonsense\nlog: {level: debug}\nroutes: [{name: r, preset: openai, api_key: '${KEY}'}]")
    config = load_file(file, ENVIRON, {"listen": "127.0.0.1:99"})
    assert (config.listen[0].port, config.log.level) == (99, "debug")
    with pytest.raises(ConfigError) as caught:
        load_file(file, ENVIRON, {"listen": "0.0.0.0:99"})
    assert str(caught.value) == (
        "command line: listen: routes.r injects a secret, listener 0.0.0.0:99 is not loopback and no client "
        "tokens are set: set clients.tokens, listen on 127.0.0.1, or say allow_unauthenticated: true"
    )


def test_what_the_command_line_replaced_is_not_looked_for_in_the_file() -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("log: {levl: debug}\nroutes: [{preset: openai}]", "f", {}, {"log": {"levl": "debug"}})
    assert str(caught.value) == 'command line: log.levl: expected a known key, found "levl": did you mean level?'


def test_plain_values_make_the_same_configuration_as_their_text() -> None:
    route = {"path": "/a", "upstream": "http://a", "cors": {"origins": ["http://b"]}, "api_key": "${KEY}"}
    text = "routes: [{path: /a, upstream: 'http://a', cors: {origins: ['http://b']}, api_key: '${KEY}'}]"
    assert from_values({"routes": [route]}, ENVIRON) == load_text(text, "f", ENVIRON)


def test_a_configuration_does_not_change_once_loaded() -> None:
    config = load_text("routes: [{upstream: 'http://a'}]", "f", {})
    with pytest.raises(ValueError, match="frozen"):
        config.drain = 3.0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"\xff", "expected UTF-8, found something else in line 1"),
        (b"a: 1\nb: \xe4\n", "expected UTF-8, found something else in line 2"),
        (b"#" * (4 * 1024 * 1024 + 1), "expected at most 4 MiB, found more"),
    ],
)
def test_a_file_that_is_no_text_is_one_clear_line(tmp_path: Path, content: bytes, problem: str) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_file(file, {})
    assert str(caught.value) == f"{file}: {problem}"


def test_a_missing_file_and_a_folder_are_one_clear_line(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "missing", "no such file or directory"), (tmp_path, "is a directory")):
        with pytest.raises(ConfigError) as caught:
            load_file(path, {})
        assert str(caught.value) == f"{path}: expected a readable file, found: {reason}"


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    file = tmp_path / "proxy.yaml"
    file.write_bytes(b"\xef\xbb\xbfroutes: [{upstream: 'http://a'}]")
    assert isinstance(load_file(file, {}), Config)
