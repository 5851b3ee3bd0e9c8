"""Request targets: their form, the path they name, and the target the upstream gets.

Paths and queries stay the bytes that came: nothing here decodes, re-encodes or normalises what is forwarded.
Source: RFC 9112 section 3.2, RFC 9110 section 7.7.
"""

import functools
import re
from collections.abc import Iterator
from typing import NamedTuple

from proxy.core.errors import ClientError, ConfigurationError

# Visible ASCII but `#`: everything else is read differently by different servers.
_PLAIN = re.compile(rb"[!-\"$-~]+\Z")
_ABSOLUTE = re.compile(rb"https?://([^/?]+)(.*)\Z", re.IGNORECASE)
_DOT = re.compile(rb"%2e", re.IGNORECASE)
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")
_SUSPECT = re.compile(rb"\.\.|%2[eE]|%25")


class Target(NamedTuple):
    """A target in its parts: `authority` only where the absolute form was used, `query` with its `?` or empty."""

    path: bytes
    query: bytes
    authority: bytes | None = None


@functools.lru_cache(maxsize=256)
def parse(raw: bytes) -> Target:
    """The parts of an origin-form or absolute-form target; kept for the last ones, as an API has few.

    Errors: ClientError for a blank, `#`, control or non-ASCII byte, and for any other form.
    """
    if not _PLAIN.match(raw):
        raise ClientError("The request target holds a character that has to be percent-encoded.")
    authority = None
    if not raw.startswith(b"/"):
        absolute = _ABSOLUTE.match(raw)
        if not absolute:
            raise ClientError("The request target has to begin with a slash.")
        authority, raw = absolute.groups()
        if not raw.startswith(b"/"):
            raw = b"/" + raw
    path, mark, query = raw.partition(b"?")
    return Target(path, mark + query, authority)


def is_suspect(path: bytes) -> bool:
    """Whether a path holds dots, plain or encoded, by which any reading of it could climb; most do not."""
    return b".." in path or (b"%2" in path and _SUSPECT.search(path) is not None)


def leaves(rest: bytes) -> bool:
    """Whether any reading of the path below a prefix climbs out of it."""
    return is_suspect(rest) and any(_depth_below_zero(way) for way in _readings(rest))


def climbs(path: bytes) -> bool:
    """Whether any reading of a path climbs at all: what a regular expression matched has no prefix to stay below."""
    return is_suspect(path) and any(b".." in _segments(way) for way in _readings(path))


def _readings(path: bytes) -> Iterator[bytes]:
    """The ways in which a server behind us may read a path.

    As it is, decoded once, decoded twice; with only the dots decoded, as WHATWG URL parsers do; with backslashes as
    separators and as letters.
    """
    for _ in range(3):
        for way in (path, _DOT.sub(b".", path)):
            yield way
            yield way.replace(b"\\", b"/")
        path = decoded(path)


def decoded(text: bytes) -> bytes:
    """The text with every percent-encoded byte decoded once; broken escapes stay."""
    return _ESCAPE.sub(lambda code: bytes([int(code[1], 16)]), text)


def _segments(path: bytes) -> list[bytes]:
    """The segments without their parameters: `..;x` is read as `..` by servers that know them."""
    return [segment.partition(b";")[0] for segment in path.split(b"/")]


def _depth_below_zero(path: bytes) -> bool:
    depth = 0
    for name in _segments(path):
        if name == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif name not in (b"", b"."):
            depth += 1
    return False


def join(base: bytes, rest: bytes) -> bytes:
    """Base path and rest with exactly one slash between them."""
    return base.removesuffix(b"/") + b"/" + rest.removeprefix(b"/") if base else rest or b"/"


def join_query(base: bytes, received: bytes) -> bytes:
    """The upstream's own query and the received one, `?` included; a lone `?` stays."""
    if not base:
        return received
    return b"?" + base + (b"&" + received[1:] if len(received) > 1 else b"")


def checked(path: bytes) -> bytes:
    """A rewritten path, if it can be sent.

    Errors: ConfigurationError, and ClientError where the rewrite took away what the dots of the request led out of.
    """
    if not path.startswith(b"/") or not _PLAIN.match(path) or b"?" in path:
        raise ConfigurationError("The rewrite of this route gives no valid path: it has to begin with a slash.")
    if leaves(path[1:]):
        raise ClientError("The path leaves the route it belongs to.")
    return path
