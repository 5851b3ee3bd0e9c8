"""RFC 9112 section 6.1: Transfer-Encoding is exactly one `chunked`, alone, in HTTP/1.1; anything else is refused."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import request
from tests.net.responses import OK
from tests.net.wire import chunk, head

from .refusals import HIDDEN, HOST, POISON, POST, assert_blamed_on_upstream, assert_refused

CODED = b"Transfer-Encoding: chunked"
SIX = b"Content-Length: 6"
LAST = chunk(b"")
BODY = chunk(b"x") + LAST

BOTH = {
    "CL.TE": (SIX, CODED),
    "TE.CL": (CODED, SIX),
    "CL.TE with a length of 0": (b"Content-Length: 0", CODED),
    "TE.CL in capitals": (b"TRANSFER-ENCODING: CHUNKED", b"CONTENT-LENGTH: 6"),
    "TE.CL, a tab before the coding": (b"Transfer-Encoding:\tchunked", SIX),
    "TE.CL, blanks behind the coding": (b"Transfer-Encoding: chunked \t", SIX),
    "TE.CL, far apart": (CODED, *[b"X-Between: 1"] * 20, SIX),
    "TE.CL.TE": (CODED, SIX, CODED),
    "CL.TE with identity": (SIX, b"Transfer-Encoding: identity"),
    "CL.TE with two codings": (SIX, b"Transfer-Encoding: gzip, chunked"),
    "CL.TE with an empty coding": (SIX, b"Transfer-Encoding:"),
    "CL.TE with a bad length": (b"Content-Length: +6", CODED),
    "CL.TE, the length named by Connection": (b"Connection: Content-Length", SIX, CODED),
    "TE.CL, the coding named by Connection": (b"Connection: Transfer-Encoding", CODED, SIX),
}


@pytest.mark.parametrize("case", BOTH)
async def test_a_length_beside_a_coding_is_refused(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """M1: Content-Length beside Transfer-Encoding is 400, and what stands behind is never served. RFC 9112 6.1, 11.2.

    Whichever of the two another server trusts, the request behind is hidden from one of them.
    """
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(head(POST, HOST, *BOTH[case]) + LAST + b"G" + HIDDEN)
    await assert_refused(client, one, 400)


NOT_LAST_OR_TWICE = {
    "gzip alone": (b"Transfer-Encoding: gzip",),
    "identity alone": (b"Transfer-Encoding: identity",),
    "an unknown coding alone": (b"Transfer-Encoding: cow",),
    "chunked, gzip": (b"Transfer-Encoding: chunked, gzip",),
    "chunked, identity": (b"Transfer-Encoding: chunked, identity",),
    "chunked before gzip, in two lines": (CODED, b"Transfer-Encoding: gzip"),
    "chunked, chunked": (b"Transfer-Encoding: chunked, chunked",),
    "chunked,CHUNKED": (b"Transfer-Encoding: chunked,CHUNKED",),
    "chunked in two lines": (CODED, CODED),
    "chunked in two lines far apart": (CODED, b"X-Between: 1", b"transfer-encoding: Chunked"),
    "chunked, gzip, chunked": (b"Transfer-Encoding: chunked, gzip, chunked",),
    "nothing": (b"Transfer-Encoding:",),
    "a comma": (b"Transfer-Encoding: ,",),
}


@pytest.mark.parametrize("case", NOT_LAST_OR_TWICE)
async def test_chunked_is_last_and_only_once(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """M3: A request whose last coding is not chunked, or that says chunked twice, is 400. RFC 9112 6.1 and 6.3."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(head(POST, HOST, *NOT_LAST_OR_TWICE[case]) + BODY + HIDDEN)
    await assert_refused(client, one, 400)


@pytest.mark.parametrize(
    "codings",
    [
        (b"gzip, chunked",),
        (b"GZIP,Chunked",),
        (b"deflate ,\tchunked",),
        (b"identity, chunked",),
        (b"br, gzip, chunked",),
        (b"cow, chunked",),
        (b"cow;sound=moo, chunked",),
    ],
)
async def test_another_coding_is_not_implemented(origin: MakeOrigin, proxy: MakeProxy, codings: tuple[bytes, ...]):
    """M4: A coding besides chunked is 501, as nobody would know of it behind us. RFC 9112 6.1."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(head(POST, HOST, *[b"Transfer-Encoding: " + coding for coding in codings]) + BODY + HIDDEN)
    await assert_refused(client, one, 501)


@pytest.mark.parametrize("coding", [b"chunked", b"Chunked", b"gzip, chunked", b"identity", b"chunked, chunked"])
@pytest.mark.parametrize("lines", [(), (b"Connection: keep-alive",), (SIX,)], ids=["", "keep-alive", "length"])
async def test_http_1_0_has_no_codings(origin: MakeOrigin, proxy: MakeProxy, coding: bytes, lines: tuple[bytes, ...]):
    """M5: Transfer-Encoding in an HTTP/1.0 request is 400 and ends the connection. RFC 9112 6.1."""
    one = await origin([request, OK])
    client = await (await proxy(one)).connect()
    client.send(head(b"POST / HTTP/1.0", HOST, *lines, b"Transfer-Encoding: " + coding) + BODY + HIDDEN)
    await assert_refused(client, one, 400)


UNKNOWN, MALFORMED = "http_response_transfer_coding", "http_protocol_error"
UPSTREAM = {
    "gzip": (UNKNOWN, (b"Transfer-Encoding: gzip",)),
    "identity": (UNKNOWN, (b"Transfer-Encoding: identity",)),
    "gzip, chunked": (UNKNOWN, (b"Transfer-Encoding: gzip, chunked",)),
    "identity, chunked": (UNKNOWN, (b"Transfer-Encoding: identity, chunked",)),
    "chunked, gzip": (UNKNOWN, (b"Transfer-Encoding: chunked, gzip",)),
    "chunked, identity": (UNKNOWN, (b"Transfer-Encoding: chunked, identity",)),
    "chunked, chunked": (UNKNOWN, (b"Transfer-Encoding: chunked, chunked",)),
    "chunked in two lines": (UNKNOWN, (CODED, CODED)),
    "gzip and chunked in two lines": (UNKNOWN, (b"Transfer-Encoding: gzip", CODED)),
    "xchunked": (UNKNOWN, (b"Transfer-Encoding: xchunked",)),
    "chunked with a parameter": (UNKNOWN, (b"Transfer-Encoding: chunked;q=1",)),
    "a comma behind": (UNKNOWN, (b"Transfer-Encoding: chunked,",)),
    "a tab behind": (UNKNOWN, (b"Transfer-Encoding: chunked\t",)),
    "nothing": (MALFORMED, (b"Transfer-Encoding:",)),
    "CL.TE": (MALFORMED, (SIX, CODED)),
    "TE.CL": (MALFORMED, (CODED, SIX)),
    "CL.TE with a length of 0": (MALFORMED, (b"Content-Length: 0", CODED)),
    "CL.TE with identity": (MALFORMED, (SIX, b"Transfer-Encoding: identity")),
    "in HTTP/1.0": (UNKNOWN, (CODED,)),
}


@pytest.mark.parametrize("case", UPSTREAM)
async def test_an_upstream_is_held_to_the_same(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """M16: An upstream's coding other than one chunked, or one beside a length, is 502 and a close. RFC 9112 6.1, 6.3.

    A parser that passes such a body on would hand out chunk lines as content.
    """
    code, lines = UPSTREAM[case]
    start = b"HTTP/1.0 200 OK" if case == "in HTTP/1.0" else b"HTTP/1.1 200 OK"
    one = await origin([request, head(start, b"X-Poison: 1", *lines) + chunk(b"poison") + LAST + POISON], [request, OK])
    await assert_blamed_on_upstream(await proxy(one), one, code)
