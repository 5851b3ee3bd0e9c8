"""Conversations of clients to start from: requests that are good, odd and forbidden, each with its token `@`.

`@` becomes a token that no other request has. What may follow from the bytes is not written here: `reading` says it.
"""

from hypothesis import strategies as st

from tests.net.wire import chunk, head

_HOST, _TOKEN = b"Host: localhost", b"X-Token: @"
_CHUNKED = b"Transfer-Encoding: chunked"
_HIDDEN = head(b"GET /hidden-@ HTTP/1.1", _HOST)
_LAST = chunk(b"")


def _post(*lines: bytes, body: bytes = b"") -> bytes:
    return head(b"POST /@ HTTP/1.1", _HOST, _TOKEN, *lines) + body


def _get(*lines: bytes, method: bytes = b"GET", target: bytes = b"/@", version: bytes = b"1.1") -> bytes:
    return head(b"%b %b HTTP/%b" % (method, target, version), _HOST, _TOKEN, *lines)


GOOD: list[bytes] = [
    _get(),
    _get(b"Accept: text/event-stream", b"TE: trailers", b"Connection: TE"),
    _get(method=b"HEAD"),
    _get(method=b"OPTIONS"),
    _get(method=b"DELETE", target=b"/a//b/%2F@?x=%zz&x;y"),
    _get(target=b"http://localhost/@?q"),
    _get(b"x-empty:", b"X-Obs: \xe9\xff", b"X-Wide:   a  b  ", b"Cookie: a=1", b"Cookie: b=2"),
    _get(b"Connection: x-gone, keep-alive", b"X-Gone: 1", b"Keep-Alive: timeout=5"),
    _get(b"Content-Length: 3") + b"abc",
    _post(b"Content-Length: 0"),
    _post(),
    _post(b"Content-Length: 12", body=b"body-@-\r\n\r\n\0"),
    _post(b"Content-Length: 69", body=b"before-@ " + _HIDDEN[:-4].ljust(56, b"-") + b"\r\n\r\n"),
    _post(_CHUNKED, body=chunk(b"body-@") + _LAST),
    _post(_CHUNKED, body=chunk(b"a") + chunk(_HIDDEN) + chunk(b"0\r\n\r\n") + _LAST),
    _post(_CHUNKED, body=b'3;a=b;c="d;\\"e"\r\nabc\r\n00A\r\n0123456789\r\n' + _LAST),
    _post(_CHUNKED, b"Trailer: X-Sum", body=chunk(b"abc") + b"0\r\nX-Sum: @\r\n\r\n"),
    _post(b"transfer-encoding:\t CHUNKED ", body=b"1F\r\n" + b"@" * 31 + b"\r\n" + _LAST),
    _post(b"Expect: 100-continue", b"Content-Length: 3", body=b"abc"),
    _post(_CHUNKED, b"Connection: Transfer-Encoding, Content-Length, Host", body=chunk(b"x") + _LAST),
    b"\r\n" + _get(),
]
LAST: list[bytes] = [
    _get(version=b"1.0"),
    _get(b"Connection: keep-alive", version=b"1.0"),
    _get(b"Connection: close"),
    head(b"POST /@ HTTP/1.0", _TOKEN, b"Content-Length: 3") + b"abc",
]
"""After these the connection is closed: nothing behind them is read."""
NASTY: list[bytes] = [
    _post(b"Content-Length: 4", _CHUNKED, body=chunk(b"x") + _LAST + _HIDDEN),
    _post(_CHUNKED, b"Content-Length: 50", body=_LAST + _HIDDEN),
    _post(b"Content-Length: 0", b"Content-Length: 40", body=_HIDDEN),
    _post(b"Content-Length: 40, 40", body=_HIDDEN),
    _post(b"Content-Length : 40", body=_HIDDEN),
    _post(b"Content-Length: +3", body=b"abc"),
    _post(b"Content-Length: 18446744073709551616", body=_HIDDEN),
    _post(b"Transfer-Encoding : chunked", body=_LAST + _HIDDEN),
    _post(b"Transfer-Encoding: xchunked", body=_LAST + _HIDDEN),
    _post(b"Transfer-Encoding: chunked, identity", body=_LAST + _HIDDEN),
    _post(b"Transfer-Encoding: gzip, chunked", body=_LAST + _HIDDEN),
    _post(b"Transfer-Encoding:\x0bchunked", body=_LAST + _HIDDEN),
    _post(b'Transfer-Encoding: "chunked"', body=_LAST + _HIDDEN),
    _post(b"Transfer-Encoding:\r\n chunked", body=_LAST + _HIDDEN),
    _post(b"X: y\nTransfer-Encoding: chunked", body=_LAST + _HIDDEN),
    _post(b"X: y\rContent-Length: 40", body=_HIDDEN),
    _post(_CHUNKED, body=b"5 \r\nabcde\r\n" + _LAST + _HIDDEN),
    _post(_CHUNKED, body=b"0x5\r\nabcde\r\n" + _LAST + _HIDDEN),
    _post(_CHUNKED, body=b"-1\r\nabcde\r\n" + _LAST + _HIDDEN),
    _post(_CHUNKED, body=b"fffffffffffffffff\r\nabcde\r\n" + _LAST + _HIDDEN),
    _post(_CHUNKED, body=b"5\nabcde\n0\n\n" + _HIDDEN),
    _post(_CHUNKED, body=b"5;\nabcde\r\n" + _LAST + _HIDDEN),
    _post(_CHUNKED, body=b"3\r\nabcde\r\n" + _LAST + _HIDDEN),
    _post(_CHUNKED, body=b"3\r\nabc" + _LAST + _HIDDEN),
    _post(_CHUNKED, body=chunk(b"abc") + b"0\r\nX: y\n\r\n" + _HIDDEN),
    _post(_CHUNKED, body=chunk(b"abc") + b"0\r\n" + _HIDDEN),
    head(b"POST /@ HTTP/1.0", _HOST, _CHUNKED) + _LAST + _HIDDEN,
    _get(b"Host: other.example"),
    head(b"GET /@ HTTP/1.1", b"Host: other.example", b"Content-Length: 40") + _HIDDEN,
    _get(b"X-A : 1"),
    _get(b": 1"),
    _get(b"X\0: 1"),
    _get(b"X-A: 1", b" folded: 2"),
    _get(target=b"/@#x"),
    _get(target=b"/../@"),
    _get(target=b"/\xc3\xa9@"),
    _get(version=b"2.0"),
    _get(version=b"1.2"),
    _get(method=b"BREW"),
    _get(method=b"TRACE"),
    _get(method=b"CONNECT", target=b"localhost:80"),
    _get(b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"),
    _get(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
    _post(b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 3", body=b"abc"),
    _post(_CHUNKED, b"Connection: upgrade", b"Upgrade: websocket", body=chunk(b"abc") + _LAST),
    _post(b"Expect: magic", b"Content-Length: 3", body=b"abc"),
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(30),
    b"GET /@\r\n\r\n",
    b"\r\n\r\n\n" + _get(),
]


def tokened(conversation: list[bytes]) -> bytes:
    """The bytes of a conversation, with a token of the same length as `@` for each request: lengths stay right."""
    return b"".join(one.replace(b"@", b"%c" % (65 + number)) for number, one in enumerate(conversation))


CONVERSATIONS = st.lists(
    st.one_of(st.sampled_from(GOOD), st.sampled_from(GOOD), st.sampled_from(LAST + NASTY)), min_size=1, max_size=4
)
VALID = st.tuples(st.lists(st.sampled_from(GOOD), max_size=10), st.lists(st.sampled_from(LAST), max_size=1))
