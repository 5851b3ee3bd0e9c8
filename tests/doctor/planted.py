"""Servers that misbehave on purpose: a script of bytes and waits on a raw socket, which no framework mends."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias

from proxy.doctor.observation import Request
from proxy.doctor.probe import Bounds, observe, preflight_of
from proxy.doctor.rules import Diagnosis, diagnose

LIMIT_S = 10.0
RESET = "reset"
Step: TypeAlias = bytes | float | str
"""Bytes to send, seconds in which the server has nothing to say, or `reset`."""

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
END = b"0\r\n\r\n"


def head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(number: int, size: int = 0) -> bytes:
    return b'data: {"n":%d,"x":"%b"}\n\n' % (number, b"y" * size)


def chunked(*data: bytes) -> list[Step]:
    """Head, each piece in a chunk of its own a little after the one before, end."""
    steps: list[Step] = [HEAD]
    for piece in data:
        steps += [chunk(piece), 0.03]
    return [*steps, END]


@asynccontextmanager
async def server(script: Sequence[Step], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Plays the script to whoever connects and asks; then closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for step in script:
                if step == RESET:
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    writer.transport.abort()
                    return
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, float):
                    await asyncio.sleep(step)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async with serving(serve, tls) as port:
        yield port


Handler: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on a free loopback port; waits for its handlers at the end."""
    running: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        task.add_done_callback(running.discard)
        try:
            await handler(reader, writer)
        except asyncio.CancelledError:
            pass  # asyncio's own callback raises for a cancelled one
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def examined(
    url: str,
    *,
    direct: str | None = None,
    timeout_s: float = LIMIT_S,
    verify: bool = True,
    max_bytes: int = 1 << 20,
    method: str = "GET",
    lines: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    origin: str | None = None,
) -> Diagnosis:
    """What the command does, without its command line."""
    bounds = Bounds(timeout_s, max_bytes, verify)
    request = Request.of(url, method, list(lines), body, origin)
    asked_first = preflight_of(request)
    preflight = await observe(asked_first, bounds) if asked_first is not None else None
    seen = await observe(request, bounds)
    own = await observe(Request.of(direct, method, list(lines), body, origin), bounds) if direct is not None else None
    return diagnose(seen, preflight, own)


async def played(script: Sequence[Step], path: str = "/", **options: object) -> Diagnosis:
    """What the doctor says of a server that plays this script."""
    async with server(script) as port:
        return await examined(f"http://127.0.0.1:{port}{path}", **options)  # type: ignore[arg-type]


def ids(diagnosis: Diagnosis) -> list[str]:
    return [finding.id for finding in diagnosis.findings]


def of(diagnosis: Diagnosis, rule: str) -> str:
    """Everything that the finding with this id says, in one text."""
    (finding,) = [finding for finding in diagnosis.findings if finding.id == rule]
    return "\n".join([finding.says, *finding.evidence, *finding.mend])
