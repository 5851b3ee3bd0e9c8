"""RFC 9110 section 10.1.4 and RFC 9112 section 7.4: what of TE concerns the next hop."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import whole_request
from tests.net.wire import head

from .relayed import BARE, TODAY, get, lines, relayed

TRAILERS = [b"TE: trailers", b"Connection: TE"]
CASES = [
    ([b"TE: trailers", b"Connection: TE"], TRAILERS),
    ([b"TE: trailers"], TRAILERS),
    ([b"te: TRAILERS", b"connection: te"], TRAILERS),
    ([b"TE: gzip;q=0.5, Trailers", b"Connection: TE"], TRAILERS),
    ([b"TE: trailers, deflate;q=0.1, gzip", b"Connection: close, TE"], TRAILERS),
    ([b"TE: deflate,\ttrailers\t,gzip"], TRAILERS),
    ([b"TE:", b"TE: gzip", b"TE: , trailers"], TRAILERS),
    ([b"Connection: TE", b"TE: gzip", b"Connection: X-A", b"TE: trailers"], TRAILERS),
    ([b"TE: gzip;q=0.5, deflate"], []),
    ([b"TE: trailers-x, xtrailers"], []),
    ([b'TE: "trailers"'], []),
    ([b"TE: trailer"], []),
    ([b"TE:"], []),
    ([b"TE: *", b"Connection: TE"], []),
    ([b"Connection: TE, trailers"], []),
    ([b"Trailers: x"], [b"Trailers: x"]),
    ([b"X-TE: trailers", b"TEE: trailers"], [b"X-TE: trailers", b"TEE: trailers"]),
]


@pytest.mark.parametrize(("sent", "expected"), CASES)
async def test_only_the_wish_for_trailers_goes_on(
    origin: MakeOrigin, proxy: MakeProxy, sent: list[bytes], expected: list[bytes]
):
    """H6: of TE only `trailers` is passed to the upstream, in lines of our own; fields that look like TE just pass."""
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", *sent, TODAY, b"Content-Length: 0")])
    got, answer = await relayed(await proxy(one, forwarding=BARE), one, get(b"/", *sent))
    assert lines(got, b"host") == expected
    passing = [line for line in sent if line.partition(b":")[0].lower() not in (b"te", b"connection")]
    assert lines(answer, b"date", b"connection") == [*passing, b"Content-Length: 0"]
