"""Rules of our own errors as answers: status, JSON, Proxy-Status, and what a page needs to read them."""

import json

import pytest

from proxy.core.answer import error_body, failure
from proxy.core.cors import Cors
from proxy.core.errors import (
    ClientError,
    ConnectionRefused,
    ConnectTimeout,
    Draining,
    LoopDetected,
    MethodRefused,
    MisdirectedRequest,
    NoUpstream,
    OwnError,
    ProxyError,
    RequestRefused,
    TooManyExchanges,
    Unauthorized,
)
from proxy.core.framing import Body
from proxy.core.message import RequestHead
from proxy.core.routes import Route
from tests.core.samples import CREDENTIAL, lines, request, route
from tests.core.test_errors import EVERY

APP = b"https://app.example"
OPEN = route(cors=Cors(frozenset({APP}), expose=b"proxy-status"))


def told(error: ProxyError, asked: RequestHead | None = None, covered: Route | None = None) -> list[bytes]:
    return lines(failure(error, asked, covered, b"here").fields)


@pytest.mark.parametrize("error", EVERY, ids=lambda error: error.__name__)
def test_every_error_is_json_with_proxy_status_and_is_not_stored(error: type[ProxyError]) -> None:
    """MUST. RFC 9209 section 2; A2, A3, A17."""
    failed, covered = error(), route(name="openai")
    got = failure(failed, request(), covered, b"here")
    body = error_body(failed, covered)
    assert got.status == failed.status
    assert got.body == Body("length", len(body))
    assert got.stage is None
    assert lines(got.fields)[:5] == [
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
        b"Proxy-Status: here; error=%b" % failed.token.encode(),
    ]
    assert json.loads(body) == {
        "error": {"type": failed.side, "code": failed.token, "message": f"Route 'openai': {failed}"}
    }


def test_without_a_route_none_is_named() -> None:
    """MUST. A2."""
    assert json.loads(error_body(MisdirectedRequest(), None))["error"]["message"] == MisdirectedRequest.message


@pytest.mark.parametrize(
    ("error", "status", "side", "code"),
    [
        (ClientError(), 400, "client", "http_request_error"),
        (ConnectionRefused(), 502, "upstream", "connection_refused"),
        (ConnectTimeout(), 504, "upstream", "connection_timeout"),
        (LoopDetected(), 502, "proxy", "proxy_loop_detected"),
        (OwnError(), 500, "proxy", "proxy_internal_error"),
    ],
    ids=["client", "upstream", "timeout", "loop", "own"],
)
def test_the_body_says_whose_fault_it_is(error: ProxyError, status: int, side: str, code: str) -> None:
    """MUST. A2, A4."""
    said = json.loads(error_body(error, None))["error"]
    assert (failure(error, None, None, b"here").status, said["type"], said["code"]) == (status, side, code)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (Draining(), b"Retry-After: 1"),
        (TooManyExchanges(), b"Retry-After: 1"),
        (NoUpstream(), b"Retry-After: 1"),
        (NoUpstream(12.2), b"Retry-After: 13"),
        (MethodRefused(), b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        (Unauthorized(), b"WWW-Authenticate: Bearer"),
    ],
    ids=["503", "503, too many", "503, none left", "503, none left for a while", "405", "401"],
)
def test_a_status_that_asks_for_a_field_has_it_and_no_other_does(error: ProxyError, line: bytes) -> None:
    """MUST for Allow and WWW-Authenticate, SHOULD for Retry-After. RFC 9110 sections 15.5.2, 15.5.6, 15.6.4; A18."""
    assert line in told(error)
    for other in (ClientError(), ConnectionRefused(), ConnectTimeout(), OwnError()):
        assert len(told(other)) == 5


@pytest.mark.parametrize(
    ("origin", "covered", "more"),
    [
        pytest.param(
            APP,
            OPEN,
            [
                b"Access-Control-Allow-Origin: https://app.example",
                b"Vary: Origin",
                b"Access-Control-Expose-Headers: proxy-status",
            ],
            id="an allowed origin",
        ),
        pytest.param(b"https://evil.example", OPEN, [b"Vary: Origin"], id="a foreign origin"),
        pytest.param(None, OPEN, [b"Vary: Origin"], id="no origin"),
        pytest.param(APP, route(credential=CREDENTIAL), [], id="a key and no CORS"),
        pytest.param(APP, route(), [], id="no CORS"),
        pytest.param(APP, None, [], id="no route"),
    ],
)
def test_a_page_may_read_the_errors_of_a_route_it_may_use(
    origin: bytes | None, covered: Route | None, more: list[bytes]
) -> None:
    """MUST. Fetch standard, section 3.2; C4, C8."""
    asked = request(b"GET / HTTP/1.1", *([b"Origin: " + origin] if origin else []))
    assert told(RequestRefused(), asked, covered)[5:] == more


def test_what_never_became_a_request_is_answered_without_cors() -> None:
    """MUST. C8: there is no origin to look at."""
    assert len(told(ClientError(), None, OPEN)) == 5


@pytest.mark.parametrize(
    ("status", "reason"), [(502, b"Bad Gateway"), (499, b"")], ids=["a standard one", "one of no standard"]
)
def test_our_own_status_has_its_usual_phrase(status: int, reason: bytes) -> None:
    """MUST. RFC 9112 section 4."""
    error = ProxyError()
    error.status = status
    assert failure(error, None, None, b"here").reason == reason


def test_text_from_outside_is_escaped() -> None:
    """MUST. A17: no markup, no line end and no other script gets out of the JSON string."""
    body = error_body(ClientError('<script>"\r\n\u2028ä'), route(name="r"))
    assert body.isascii()
    assert not {0x0D, 0x0A} & set(body)
    assert json.loads(body)["error"]["message"] == "Route 'r': <script>\"\r\n\u2028ä"
