"""RFC 9110 section 12.5.3: which codings we ask an upstream for, and what a client that wants a coding gets."""

import pytest

from tests.net.codings import whole
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import whole_request
from tests.net.responses import OK
from tests.net.wire import chunk, head

EVENTS = b"Accept: text/event-stream"
GZIP = b"Accept-Encoding: gzip, br"
JSON = b"Content-Type: application/json"
ASKED: dict[str, tuple[bytes, list[bytes], dict[str, object], list[bytes]]] = {
    "accepts events": (b"GET", [EVENTS, GZIP], {}, [b"identity"]),
    "accepts events among others": (b"GET", [b"Accept: text/html, text/event-stream;q=0.9"], {}, [b"identity"]),
    "accepts events, asks for nothing": (b"GET", [EVENTS], {}, [b"identity"]),
    "asks in two lines": (b"GET", [EVENTS, GZIP, b"Accept-Encoding: zstd"], {}, [b"identity"]),
    "posts JSON": (b"POST", [JSON, GZIP], {}, [b"identity"]),
    "posts JSON with a parameter": (b"POST", [b"Content-Type: Application/JSON; charset=utf-8"], {}, [b"identity"]),
    "posts +json": (b"POST", [b"Content-Type: application/vnd.x+json", GZIP], {}, [b"identity"]),
    "route is a stream": (b"GET", [GZIP], {"classify": "always"}, [b"identity"]),
    "plain GET": (b"GET", [GZIP], {}, [b"gzip, br"]),
    "plain GET in two lines": (b"GET", [GZIP, b"Accept-Encoding: zstd"], {}, [b"gzip, br", b"zstd"]),
    "plain GET, asks for nothing": (b"GET", [], {}, []),
    "asks for nothing at all": (b"GET", [b"Accept-Encoding:"], {}, [b""]),
    "posts a form": (b"POST", [b"Content-Type: application/x-www-form-urlencoded", GZIP], {}, [b"gzip, br"]),
    "puts JSON": (b"PUT", [JSON, GZIP], {}, [b"gzip, br"]),
    "passes, events": (b"GET", [EVENTS, GZIP], {"decode": False}, [b"gzip, br"]),
    "passes, JSON": (b"POST", [JSON, GZIP], {"decode": False}, [b"gzip, br"]),
    "passes, asks for nothing": (b"GET", [EVENTS], {"decode": False}, []),
    "refuses identity": (b"GET", [EVENTS, b"Accept-Encoding: gzip, identity;q=0"], {}, [b"gzip, identity;q=0"]),
}


@pytest.mark.parametrize("case", ASKED)
async def test_what_may_stream_is_asked_for_uncoded(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """E1: one line that says identity for what may stream, the client's own for all else and where the route passes."""
    method, lines, policy, expected = ASKED[case]
    one = await origin([whole_request, OK])
    client = await (await proxy(one, stream=policy)).connect()
    client.ask(method, b"/", *lines, body=None if method == b"GET" else b"{}")
    assert (await client.answer()).status == 200
    assert one.connections[0].request.all(b"accept-encoding") == expected
    if policy.get("decode") is False:
        coded = head(b"HTTP/1.1 200 OK", b"Content-Type: text/event-stream", b"Content-Encoding: gzip")
        coded = coded[:-2] + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(whole("gzip", b"data: 1\n\n")) + chunk(b"")
        passing = await (await proxy(await origin([whole_request, coded]), stream=policy)).connect()
        response = await passing.ask_for_answer(b"/", *lines[:1])
        assert (response.get(b"content-encoding"), response.body) == (b"gzip", whole("gzip", b"data: 1\n\n"))


REFUSING = {
    b"gzip, identity;q=0": True,
    b"gzip;q=1.0, identity; q=0.000": True,
    b"identity;q=0": True,
    b"gzip, *;q=0": True,
    b"*;q=0": True,
    b"IDENTITY;Q=0, gzip": True,
    b"gzip, *;q=0, identity": False,
    b"gzip, *;q=0, identity;q=0.1": False,
    b"gzip, identity;q=0.001": False,
    b"gzip, br;q=0": False,
    b"*": False,
}


@pytest.mark.parametrize("asked", REFUSING)
async def test_a_client_that_refuses_identity_is_believed(origin: MakeOrigin, proxy: MakeProxy, asked: bytes):
    """E2: it keeps its own Accept-Encoding and gets what is coded as it is; one that only prefers a coding does not."""
    coded = whole("gzip", b"data: 1\n\n")
    start = head(
        b"HTTP/1.1 200 OK",
        b"Content-Type: text/event-stream",
        b"Content-Encoding: gzip",
        b"Transfer-Encoding: chunked",
    )
    one = await origin([whole_request, start + chunk(coded) + chunk(b"")])
    client = await (await proxy(one)).connect()
    response = await client.ask_for_answer(b"/", EVENTS, b"Accept-Encoding: " + asked)
    sent = one.connections[0].request.all(b"accept-encoding")
    if REFUSING[asked]:
        assert (sent, response.get(b"content-encoding"), response.body) == ([asked], b"gzip", coded)
    else:
        assert (sent, response.get(b"content-encoding"), response.body) == ([b"identity"], None, b"data: 1\n\n")
