"""RFC 9110 section 7.2: the Host that an upstream gets."""

from dataclasses import replace

import pytest

from proxy.core.routes import Origin
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.wire import head

from .relayed import also_on_ipv6, answering, configured, get, led_to, relayed

LOCAL = b"localhost"
URLS = [
    ("http://up.example", False, get(b"/"), b"up.example"),
    ("http://up.example:80/base", False, get(b"/"), b"up.example"),
    ("http://up.example:0080", False, get(b"/"), b"up.example"),
    ("http://up.example:443", False, get(b"/"), b"up.example:443"),
    ("http://up.example:8080", False, get(b"/", host=b"localhost:8080"), b"up.example:8080"),
    ("https://up.example", False, get(b"/"), b"up.example"),
    ("https://up.example:443/", False, get(b"/"), b"up.example"),
    ("https://up.example:80", False, get(b"/"), b"up.example:80"),
    ("http://10.1.2.3:1", False, get(b"/"), b"10.1.2.3:1"),
    ("http://up.example", False, get(b"http://localhost:5/"), b"up.example"),
    ("http://up.example", False, get(b"/", b"X-Forwarded-Host: evil.example"), b"up.example"),
    ("http://up.example", False, head(b"GET / HTTP/1.0"), b"up.example"),
    ("http://up.example", True, get(b"/"), LOCAL),
    ("https://up.example:80", True, get(b"/", host=b"LocalHost.:8787"), b"LocalHost.:8787"),
    ("http://up.example", True, get(b"/", host=b"[::1]:5"), b"[::1]:5"),
    ("http://up.example", True, get(b"http://127.0.0.1:5/x", host=b"localhost:6"), b"127.0.0.1:5"),
    ("http://up.example:81", True, head(b"GET / HTTP/1.0"), b"up.example:81"),
]


@pytest.mark.parametrize(("url", "preserve", "sent", "expected"), URLS)
async def test_the_host_is_the_upstreams_or_as_received(
    origin: MakeOrigin, proxy: MakeProxy, url: str, preserve: bool, sent: bytes, expected: bytes
):
    """F7: an upstream gets the authority of its URL, without a default port; `preserve_host` passes on the client's."""
    (made,) = configured(f"routes: [{{upstream: '{url}', preserve_host: {str(preserve).lower()}}}]").routes
    one = await origin(answering())
    got, _ = await relayed(await proxy(led_to(made, one.port)), one, sent)
    assert got.get(b"host") == expected
    assert got.names[0].lower() == b"host"  # RFC 9110 section 7.2: it should be the first field


LITERALS = [
    ("http://[::1]:{port}", b"[::1]:%d"),
    ("http://[::1]:{port}/base", b"[::1]:%d"),
    ("http://[0:0:0:0:0:0:0:1]:{port}", b"[0:0:0:0:0:0:0:1]:%d"),
    ("http://[::1]", b"[::1]"),
    ("http://[2001:db8::1]:8080", b"[2001:db8::1]:8080"),
]


@pytest.mark.parametrize(("url", "expected"), LITERALS)
async def test_an_ipv6_literal_has_one_pair_of_brackets(
    origin: MakeOrigin, proxy: MakeProxy, url: str, expected: bytes
):
    """F8: an IPv6 address in a URL is dialled without brackets and stands in Host within exactly one pair."""
    one = await origin(answering())
    async with also_on_ipv6(one) as port:
        (made,) = configured(f"routes: [{{upstream: '{url.format(port=port)}'}}]").routes
        assert "[" not in made.upstream.origin.host
        if "{port}" not in url:  # what is at that address is not ours
            made = replace(made, upstream=replace(made.upstream, origin=Origin("::1", port)))
        proxied = await proxy(made)
        got, _ = await relayed(proxied, one, get(b"/"))
        assert got.get(b"host") == (expected % port if b"%d" in expected else expected)
        assert (await proxied.ended()).upstream == f"http://[{made.upstream.origin.host}]:{port}"
        assert one.connections[0].transport.get_extra_info("sockname")[0] == "::1"
