"""Rules of what is added to a request on purpose: an injected key, the operator's rules, the wish for plain bytes."""

import pytest

from proxy.core.forwarding import Forwarding
from proxy.core.headers import Rules
from proxy.core.message import field
from proxy.core.routes import Credential
from proxy.core.streams import StreamPolicy
from tests.core.samples import CREDENTIAL, KEY, request, route, sent

IDENTITY = b"Accept-Encoding: identity"
JSON = b"Content-Type: application/json"
EVENTS = b"Accept: text/event-stream"
X_API_KEY = Credential(field(b"x-api-key", b"injected"), clears=CREDENTIAL.clears)


@pytest.mark.parametrize(
    ("credential", "received", "told"),
    [
        pytest.param(CREDENTIAL, [], [b"Authorization: Bearer injected"], id="the client sent none"),
        pytest.param(
            CREDENTIAL,
            [b"Authorization: Bearer mine", b"AUTHORIZATION: Basic x"],
            [b"Authorization: Bearer injected"],
            id="the client sent two",
        ),
        pytest.param(
            CREDENTIAL,
            [b"x-api-key: mine", b"A: 1", b"api-key: mine", b"X-Goog-Api-Key: mine", b"Proxy-Authorization: mine"],
            [b"A: 1", b"Authorization: Bearer injected"],
            id="the client sent every other kind",
        ),
        pytest.param(X_API_KEY, [b"Authorization: Bearer mine"], [b"x-api-key: injected"], id="another slot"),
        pytest.param(
            CREDENTIAL,
            [b"Connection: close, authorization, x-a", b"X-A: 1"],
            [b"Authorization: Bearer injected"],
            id="named in Connection",
        ),
        pytest.param(
            CREDENTIAL,
            [
                b"Connection:",
                b"CONNECTION: close, Authorization",
                b"connection: x-a",
                b"X-A: 1",
                b"Authorization: mine",
            ],
            [b"Authorization: Bearer injected"],
            id="named in a third Connection line",
        ),
        pytest.param(
            CREDENTIAL, [b"Cookie: a=1"], [b"Cookie: a=1", b"Authorization: Bearer injected"], id="cookies stay"
        ),
    ],
)
def test_an_injected_key_stands_alone_in_its_slot(
    credential: Credential, received: list[bytes], told: list[bytes]
) -> None:
    """MUST. F13."""
    assert sent(request(b"GET / HTTP/1.1", *received), route(credential=credential))[2:] == told


def test_where_no_key_is_injected_a_clients_own_passes() -> None:
    """MUST. F13."""
    received = [b"Authorization: Bearer mine", b"x-api-key: mine", b"api-key: mine", b"x-goog-api-key: mine"]
    assert sent(request(b"GET / HTTP/1.1", *received))[2:] == received


@pytest.mark.parametrize(
    ("received", "told"),
    [
        ([], [b"Authorization: Bearer injected", b"api-version: 1"]),
        ([b"API-Version: 2"], [b"API-Version: 2", b"Authorization: Bearer injected"]),
        ([b"api-version: "], [b"api-version: ", b"Authorization: Bearer injected"]),
    ],
    ids=["the client sent none", "the client sent one", "the client sent an empty one"],
)
def test_a_default_is_set_only_where_the_client_sent_none(received: list[bytes], told: list[bytes]) -> None:
    """MUST. F13: what a provider asks for beside its key."""
    credential = Credential(KEY, defaults=(field(b"api-version", b"1"),))
    assert sent(request(b"GET / HTTP/1.1", *received), route(credential=credential))[2:] == told


def test_a_rule_cannot_displace_the_injected_key() -> None:
    """MUST. F13: it comes last of all, and there is one."""
    rules = Rules(
        remove=frozenset({b"authorization"}),
        rename=((b"x-a", b"Authorization"),),
        add=(field(b"Authorization", b"Basic rule"),),
    )
    told = sent(request(b"GET / HTTP/1.1", b"X-A: mine"), route(credential=CREDENTIAL, request_rules=rules))
    assert [line for line in told if line.lower().startswith(b"authorization")] == [b"Authorization: Bearer injected"]


def test_rules_run_after_stripping_and_after_our_own_fields() -> None:
    """MUST. H22: they win over the forwarding fields and over the wish for plain bytes."""
    rules = Rules(
        remove=frozenset({b"x-real-ip"}),
        set=(field(b"Via", b"ruled"), field(b"Accept-Encoding", b"br"), field(b"X-Set", b"1")),
        add=(field(b"Cookie", b"b=2"),),
    )
    received = [b"Connection: x-set", b"X-Set: client", b"Cookie: a=1", EVENTS]
    covered = route(request_rules=rules, forwarding=Forwarding(x_forwarded=False))
    assert sent(request(b"GET / HTTP/1.1", *received), covered)[2:] == [
        b"Cookie: a=1",
        EVENTS,
        b"Via: ruled",
        b"Accept-Encoding: br",
        b"X-Set: 1",
        b"Cookie: b=2",
    ]


def test_our_own_fields_come_in_one_order() -> None:
    """SHOULD. H12: the client's in their order, then forwarding, Via, rules, key, framing, and TE."""
    covered = route(
        credential=CREDENTIAL,
        forwarding=Forwarding(forwarded=True),
        request_rules=Rules(add=(field(b"X-Rule", b"1"),)),
    )
    received = [b"B: 1", JSON, b"A: 2", b"TE: trailers", b"Content-Length: 5"]
    names = [line.partition(b":")[0].decode() for line in sent(request(b"POST / HTTP/1.1", *received), covered)[1:]]
    assert names == [
        *("Host", "B", "Content-Type", "A"),
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via"),
        *("Accept-Encoding", "X-Rule", "Authorization", "TE", "Connection", "Content-Length"),
    ]


@pytest.mark.parametrize(
    ("line", "received", "policy", "told"),
    [
        pytest.param(b"GET / HTTP/1.1", [EVENTS], StreamPolicy(), [EVENTS, IDENTITY], id="accepts events"),
        pytest.param(
            b"GET / HTTP/1.1", [b"accept-encoding: gzip", EVENTS], StreamPolicy(), [IDENTITY, EVENTS], id="its place"
        ),
        pytest.param(
            b"GET / HTTP/1.1",
            [b"Accept-Encoding: gzip", EVENTS, b"Accept-Encoding: br"],
            StreamPolicy(),
            [IDENTITY, EVENTS],
            id="one line for several",
        ),
        pytest.param(
            b"POST / HTTP/1.1", [JSON], StreamPolicy(), [JSON, IDENTITY, b"Content-Length: 0"], id="posts JSON"
        ),
        pytest.param(b"GET / HTTP/1.1", [], StreamPolicy("always"), [IDENTITY], id="the route says always"),
        pytest.param(b"GET / HTTP/1.1", [EVENTS], StreamPolicy("never"), [EVENTS], id="the route says never"),
        pytest.param(
            b"GET / HTTP/1.1",
            [b"Accept-Encoding: gzip, br"],
            StreamPolicy(),
            [b"Accept-Encoding: gzip, br"],
            id="no stream: the client's value",
        ),
        pytest.param(b"GET / HTTP/1.1", [], StreamPolicy(), [], id="no stream: none is invented"),
        pytest.param(
            b"GET / HTTP/1.1",
            [EVENTS, b"Accept-Encoding: gzip"],
            StreamPolicy(decode=False),
            [EVENTS, b"Accept-Encoding: gzip"],
            id="compression passes",
        ),
        pytest.param(
            b"GET / HTTP/1.1",
            [EVENTS, b"Accept-Encoding: gzip, identity;q=0"],
            StreamPolicy(),
            [EVENTS, b"Accept-Encoding: gzip, identity;q=0"],
            id="the client refuses identity",
        ),
        pytest.param(
            b"GET / HTTP/1.1",
            [EVENTS, b"Accept-Encoding: gzip, *;q=0"],
            StreamPolicy(),
            [EVENTS, b"Accept-Encoding: gzip, *;q=0"],
            id="the client refuses all else",
        ),
    ],
)
def test_what_may_stream_is_asked_for_uncoded(
    line: bytes, received: list[bytes], policy: StreamPolicy, told: list[bytes]
) -> None:
    """MUST. E1, E2."""
    assert sent(request(line, *received), route(stream=policy))[2:] == told


@pytest.mark.parametrize("coding", [b"gzip", b"br"], ids=bytes.decode)
def test_a_coded_request_body_passes_with_its_label(coding: bytes) -> None:
    """MUST. E7."""
    received = [b"Content-Encoding: " + coding, b"Content-Length: 5"]
    assert sent(request(b"POST / HTTP/1.1", *received))[2:] == received
