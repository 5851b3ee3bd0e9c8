"""RFC 9209: what an answer of ours says, in its fields and its JSON, and what is left to the upstream to say."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from proxy.core.errors import Draining
from proxy.core.plan import Refuse
from proxy.core.routes import Credential, Match, Tls
from proxy.net import planner
from tests.net import harness
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import INSTANCE, route
from tests.net.origin import Script, fin, request, rst
from tests.net.responses import OK, counted
from tests.net.test_failures import assert_is_our_error
from tests.net.wire import chunk, head

STATUSES = [
    200,
    201,
    203,
    226,
    400,
    401,
    403,
    404,
    405,
    418,
    425,
    429,
    451,
    500,
    501,
    502,
    503,
    504,
    529,
    599,
    799,
    999,
]


async def test_an_answer_of_the_upstream_is_relayed(origin: MakeOrigin, proxy: MakeProxy):
    """A1: any status passes with its phrase, fields and body; nothing says that a proxy had an opinion."""
    lines = [b"Content-Type: application/problem+json", b"X-Reason: own"]
    answers = [counted(b'{"own": 1}', *lines, status=b"%d Of its own" % status) for status in STATUSES]
    one = await origin([step for answer in answers for step in (request, answer)])
    proxied = await proxy(one)
    client = await proxied.connect()
    for number, status in enumerate(STATUSES, 1):
        response = await client.ask_for_answer()
        assert (response.status, response.reason, response.body) == (status, b"Of its own", b'{"own": 1}')
        assert response.fields[:2] == [tuple(line.split(b": ")) for line in lines]
        assert response.all(b"proxy-status") == []
        assert (await proxied.ended(number)).outcome == "complete"


SECRET = b"sk-0123456789-secret"
KEYED = Credential((b"authorization", b"Authorization", b"Bearer " + SECRET))


@dataclass
class Failure:
    """How a request fails, and what is then answered."""

    status: int
    code: str
    side: str
    script: Script | None = None
    """What the origin does with the request; None is nobody listening."""
    asks: list[bytes] = field(default_factory=list)
    method: bytes = b"GET"
    target: bytes = b"/a/secret-path?key=hidden"
    changes: dict = field(default_factory=dict)
    routed: bool = True


LOOP = [b"Via: 1.1 " + INSTANCE]
SILENT: Script = [request]
FAILURES = {
    "refused": Failure(502, "connection_refused", "upstream"),
    "unknown name": Failure(502, "dns_error", "upstream", changes={"host": "name.invalid"}),
    "closed": Failure(502, "connection_terminated", "upstream", [request, fin]),
    "reset": Failure(502, "connection_terminated", "upstream", [request, rst]),
    "inside the head": Failure(502, "http_response_incomplete", "upstream", [request, b"HTTP/1.1 200 OK\r\nA: ", fin]),
    "no HTTP": Failure(502, "http_protocol_error", "upstream", [request, b"SSH-2.0-x\r\n"]),
    "head too big": Failure(
        502, "http_response_header_section_size", "upstream", [request, counted(b"", b"X-A: " + b"a" * 70_000)]
    ),
    "transfer coding": Failure(
        502,
        "http_response_transfer_coding",
        "upstream",
        [request, head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: gzip, chunked") + chunk(b"")],
    ),
    "silent": Failure(504, "http_response_timeout", "upstream", SILENT, changes={"timeouts": {"head": 0.2}}),
    "no TLS": Failure(502, "tls_protocol_error", "upstream", [b"HTTP/1.1 400 No\r\n\r\n"], changes={"tls": Tls()}),
    "unasked 101": Failure(
        502,
        "http_upgrade_failed",
        "upstream",
        [request, head(b"HTTP/1.1 101 S", b"Connection: upgrade", b"Upgrade: x")],
    ),
    "a loop": Failure(502, "proxy_loop_detected", "proxy", SILENT, LOOP),
    "body too large": Failure(
        413,
        "http_request_error",
        "client",
        SILENT,
        [b"Content-Length: 9"],
        b"POST",
        changes={"limits": {"request_body": 8}},
    ),
    "expectation": Failure(417, "http_request_error", "client", SILENT, [b"Expect: magic"]),
    "handshake": Failure(
        *(403, "http_request_denied", "client", SILENT, [b"Connection: upgrade", b"Upgrade: websocket"]),
        changes={"websocket": False},
    ),
    "no route": Failure(404, "destination_not_found", "client", SILENT, target=b"/elsewhere", routed=False),
    "method": Failure(405, "http_request_error", "client", SILENT, method=b"TRACE", routed=False),
}
NEXT_STEP = re.compile(
    r"[a-z]+\.[a-z_]+|`|\?|\b(add|ask|call|check|choose|fix|list|look|lower|make|name|raise|remove|see|send|set|try|use|wait)\b"
)


async def failing(origin: MakeOrigin, proxy: MakeProxy, dead_port: int, failure: Failure):
    """A proxy in front of what fails so."""
    tls = failure.changes.get("tls")
    port = dead_port if failure.script is None else (await origin(failure.script, read=tls is None)).port
    return await proxy(route(port, name="the-route", match=Match(b"/a/"), credential=KEYED, **failure.changes))


ASKED_BY_HEAD = ["refused", "closed", "silent", "a loop", "no route"]


@pytest.mark.parametrize("case", [*FAILURES, *(f"{case}, HEAD" for case in ASKED_BY_HEAD)])
async def test_the_form_of_our_errors(origin: MakeOrigin, proxy: MakeProxy, dead_port: int, case: str):
    """A2: JSON that says whose fault it is, names the route and a next step, and nothing that is nobody's business."""
    failure = FAILURES[case.removesuffix(", HEAD")]
    proxied = await failing(origin, proxy, dead_port, failure)
    client = await proxied.connect()
    if case.endswith(", HEAD"):
        client.ask(b"HEAD", failure.target, *failure.asks)
        response = await client.answer()
        assert (response.body, response.get(b"content-type")) == (b"", b"application/json")
        assert int(response.get(b"content-length") or b"0") > 0
        assert client.raw.endswith(b"\r\n\r\n")
        return
    client.ask(failure.method, failure.target, *failure.asks)
    response = await client.answer()
    assert_is_our_error(response, failure.status, failure.code, failure.side)
    message = json.loads(response.body)["error"]["message"]
    port = str(proxied.running._settings.sites[0].proxy.routes[0].upstream.origin.port)
    hidden = [port, "secret", "hidden", SECRET.decode(), "name.invalid", "/a/", ".py", "Error"]
    assert not [word for word in hidden if word in message]
    assert ("the-route" in message) == failure.routed
    assert NEXT_STEP.search(message.partition(": ")[2] or message), f"no next step in {message!r}"


OTHERS = [b"cdn.example; error=http_request_denied", b"edge; received-status=502, inner; error=dns_timeout"]


@pytest.mark.parametrize("case", ["ours", "another name", "received", "received with an error"])
async def test_who_says_it(
    origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, dead_port: int, case: str
):
    """A3: our error carries this instance's name and its code, once; what other proxies said passes as it came."""
    if case.startswith("received"):
        status = b"200 OK" if case == "received" else b"503 Service Unavailable"
        lines = [b"Proxy-Status: " + value for value in OTHERS]
        one = await origin([request, counted(b"theirs", *lines, status=status)])
        response = await (await (await proxy(one)).connect()).ask_for_answer()
        assert (response.all(b"proxy-status"), response.body) == (OTHERS, b"theirs")
        return
    name = INSTANCE if case == "ours" else b"sidecar-7"
    monkeypatch.setattr(harness, "INSTANCE", name)
    proxied = await proxy(dead_port)
    response = await (await proxied.connect()).ask_for_answer()
    assert response.all(b"proxy-status") == [name + b"; error=connection_refused"]


KINDS: dict[str, Failure] = {
    **{
        kind: FAILURES[kind]
        for kind in ("refused", "unknown name", "closed", "reset", "inside the head", "silent", "no TLS")
    },
    "connect": Failure(504, "connection_timeout", "upstream", changes={"timeouts": {"connect": 0.2}}),
    "TLS handshake": Failure(
        504, "connection_timeout", "upstream", [], changes={"tls": Tls(), "timeouts": {"connect": 0.2}}
    ),
    "half a head": Failure(
        504, "http_response_timeout", "upstream", [request, b"HTTP/1.1 200 OK\r\n"], changes={"timeouts": {"head": 0.2}}
    ),
}


@pytest.mark.parametrize("case", KINDS)
async def test_failures_are_told_apart(origin: MakeOrigin, proxy: MakeProxy, deaf_port: int, dead_port: int, case: str):
    """A4: each way not to answer has its status and code, in the answer and in the log."""
    kind = KINDS[case]
    if case == "connect":
        proxied = await proxy(deaf_port, **kind.changes)
    elif kind.script is None:
        proxied = await proxy(dead_port, **kind.changes)
    else:
        proxied = await proxy(await origin(kind.script, read="tls" not in kind.changes), **kind.changes)
    response = await (await proxied.connect()).ask_for_answer()
    assert_is_our_error(response, kind.status, kind.code, "upstream")
    exchange = await proxied.ended()
    assert (exchange.status, exchange.code) == (kind.status, kind.code)
    assert exchange.outcome == ("upstream_timeout" if kind.status == 504 else "upstream_aborted")


SPITEFUL = b"\"><script>alert('x')</script>\\u0000"
INPUTS: dict[str, Callable[[], bytes]] = {
    "target": lambda: head(b"GET /none" + SPITEFUL.replace(b" ", b"") + b" HTTP/1.1", b"Host: localhost"),
    "Host": lambda: head(b"GET / HTTP/1.1", b"Host: " + SPITEFUL),
    "foreign Host": lambda: head(b"GET / HTTP/1.1", b"Host: <script>.example"),
    "field": lambda: head(b"GET / HTTP/1.1", b"Host: localhost", b"X\x01: " + SPITEFUL),
    "field without colon": lambda: head(b"GET / HTTP/1.1", b"Host: localhost", SPITEFUL),
    "method": lambda: head(b"<script> / HTTP/1.1", b"Host: localhost"),
    "expectation": lambda: head(b"GET /r/ HTTP/1.1", b"Host: localhost", b"Expect: " + SPITEFUL),
    "whole line": lambda: SPITEFUL + b"\r\n\r\n",
    "name of the route": lambda: head(b"GET /r/ HTTP/1.1", b"Host: localhost"),
}


@pytest.mark.parametrize("case", INPUTS)
async def test_nothing_sent_to_us_acts_in_an_error(proxy: MakeProxy, dead_port: int, case: str):
    """A17: whatever a request or a route's name holds, the error is valid JSON that no browser takes for a page."""
    proxied = await proxy(route(dead_port, name='say "<b>"\r\n', match=Match(b"/r/")))
    client = await proxied.connect()
    client.send(INPUTS[case]())
    response = await client.answer()
    assert response.status >= 400
    assert set(json.loads(response.body)) == {"error"}
    assert response.get(b"content-type") == b"application/json"
    assert response.get(b"x-content-type-options") == b"nosniff"
    assert b"script>" not in response.body
    assert not [value for _, value in response.fields if b"script" in value]


@pytest.mark.parametrize("case", ["ours", "503", "429", "301"])
async def test_when_to_come_back(origin: MakeOrigin, proxy: MakeProxy, monkeypatch: pytest.MonkeyPatch, case: str):
    """A18: our 503 says when to try again; what the upstream says about it passes as it came."""
    if case == "ours":
        monkeypatch.setattr(planner, "plan", lambda *_: Refuse(Draining()))
        response = await (await (await proxy(await origin([request, OK]))).connect()).ask_for_answer()
        assert response.status == 503
        assert int(response.get(b"retry-after") or b"") > 0
        return
    when = b"Fri, 31 Dec 1999 23:59:59 GMT" if case == "301" else b"120"
    one = await origin([request, counted(b"later", b"Retry-After: " + when, status=case.encode() + b" Later")])
    response = await (await (await proxy(one)).connect()).ask_for_answer()
    assert (response.status, response.all(b"retry-after")) == (int(case), [when])


@pytest.mark.parametrize("closes", [True, False])
async def test_an_event_source_may_be_let_reconnect(origin: MakeOrigin, proxy: MakeProxy, closes: bool):
    """A19: a route that asks for it closes without a byte of an answer; others answer; success is the same for both."""
    one = await origin([request, fin], [request, OK])
    proxied = await proxy(one, close_on_refuse=closes)
    client = await proxied.connect()
    client.get(b"/", b"Accept: text/event-stream")
    if closes:
        assert (await client.wait_ended(), client.raw) == ("fin", b"")
    else:
        assert_is_our_error(await client.answer(), 502, "connection_terminated", "upstream")
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.code) == ("upstream_aborted", "connection_terminated")
    assert exchange.status == (0 if closes else 502)
    assert (await (await proxied.connect()).ask_for_answer()).body == b"ok"
