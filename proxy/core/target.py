"""Request targets: their form, the path they name, and the target the upstream gets.

Paths and queries stay the bytes that came: nothing here decodes, re-encodes or normalises what is forwarded.
Source: RFC 9112 section 3.2, RFC 9110 section 7.7.
"""

import re
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


def parse(raw: bytes) -> Target:
    """The parts of an origin-form or absolute-form target.

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


def leaves(rest: bytes) -> bool:
    """Whether any reading of the path below a prefix climbs out of it.

    Readings: as it is, decoded once, decoded twice; with only the dots decoded, as WHATWG URL parsers do; with
    backslashes as separators and as letters. A server behind us may use any of them.
    """
    if not _SUSPECT.search(rest):
        return False
    reading = rest
    for _ in range(3):
        for way in (reading, _DOT.sub(b".", reading)):
            if _climbs(way) or _climbs(way.replace(b"\\", b"/")):
                return True
        previous, reading = reading, decoded(reading)
        if reading == previous:
            break
    return False


def decoded(text: bytes) -> bytes:
    """The text with every percent-encoded byte decoded once; broken escapes stay."""
    return _ESCAPE.sub(lambda code: bytes([int(code[1], 16)]), text)


def _climbs(path: bytes) -> bool:
    depth = 0
    for segment in path.split(b"/"):
        name = segment.partition(b";")[0]  # `..;x` is read as `..` by servers that know path parameters
        if name == b"..":
            depth -= 1
            if depth < 0:
                return True
        elif name not in (b"", b"."):
            depth += 1
    return False


def join(base: bytes, rest: bytes) -> bytes:
    """Base path and rest with exactly one slash between them."""
    return base.rstrip(b"/") + b"/" + rest.removeprefix(b"/") if base else rest or b"/"


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
