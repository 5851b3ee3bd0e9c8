"""RFC 9110 sections 13 and 14: conditions and ranges are between the client and the upstream."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import request
from tests.net.responses import OK
from tests.net.wire import chunk, head

PARTS = (
    b"--part\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/9\r\n\r\nab\r\n"
    b"--part\r\nContent-Type: text/plain\r\nContent-Range: bytes 7-8/9\r\n\r\nhi\r\n--part--\r\n"
)
MULTI = b"Content-Type: multipart/byteranges; boundary=part"
# What the client asks with, the status line and fields of the upstream, its body, and whether that is chunked.
EXCHANGES: dict[str, tuple[list[bytes], bytes, list[bytes], bytes, bool]] = {
    "a range": ([b"Range: bytes=0-1"], b"206 Partial Content", [b"Content-Range: bytes 0-1/9"], b"ab", False),
    "a range, chunked": ([b"Range: bytes=0-1"], b"206 Partial Content", [b"Content-Range: bytes 0-1/9"], b"ab", True),
    "a range from the end": (
        [b"range: bytes=-2"],
        b"206 Partial Content",
        [b"content-range: bytes 7-8/9"],
        b"hi",
        False,
    ),
    "an odd unit": ([b"Range: cows=1-2,  4-"], b"206 Partial Content", [b"Content-Range: cows 1-2/*"], b"mu", False),
    "two ranges": ([b"Range: bytes=0-1, 7-8"], b"206 Partial Content", [MULTI], PARTS, False),
    "two ranges, chunked": ([b"Range: bytes=0-1,7-8"], b"206 Partial Content", [MULTI], PARTS, True),
    "a range that is not there": (
        [b"Range: bytes=99-"],
        b"416 Range Not Satisfiable",
        [b"Content-Range: bytes */9"],
        b"no",
        False,
    ),
    "a range of a coded stream": (
        [b"Range: bytes=0-1", b"Accept-Encoding: gzip"],
        b"206 Partial Content",
        [b"Content-Encoding: gzip", b"Content-Range: bytes 0-1/9"],
        b"\x1f\x8b",
        False,
    ),
    "If-Range": (
        [b'If-Range: "a"', b"Range: bytes=0-1"],
        b"200 OK",
        [b'ETag: "b"', b"Accept-Ranges: bytes"],
        b"abcdefghi",
        False,
    ),
    "If-None-Match": (
        [b'If-None-Match: "a", W/"b"', b'If-None-Match: "c"'],
        b"304 Not Modified",
        [b'ETag: W/"b"', b"Cache-Control: max-age=5", b"Vary: Accept", b"Expires: 0", b"Content-Location: /a"],
        b"",
        False,
    ),
    "If-Modified-Since": (
        [b"If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT"],
        b"304 Not Modified",
        [b"Last-Modified: Sat, 29 Oct 1994 19:43:31 GMT", b"Content-Length: 9"],
        b"",
        False,
    ),
    "If-Match": ([b"If-Match: *"], b"412 Precondition Failed", [b'ETag: "c"'], b"no", False),
    "If-Unmodified-Since": ([b"If-Unmodified-Since: never"], b"412 Precondition Failed", [], b"no", False),
}


@pytest.mark.parametrize("case", EXCHANGES)
async def test_ranges_and_conditions(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """X13: Ranges and conditions go up, and 206, its multipart form, 304, 412 and 416 come back, all unchanged.

    RFC 9110 sections 13, 14 and 15.4.5.
    """
    asked, status, lines, body, chunked = EXCHANGES[case]
    framing = [b"Transfer-Encoding: chunked"] if chunked else [b"Content-Length: %d" % len(body)]
    if status.startswith(b"304"):
        framing = []
    answer = head(b"HTTP/1.1 " + status, b"Date: today", *lines, *framing)
    answer += b"".join(map(chunk, (body[:1], body[1:], b""))) if chunked else body
    one = await origin([request, answer, request, OK])
    client = await (await proxy(one)).connect()
    response = await client.ask_for_answer(b"/file", *asked)
    names = {line.partition(b":")[0].lower() for line in asked}
    received = [b"%b: %b" % entry for entry in one.connections[0].request.fields if entry[0].lower() in names]
    assert received == asked
    assert response.start == b"HTTP/1.1 " + status
    assert [b"%b: %b" % entry for entry in response.fields] == [b"Date: today", *lines, *framing]
    assert response.body == body
    assert (await client.ask_for_answer()).body == b"ok"
    assert len(one.connections) == 1
