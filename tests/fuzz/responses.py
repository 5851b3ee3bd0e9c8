"""Answers of upstreams to start from: good, odd and forbidden ones. `reading` says what they are."""

from hypothesis import strategies as st

from tests.net.wire import chunk, head

_CHUNKED = b"Transfer-Encoding: chunked"
_OK = b"HTTP/1.1 200 OK"
_LAST = chunk(b"")
_SECOND = head(_OK, b"Content-Length: 6") + b"hidden"


def _counted(body: bytes, *lines: bytes, status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    return head(b"HTTP/%b %b" % (version, status), *lines, b"Content-Length: %d" % len(body)) + body


GOOD: list[bytes] = [
    _counted(b"body"),
    _counted(b""),
    _counted(b"x" * 3000, b"Content-Type: text/plain", b'ETag: "a"'),
    _counted(b"body", b"Connection: close"),
    _counted(b"body", b"Connection: keep-alive", version=b"1.0"),
    _counted(b"body", version=b"1.0"),
    _counted(b"no", b"Retry-After: 3", status=b"503 Service Unavailable"),
    _counted(b"odd", b"X-Obs: \xe9\xff", b"x-empty:", b"Set-Cookie: a", b"Set-Cookie: b", status=b"299 \xe9 odd"),
    _counted(b"none", status=b"999 "),
    head(_OK, _CHUNKED) + chunk(b"body") + _LAST,
    head(_OK, _CHUNKED) + _LAST,
    head(_OK, _CHUNKED, b"Content-Type: text/event-stream") + chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n") + _LAST,
    head(_OK, _CHUNKED) + chunk(_SECOND) + chunk(b"0\r\n\r\n") + _LAST,
    head(_OK, _CHUNKED, b"Trailer: X-Sum") + chunk(b"body") + b"0\r\nX-Sum: 1\r\nX-Second: 2\r\n\r\n",
    head(_OK, _CHUNKED) + b'00004;a=b;c="d"\r\nbody\r\n' + _LAST,
    head(_OK, b"X-A: 1") + b"until the end",
    head(b"HTTP/1.0 200 OK") + b"until the end",
    head(b"HTTP/1.1 204 No Content"),
    head(b"HTTP/1.1 304 Not Modified", b"Content-Length: 5", b'ETag: "a"'),
    head(b"HTTP/1.1 100 Continue") + _counted(b"body"),
    head(b"HTTP/1.1 103 Early Hints", b"Link: </a>", b"Connection: x-b", b"X-B: 1")
    + head(b"HTTP/1.1 102 P")
    + _counted(b"b"),
    _counted(b"body", b"Connection: x-gone, Keep-Alive", b"X-Gone: 1", b"Keep-Alive: timeout=5", b"Alt-Svc: h3"),
    _counted(b"body", b"Upgrade: h2c", b"Connection: upgrade"),
]
NASTY: list[bytes] = [
    _counted(b"body") + _SECOND,
    _counted(b"body") + b"\r\n",
    _counted(b"body") + b"HTTP/1.1 200",
    head(b"HTTP/1.1 204 No Content") + _SECOND,
    head(b"HTTP/1.1 204 No Content", b"Content-Length: 6") + b"hidden",
    head(b"HTTP/1.1 304 Not Modified", _CHUNKED) + chunk(b"hidden") + _LAST,
    _counted(b"body", b"Connection: close") + _SECOND,
    head(_OK, _CHUNKED, b"Content-Length: 4") + chunk(b"body") + _LAST,
    head(_OK, b"Content-Length: 4", b"Content-Length: 9") + b"body" + _SECOND,
    head(_OK, b"Content-Length: 4", b"Content-Length: 4") + b"body",
    head(_OK, b"Content-Length: 4, 4") + b"body",
    head(_OK, b"Content-Length: +4") + b"body",
    head(_OK, b"Content-Length:") + b"body",
    head(_OK, b"Content-Length: 0x4") + b"body",
    head(_OK, b"Content-Length: 18446744073709551620") + b"body",
    head(_OK, b"Content-Length : 4") + b"body",
    head(_OK, b"Transfer-Encoding: gzip, chunked") + chunk(b"body") + _LAST,
    head(_OK, b"Transfer-Encoding: chunked, identity") + chunk(b"body") + _LAST,
    head(_OK, b"Transfer-Encoding: chunked, chunked") + chunk(b"body") + _LAST,
    head(_OK, b"Transfer-Encoding: xchunked") + chunk(b"body") + _LAST,
    head(_OK, b"Transfer-Encoding:\x0bchunked") + chunk(b"body") + _LAST,
    head(b"HTTP/1.0 200 OK", _CHUNKED) + chunk(b"body") + _LAST,
    head(_OK, _CHUNKED) + b"5\r\nbody\r\n" + _LAST,
    head(_OK, _CHUNKED) + b"3\r\nbody\r\n" + _LAST,
    head(_OK, _CHUNKED) + chunk(b"good") + b"zz\r\nbad\r\n" + _LAST,
    head(_OK, _CHUNKED) + chunk(b"good") + b"ffffffffffffffffff\r\n",
    head(_OK, _CHUNKED) + b"4\nbody\n0\n\n",
    head(_OK, _CHUNKED) + chunk(b"good") + b"0\r\nbad\r\n\r\n",
    head(_OK, b"X-A : 1", b"Content-Length: 4") + b"body",
    head(_OK, b"X-A: 1", b" folded", b"Content-Length: 4") + b"body",
    head(_OK, b"X-A: a\0b", b"Content-Length: 4") + b"body",
    head(_OK, b": 1", b"Content-Length: 4") + b"body",
    b"HTTP/1.1 200 OK\nContent-Length: 4\n\nbody",
    b"HTTP/1.1 200 OK\r\nX-A: 1\rContent-Length: 4\r\n\r\nbody",
    b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\nbody",
    b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    _counted(b"body", version=b"2.0"),
    _counted(b"body", version=b"1.2"),
    _counted(b"body", status=b"20 OK"),
    _counted(b"body", status=b"2000 OK"),
    _counted(b"body", status=b"099 OK"),
    b"ICY 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    b"RTSP/1.0 200 OK\r\nContent-Length: 4\r\n\r\nbody",
    head(b"HTTP/1.1 101 Switching Protocols", b"Connection: upgrade", b"Upgrade: websocket") + b"tunnel",
    head(b"HTTP/1.1 100 Continue", b"Content-Length: 9") + _SECOND,
    head(b"HTTP/1.1 103 Early Hints", _CHUNKED) + chunk(b"hidden") + _LAST,
    b"hello\r\n\r\n",
    b"<html>no HTTP</html>",
    b"",
]
METHODS = st.sampled_from([b"GET", b"GET", b"POST", b"HEAD"])
STARTS = st.one_of(st.sampled_from(GOOD), st.sampled_from(GOOD + NASTY))
