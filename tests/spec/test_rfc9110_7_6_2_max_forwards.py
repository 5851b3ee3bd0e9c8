"""RFC 9110 sections 7.6.2, 9.3.6 and 9.3.8: the methods that are about proxies."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.wire import head

from .relayed import BARE, answering, asked, lines, refused, relayed

HUGE = 10**30
OPTIONS = [
    ([], []),
    ([b"Max-Forwards: 1"], [b"Max-Forwards: 0"]),
    ([b"max-FORWARDS: 10"], [b"max-FORWARDS: 9"]),
    ([b"Max-Forwards: 007"], [b"Max-Forwards: 6"]),
    ([b"Max-Forwards: %d" % (2**31)], [b"Max-Forwards: %d" % (2**31 - 1)]),
    ([b"Max-Forwards: %d" % HUGE], None),
    ([b"Max-Forwards: 0"], b"204"),
    ([b"Max-Forwards: 000"], b"204"),
    ([b"Max-Forwards: " + b"0" * 20], b"204"),
    ([b"Connection: Max-Forwards", b"Max-Forwards: 0"], b"204"),
]
OTHERS = [
    (b"GET", b"/", [b"Max-Forwards: 0"], [b"Max-Forwards: 0"]),
    (b"GET", b"/", [b"Max-Forwards: 5"], [b"Max-Forwards: 5"]),
    (b"TRACE", b"/", [], b"405"),
    (b"TRACE", b"/no/such/route", [b"Max-Forwards: 3"], b"405"),
    (b"TRACE", b"http://evil.example/", [], b"405"),
    (b"CONNECT", b"localhost:443", [], b"405"),
    (b"CONNECT", b"evil.example:443", [b"Via: 1.1 x"], b"405"),
    (b"CONNECT", b"[::1]:80", [], b"405"),
]


@pytest.mark.parametrize(
    ("method", "target", "sent", "expected"), [(b"OPTIONS", b"/", *case) for case in OPTIONS] + OTHERS
)
async def test_tunnels_and_traces_are_refused_and_forwards_are_counted(
    origin: MakeOrigin, proxy: MakeProxy, method: bytes, target: bytes, sent: list[bytes], expected: list[bytes] | bytes
):
    """H21: CONNECT and TRACE end here; OPTIONS with no forward left is answered here, else it goes on with one less."""
    one = await origin(answering())
    proxied = await proxy(one, forwarding=BARE)
    request = head(b"%b %b HTTP/1.1" % (method, target), b"Host: localhost", *sent)
    if expected == b"405":
        assert await refused(proxied, request) == (405, "http_request_error")
        assert b"GET" in ((await asked(proxied, request)).get(b"allow") or b"")
    elif expected == b"204":
        answer = await asked(proxied, request)
        assert (answer.status, answer.body) == (204, b"")
    else:
        got, _ = await relayed(proxied, one, request)
        if expected is None:  # the lesser of one less and the largest number we can count to
            assert int(got.get(b"max-forwards") or b"") < HUGE
        else:
            assert lines(got, b"host") == expected
    assert bool(one.connections) == (not isinstance(expected, bytes))
