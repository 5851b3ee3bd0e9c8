"""Rules of cross-origin requests: who may, what a preflight gets, what a response gets."""

import pytest

from proxy.core.cors import EXPOSED, Cors, granted, is_preflight, merge, preflight
from tests.core.samples import fields, lines, request

APP = b"https://app.example"
EXACT = Cors(frozenset({APP}))
ANY_PORT = Cors(frozenset(), any_port=frozenset({b"http://localhost", b"http://[::1]"}))
BELOW = Cors(
    frozenset(),
    below=frozenset({b"https://app.example", b"http://dev.example:8080"}),
    below_any_port=frozenset({b"http://localhost"}),
)
ANYONE = Cors(frozenset(), any_origin=True)
WITH_NULL = Cors(frozenset({b"null"}))
PERSONAL = Cors(frozenset({APP}), credentials=True)
ANYONE_PERSONAL = Cors(frozenset(), any_origin=True, credentials=True)


@pytest.mark.parametrize(
    ("cors", "origin", "allowed"),
    [
        pytest.param(EXACT, APP, True, id="listed"),
        pytest.param(EXACT, b"https://APP.example", False, id="in another letter case, as no browser writes it"),
        pytest.param(EXACT, b"http://app.example", False, id="another scheme"),
        pytest.param(EXACT, b"https://app.example:444", False, id="another port"),
        pytest.param(EXACT, b"https://app.example.evil.example", False, id="a longer name"),
        pytest.param(EXACT, b"https://evil-app.example", False, id="a name that ends alike"),
        pytest.param(EXACT, b"null", False, id="null"),
        pytest.param(EXACT, b"", False, id="empty"),
        pytest.param(ANY_PORT, b"http://localhost:5173", True, id="any port"),
        pytest.param(ANY_PORT, b"http://localhost", True, id="any port, the default one"),
        pytest.param(ANY_PORT, b"http://[::1]:5173", True, id="any port, IPv6"),
        pytest.param(ANY_PORT, b"http://[::1]", True, id="any port, IPv6 with the default one"),
        pytest.param(ANY_PORT, b"https://localhost:5173", False, id="any port, another scheme"),
        pytest.param(ANY_PORT, b"http://localhost.evil.example:5173", False, id="any port, a longer name"),
        pytest.param(ANY_PORT, b"http://localhost:evil.example", False, id="any port, none that is a number"),
        pytest.param(ANY_PORT, b"http://localhost:", False, id="any port, an empty one"),
        pytest.param(ANY_PORT, b"null", False, id="any port, null"),
        pytest.param(BELOW, b"https://a.app.example", True, id="below a name"),
        pytest.param(BELOW, b"https://a.b-c.app.example", True, id="far below it"),
        pytest.param(BELOW, b"https://app.example", False, id="below a name, the name itself"),
        pytest.param(BELOW, b"http://a.app.example", False, id="below a name, another scheme"),
        pytest.param(BELOW, b"https://a.app.example:444", False, id="below a name, a port"),
        pytest.param(BELOW, b"https://evilapp.example", False, id="below a name, one that ends alike"),
        pytest.param(BELOW, b"https://a.app.example.evil.example", False, id="below a name, a longer one"),
        pytest.param(BELOW, b"https://.app.example", False, id="below a name, no name"),
        pytest.param(BELOW, b"https://evil.example/.app.example", False, id="below a name, a path"),
        pytest.param(BELOW, b"https://evil.example:.app.example", False, id="below a name, no port"),
        pytest.param(BELOW, b"https://[::1].app.example", False, id="below a name, an address"),
        pytest.param(BELOW, b"http://a.dev.example:8080", True, id="below a name with its port"),
        pytest.param(BELOW, b"http://a.dev.example", False, id="below a name without its port"),
        pytest.param(BELOW, b"http://a.localhost:5173", True, id="below localhost, any port"),
        pytest.param(BELOW, b"http://a.localhost", True, id="below localhost, the default one"),
        pytest.param(BELOW, b"http://localhost:5173", False, id="below localhost, not itself"),
        pytest.param(BELOW, b"null", False, id="below a name, null"),
        pytest.param(ANYONE, b"https://evil.example", True, id="anyone"),
        pytest.param(ANYONE, b"null", False, id="anyone but null"),
        pytest.param(WITH_NULL, b"null", True, id="null where it is listed"),
    ],
)
def test_an_origin_is_allowed_to_the_letter(cors: Cors, origin: bytes, allowed: bool) -> None:
    """MUST. Fetch standard, section 3.2; C3."""
    assert cors.allows(origin) is allowed


@pytest.mark.parametrize(
    ("line", "more", "found"),
    [
        (b"OPTIONS / HTTP/1.1", [b"Origin: a", b"Access-Control-Request-Method: POST"], True),
        (b"OPTIONS / HTTP/1.1", [b"origin: a", b"access-control-request-method: GET"], True),
        (b"OPTIONS / HTTP/1.1", [b"Access-Control-Request-Method: POST"], False),
        (b"OPTIONS / HTTP/1.1", [b"Origin: a"], False),
        (b"OPTIONS / HTTP/1.1", [], False),
        (b"POST / HTTP/1.1", [b"Origin: a", b"Access-Control-Request-Method: POST"], False),
    ],
    ids=["both", "any letter case", "no origin", "no method", "neither", "another method"],
)
def test_a_preflight_is_an_options_with_origin_and_the_method_asked_for(
    line: bytes, more: list[bytes], found: bool
) -> None:
    """MUST. Fetch standard, section 3.2.2; C1."""
    assert is_preflight(request(line, *more)) is found


EXPOSE = b"Access-Control-Expose-Headers: " + EXPOSED
CREDENTIALS = b"Access-Control-Allow-Credentials: true"


@pytest.mark.parametrize(
    ("cors", "origin", "given"),
    [
        pytest.param(
            EXACT, APP, [b"Access-Control-Allow-Origin: https://app.example", b"Vary: Origin", EXPOSE], id="listed"
        ),
        pytest.param(EXACT, b"https://evil.example", [b"Vary: Origin"], id="not listed"),
        pytest.param(EXACT, None, [b"Vary: Origin"], id="no origin"),
        pytest.param(ANYONE, APP, [b"Access-Control-Allow-Origin: *", b"Vary: Origin", EXPOSE], id="anyone"),
        pytest.param(ANYONE, None, [b"Vary: Origin"], id="anyone, no origin"),
        pytest.param(ANYONE, b"null", [b"Vary: Origin"], id="anyone but null"),
        pytest.param(
            PERSONAL,
            APP,
            [b"Access-Control-Allow-Origin: https://app.example", b"Vary: Origin", CREDENTIALS, EXPOSE],
            id="with credentials",
        ),
        pytest.param(PERSONAL, b"https://evil.example", [b"Vary: Origin"], id="with credentials, not listed"),
        pytest.param(
            ANYONE_PERSONAL,
            APP,
            [b"Access-Control-Allow-Origin: https://app.example", b"Vary: Origin", CREDENTIALS, EXPOSE],
            id="credentials never go with a star",
        ),
    ],
)
def test_a_response_names_the_allowed_origin_and_says_what_it_depends_on(
    cors: Cors, origin: bytes | None, given: list[bytes]
) -> None:
    """MUST. Fetch standard, section 3.2.3; C3, C4."""
    assert lines(granted(cors, origin)) == given


def test_what_a_page_wants_to_read_is_exposed_by_name() -> None:
    """MUST. C7: `*` does not count where credentials do."""
    exposed = EXPOSED.split(b", ")
    assert b"*" not in exposed
    assert {b"proxy-status", b"retry-after", b"x-request-id", b"request-id"} <= set(exposed)
    assert sum(name.startswith(b"x-ratelimit-") for name in exposed) == 6
    assert sum(name.startswith(b"anthropic-ratelimit-") for name in exposed) == 12
    assert {b"ratelimit", b"retry-after-ms", b"apim-request-id", b"openai-processing-ms"} <= set(exposed)


def asked(origin: bytes, *more: bytes) -> list[bytes] | None:
    head = request(b"OPTIONS / HTTP/1.1", b"Origin: " + origin, b"Access-Control-Request-Method: PATCH", *more)
    given = preflight(EXACT, head)
    return None if given is None else lines(given)


VARY = (
    b"Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers, "
    b"Access-Control-Request-Private-Network"
)


@pytest.mark.parametrize(
    ("more", "headers"),
    [
        pytest.param([], b"authorization, content-type, last-event-id", id="none asked for"),
        pytest.param(
            [b"Access-Control-Request-Headers: authorization,x-stainless-lang"],
            b"authorization, x-stainless-lang, content-type, last-event-id",
            id="some asked for",
        ),
        pytest.param(
            [b"Access-Control-Request-Headers: X-A", b"Access-Control-Request-Headers: x-b"],
            b"x-a, x-b, authorization, content-type, last-event-id",
            id="on two lines",
        ),
        pytest.param(
            [b"Access-Control-Request-Headers: x-a, x b, (c)"],
            b"x-a, authorization, content-type, last-event-id",
            id="some that are no names",
        ),
        pytest.param(
            [b"Access-Control-Request-Headers: "], b"authorization, content-type, last-event-id", id="an empty line"
        ),
    ],
)
def test_a_preflight_grants_the_method_and_the_fields_asked_for_by_name(more: list[bytes], headers: bytes) -> None:
    """MUST. Fetch standard, section 3.2.3; C6, C11: Authorization is always named."""
    assert asked(APP, *more) == [
        b"Access-Control-Allow-Origin: https://app.example",
        b"Access-Control-Allow-Methods: PATCH",
        b"Access-Control-Allow-Headers: " + headers,
        VARY,
        b"Access-Control-Max-Age: 600",
    ]


PRIVATE = b"Access-Control-Request-Private-Network: true"
PRIVATE_TOO = b"Access-Control-Allow-Private-Network: true"


def test_a_private_network_is_granted_to_listed_origins_that_ask() -> None:
    """MAY. Private Network Access, section 3.1; C12: never to everybody."""
    assert PRIVATE_TOO in (asked(APP, PRIVATE) or [])
    assert PRIVATE_TOO not in (asked(APP) or [])
    assert PRIVATE_TOO not in (asked(APP, b"Access-Control-Request-Private-Network: false") or [])
    anyone = request(b"OPTIONS / HTTP/1.1", b"Origin: " + APP, b"Access-Control-Request-Method: GET", PRIVATE)
    assert PRIVATE_TOO not in lines(preflight(ANYONE, anyone) or [])


@pytest.mark.parametrize("origin", [b"https://evil.example", b"null", b""], ids=["foreign", "null", "empty"])
def test_a_preflight_of_another_origin_is_granted_nothing(origin: bytes) -> None:
    """MUST. C1, C3."""
    assert asked(origin) is None


@pytest.mark.parametrize(
    ("cors", "present", "missing"),
    [
        pytest.param(PERSONAL, CREDENTIALS, b"Access-Control-Allow-Origin: *", id="with credentials"),
        pytest.param(ANYONE, b"Access-Control-Allow-Origin: *", CREDENTIALS, id="anyone"),
        pytest.param(
            ANYONE_PERSONAL,
            b"Access-Control-Allow-Origin: https://app.example",
            b"Access-Control-Allow-Origin: *",
            id="anyone with credentials",
        ),
        pytest.param(
            Cors(frozenset({APP}), max_age_s=0), b"Access-Control-Max-Age: 0", CREDENTIALS, id="remembered not at all"
        ),
        pytest.param(Cors(frozenset({APP}), max_age_s=None), VARY, b"Access-Control-Max-Age: 600", id="no age said"),
    ],
)
def test_a_preflight_says_star_age_and_credentials_as_configured(cors: Cors, present: bytes, missing: bytes) -> None:
    """MUST. C3, C11."""
    head = request(b"OPTIONS / HTTP/1.1", b"Origin: " + APP, b"Access-Control-Request-Method: GET")
    given = lines(preflight(cors, head) or [])
    assert present in given
    assert missing not in given


def test_an_age_that_is_not_configured_is_not_said() -> None:
    """SHOULD. C11."""
    head = request(b"OPTIONS / HTTP/1.1", b"Origin: " + APP, b"Access-Control-Request-Method: GET")
    given = preflight(Cors(frozenset({APP}), max_age_s=None), head) or []
    assert not [entry for entry in given if entry[0] == b"access-control-max-age"]


@pytest.mark.parametrize(
    ("received", "merged"),
    [
        pytest.param([b"A: 1"], [b"A: 1", b"Access-Control-Allow-Origin: x", b"Vary: Origin"], id="none there"),
        pytest.param(
            [b"Access-Control-Allow-Origin: *", b"A: 1", b"ACCESS-CONTROL-Allow-Credentials: true"],
            [b"A: 1", b"Access-Control-Allow-Origin: x", b"Vary: Origin"],
            id="the upstream's are replaced",
        ),
        pytest.param(
            [b"Vary: Accept"],
            [b"Vary: Accept", b"Access-Control-Allow-Origin: x", b"Vary: Origin"],
            id="Vary grows by a line",
        ),
        pytest.param(
            [b"Vary: Accept, ORIGIN"], [b"Vary: Accept, ORIGIN", b"Access-Control-Allow-Origin: x"], id="known"
        ),
        pytest.param(
            [b"Vary: Accept", b"Vary: origin"],
            [b"Vary: Accept", b"Vary: origin", b"Access-Control-Allow-Origin: x"],
            id="known on another line",
        ),
        pytest.param([b"Vary: *"], [b"Vary: *", b"Access-Control-Allow-Origin: x"], id="Vary says all"),
        pytest.param(
            [b"Vary: X-Origin"],
            [b"Vary: X-Origin", b"Access-Control-Allow-Origin: x", b"Vary: Origin"],
            id="a longer name is another",
        ),
    ],
)
def test_ours_replace_the_upstreams_and_vary_is_joined(received: list[bytes], merged: list[bytes]) -> None:
    """MUST. Fetch standard, section 3.2; C4, C5."""
    before = fields(*received)
    assert lines(merge(before, fields(b"Access-Control-Allow-Origin: x", b"Vary: Origin"))) == merged
    assert lines(before) == received
