"""Undoing a content coding as the bytes arrive. Source: RFC 9110 section 8.4."""

import sys
import zlib
from collections.abc import Callable
from typing import Any, Protocol

import brotli

from proxy.core.errors import ContentCodingBroken
from proxy.core.stages import PIECE_BYTES

if sys.version_info >= (3, 14):  # pragma: no cover - which one is a matter of the interpreter
    from compression import zstd
else:  # pragma: no cover
    from backports import zstd

# More than this many bytes for one, once so much has come out, is no text but an attack.
MOST_UNFOLDED, UNFOLDED_FROM_BYTES = 100, 1024 * 1024


class Coding(Protocol):
    """One compressed member, as the four libraries agree on it once wrapped."""

    ended: bool
    rest: bytes
    more: bool

    def decompress(self, data: bytes) -> bytes:
        """At most PIECE_BYTES of output."""


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._inflate = zlib.decompressobj(window_bits)
        self.ended, self.rest, self.more = False, b"", False

    def decompress(self, data: bytes) -> bytes:
        piece = self._inflate.decompress(self._inflate.unconsumed_tail + data, PIECE_BYTES)
        self.ended, self.rest = self._inflate.eof, self._inflate.unused_data
        # A full piece may leave output inside zlib even when all input is taken.
        self.more = not self.ended and (bool(self._inflate.unconsumed_tail) or len(piece) == PIECE_BYTES)
        return piece


class _Deflate:
    """`deflate` is zlib's format by RFC 9110 section 8.4.1.2; some servers send the raw one. Two bytes tell."""

    def __init__(self) -> None:
        self._start = b""
        self._inflate: _Zlib | None = None
        self.ended, self.rest, self.more = False, b"", False

    def decompress(self, data: bytes) -> bytes:
        if self._inflate is None:
            self._start += data
            if len(self._start) < 2:
                return b""
            is_zlib = self._start[0] & 0x0F == 8 and int.from_bytes(self._start[:2], "big") % 31 == 0
            self._inflate, data = _Zlib(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS), self._start
        piece = self._inflate.decompress(data)
        self.ended, self.rest, self.more = self._inflate.ended, self._inflate.rest, self._inflate.more
        return piece


class _Brotli:
    """brotli's limit is soft, it gives up to half as much again; and only an empty answer says that nothing is left."""

    def __init__(self) -> None:
        self._inflate: Any = brotli.Decompressor()
        self._surplus = b""
        self.ended, self.rest, self.more = False, b"", False

    def decompress(self, data: bytes) -> bytes:
        made = self._surplus
        if data or len(made) < PIECE_BYTES:
            made += self._inflate.process(data, output_buffer_limit=PIECE_BYTES)
        piece, self._surplus = made[:PIECE_BYTES], made[PIECE_BYTES:]
        self.ended = self._inflate.is_finished() and not self._surplus
        self.more = not self.ended and bool(piece)
        return piece


# 8 MiB, which is all that HTTP allows, and not the 128 MiB of the library. Source: RFC 9659 section 3.
_ZSTD_WINDOW_LOG = 23


class _Zstandard:
    def __init__(self) -> None:
        self._inflate = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG})
        self.ended, self.rest, self.more = False, b"", False

    def decompress(self, data: bytes) -> bytes:
        piece = self._inflate.decompress(data, PIECE_BYTES)
        self.ended = self._inflate.eof
        self.rest = self._inflate.unused_data if self.ended else b""
        self.more = not self.ended and not self._inflate.needs_input
        return piece


CODINGS: dict[bytes, Callable[[], Coding]] = {
    b"gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    b"x-gzip": lambda: _Zlib(16 + zlib.MAX_WBITS),
    b"deflate": _Deflate,
    b"br": _Brotli,
    b"zstd": _Zstandard,
}
# gzip and zstd allow several members one after the other: RFC 1952 section 2.2, RFC 8878 section 3.1.
_SEVERAL = frozenset({b"gzip", b"x-gzip", b"zstd"})


class Decode:
    """Undoes one content coding as the bytes arrive, giving out all that is there. Source: RFC 9110 section 8.4."""

    def __init__(self, coding: bytes) -> None:
        self._coding = coding
        self._member = CODINGS[coding]()
        self._waiting = b""
        self._begun = False
        self._taken_bytes = self._given_bytes = 0

    def feed(self, data: bytes) -> bytes:
        """The next decoded piece."""
        self._taken_bytes += len(data)
        if self._member.ended:
            data, self._waiting = self._waiting + data, b""
            if not data:
                return b""
            if self._coding not in _SEVERAL:
                raise ContentCodingBroken
            self._member = CODINGS[self._coding]()
        self._begun = self._begun or bool(data)
        try:
            piece = self._member.decompress(data)
        except (zlib.error, brotli.error, zstd.ZstdError) as error:
            raise ContentCodingBroken from error
        self._given_bytes += len(piece)
        if self._given_bytes > max(UNFOLDED_FROM_BYTES, MOST_UNFOLDED * self._taken_bytes):
            raise ContentCodingBroken("The upstream's compressed stream unfolds to more than a hundred times its size.")
        if self._member.ended:
            self._waiting = self._member.rest
        return piece

    def more(self) -> bool:
        """Whether a call with `b""` would give output."""
        return self._member.more or bool(self._waiting)

    def flush(self) -> bytes:
        """Nothing is ever held back; the end has to be the coding's own."""
        if self._begun and not self._member.ended:
            raise ContentCodingBroken
        return b""

    def held(self) -> bytes:
        """Nothing that is decoded is held."""
        return b""
