"""Which routes spend a secret, and what follows from it when a configuration is read."""

from pathlib import Path

import pytest

from proxy.config import injection
from proxy.config.compile import compiled
from proxy.config.load import ConfigError, load_text
from proxy.config.model import Config
from proxy.config.warnings import warnings

KEY = "sk-planted-7f3a9c2e51d84b60"
ENVIRON = {"KEY": KEY, "TEAM": "blue", "PROXY_TOKEN": "token-0123456789abcdef", "SHORT": "too-short-to-be-one"}
SECRET_ROUTES = {
    "api_key": "preset: openai, api_key: '${KEY}'",
    "a rule for Authorization": "upstream: 'https://a', headers: {request: {set: {authorization: 'Bearer ${TEAM}'}}}",
    "an added line": "upstream: 'https://a', headers: {request: {add: {X-Api-Key: ['${TEAM}']}}}",
    "a variable called so": "upstream: 'https://a', headers: {request: {set: {x-whatever: 'a ${KEY}'}}}",
    "a field called so": "upstream: 'https://a', headers: {request: {set: {x-team-token: '${TEAM}'}}}",
    "Proxy-Authorization": "upstream: 'https://a', headers: {request: {set: {proxy-authorization: '${TEAM}'}}}",
    "a cookie": "upstream: 'https://a', headers: {request: {set: {cookie: a=b}}}",
    "a variable in the URL": "upstream: 'https://a/?x=${KEY}'",
    "a parameter called so": "upstream: 'https://a/?b=c;Sub-Key=${TEAM}'",
    "a URL in a list": "upstream: [{url: 'https://a/?key=${TEAM}'}]",
}
PLAIN_ROUTES = {
    "nothing": "upstream: 'https://a'",
    "a preset alone": "preset: openai",
    "a variable that is no secret": "upstream: 'https://a', headers: {request: {set: {x-team: '${TEAM}'}}}",
    "a word": "upstream: 'https://a', headers: {request: {set: {x-auth-mode: none, authorization: ''}}}",
    "a rule for answers": "upstream: 'https://a', headers: {response: {set: {x-key: '${KEY}'}}}",
    "an author": "upstream: 'https://a/?keyword=a&max_tokens=5', headers: {request: {set: {x-author: '${TEAM}'}}}",
    "a version in the URL": "upstream: 'https://a/?api-version=${TEAM}'",
}
every_secret = pytest.mark.parametrize("route", SECRET_ROUTES.values(), ids=SECRET_ROUTES)
every_plain = pytest.mark.parametrize("route", PLAIN_ROUTES.values(), ids=PLAIN_ROUTES)


def loaded(route: str, more: str = "") -> Config:
    return load_text(f"{more}\nroutes: [{{name: r, {route}}}]", "f", ENVIRON)


def problems(route: str, more: str = "") -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(route, more)
    assert KEY not in str(caught.value)
    return [f"{message.path}: {message.text}" for message in caught.value.messages]


@every_secret
def test_a_secret_is_one_however_it_is_written(route: str) -> None:
    config = loaded(route)
    assert injection.in_route(config.routes[0])
    assert compiled(config).sites[0].proxy.routes[0].guarded


@every_plain
def test_a_route_without_a_secret_is_not_guarded(route: str) -> None:
    config = loaded(route)
    assert not injection.in_route(config.routes[0])
    assert not compiled(config).sites[0].proxy.routes[0].guarded


@every_secret
def test_it_is_not_served_to_everybody(route: str) -> None:
    assert problems(route, "listen: 0.0.0.0:80") == [
        "listen: routes.r injects a secret, listener 0.0.0.0:80 is not loopback and no client tokens are set: set "
        "clients.tokens, listen on 127.0.0.1, or say allow_unauthenticated: true"
    ]


@every_plain
def test_what_has_no_secret_may_be(route: str) -> None:
    assert loaded(route, "listen: 0.0.0.0:80")


@every_secret
@pytest.mark.parametrize("more", ["clients: {tokens: ['${PROXY_TOKEN}']}", "allow_unauthenticated: true"])
def test_tokens_or_the_operators_word_allow_it(route: str, more: str) -> None:
    config = loaded(route, f"listen: 0.0.0.0:80\n{more}")
    told = [warning for warning in warnings(config) if "anyone who reaches" in warning]
    assert told == (
        []
        if "tokens" in more
        else [
            "security: route r: anyone who reaches 0.0.0.0:80 can spend its key, and so can pages that rebind DNS, as "
            "allowed_hosts is empty"
        ]
    )


@pytest.mark.parametrize("more", ["clients: {tokens: []}", "allow_unauthenticated: false", "clients: nonsense"])
def test_nothing_less_does(more: str) -> None:
    assert any(
        "no client tokens are set" in problem
        for problem in problems(SECRET_ROUTES["api_key"], f"listen: 0.0.0.0:80\n{more}")
    )


@every_secret
@pytest.mark.parametrize("origin", ["'*'", "'null'", "null"])
def test_no_page_that_anybody_can_make_may_spend_it(route: str, origin: str) -> None:
    (problem,) = problems(f"{route}, cors: {{origins: [http://localhost:5173, {origin}]}}")
    assert problem.startswith("routes.r.cors.origins[1]: expected exact origins, as route")
    assert "injects a secret" in problem


@every_secret
def test_listed_pages_may_and_that_is_told(route: str) -> None:
    config = loaded(f"{route}, cors: {{origins: [http://localhost:5173]}}")
    assert "security: route r: pages of http://localhost:5173 may spend its key" in warnings(config)


@pytest.mark.parametrize("url", ["http://a.example", "http://10.0.0.1"])
def test_a_secret_sent_without_encryption_is_told(url: str) -> None:
    config = loaded(f"upstream: '{url}', headers: {{request: {{set: {{authorization: '${{KEY}}'}}}}}}")
    assert f"security: route r: the key is sent to {url[7:]} without encryption" in warnings(config)


def test_a_key_in_a_url_is_told() -> None:
    (told,) = warnings(loaded("upstream: 'https://a/?key=${KEY}'"))
    assert told.startswith("security: route r: the key is in the upstream's URL")


@pytest.mark.parametrize("name", ["authorization", "X-Api-Key", "api-key", "x-goog-api-key"])
@pytest.mark.parametrize("kind", ["set", "add"])
@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (KEY, "expected ${NAME} or ${file:/path} for the secret, found a literal"),
        ("Bearer ${NOT_SET:-" + KEY + "}", "expected ${NAME} without a default, found a default"),
    ],
)
def test_a_credential_in_a_rule_is_no_literal(name: str, kind: str, value: str, problem: str) -> None:
    (found,) = problems(f"upstream: 'https://a', headers: {{request: {{{kind}: {{{name}: ['{value}']}}}}}}")
    assert found.startswith(f"routes.r.headers.request.{kind}.{name}[0]: {problem}")


@pytest.mark.parametrize("name", ["key", "api_key", "Access_Token", "a=b;api-key", "a=b&%6bey"])
def test_a_key_in_a_url_is_no_literal(name: str) -> None:
    (found,) = problems(f"upstream: 'https://a/?{name}={KEY}'")
    assert found.startswith("routes.r.upstream: expected ${NAME} or ${file:/path} for a key in a URL")


def test_a_secret_file_of_a_rule_is_private(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    file.chmod(0o644)
    rule = f"upstream: 'https://a', headers: {{request: {{set: {{x-team-key: '${{file:{file}}}'}}}}}}"
    (found,) = problems(rule)
    assert "expected a file that only its owner and group can read" in found
    file.chmod(0o640)
    assert injection.in_route(loaded(rule).routes[0])


def test_a_file_that_only_some_may_read_is_a_secret_in_any_field(tmp_path: Path) -> None:
    file = tmp_path / "word"
    file.write_text("word")
    rule = f"upstream: 'https://a', headers: {{request: {{set: {{x-team: '${{file:{file}}}'}}}}}}"
    for mode, is_secret in ((0o600, True), (0o644, False)):
        file.chmod(mode)
        assert injection.in_route(loaded(rule).routes[0]) is is_secret


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        (
            "${SHORT}",
            "expected a token of at least 20 characters (`openssl rand -hex 16` makes one), found a shorter one",
        ),
        (KEY, "expected ${NAME} or ${file:/path}, found a literal: secrets do not belong in a configuration file"),
    ],
)
def test_a_token_that_can_be_guessed_or_read_is_refused(token: str, problem: str) -> None:
    assert problems("upstream: 'https://a'", f"clients: {{tokens: ['${{PROXY_TOKEN}}', '{token}']}}") == [
        f"clients.tokens[1]: {problem}"
    ]


@pytest.mark.parametrize("address", ["169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"])
def test_an_address_that_hands_out_credentials_needs_the_operators_word(address: str) -> None:
    route = f"upstream: 'http://{address}:80'"
    (found,) = problems(route)
    assert found == (
        "routes.r.upstream: expected no link-local address and no cloud's metadata service, found one: "
        "allow_link_local_upstream: true allows it"
    )
    config = loaded(f"{route}, allow_link_local_upstream: true")
    assert "security: route r: may connect to link-local addresses and metadata services" in warnings(config)
    assert compiled(config).sites[0].proxy.routes[0].upstream.origin.link_local


def test_every_secret_is_hidden_in_logs() -> None:
    config = load_text(
        """
clients: {tokens: ["${PROXY_TOKEN}"]}
routes:
  - {path: /a, preset: openai, api_key: "${KEY}"}
  - path: /b
    upstream: https://a/?key=${URL_KEY}
    headers:
      request: {set: {x-team-secret: "${TEAM}", x-old-key: literal-0123456789, x-plain: "${WORD}"}}
      response: {add: {set-cookie: "session=${COOKIE}"}}
""",
        "f",
        {
            **ENVIRON,
            "TEAM": "team-0123456789ab",
            "URL_KEY": "url-0123456789ab",
            "COOKIE": "cookie-0123456789",
            "WORD": "word-0123456789ab",
        },
    )
    hide = injection.hiding(injection.secrets(config))
    for secret in (KEY, ENVIRON["PROXY_TOKEN"], "team-0123456789ab", "url-0123456789ab", "cookie-0123456789"):
        assert secret not in hide(f"a {secret} b")
    assert "literal-0123456789" not in hide("literal-0123456789")
    assert hide("word-0123456789ab") == "word-0123456789ab"


def test_a_word_that_stands_for_a_key_makes_no_holes_in_logs() -> None:
    config = load_text("routes: [{name: ollama, preset: ollama, api_key: '${KEY}'}]", "f", {"KEY": "ollama"})
    assert injection.hiding(injection.secrets(config))("route=ollama") == "route=ollama"
