"""Compressors that flush: each piece can be decoded as soon as it is there."""

import random
import sys
import zlib
from typing import Any

import brotli

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Deflater:
    """gzip, and deflate in both its forms."""

    def __init__(self, window_bits: int) -> None:
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, window_bits)

    def piece(self, data: bytes) -> bytes:
        return self._deflate.compress(data) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        return self._deflate.flush()


class Brotli:
    def __init__(self) -> None:
        self._compressor: Any = brotli.Compressor()

    def piece(self, data: bytes) -> bytes:
        return self._compressor.process(data) + self._compressor.flush()

    def end(self) -> bytes:
        return self._compressor.finish()


class Zstandard:
    def __init__(self) -> None:
        self._compressor = zstd.ZstdCompressor()

    def piece(self, data: bytes) -> bytes:
        return self._compressor.compress(data, zstd.ZstdCompressor.FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._compressor.flush(zstd.ZstdCompressor.FLUSH_FRAME)


COMPRESSORS: dict[str, tuple[bytes, Any]] = {
    "gzip": (b"gzip", lambda: Deflater(16 + zlib.MAX_WBITS)),
    "x-gzip": (b"x-gzip", lambda: Deflater(16 + zlib.MAX_WBITS)),
    "deflate in zlib's format": (b"deflate", lambda: Deflater(zlib.MAX_WBITS)),
    "raw deflate": (b"deflate", lambda: Deflater(-zlib.MAX_WBITS)),
    "br": (b"br", Brotli),
    "zstd": (b"zstd", Zstandard),
}


_UNIT_BYTES, _BLOCK_BYTES, _NOISE_BYTES = 16 * 1024 * 1024, 8192, 128


def unfolding(size: int) -> bytes:
    """So many bytes that every coding folds to a sixtieth: much, and yet less than what is refused as a bomb.

    What repeats itself is further away than any decoder looks back.
    """
    noise, blank = random.Random(0), bytes(_BLOCK_BYTES - _NOISE_BYTES)
    blocks = min(_UNIT_BYTES, size + _BLOCK_BYTES) // _BLOCK_BYTES
    unit = b"".join([noise.randbytes(_NOISE_BYTES) + blank for _ in range(blocks)])
    return (unit * (size // len(unit) + 1))[:size]


def whole(coding: str, data: bytes) -> bytes:
    """All of it, as one member."""
    compressor = COMPRESSORS[coding][1]()
    return compressor.piece(data) + compressor.end()
