"""RFC 9110 section 10.1.3 and the Fetch standard's Origin: where a request came from is not for us to change."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy

from .relayed import BARE, answering, configured, get, led_to, lines, relayed

SENT = [
    [b"Origin: http://localhost:5173", b"Referer: http://localhost:5173/chat?x=%2F"],
    [b"oRIGIN: null", b"REFERER: about:blank"],
    [b"Origin: https://Evil.Example:443", b"Referer: https://evil.example"],
    [b"Referer: /relative/%zz//x", b"Origin: chrome-extension://abcdef"],
    [b"Referer:", b"Origin:"],
    [b"Referer: http://127.0.0.1/\xc3\xa9?a b", b"Origin: http://127.0.0.1"],
    [b"Referer: http://up.example/", b"Origin: http://up.example"],
    [],
]
ROUTES = {
    "plain": ("", None),
    "with CORS": ("cors: {origins: ['http://localhost:5173']}", None),
    "for every origin": ("cors: {origins: ['*']}", None),
    "with the client's host": ("preserve_host: true", None),
    "set": (
        "headers: {request: {set: {Origin: 'http://up.example', referer: x}}}",
        [b"Origin: http://up.example", b"referer: x"],
    ),
    "removed": ("headers: {request: {remove: [ORIGIN, referer]}}", []),
}


@pytest.mark.parametrize("sent", SENT)
@pytest.mark.parametrize("name", ROUTES)
async def test_origin_and_referer_pass(origin: MakeOrigin, proxy: MakeProxy, sent: list[bytes], name: str):
    """F16: Origin and Referer go upstream byte for byte, whatever they say, unless a rule of the route changes them."""
    text, ruled = ROUTES[name]
    forwarding = "forwarding: {x_forwarded: false, x_real_ip: false, via: false}"
    (made,) = configured(f"routes: [{{upstream: 'http://up.example', {forwarding}, {text}}}]").routes
    assert made.forwarding == BARE
    one = await origin(answering())
    got, _ = await relayed(await proxy(led_to(made, one.port)), one, get(b"/", *sent))
    assert lines(got, b"host") == (sent if ruled is None else ruled)
