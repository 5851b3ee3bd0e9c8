"""What is wrong is said as `file:line:column: path: expected ..., found ...`, all at once, in the order of the file."""

import pytest

from proxy.config.load import ConfigError, from_values, load_text

ENVIRON = {"KEY": "sk-0123456789abcdefgh", "EMPTY": ""}
PLAIN = "{path: /plain, upstream: 'http://a'}"


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_text(text, "proxy.yaml", ENVIRON)
    return [str(message).removeprefix("proxy.yaml:") for message in caught.value.messages]


TOP = [
    ("- a", "1:1: expected a map of keys, found a list"),
    ("just text", '1:1: expected a map of keys, found "just text"'),
    ("name: x", "1:1: routes: expected a value, found no such key"),
    ("routes: []", "1:9: routes: expected at least one entry, found an empty list"),
    ("routes: {a: b}", "1:9: routes: expected a list, found a map"),
    ("routes:", "1:8: routes: expected a list, found nothing"),
    ("routes: [x]", '1:10: routes[0]: expected a map, found "x"'),
]

KEYS = [
    ("listn: x", '1: listn: expected a known key, found "listn": did you mean listen?'),
    (
        "log: {xyz: 1}",
        '7: log.xyz: expected one of format, level, found "xyz"',
    ),
    ("log: text", '6: log: expected a map, found "text"'),
    ("log: {level: trace}", '14: log.level: expected debug, info, warning or error, found "trace"'),
    ("drain: off", "8: drain: expected a duration such as 250ms, 15s, 5m or 1h, found off"),
    ("keep_alive: 0", "13: keep_alive: expected a duration above 0, such as 250ms, 15s, 5m or 1h, found 0"),
    ("name: a b", '7: name: expected a name of at most 64 letters, digits, dots, - and _, found "a b"'),
    ("listen: 8787", "9: listen: expected HOST:PORT, [v6]:PORT or unix:/path, found 8787"),
    ("listen: [a:1, b]", '15: listen[1]: expected HOST:PORT, [v6]:PORT or unix:/path, found "b"'),
    ("listen: [a:1, a:1]", '15: listen[1]: expected each address once, found "a:1"'),
    (
        "allowed_hosts: ['*.a']",
        '17: allowed_hosts[0]: expected one exact host name or address, without a port or wildcard, found "*.a"',
    ),
    ("allowed_hosts: a", '16: allowed_hosts: expected a list, found "a"'),
    (
        "trusted_proxies: [10.0.0.1/8]",
        '19: trusted_proxies[0]: expected a network (10.0.0.0/8 or a single address), found "10.0.0.1/8"',
    ),
    ("tls: {cert: a.pem}", "6: tls.key: expected a value, found no such key"),
    ("defaults: {path: /x}", "12: defaults.path: expected a key that several routes can share, found path"),
    ("defaults: {stream: sometimes}", '20: defaults.stream: expected auto, always or never, found "sometimes"'),
]

ROUTES = [
    ("strem: always", '1: routes.r.strem: expected a known key, found "strem": did you mean stream?'),
    (
        "stream: {clasify: auto}",
        '10: routes.r.stream.clasify: expected a known key, found "clasify": did you mean classify?',
    ),
    ("stream: [a]", "9: routes.r.stream: expected a map, found a list"),
    ("upstream: ftp://a", '11: routes.r.upstream: expected an http:// or https:// URL with a host, found "ftp://a"'),
    (
        "upstream: http://u:secret@a",
        "11: routes.r.upstream: expected a URL without user info (use api_key or a header rule), found user info",
    ),
    (
        "upstream: ftp://u:secret@a",
        "11: routes.r.upstream: expected an http:// or https:// URL with a host, found user info",
    ),
    ("upstream: 'http://a#b'", '11: routes.r.upstream: expected a URL without a fragment, found "http://a#b"'),
    (
        "upstream: [{url: 'x'}]",
        '18: routes.r.upstream[0].url: expected an http:// or https:// URL with a host, found "x"',
    ),
    (
        "preset: opnai",
        "9: routes.r.preset: expected openai, anthropic, gemini, azure-openai, ollama, deepseek, ark, mistral, "
        'openrouter or plain, found "opnai"',
    ),
    (
        "timeouts: {idle: 15x}",
        '18: routes.r.timeouts.idle: expected a duration above 0, such as 250ms, 15s, 5m or 1h, or off, found "15x"',
    ),
    (
        "limits: {request_head: off}",
        "24: routes.r.limits.request_head: expected a size above 0, such as 64KiB, 10MB or 1GiB, found off",
    ),
    ("preserve_host: 'true'", '16: routes.r.preserve_host: expected true or false, found "true"'),
    (
        "methods: [GET, CONNECT]",
        "16: routes.r.methods[1]: expected a method that is forwarded (CONNECT, TRACE and TRACK never are), "
        'found "CONNECT"',
    ),
    ("path_regex: '^/x'", "13: routes.r.path_regex: expected either path or path_regex, found both"),
    (
        "rewrite: {from: ä, to: /}",
        "17: routes.r.rewrite.from: expected a regular expression of plain ASCII, as paths are "
        'percent-encoded, found "ä"',
    ),
    ("rewrite: {from: 3, to: /}", "17: routes.r.rewrite.from: expected a regular expression, found 3"),
    (
        "rewrite: {from: a, to: /b c}",
        '24: routes.r.rewrite.to: expected a replacement of plain ASCII without blank, ? and #, found "/b c"',
    ),
    ("balance: {hash: a b}", '17: routes.r.balance.hash: expected a header name, found "a b"'),
    (
        "balance: random",
        '10: routes.r.balance: expected round_robin, least_streams or {hash: header-name}, found "random"',
    ),
    (
        "rewrite: {from: '(', to: /}",
        "17: routes.r.rewrite.from: expected a regular expression (missing ), unterminated subpattern at "
        'position 0), found "("',
    ),
    (
        "rewrite: {from: 'a', to: '\\2'}",
        "26: routes.r.rewrite.to: expected a replacement for this expression (invalid group reference 2 at "
        'position 1), found "\\\\2"',
    ),
    (
        "strip_prefix: true, rewrite: {from: a, to: /b}",
        "30: routes.r.rewrite: expected either strip_prefix or rewrite, found both",
    ),
    (
        "api_key: sk-literal",
        "10: routes.r.api_key: expected ${NAME} or ${file:/path}, found a literal: secrets do not belong in a "
        "configuration file",
    ),
    (
        "api_key: '$${KEY}'",
        "10: routes.r.api_key: expected ${NAME} or ${file:/path}, found a literal: secrets do not belong in a "
        "configuration file",
    ),
    (
        "api_key: '${KEY:-sk-literal}'",
        "10: routes.r.api_key: expected ${NAME} without a default, found a default: secrets do not belong in a "
        "configuration file",
    ),
    (
        "api_key: 'Bearer ${KEY}'",
        "10: routes.r.api_key: expected ${NAME} or ${file:/path} alone, found more text beside it",
    ),
    ("api_key: '${EMPTY}'", "10: routes.r.api_key: expected a value in EMPTY, found it empty"),
    ("api_key: '${UNSET}'", "10: routes.r.api_key: expected UNSET in the environment, found it not set"),
    ("api_key: {a: sk-literal}", "10: routes.r.api_key: expected ${NAME} or ${file:/path}, found something else"),
    (
        "api_key: '${KEY}', cors: {origins: ['*']}",
        '37: routes.r.cors.origins[0]: expected exact origins, as route r injects a secret (api_key), found "*"',
    ),
    (
        "api_key: '${KEY}', cors: {origins: [http://b, null]}",
        "47: routes.r.cors.origins[1]: expected exact origins, as route r injects a secret (api_key), found null",
    ),
    (
        "cors: {origins: ['*'], credentials: true}",
        "37: routes.r.cors.credentials: expected false while origins has * or null, found true",
    ),
    (
        "cors: {origins: [http://b/]}",
        '18: routes.r.cors.origins[0]: expected an origin without path, query or user info, found "http://b/"',
    ),
    ("cors: {}", "7: routes.r.cors.origins: expected a value, found no such key"),
    (
        "headers: {request: {set: {Content-Length: 3}}}",
        "27: routes.r.headers.request.set.Content-Length: expected a header that rules may change "
        '(Content-Length is not one: the proxy writes it itself), found "Content-Length"',
    ),
    (
        "headers: {request: {remove: [Host]}}",
        "30: routes.r.headers.request.remove[0]: expected a header that rules may change "
        '(Host is not one: preserve_host decides about Host), found "Host"',
    ),
    (
        'headers: {response: {add: {x-a: "a\\n"}}}',
        "33: routes.r.headers.response.add.x-a: expected a header value without control characters, found one",
    ),
    (
        "headers: {request: {set: {x-a: 1, X-A: 2}}}",
        "40: routes.r.headers.request.set.X-A: expected each header once, whatever its letter case, found x-a and X-A",
    ),
    (
        "headers: {request: {set: {x-a: [true]}}}",
        "33: routes.r.headers.request.set.x-a[0]: expected text (quote true, false, null and dates), found true",
    ),
]


@pytest.mark.parametrize(("text", "problem"), TOP)
def test_a_file_of_another_shape_is_one_clear_line(text: str, problem: str) -> None:
    assert problems(text) == [problem]


@pytest.mark.parametrize(("text", "problem"), KEYS)
def test_a_wrong_top_level_key_is_named_with_what_was_expected(text: str, problem: str) -> None:
    assert problems(f"{text}\nroutes: [{PLAIN}]") == [f"1:{problem}"]


@pytest.mark.parametrize(("text", "problem"), ROUTES)
def test_a_wrong_route_key_is_named_with_what_was_expected(text: str, problem: str) -> None:
    upstream = "" if "upstream" in text else ", upstream: 'http://a'"
    head = f"routes:\n  - {{name: r, path: /r{upstream},\n{text}}}"
    assert problems(head) == [f"3:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "routes:\n  - {path: /a, upstream: 'http://a'}\n  - {path: /a, upstream: 'http://b'}",
            "3:12: routes[1].path: expected a path, host and methods of its own, found those of routes[0] in line 2",
        ),
        (
            "routes:\n  - {name: x, path: /a, upstream: 'http://a', methods: [GET, POST], host: H}\n"
            "  - {path: /a, upstream: 'http://b', methods: [post, get], host: h}",
            "3:12: routes[1].path: expected a path, host and methods of its own, found those of routes.x in line 2",
        ),
        (
            "routes:\n  - {path_regex: a, upstream: 'http://a'}\n  - {path_regex: a, upstream: 'http://b'}",
            "3:18: routes[1].path_regex: expected a path, host and methods of its own, found those of "
            "routes[0] in line 2",
        ),
        (
            "routes:\n  - {name: x, path: /a, upstream: 'http://a'}\n  - {name: x, path: /b, upstream: 'http://b'}",
            "3:12: routes[1].name: expected a name of its own (the default is the path), found that of the "
            "route in line 2",
        ),
        (
            "routes:\n  - {path: /a, upstream: 'http://a', methods: [GET]}\n  - {path: /a, upstream: 'http://b'}",
            "3:5: routes[1].name: expected a name of its own (the default is the path), found that of the "
            "route in line 2",
        ),
        (
            "routes: [{path: /a}]",
            "1:10: routes[0].upstream: expected a URL (or a preset that knows one), found nothing",
        ),
        (
            "routes: [{preset: azure-openai}]",
            "1:10: routes[0].upstream: expected a URL: everybody has their own with preset azure-openai, found nothing",
        ),
        (
            "routes: [{path_regex: a, upstream: 'http://a', strip_prefix: true}]",
            "1:62: routes[0].strip_prefix: expected false with path_regex, which has no prefix (use rewrite), "
            "found true",
        ),
        (
            "listen: 0.0.0.0:80\nroutes: [{name: ai, preset: openai, api_key: '${KEY}'}]",
            "1:9: listen: routes.ai injects a secret, listener 0.0.0.0:80 is not loopback and no client "
            "tokens are set: set clients.tokens, listen on 127.0.0.1, or say allow_unauthenticated: true",
        ),
        (
            "listen: [localhost:80, unix:/s, '[::]:81']\ndefaults: {api_key: '${KEY}'}\nroutes: [{preset: openai}]",
            "1:33: listen[2]: routes[0] injects a secret, listener [::]:81 is not loopback and no client "
            "tokens are set: set clients.tokens, listen on 127.0.0.1, or say allow_unauthenticated: true",
        ),
        (
            "routes: [{upstream: 'http://localhost:8787/x'}]",
            "1:21: routes[0].upstream: expected another server, found this proxy's own listener 127.0.0.1:8787",
        ),
        (
            "defaults: {stream: {on_refuse: x}}\nroutes: [{upstream: 'http://a'}]",
            '1:32: defaults.stream.on_refuse: expected answer or close, found "x"',
        ),
        (
            "defaults:\n  cors: {origins: ['*']}\nroutes: [{name: r, preset: openai, api_key: '${KEY}'}]",
            '2:20: defaults.cors.origins[0]: expected exact origins, as route r injects a secret (api_key), found "*"',
        ),
    ],
)
def test_a_fault_between_several_keys_names_the_place_to_change(text: str, problem: str) -> None:
    assert problems(text) == [problem]


def test_everything_wrong_is_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
nam: x
listen: 0.0.0.0:80
drain: never
routes:
  - path: /a
    upstream: nowhere
    api_key: ${UNSET}
    balance: fewest
  - path: /a
    upstream: http://a
    timeouts: {idle: -1, conect: 3}
"""
    assert [problem.partition(": expected")[0].partition(": routes[0] injects")[0] for problem in problems(text)] == [
        "1:1: nam",
        "2:9: listen",
        "3:8: drain",
        "6:15: routes[0].upstream",
        "7:14: routes[0].api_key",
        "8:14: routes[0].balance",
        "9:11: routes[1].path",
        "11:22: routes[1].timeouts.idle",
        "11:26: routes[1].timeouts.conect",
    ]


def test_a_fault_in_the_defaults_is_told_once_for_all_routes() -> None:
    text = (
        "defaults: {timeouts: {idle: x}}\nroutes: [{path: /a, upstream: 'http://a'}, {path: /b, upstream: 'http://b'}]"
    )
    assert len(problems(text)) == 1


def test_a_long_value_is_quoted_shortened_and_on_one_line() -> None:
    (problem,) = problems(f'drain: "a\\n{"x" * 200}"\nroutes: [{PLAIN}]')
    assert problem.endswith('found "a\\n' + "x" * 57 + '…"')


def test_the_command_line_has_no_lines() -> None:
    with pytest.raises(ConfigError) as caught:
        from_values({"listen": "x", "routes": [{"name": "cli", "upstream": "y", "nmae": 1}]}, {})
    assert str(caught.value).splitlines() == [
        'command line: listen: expected HOST:PORT, [v6]:PORT or unix:/path, found "x"',
        'command line: routes.cli.upstream: expected an http:// or https:// URL with a host, found "y"',
        'command line: routes.cli.nmae: expected a known key, found "nmae": did you mean name?',
    ]
