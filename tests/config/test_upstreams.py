"""Several upstreams of a route: what may be written, and what becomes of it."""

import json

import pytest

from proxy.config.compile import compiled_route
from proxy.config.load import ConfigError, load_text
from proxy.config.model import Route, resolved
from proxy.config.warnings import warnings
from proxy.core import routes

TWO = "upstream: ['http://a', {url: 'https://b:8443/base?v=1', weight: 3}]"


def route(written: str) -> Route:
    return load_text(f"routes: [{{name: r, {written}}}]", "f", {}).routes[0]


def problem(written: str) -> str:
    with pytest.raises(ConfigError) as caught:
        route(written)
    (message,) = caught.value.messages
    return str(message).partition(": ")[2]


def told(written: str) -> list[str]:
    return warnings(load_text(f"routes: [{{name: r, {written}}}]", "f", {}))


def test_a_list_is_several_upstreams_by_weight() -> None:
    made = compiled_route(route(TWO))
    assert made.sharing is not None
    assert [(one.name, one.authority, one.base_path, one.query, one.weight) for one in made.upstreams] == [
        ("http://a:80", b"a", b"", b"", 1),
        ("https://b:8443", b"b:8443", b"/base", b"v=1", 3),
    ]
    assert made.upstream == made.upstreams[0]
    assert [way.upstream for way in made.ways] == list(made.upstreams)
    assert [one.origin.tls is not None for one in made.upstreams] == [False, True]


@pytest.mark.parametrize("written", ["upstream: 'http://a'", "upstream: ['http://a']", "upstream: {url: 'http://a'}"])
def test_one_is_one_however_it_is_written(written: str) -> None:
    made = compiled_route(route(f"{written}, retry: {{attempts: 3}}, balance: least_streams"))
    assert (made.sharing, made.ways) == (None, ())


def test_one_that_is_asked_how_it_is_has_its_health_looked_after() -> None:
    made = compiled_route(route("upstream: 'http://a', health: {path: /up}"))
    assert made.sharing is not None
    assert (made.sharing.health.path, made.ways) == (b"/up", ())


def test_what_is_written_arrives() -> None:
    made = compiled_route(
        route(
            f"{TWO}, balance: {{hash: X-User}}, retry: {{attempts: 3, on: [503, 429]}}, "
            "health: {path: /up, every: 5s, timeout: 100ms, healthy_after: 3, unhealthy_after: 4, eject: off}"
        )
    )
    assert made.sharing is not None
    assert (made.sharing.balance, made.sharing.hash_by) == ("hash", b"x-user")
    assert made.sharing.retry == routes.RetryPolicy(3, connect=False, statuses=frozenset({429, 503}))
    assert made.sharing.health == routes.HealthPolicy(b"/up", 5.0, 0.1, 3, 4, None)


def test_the_defaults_are_those_of_core() -> None:
    made = compiled_route(route(TWO))
    assert made.sharing == routes.Sharing(made.upstreams)


def test_upstreams_of_one_origin_are_told_apart_without_saying_what_may_be_secret() -> None:
    made = compiled_route(route("upstream: ['http://a/x', 'http://b', 'http://a/y?v=1']"))
    assert [one.name for one in made.upstreams] == ["http://a:80#1", "http://b:80", "http://a:80#3"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("upstream: ['http://a', 'http://b', 'http://a']", "routes.r.upstream[2]: expected each upstream once"),
        ("upstream: [{url: 'http://a', weight: 0}]", "routes.r.upstream[0].weight: expected"),
        ("upstream: []", "routes.r.upstream: expected a URL"),
        (f"{TWO}, balance: random", "routes.r.balance: expected round_robin, least_streams or {hash: header-name}"),
        (f"{TWO}, balance: {{hash: 'a b'}}", "routes.r.balance.hash: expected a header name"),
        (f"{TWO}, retry: {{on: [500]}}", "routes.r.retry.on[0]: expected connect, 429, 502, 503, 504 or 529"),
        (f"{TWO}, health: {{path: up}}", "routes.r.health.path: expected"),
    ],
)
def test_what_makes_no_sense_is_refused(written: str, expected: str) -> None:
    assert problem(written).startswith(expected)


def test_more_attempts_than_upstreams_are_told() -> None:
    assert told(f"{TWO}, retry: {{attempts: 2}}") == []
    assert told(f"{TWO}, retry: {{attempts: 3}}") == [
        "route r: retry.attempts is 3, but each upstream is tried once, and there are 2"
    ]
    assert told("upstream: 'http://a', retry: {attempts: 2}") == [
        "route r: retry.attempts is 2, but each upstream is tried once, and there is one"
    ]


def test_every_upstream_is_looked_at_for_what_is_not_safe() -> None:
    (warning,) = told("upstream: ['https://a', 'https://b'], tls: {verify: true}, allow_link_local_upstream: true")
    assert "link-local" in warning
    assert [warning.partition("certificate of ")[2][:1] for warning in told(f"{TWO}, tls: {{verify: false}}")] == ["b"]


def test_what_is_in_force_is_shown_with_its_upstreams() -> None:
    config = load_text(f"routes: [{{name: r, {TWO}, balance: {{hash: x-user}}}}]", "f", {})
    (shown,) = json.loads(json.dumps(resolved(config)))["routes"]
    assert [one["weight"] for one in shown["upstream"]] == [1, 3]
    assert shown["balance"] == {"hash": "x-user"}
