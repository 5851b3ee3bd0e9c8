"""RFC 9110 section 6.6.1: Date, the one field that we may add to an answer that is not ours."""

from email.utils import parsedate_to_datetime
from time import time

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import whole_request
from tests.net.wire import chunk, head

from .relayed import get, lines

ANSWERS = [
    (b"200 OK", [b"Content-Length: 2"], b"ok", [b"Content-Length: 2"]),
    (b"200 OK", [b"Transfer-Encoding: chunked"], chunk(b"ok") + chunk(b""), [b"Transfer-Encoding: chunked"]),
    (b"200 OK", [b"Server:", b"Content-Length: 0"], b"", [b"Server:", b"Content-Length: 0"]),
    (b"200 OK", [b"SERVER: them/1 (x)", b"Content-Length: 0"], b"", [b"SERVER: them/1 (x)", b"Content-Length: 0"]),
    (b"200 OK", [b"Content-Type: x", b"Content-Length: 0"], b"", [b"Content-Type: x", b"Content-Length: 0"]),
    (b"200 OK", [b"Via: 1.0 them", b"Content-Length: 0"], b"", [b"Via: 1.0 them", b"Content-Length: 0"]),
    (b"204 No Content", [], b"", []),
    (b"304 Not Modified", [b'ETag: "a"'], b"", [b'ETag: "a"']),
    (b"404 Not Found", [b"Content-Length: 0"], b"", [b"Content-Length: 0"]),
    (b"500 Oops", [b"Content-Length: 0"], b"", [b"Content-Length: 0"]),
]


@pytest.mark.parametrize(
    "date", [None, b"Date: Thu, 01 Jan 1970 00:00:00 GMT", b"DATE: at some time", b"date:"], ids=str
)
@pytest.mark.parametrize(("status", "sent", "body", "expected"), ANSWERS)
async def test_nothing_is_invented_but_a_missing_date(
    origin: MakeOrigin,
    proxy: MakeProxy,
    status: bytes,
    sent: list[bytes],
    body: bytes,
    expected: list[bytes],
    date: bytes | None,
):
    """H15: an answer gets no Server, Content-Type or anything else from us; Date only where the upstream has none."""
    dated = [] if date is None else [date]
    early = head(b"HTTP/1.1 103 Early Hints", b"Link: </a>")
    one = await origin([whole_request, early + head(b"HTTP/1.1 " + status, *dated, *sent) + body])
    client = await (await proxy(one)).connect()
    client.send(get(b"/"))
    assert lines(await client.answer()) == [b"Link: </a>"]
    answer = await client.answer()
    assert lines(answer, b"date") == expected
    if date is not None:
        assert [line for line in lines(answer) if line.lower().startswith(b"date:")] == dated
    else:
        made = answer.get(b"date")
        assert made is not None
        assert made.endswith(b" GMT")
        assert abs(parsedate_to_datetime(made.decode()).timestamp() - time()) < 30
