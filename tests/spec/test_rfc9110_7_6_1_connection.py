"""RFC 9110 section 7.6.1: what belongs to one connection stays on it, whichever side it came from."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import whole_request
from tests.net.wire import chunk, head

from .relayed import BARE, TODAY, lines, relayed

HOP_BY_HOP = [
    b"Connection: keep-alive",
    b"CONNECTION: x-nothing",
    b"Proxy-Connection: keep-alive",
    b"proxy-connection:",
    b"Keep-Alive: timeout=5, max=100",
    b"KEEP-alive: 300",
    b'Proxy-Authenticate: Basic realm="a, b"',
    b"proxy-AUTHORIZATION: Basic dTpw",
    b"TE: gzip;q=0.5, deflate",
    b"te:",
    b"Trailer: X-Sum, Expires",
    b"transfer-ENCODING: Chunked",
    b"Upgrade: h2c",
    b"uPGRADE: TLS/1.0, foo/2",
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
    b"http2-settings: \xff",
]


@pytest.mark.parametrize("named", [False, True], ids=["unnamed", "named"])
@pytest.mark.parametrize("line", HOP_BY_HOP)
async def test_fields_of_one_hop_end_here(origin: MakeOrigin, proxy: MakeProxy, line: bytes, named: bool):
    """H1: ten fields never cross us in either direction, and it makes no difference if Connection lists them."""
    name = line.partition(b":")[0]
    chunked = name.lower() == b"transfer-encoding"
    sent = [b"X-Before: 1", line, line, *([b"Connection: " + name] if named else []), b"X-After: 2"]
    if chunked:
        sent.remove(line)
    else:
        sent.append(b"Content-Length: 0")
    body = chunk(b"x") + chunk(b"") if chunked else b""
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", *sent, TODAY) + body])
    got, answer = await relayed(
        await proxy(one, forwarding=BARE), one, head(b"POST / HTTP/1.1", b"Host: localhost", *sent) + body
    )
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 0"
    assert lines(got, b"host") == [b"X-Before: 1", b"X-After: 2", framing]
    closes = [b"Connection: close"] if named and name.lower() == b"upgrade" else []  # aiohttp reads no further there
    assert lines(answer, b"date") == [b"X-Before: 1", b"X-After: 2", framing, *closes]
    assert got.body == answer.body == (b"x" if chunked else b"")


FIELDS = [
    b"x-ONE: 1",
    b"X-Two: 2",
    b"X-One-More: stays",
    b"X-One: 3",
    b"Cookie: a=1",
    b"Set-Cookie: a=1",
    b"AUTHORIZATION: Basic dTpw",
    b"X-Tw: stays",
    b"x_two: stays",
]
ONE_AND_TWO = {b"x-one", b"x-two"}
NAMED = [
    ([b" X-One, X-Two"], ONE_AND_TWO),
    ([b"x-two,x-one"], ONE_AND_TWO),
    ([b" X-ONE", b" X-TWO"], ONE_AND_TWO),
    ([b" keep-alive, X-One", b" X-Two , close"], ONE_AND_TWO),
    ([b"\tX-One\t,\t \tX-Two \t"], ONE_AND_TWO),
    ([b" ,,X-One,,, ,X-Two,,"], ONE_AND_TWO),
    ([b" x-other, X-One", b" x-one", b" ,", b" X-One,X-two"], ONE_AND_TWO),
    ([b" X-T"], set()),
    ([b" X-One X-Two"], set()),
    ([b' "X-One"'], set()),
    ([b" " + b", ".join(b"x-%d" % number for number in range(300)) + b",x-TWO"], {b"x-two"}),
    ([b" a"] * 60 + [b" X-One"], {b"x-one"}),
    ([b" cookie, SET-cookie, Authorization"], {b"cookie", b"set-cookie", b"authorization"}),
]


@pytest.mark.parametrize(("connection", "gone"), NAMED)
async def test_what_connection_names_ends_here(
    origin: MakeOrigin, proxy: MakeProxy, connection: list[bytes], gone: set[bytes]
):
    """H2: every field that some Connection line lists stops at us, however that line is written; look-alikes go on."""
    options = [b"Connection:" + value for value in connection]
    sent = [options[0], *FIELDS, *options[1:], b"Content-Length: 0"]
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", *sent, TODAY)])
    got, answer = await relayed(
        await proxy(one, forwarding=BARE), one, head(b"POST / HTTP/1.1", b"Host: localhost", *sent)
    )
    expected = [line for line in FIELDS if line.partition(b":")[0].lower() not in gone] + [b"Content-Length: 0"]
    assert lines(got, b"host") == expected
    assert lines(answer, b"date", b"connection") == expected
    assert answer.get(b"connection") == (b"close" if b"close" in connection[-1] else None)
