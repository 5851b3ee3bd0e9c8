"""A bad middleman, for the demo only: it does to a stream what a dev server or an nginx with the wrong settings does.

Imitated: a compression middleware that never flushes (webpack's dev server with `compress: true`, Express with
`compression()`, nginx with `gzip on` for the stream's type), and response buffering (nginx with `proxy_buffering on`).
Nothing arrives until a block is full or the answer is over. Otherwise it is honest: it keeps fields and bytes, breaks
off where its upstream does, and lets go of the upstream when its client leaves. CORS is open, because the page calls it
from another port.
"""

import zlib
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
from aiohttp import web

DEFAULT_BLOCK_KIB = 16

# Fields that belong to one connection (RFC 9110, 7.6.1), and the framing, which is made anew on each side.
_OF_ONE_CONNECTION = frozenset(
    {"connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "content-length"}
)
_SESSION = web.AppKey("session", aiohttp.ClientSession)


def application(upstream: str, block_kib: int = DEFAULT_BLOCK_KIB) -> web.Application:
    """A middleman in front of `upstream`, an origin. It sends on only when `block_kib` KiB came together."""
    app = web.Application()
    app.cleanup_ctx.append(_session)
    app.router.add_route("*", "/{path:.*}", partial(_handle, upstream=upstream, block_bytes=block_kib * 1024))
    return app


class Block:
    """What is held back: compressed if `gzip` is true, and given away only in blocks."""

    def __init__(self, gzip: bool, block_bytes: int) -> None:
        # 31: the deflate window of 15 bits, in a gzip wrapper.
        self._deflate = zlib.compressobj(wbits=31) if gzip else None
        self._block_bytes = block_bytes
        self._held = bytearray()

    def feed(self, octets: bytes) -> bytes:
        """Takes the next bytes; returns a full block, or nothing yet."""
        self._held += self._deflate.compress(octets) if self._deflate else octets
        return self._take() if len(self._held) >= self._block_bytes else b""

    def flush(self) -> bytes:
        """Returns all that is left, at the end."""
        self._held += self._deflate.flush() if self._deflate else b""
        return self._take()

    def _take(self) -> bytes:
        block, self._held = bytes(self._held), bytearray()
        return block


async def _session(app: web.Application) -> AsyncIterator[None]:
    timeout = aiohttp.ClientTimeout(total=None, connect=10)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as session:
        app[_SESSION] = session
        yield


async def _handle(request: web.Request, upstream: str, block_bytes: int) -> web.StreamResponse:
    if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
        return web.Response(status=204, headers=_cors(request))
    try:
        answer = await request.app[_SESSION].request(
            request.method,
            upstream + str(request.rel_url),
            headers=_request_fields(request),
            data=await request.read() if request.body_exists else None,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
        )
    except aiohttp.ClientError:
        return web.Response(status=502, text="The upstream gave no answer.", headers=_cors(request))
    async with answer:
        return await _send_on(request, answer, block_bytes)


async def _send_on(request: web.Request, answer: aiohttp.ClientResponse, block_bytes: int) -> web.StreamResponse:
    gzip = _is_compressed_here(request, answer)
    response = web.StreamResponse(status=answer.status, reason=answer.reason)
    for name, value in answer.headers.items():
        if name.lower() not in _OF_ONE_CONNECTION:
            response.headers.add(name, value)
    response.headers.update(_cors(request))
    if gzip:
        response.headers["Content-Encoding"] = "gzip"
        response.headers["Vary"] = "Accept-Encoding"
    block = Block(gzip, block_bytes)
    source = answer.content.iter_any()
    while octets := await _next(source):
        await _write(request, response, block.feed(octets))
    await _write(request, response, block.flush())
    # A broken body stays broken: what was held back is out, the end of the body never gets out.
    if octets is None and request.transport is not None:
        request.transport.close()
    return response


def _is_compressed_here(request: web.Request, answer: aiohttp.ClientResponse) -> bool:
    if request.method == "HEAD" or answer.status in (204, 304) or "Content-Encoding" in answer.headers:
        return False
    return "gzip" in request.headers.get("Accept-Encoding", "")


async def _next(source: AsyncIterator[bytes]) -> bytes | None:
    """The next bytes of the upstream's body, empty at its end, None where it broke off."""
    try:
        return await anext(source, b"")
    except aiohttp.ClientError:
        return None


async def _write(request: web.Request, response: web.StreamResponse, octets: bytes) -> None:
    """Writes `octets`, the head before the first of them: it is held back like everything else."""
    if octets:
        await response.prepare(request)
        await response.write(octets)


def _request_fields(request: web.Request) -> list[tuple[str, str]]:
    dropped = _OF_ONE_CONNECTION | {"host", "accept-encoding"}
    kept = [(name, value) for name, value in request.headers.items() if name.lower() not in dropped]
    return [*kept, ("Accept-Encoding", "identity")]


def _cors(request: web.Request) -> dict[str, str]:
    return {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": "GET, POST",
        # `*` would not cover Authorization, so what was asked for is repeated.
        "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", "*"),
        "Access-Control-Max-Age": "600",
    }
