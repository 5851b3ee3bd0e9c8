"""Asks once and watches: name, TCP, TLS, head, each read, end. Judges nothing; says only what kind of trouble it was.

Every call ends within its bounds, whatever the other side does.
"""

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import aiohappyeyeballs
from yarl import URL

from proxy.core.message import Field, first
from proxy.doctor.observation import Observation, Request, Trouble
from proxy.doctor.wire import AnswerReader

# What browsers send: without it nobody would compress, and the culprit would hide.
ACCEPT_ENCODING = b"gzip, deflate, br, zstd"
USER_AGENT = b"streamsafe-doctor"
_NEXT_ADDRESS_AFTER_S = 0.25
_SECOND_LOOK_S = 3.0
_WATCH_EVERY_S = 0.1
_UNROUTABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EHOSTDOWN, errno.ENETDOWN})
# OpenSSL's X509_V_ERR_ numbers.
_CERTIFICATE: dict[int, Trouble] = {
    9: "tls_not_yet_valid",
    10: "tls_expired",
    18: "tls_self_signed",
    19: "tls_unknown_authority",
    20: "tls_unknown_authority",
    21: "tls_unknown_authority",
    62: "tls_wrong_name",
    64: "tls_wrong_name",
}


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long and how much to watch, and whether to go on with a certificate that nothing vouches for."""

    timeout_s: float = 120.0
    max_bytes: int = 8 * 1024 * 1024
    verify: bool = True
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by whoever has seen enough."""


Watch = Callable[[Observation], None]


async def observe(request: Request, bounds: Bounds, watch: Watch | None = None) -> Observation:
    """One exchange, watched to its end or to the bounds. Raises nothing for what the other side does."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    seen = Observation(request)
    reader: AnswerReader | None = None
    try:
        async with asyncio.timeout(bounds.timeout_s):
            reader = await _connect(seen, started, bounds)
    except TimeoutError:
        seen.trouble = "connect_timeout" if seen.connected_s is None else "tls_handshake"
        seen.detail = "" if seen.connected_s is None else "the handshake did not end within the time"
    except (OSError, ValueError) as error:
        await _note(seen, error)
    if reader is None:
        seen.ended_s = loop.time() - started
        return seen
    assert reader.transport is not None
    try:
        reader.transport.write(request_bytes(request))
        seen.sent_s = reader.elapsed()
        await _wait(reader, bounds, lambda: watch(seen) if watch else None)
    finally:
        reader.transport.abort()
    await _look_again(seen, reader)
    return seen


async def _wait(reader: AnswerReader, bounds: Bounds, tell: Callable[[], None]) -> None:
    """Until the answer has ended, the time is up or the user has seen enough."""
    stop = asyncio.ensure_future(bounds.stop.wait())
    either: set[asyncio.Future[Any]] = {reader.done, stop}
    try:
        while not reader.done.done():
            left = bounds.timeout_s - reader.elapsed()
            if left <= 0 or stop.done():
                reader.finish("stopped" if stop.done() else "timeout")
                break
            await asyncio.wait(either, timeout=min(left, _WATCH_EVERY_S), return_when=asyncio.FIRST_COMPLETED)
            if not reader.done.done():
                reader.touch()
            tell()
    finally:
        stop.cancel()


async def _connect(seen: Observation, started: float, bounds: Bounds) -> AnswerReader:
    """A connection that nothing was sent on. Errors: OSError, ssl.SSLError among them; ValueError for a bad name."""
    loop = asyncio.get_running_loop()
    url = _location(seen.request.url)
    host, port = url.raw_host or "", url.port or 0
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    seen.resolved_s = loop.time() - started
    connected = await aiohappyeyeballs.start_connection(
        addresses,
        happy_eyeballs_delay=_NEXT_ADDRESS_AFTER_S,
        interleave=1,
        loop=loop,
    )
    connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    seen.connected_s = loop.time() - started

    def reader() -> AnswerReader:
        return AnswerReader(seen, started, bounds.max_bytes)

    if url.scheme == "http":
        _, protocol = await loop.create_connection(reader, sock=connected)
        return protocol
    try:
        _, protocol = await loop.create_connection(
            reader, sock=connected, ssl=_context(verify=True), server_hostname=host, ssl_shutdown_timeout=1.0
        )
    except ssl.SSLCertVerificationError as error:
        if bounds.verify:
            raise
        await _note(seen, error)
        again = await aiohappyeyeballs.start_connection(addresses, interleave=1, loop=loop)
        _, protocol = await loop.create_connection(
            reader, sock=again, ssl=_context(verify=False), server_hostname=host, ssl_shutdown_timeout=1.0
        )
    seen.secured_s = loop.time() - started
    return protocol


def _location(url: str) -> URL:
    """The URL as written: what is percent-encoded stays so, and only what has to be is encoded."""
    return URL(url, encoded=url.isascii())


def _context(verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _note(seen: Observation, error: OSError | ValueError) -> None:
    """What kind of trouble that was, the most specific first."""
    seen.detail = str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        seen.trouble = _CERTIFICATE.get(error.verify_code, "tls_certificate")
        seen.detail = error.verify_message
    elif isinstance(error, socket.gaierror | UnicodeError):
        seen.trouble = "dns"
    elif isinstance(error, ssl.SSLError) or (seen.connected_s is not None and isinstance(error, ConnectionError)):
        speaks_http = await _answers(seen.request.url, b"HEAD / HTTP/1.0\r\n\r\n")
        seen.trouble = "https_to_http_port" if speaks_http else "tls_handshake"
    elif isinstance(error, ConnectionRefusedError):
        seen.trouble = "refused"
    elif isinstance(error, OSError) and error.errno == errno.ETIMEDOUT:
        seen.trouble = "connect_timeout"
    elif isinstance(error, OSError) and error.errno in _UNROUTABLE:
        seen.trouble = "unroutable"
    else:
        seen.trouble = "refused" if isinstance(error, OSError) else "dns"


async def _look_again(seen: Observation, reader: AnswerReader) -> None:
    """Whether a port that gave no HTTP to a plain request speaks TLS; nothing of the request is sent there."""
    if seen.answered:
        return
    if seen.end in ("cut", "reset"):
        seen.trouble = seen.trouble or "no_answer"
        alert = reader.first_bytes[:2] == b"\x15\x03"
        if _location(seen.request.url).scheme == "http" and (alert or await _speaks_tls(seen.request.url)):
            seen.trouble = "http_to_https_port"
    elif seen.end is not None:
        seen.trouble = "no_answer"
    if seen.trouble == "not_http":
        seen.detail = f"{seen.detail}; it began with {reader.first_bytes[:40]!r}"


async def _answers(url: str, words: bytes) -> bool:
    """Whether what is spoken there without TLS is HTTP."""
    where = _location(url)
    try:
        async with asyncio.timeout(_SECOND_LOOK_S):
            reader, writer = await asyncio.open_connection(where.raw_host, where.port)
            try:
                writer.write(words)
                return (await reader.readexactly(5)) == b"HTTP/"
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


async def _speaks_tls(url: str) -> bool:
    where = _location(url)
    try:
        async with asyncio.timeout(_SECOND_LOOK_S):
            _, writer = await asyncio.open_connection(
                where.raw_host, where.port, ssl=_context(verify=False), server_hostname=where.raw_host
            )
            writer.transport.abort()
            return True
    except (OSError, TimeoutError, ValueError):
        return False


def request_bytes(request: Request) -> bytes:
    """The request as it is sent: what a browser or an SDK would say, and what the user adds or replaces."""
    url = _location(request.url)
    default_port = {"http": 80, "https": 443}[url.scheme]
    host = (url.raw_host or "").encode()
    host = b"[%b]" % host if b":" in host else host
    defaults: list[tuple[bytes, bytes]] = [
        (b"Host", host if url.port == default_port else b"%b:%d" % (host, url.port or 0)),
        (b"User-Agent", USER_AGENT),
        (b"Accept", _accept(request)),
        (b"Accept-Encoding", ACCEPT_ENCODING),
    ]
    if request.origin is not None:
        defaults.append((b"Origin", request.origin))
    if request.body:
        defaults.append((b"Content-Type", b"application/json"))
    lines = [b"%b: %b" % line for line in defaults if first(request.fields, line[0].lower()) is None]
    lines += [b"%b: %b" % (name, value) for key, name, value in request.fields if key != b"content-length"]
    if request.body or request.method in (b"POST", b"PUT", b"PATCH"):
        lines.append(b"Content-Length: %d" % len(request.body))
    target = (url.raw_path_qs or "/").encode("ascii")
    target = target if target.startswith(b"/") else b"/" + target
    return b"\r\n".join([b"%b %b HTTP/1.1" % (request.method, target), *lines, b"", request.body])


def _accept(request: Request) -> bytes:
    """EventSource's own for a GET, as some servers stream for exactly that; the SDKs' mixture for the rest."""
    if request.method == b"GET":
        return b"text/event-stream"
    return b"text/event-stream, application/json;q=0.9, */*;q=0.5"


def preflight_of(request: Request) -> Request | None:
    """What a browser would ask first, or None where it would not. Source: Fetch, CORS-preflight fetch."""
    if request.origin is None:
        return None
    names = {key for key, _, value in request.fields if not _is_safelisted(key, value)}
    if request.body and first(request.fields, b"content-type") is None:
        names.add(b"content-type")
    if not names and request.method in (b"GET", b"HEAD", b"POST"):
        return None
    fields: list[Field] = [(b"access-control-request-method", b"Access-Control-Request-Method", request.method)]
    if names:
        wanted = b",".join(sorted(names))
        fields.append((b"access-control-request-headers", b"Access-Control-Request-Headers", wanted))
    fields.append((b"accept", b"Accept", b"*/*"))
    return Request(request.url, b"OPTIONS", tuple(fields), origin=request.origin)


# Set by the browser itself or not at all, whatever a page says; and what needs no permission.
_BROWSERS_OWN = frozenset({b"host", b"origin", b"user-agent", b"cookie", b"accept-encoding", b"content-length"})
_SIMPLE_TYPES = frozenset({b"text/plain", b"multipart/form-data", b"application/x-www-form-urlencoded"})


def _is_safelisted(key: bytes, value: bytes) -> bool:
    if key == b"content-type":
        return value.partition(b";")[0].strip().lower() in _SIMPLE_TYPES
    return (
        key in _BROWSERS_OWN or key in (b"accept", b"accept-language", b"content-language") or (key.startswith(b"sec-"))
    )
