"""Responses that scripts send, as bytes."""

from .wire import head

SSE = head(b"HTTP/1.1 200 OK", b"Content-Type: text/event-stream", b"Transfer-Encoding: chunked")
CHUNKED = head(b"HTTP/1.1 200 OK", b"Content-Type: application/json", b"Transfer-Encoding: chunked")
UNTIL_CLOSE = head(b"HTTP/1.1 200 OK", b"Content-Type: text/plain")


def counted(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with Content-Length."""
    return head(b"HTTP/1.1 " + status, *lines, b"Content-Length: %d" % len(body)) + body


OK = counted(b"ok")
