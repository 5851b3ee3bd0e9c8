"""RFC 9110 section 5, RFC 9112 section 4: fields, and the status line, travel as they came or not at all."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import whole_request
from tests.net.responses import OK
from tests.net.wire import head

from .relayed import BARE, TODAY, get, lines, refused, relayed

CONTROLS = [number for number in (*range(0x20), 0x7F) if number != 0x09]


@pytest.mark.parametrize("control", CONTROLS, ids=hex)
async def test_a_control_character_in_a_value_is_the_end_of_it(origin: MakeOrigin, proxy: MakeProxy, control: int):
    """H9: no control character but HTAB crosses us in a field value: 400 to the client, 502 for an upstream's."""
    values = [form % control for form in (b"%ca", b"a%cb", b"a%c", b"a: b%cX-Injected: 1")]
    bad = [head(b"HTTP/1.1 200 OK", b"X-A: " + value, b"Content-Length: 2") + b"ok" for value in values]
    early = head(b"HTTP/1.1 103 Early Hints", b"Link: a%cb" % control) + OK
    one = await origin(*([whole_request, reply] for reply in (*bad, early)))
    proxied = await proxy(one)
    for value in values:
        assert await refused(proxied, get(b"/", b"X-A: " + value, b"X-B: 1")) == (400, "http_request_error")
    assert not one.connections
    for number in range(len(values) + 1):
        assert await refused(proxied, get(b"/")) == (502, "http_protocol_error")
        assert len(one.connections) == number + 1
    await one.until(lambda: not one.open_connections, "each of these connections to be closed")


async def test_lines_of_one_name_keep_order_and_number(origin: MakeOrigin, proxy: MakeProxy):
    """H11: lines that share a name stay apart and in order in both directions, cookies above all."""
    sent = [
        b"Cookie: a=1; b=2",
        b"Set-Cookie: a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        b"X-List: 1, 2",
        b"set-cookie: a=1; Path=/, b",
        b"cookie: a=1",
        b"x-list:",
        b"COOKIE: c=3",
        b"SET-COOKIE: b=2; Domain=x",
        b"X-LIST: 1, 2",
        b"Set-Cookie: a=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        b"Vary: Origin",
        b"Vary: Accept",
        b"Link: </a>, </b>",
        b"Link: </a>",
        *(b"X-Number: %d" % number for number in range(60)),
        b"Content-Length: 0",
    ]
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", *sent, TODAY)])
    got, answer = await relayed(
        await proxy(one, forwarding=BARE), one, head(b"POST / HTTP/1.1", b"Host: localhost", *sent)
    )
    assert lines(got, b"host") == sent
    assert lines(answer, b"date") == sent


VALUES = [
    b"plain",
    bytes(range(0x80, 0x100)),
    "né€🙂".encode(),
    "né".encode("latin-1"),
    b"\xed\xa0\x80 a lone surrogate, \xc0\xaf an overlong slash, \xff\xfe",
    b"\xa0not a blank of ours\xa0",
    b"\xc2\x85neither\xe2\x80\xa8",
    b"in\tside  and   out",
    b'"quoted \\" text", (comment), ;=,',
    b"%0d%0a%00",
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize(("before", "after"), [(b"", b""), (b" ", b""), (b"\t ", b" \t \t")])
async def test_names_order_and_bytes_stay(
    origin: MakeOrigin, proxy: MakeProxy, value: bytes, before: bytes, after: bytes
):
    """H12: letter case, the order of fields and every byte above ASCII arrive; only blanks around a value are cut."""
    names = [b"x-LOWER", b"User-agent", b"ACCEPT", b"ETAG", b"zZ", b"content-TYPE", b"!#$%&'*+-.^_`|~09aZ"]
    sent = [b"%b:%b%b%b" % (name, before, value, after) for name in names]
    one = await origin([whole_request, head(b"HTTP/1.1 200 OK", *sent, TODAY, b"Content-Length: 0")])
    got, answer = await relayed(await proxy(one, forwarding=BARE), one, get(b"/", *sent))
    expected = [name + b": " + value for name in names]
    assert lines(got, b"host") == expected
    assert lines(answer, b"date", b"content-length") == expected


STATUS_LINES = [
    b"200 OK",
    b"200 ",
    b"200 All Right, Then",
    b"200 \xe9t\xe9 \xff",
    b"200 a\tb",
    b"200 200 OK",
    b"200 HTTP/1.1",
    b"207 Multi-Status",
    b"299 Odd",
    b"308 ",
    b"399 Nobody Knows",
    b"404 OK",
    b"418 I'm a teapot",
    b"420 Enhance Your Calm",
    b"499 ",
    b"529 Overloaded",
    b"599 Unknown",
    b"999 Request denied",
]


@pytest.mark.parametrize("status_line", STATUS_LINES)
async def test_what_nobody_knows_passes(origin: MakeOrigin, proxy: MakeProxy, status_line: bytes):
    """H13: fields, status codes and reason phrases that no standard lists pass as they came, an empty phrase too."""
    sent = [b"X-Never-Heard-Of: 1", b"Sec-Anything: ?1", b"Content-Frobnication: x", b"Status: 500", b"Pragma: yes"]
    start = b"HTTP/1.1 " + status_line
    one = await origin([whole_request, head(start, *sent, TODAY, b"Content-Length: 2") + b"ok"])
    got, answer = await relayed(await proxy(one, forwarding=BARE), one, get(b"/", *sent))
    assert lines(got, b"host") == sent
    assert answer.start == start
    assert lines(answer, b"date", b"content-length") == sent
    assert answer.body == b"ok"
