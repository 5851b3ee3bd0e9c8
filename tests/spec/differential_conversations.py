"""The conversations that are played to nginx and to us: requests plain and odd, upstream answers plain and odd.

Left out is what differs between nginx versions: 1xx answers, framing fields of an upstream that are repeated or no
number, bare LF, a 101 that nobody asked for, HTTP/0.9 on either side.
"""

from tests.net.responses import counted
from tests.net.wire import chunk, head

from .differential_play import FROM_ORIGIN, Conversation, End

_HOST = b"Host: localhost"
_CHUNKED = b"Transfer-Encoding: chunked"
_LAST = chunk(b"")
_BODY = chunk(b"abc") + _LAST


def _asks(*lines: bytes, start: bytes = b"GET /x HTTP/1.1", host: bytes = _HOST, body: bytes = b"") -> Conversation:
    return Conversation(head(start, *([host] if host else []), *lines) + body)


def _posts(*lines: bytes, body: bytes = b"") -> Conversation:
    return _asks(*lines, start=b"POST /x HTTP/1.1", body=body)


def _answered(*lines: bytes, body: bytes = b"", start: bytes = b"HTTP/1.1 200 OK", end: End = "open") -> Conversation:
    return Conversation(_GET, head(start, FROM_ORIGIN, *lines) + body, end)


_GET = head(b"GET /x HTTP/1.1", _HOST)
_HEAD = head(b"HEAD /x HTTP/1.1", _HOST)
_POST_3 = head(b"POST /x HTTP/1.1", _HOST, b"Content-Length: 3") + b"abc"

REQUESTS: dict[str, Conversation] = {
    "a GET": _asks(),
    "a query that is empty": _asks(start=b"GET /x? HTTP/1.1"),
    "escapes, double slashes and a semicolon": _asks(start=b"GET //a%2Fb/%zz;c?d=%20&e HTTP/1.1"),
    "dot segments inside the path": _asks(start=b"GET /a/../b HTTP/1.1"),
    "dot segments that leave the path": _asks(start=b"GET /../x HTTP/1.1"),
    "an absolute target": _asks(start=b"GET http://localhost/x HTTP/1.1"),
    "an absolute target without a path": _asks(start=b"GET http://localhost HTTP/1.1"),
    "a fragment in the target": _asks(start=b"GET /x#y HTTP/1.1"),
    "a byte above ASCII in the target": _asks(start=b"GET /\xc3\xa9 HTTP/1.1"),
    "a blank in the target": _asks(start=b"GET /x y HTTP/1.1"),
    "OPTIONS *": _asks(start=b"OPTIONS * HTTP/1.1"),
    "no Host": _asks(host=b""),
    "an empty Host": _asks(host=b"Host:"),
    "two Hosts": _asks(_HOST),
    "a foreign Host": _asks(host=b"Host: evil.example"),
    "HTTP/1.0": _asks(start=b"GET /x HTTP/1.0"),
    "HTTP/1.0 that asks to be kept": _asks(b"Connection: keep-alive", start=b"GET /x HTTP/1.0"),
    "HTTP/1.2": _asks(start=b"GET /x HTTP/1.2"),
    "HTTP/2.0": _asks(start=b"GET /x HTTP/2.0"),
    "Connection: close": _asks(b"Connection: close"),
    "fields named by Connection": _asks(b"Connection: x-a", b"X-A: 1", b"X-B: 2"),
    "hop-by-hop fields": _asks(b"Keep-Alive: timeout=5", b"Proxy-Authorization: x", b"TE: gzip", b"X-B: 2"),
    "an upgrade to h2c": _asks(b"Connection: upgrade", b"Upgrade: h2c"),
    "the Proxy field": _asks(b"Proxy: http://evil.example"),
    "an underscore in a name": _asks(b"X_A: 1"),
    "repeated fields": _asks(b"Cookie: a=1", b"X-A: 1", b"Cookie: b=2", b"X-A: 2"),
    "an empty value": _asks(b"X-A:"),
    "a byte above ASCII in a value": _asks(b"X-A: \xe9"),
    "a NUL in a value": _asks(b"X-A: a\0b"),
    "a blank before the colon": _asks(b"X-A : 1"),
    "a folded line": _asks(b"X-A: 1", b" 2"),
    "an empty name": _asks(b": 1"),
    "a line without a colon": _asks(b"nothing"),
    "an unknown method": _asks(start=b"BREW /x HTTP/1.1"),
    "TRACE": _asks(start=b"TRACE /x HTTP/1.1"),
    "a target of 9000 bytes": _asks(start=b"GET /" + b"a" * 9000 + b" HTTP/1.1"),
    "an empty line before the request": Conversation(b"\r\n" + _GET),
    "two requests at once": Conversation(_GET + _GET),
    "HEAD and GET at once": Conversation(_HEAD + _GET, methods=(b"HEAD", b"GET")),
    "a counted body": Conversation(_POST_3),
    "a counted body, and a GET behind it": Conversation(_POST_3 + _GET),
    "a POST without a body": _posts(),
    "a GET with a body": _asks(b"Content-Length: 3", body=b"abc"),
    "a chunked body": _posts(_CHUNKED, body=_BODY),
    "a chunked body, and a GET behind it": Conversation(_posts(_CHUNKED, body=_BODY).sent + _GET),
    "a chunked body of one empty chunk": _posts(_CHUNKED, body=_LAST),
    "chunk extensions": _posts(_CHUNKED, body=b"3;a=b\r\nabc\r\n" + _LAST),
    "request trailers": _posts(_CHUNKED, body=chunk(b"abc") + b"0\r\nX-Sum: 1\r\n\r\n"),
    "a length and chunked": _posts(b"Content-Length: 3", _CHUNKED, body=_BODY),
    "two equal lengths": _posts(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"),
    "two lengths": _posts(b"Content-Length: 3", b"Content-Length: 4", body=b"abcd"),
    "a length with a sign": _posts(b"Content-Length: +3", body=b"abc"),
    "a length over 64 bits": _posts(b"Content-Length: 18446744073709551617", body=b"abc"),
    "gzip, chunked": _posts(b"Transfer-Encoding: gzip, chunked", body=_BODY),
    "a coding that looks like chunked": _posts(b"Transfer-Encoding: xchunked", body=_BODY),
    "chunked in HTTP/1.0": _asks(_CHUNKED, start=b"POST /x HTTP/1.0", body=_BODY),
    "a chunk size that is no number": _posts(_CHUNKED, body=b"z\r\nabc\r\n" + _LAST),
    "a chunk longer than its size": _posts(_CHUNKED, body=b"2\r\nabc\r\n" + _LAST),
}
ANSWERS: dict[str, Conversation] = {
    "a counted answer": _answered(b"Content-Length: 2", body=b"ok"),
    "a chunked answer": _answered(_CHUNKED, body=_BODY),
    "an answer until the close": _answered(body=b"abc", end="fin"),
    "an answer of HTTP/1.0": _answered(body=b"abc", start=b"HTTP/1.0 200 OK", end="fin"),
    "204": _answered(start=b"HTTP/1.1 204 No Content"),
    "304 with a length": _answered(b"Content-Length: 5", start=b"HTTP/1.1 304 Not Modified"),
    "404 of the upstream": _answered(b"Content-Length: 2", body=b"no", start=b"HTTP/1.1 404 Not Found"),
    "a status of 599": _answered(b"Content-Length: 2", body=b"ok", start=b"HTTP/1.1 599 Odd"),
    "no reason phrase": _answered(b"Content-Length: 2", body=b"ok", start=b"HTTP/1.1 200 "),
    "an answer to HEAD": Conversation(
        _HEAD, head(b"HTTP/1.1 200 OK", FROM_ORIGIN, b"Content-Length: 5"), methods=(b"HEAD",)
    ),
    "a body behind the length": _answered(b"Content-Length: 2", body=b"ok, and more"),
    "an answer cut before its length": _answered(b"Content-Length: 9", body=b"abc", end="fin"),
    "an answer reset before its length": _answered(b"Content-Length: 9", body=b"abc", end="reset"),
    "a chunked answer cut between chunks": _answered(_CHUNKED, body=chunk(b"abc"), end="fin"),
    "a chunked answer cut inside a chunk": _answered(_CHUNKED, body=b"9\r\nabc", end="fin"),
    "a chunked answer with a bad chunk": _answered(_CHUNKED, body=chunk(b"abc") + b"z\r\n", end="fin"),
    "an answer until a reset": _answered(body=b"abc", end="reset"),
    "a cut answer to HTTP/1.0": Conversation(
        head(b"GET /x HTTP/1.0", _HOST), head(b"HTTP/1.1 200 OK", FROM_ORIGIN, _CHUNKED) + chunk(b"abc"), "fin"
    ),
    "no answer at all": Conversation(_GET, b"", "fin"),
    "half a head": Conversation(_GET, b"HTTP/1.1 200 OK\r\nX-Orig", "fin"),
    "a blank before the colon in an answer": _answered(b"X-A : 1", b"Content-Length: 2", body=b"ok"),
    "a folded line in an answer": _answered(b"X-A: 1", b" 2", b"Content-Length: 2", body=b"ok"),
    "a NUL in a value of an answer": _answered(b"X-A: a\0b", b"Content-Length: 2", body=b"ok"),
    "HTTP/2.0 in an answer": _answered(b"Content-Length: 2", body=b"ok", start=b"HTTP/2.0 200 OK"),
    "trailers": _answered(_CHUNKED, body=chunk(b"abc") + b"0\r\nX-Sum: 1\r\n\r\n"),
    "an answer to HTTP/1.0": Conversation(
        head(b"GET /x HTTP/1.0", _HOST), head(b"HTTP/1.1 200 OK", FROM_ORIGIN, _CHUNKED) + _BODY
    ),
    "an answer until the close, counted": Conversation(_GET + _GET, counted(b"ok", FROM_ORIGIN, b"Connection: close")),
}
CONVERSATIONS = {**REQUESTS, **ANSWERS}
