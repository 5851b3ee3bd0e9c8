"""RFC 9110 section 7.6.3: Via tells the upstream about us, and us about a loop."""

import pytest

from proxy.core.forwarding import Forwarding
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.harness import INSTANCE
from tests.net.origin import whole_request
from tests.net.wire import head

from .relayed import TODAY, answering, get, lines, refused, relayed

US = b"1.1 " + INSTANCE
RECEIVED = [
    ([], US),
    ([b"Via: 1.0 fred"], b"1.0 fred, " + US),
    ([b"via: 1.0 fred, 1.1 p.example.net:8080"], b"1.0 fred, 1.1 p.example.net:8080, " + US),
    ([b"VIA: 1.0 fred", b"Via: HTTP/1.1 second (a, b)", b"X-A: 1"], b"1.0 fred, HTTP/1.1 second (a, b), " + US),
    ([b"Via: 1.1 \xe9"], b"1.1 \xe9, " + US),
    ([b"Via: 1.1 x" + INSTANCE, b"Via: 1.1 " + INSTANCE + b"-2"], b"1.1 x%b, 1.1 %b-2, " % (INSTANCE, INSTANCE) + US),
    ([b"Via:"], US),
    ([b"Connection: Via", b"Via: 1.0 fred"], US),
]


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
@pytest.mark.parametrize(("sent", "expected"), RECEIVED)
async def test_requests_say_that_they_came_through_us(
    origin: MakeOrigin, proxy: MakeProxy, sent: list[bytes], expected: bytes, on: bool
):
    """H19: our name joins Via at its end on requests and never on answers; the route may switch that off."""
    vias = [b"Via: 1.1 them", b"via: 1.0 \xff"]
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", *vias, TODAY, b"Content-Length: 0")])
    got, answer = await relayed(await proxy(one, forwarding=Forwarding(via=on)), one, get(b"/", *sent))
    as_it_came = [line.partition(b":")[2].strip() for line in sent if line.lower().startswith(b"via:")]
    if sent[:1] == [b"Connection: Via"]:
        as_it_came = []
    assert got.all(b"via") == ([expected] if on else as_it_came)
    assert lines(answer) == [*vias, TODAY, b"Content-Length: 0"]


PASSED = [
    [b"Via: " + US],
    [b"via: 1.0 fred,1.1\t" + INSTANCE],
    [b"Via: HTTP/1.1 " + INSTANCE + b" (x), 1.1 other"],
    [b"Via: 1.0 fred", b"VIA: 1.1 " + INSTANCE.upper(), b"Via: 1.1 last"],
    [b"Via:", b"Via: , " + US],
    [b"Connection: Via", b"Via: " + US],
    [],
]


@pytest.mark.parametrize("on", [True, False], ids=["on", "off"])
@pytest.mark.parametrize("sent", PASSED)
async def test_a_request_that_was_here_is_a_loop(origin: MakeOrigin, proxy: MakeProxy, sent: list[bytes], on: bool):
    """H20: what has our own name in Via is not sent round once more: 502; without lines, two of one name in a row."""
    one = await origin(answering())
    inner = await proxy(one, forwarding=Forwarding(via=on))
    proxied = inner if sent else await proxy(inner.port)
    assert await refused(proxied, get(b"/", *sent)) == (502, "proxy_loop_detected")
    assert not one.connections
