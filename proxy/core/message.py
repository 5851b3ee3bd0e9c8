"""HTTP messages as values: fields, heads, and heads as bytes.

A field keeps its bytes as received; nothing here knows which fields are hop-by-hop or what a rule says (`headers`).
Source: RFC 9110 section 5, RFC 9112 sections 2 to 6.
"""

from http import HTTPStatus
from itertools import chain
from operator import itemgetter
from typing import NamedTuple

# (lower-case name, name as received, value): compared by the first, sent as the other two. Lower-casing once, when the
# message crosses into our types, is what keeps the rules below cheap.
Field = tuple[bytes, bytes, bytes]
Fields = tuple[Field, ...]

_KNOWN = frozenset(HTTPStatus)
_KEY = itemgetter(0)
BODYLESS_STATUSES = frozenset({204, 304})


def field(name: bytes, value: bytes) -> Field:
    """A field from its name as it shall be sent."""
    return name.lower(), name, value


def values(fields: Fields | list[Field], key: bytes) -> list[bytes]:
    """The values of every line of that lower-case name, in order."""
    return [value for field_key, _, value in fields if field_key == key]


def first(fields: Fields | list[Field], key: bytes) -> bytes | None:
    """The first line's value, or None where the field is missing."""
    for field_key, _, value in fields:
        if field_key == key:
            return value
    return None


def members(field_values: list[bytes]) -> list[bytes]:
    """The lower-case members of a comma-separated list spread over any number of lines. Source: RFC 9110 5.6.1."""
    return [member for value in field_values for raw in value.split(b",") if (member := raw.strip(b" \t").lower())]


# Heads are named tuples, as frozen as a dataclass. Those of every request are made by `tuple.__new__`, which costs half
# of what their own constructor does.


class Peer(NamedTuple):
    """Who is at the other end of a client connection; `ip` is empty on a Unix socket."""

    ip: str
    secure: bool
    """Whether the client spoke TLS to us."""


class RequestHead(NamedTuple):
    """A request head as received. Made by `request_head`.

    `names` are the lower-case names that occur: most of what is looked for is not there, and this says so at once.
    """

    method: bytes
    target: bytes
    version: tuple[int, int]
    fields: Fields
    peer: Peer
    names: frozenset[bytes]

    def values(self, key: bytes) -> list[bytes]:
        """The values of every line of that lower-case name, in order."""
        return values(self.fields, key) if key in self.names else []

    def first(self, key: bytes) -> bytes | None:
        """The first line's value, or None where the field is missing."""
        return first(self.fields, key) if key in self.names else None

    def for_host(self, host: bytes) -> "RequestHead":
        """The same for another Host, which stands first."""
        fields = (field(b"Host", host), *(entry for entry in self.fields if entry[0] != b"host"))
        return self._replace(fields=fields, names=self.names | {b"host"})

    @property
    def size(self) -> int:
        """Bytes of the request line and the fields, line ends included."""
        lines = sum([len(name) + len(value) for _, name, value in self.fields])
        return len(self.method) + len(self.target) + 12 + lines + 4 * len(self.fields)

    def is_over(self, limit: int) -> bool:
        """Whether the head is larger than this. Most are so small that a rough count, which is too high, says no."""
        rough = len(self.target) + 64 + 4 * len(self.fields) + sum(map(len, chain.from_iterable(self.fields)))
        return rough > limit and self.size > limit


def request_head(method: bytes, target: bytes, version: tuple[int, int], fields: Fields, peer: Peer) -> RequestHead:
    """A request head from its parts."""
    names = frozenset(map(_KEY, fields))
    return tuple.__new__(RequestHead, (method, target, version, fields, peer, names))


class ResponseHead(NamedTuple):
    """A response head as received: `reason` may be empty. Made by `response_head`; `names` as in a request's."""

    status: int
    reason: bytes
    version: tuple[int, int]
    fields: Fields
    names: frozenset[bytes]

    def values(self, key: bytes) -> list[bytes]:
        """The values of every line of that lower-case name, in order."""
        return values(self.fields, key) if key in self.names else []


_NO_NAMES: frozenset[bytes] = frozenset()  # each empty one is an object of 216 bytes


def response_head(status: int, reason: bytes, version: tuple[int, int], fields: Fields) -> ResponseHead:
    """A response head from its parts."""
    names = frozenset(map(_KEY, fields)) if fields else _NO_NAMES
    return tuple.__new__(ResponseHead, (status, reason, version, fields, names))


def persists(head: ResponseHead) -> bool:
    """Whether the connection may be used again after this message. Source: RFC 9112 section 9.3."""
    if b"connection" not in head.names:
        return head.version >= (1, 1)
    options = members(head.values(b"connection"))
    return b"close" not in options and (head.version >= (1, 1) or b"keep-alive" in options)


def keep_alive_timeout(head: ResponseHead) -> int | None:
    """For how many seconds the other side says that it keeps an idle connection. Source: RFC 2068 section 19.7.1.1."""
    for parameter in members(head.values(b"keep-alive")):
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"timeout" and value.strip().isdigit():
            return int(value.strip()[:9])
    return None


def phrase(status: int) -> bytes:
    """The usual reason phrase of a status of our own; empty for one that has none."""
    return HTTPStatus(status).phrase.encode("ascii") if status in _KNOWN else b""


def request_lines(method: bytes, target: bytes, fields: list[Field]) -> bytes:
    """The lines of an HTTP/1.1 request head, without the empty one that ends it."""
    lines = [b"%b %b HTTP/1.1" % (method, target)]
    for _, name, value in fields:
        lines.append(name + b": " + value)
    lines.append(b"")
    return b"\r\n".join(lines)


ALLOW = field(b"Allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
"""The methods that every proxy knows to pass on."""


def field_lines(fields: list[Field]) -> bytes:
    """Fields as lines, as in a trailer section."""
    return b"".join([b"%b: %b\r\n" % (name, value) for _, name, value in fields])


def response_bytes(status: int, reason: bytes, fields: list[Field]) -> bytes:
    """An HTTP/1.1 response head, ready to be written. Each side is sent our own version: RFC 9112 section 2.3."""
    lines = [b"HTTP/1.1 %d %b" % (status, reason)]
    for _, name, value in fields:
        lines.append(name + b": " + value)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
