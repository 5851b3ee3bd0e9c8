"""Where a message's body ends: read strictly from either side's head, and computed, never copied, for the client.

Source: RFC 9112 section 6.
"""

from typing import Literal, NamedTuple

from proxy.core.errors import ClientError, NotImplementedByProxy, ResponseMalformed, TransferCodingUnknown
from proxy.core.message import BODYLESS_STATUSES, RequestHead, ResponseHead, members, values

Framing = Literal["none", "length", "chunked", "close"]
"""What tells the end: there is no body, Content-Length says it, the last chunk does, or the connection's end, which
only responses have."""


class Body(NamedTuple):
    """How a body ends; `length` is what Content-Length says, None where it says nothing."""

    framing: Framing
    length: int | None = None


NO_BODY = Body("none")
EMPTY_BODY = Body("none", 0)
_CHUNKED = Body("chunked")
CLOSE_BODY = Body("close")


def of_request(request: RequestHead) -> Body:
    """How a request's body ends.

    Errors: ClientError for what different servers would read differently, NotImplementedByProxy for other codings.
    """
    lengths = request.values(b"content-length")
    if b"transfer-encoding" in request.names:
        codings = members(request.values(b"transfer-encoding"))
        if lengths or request.version < (1, 1) or codings.count(b"chunked") != 1 or codings[-1] != b"chunked":
            raise ClientError("The framing of the request body is ambiguous.")
        if len(codings) > 1:
            raise NotImplementedByProxy("The only transfer coding known here is chunked.")
        return _CHUNKED
    if not lengths:
        return NO_BODY
    if len(lengths) > 1 or not _is_length(lengths[0]):
        raise ClientError("The request needs exactly one Content-Length, a number.")
    length = int(lengths[0])
    return Body("length", length) if length else EMPTY_BODY


def of_response(method: bytes, head: ResponseHead) -> Body:
    """How the body of an upstream's answer to that method ends. Source: RFC 9112 section 6.3.

    Errors: TransferCodingUnknown, ResponseMalformed for a length that is none.
    """
    names = head.names
    length = None
    coded = b"transfer-encoding" in names
    if b"content-length" in names:
        for key, _, value in head.fields:
            if key == b"content-length":
                if coded or length is not None or not _is_length(value):
                    raise ResponseMalformed
                length = int(value)
    if coded and (head.version < (1, 1) or not _is_chunked(values(head.fields, b"transfer-encoding"))):
        raise TransferCodingUnknown
    if head.status in BODYLESS_STATUSES or method == b"HEAD":
        return NO_BODY if length is None else Body("none", length)
    if coded:
        return _CHUNKED
    return CLOSE_BODY if length is None else tuple.__new__(Body, ("length", length))


def of_answer(request: RequestHead, upstream: Body, changed: bool) -> Body:
    """How our body for the client ends: as short a promise as holds. An HTTP/1.0 client never gets chunked."""
    if upstream.framing == "none" or (upstream.framing == "length" and not changed):
        return upstream
    return _CHUNKED if request.version >= (1, 1) else CLOSE_BODY


def told(body: Body) -> bytes:
    """The end of a request head: the line that says how the body ends, if one is needed, and the empty one."""
    if body.framing == "chunked":
        return b"Transfer-Encoding: chunked\r\n\r\n"
    return b"\r\n" if body.length is None else b"Content-Length: %d\r\n\r\n" % body.length


def _is_chunked(lines: list[bytes]) -> bool:
    """Whether one line says just that: a parser may read `chunked,` as a coding that it does not know."""
    return len(lines) == 1 and lines[0].lower() == b"chunked"


def _is_length(value: bytes) -> bool:
    return value.isdigit() and len(value) <= 18


# Reads of fewer bytes are compared.
LONE_BYTES = 1024


def _lone_chunk(read_bytes: int) -> tuple[bytes, int]:
    """The size line of the chunk that fills such a read, and how much is in it; where no chunk does, a line that is
    longer than any such read."""
    for digits in (1, 2, 3):
        size = read_bytes - digits - len(b"\r\n\r\n")
        if size > 0 and len(b"%x" % size) == digits:
            return b"%x\r\n" % size, size
    return bytes(LONE_BYTES), -1


# Most events come alone, in a chunk of their own, and leave in the very same bytes: to compare a read with the one form
# that such a chunk has, as we would write it, spares the parser and a copy.
LONE_CHUNKS = tuple(_lone_chunk(size) for size in range(LONE_BYTES))
