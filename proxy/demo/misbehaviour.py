"""An upstream that breaks streams on purpose, in one of the ways that `streamsafe doctor` tells apart.

On a raw socket, because every framework would mend half of it. Whatever is asked gets the same answer, and a page of
another origin may read none: there are no CORS fields, but in `preflight`, where only OPTIONS goes without.
"""

import asyncio
import contextlib
import gzip
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

_MOST_HEAD_BYTES = 64 * 1024
_GAP_S = 0.1
_WORDS = ("Streams ", "arrive ", "while ", "they ", "are ", "made, ", "unless ", "somebody ", "holds ", "them.")

_CERTIFICATES = Path(__file__).parent / "certificates"


class _Close(Enum):
    RESET = "the connection is reset"


Step = bytes | float | _Close
"""Bytes to send, seconds in which nothing is sent, or a reset, behind which nothing can be."""

Wait = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Misbehaviour:
    """What is wrong, and how it is played; `finding` is what the doctor calls it."""

    says: str
    finding: str
    steps: tuple[Step, ...]
    preflight: tuple[Step, ...] | None = None
    """What OPTIONS is answered, where that is not the same."""
    certificate: str | None = None
    """The file with certificate and key, where it speaks TLS."""
    authority: str | None = None
    """The file that has to be trusted for the finding to be the only one."""
    ask: str = ""
    """What the doctor has to be told to see it."""

    @property
    def scheme(self) -> str:
        """Of its URL."""
        return "https" if self.certificate else "http"

    def command(self, url: str) -> str:
        """How the doctor is asked about it."""
        trusting = f"SSL_CERT_FILE={_CERTIFICATES / self.authority} " if self.authority else ""
        return " ".join(f"{trusting}streamsafe doctor {url} {self.ask}".split())


def _head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", *lines, "", ""]).encode("ascii")


_TYPE, _CHUNKED = "Content-Type: text/event-stream", "Transfer-Encoding: chunked"
_HEAD = _head(_TYPE, _CHUNKED)
_END = b"0\r\n\r\n"


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _event(number: int, padding: int = 0) -> bytes:
    text = _WORDS[number % len(_WORDS)] + "." * padding
    return b'data: {"n":%d,"text":"%b"}\n\n' % (number, text.encode())


def _choice(delta: bytes) -> bytes:
    return b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{%b}}]}\n\n' % delta


def _paced(pieces: Sequence[bytes], head: bytes = _HEAD) -> tuple[Step, ...]:
    """Head, each piece in a chunk of its own, end."""
    between: list[Step] = [step for piece in pieces for step in (_chunk(piece), _GAP_S)]
    return (head, *between, _END)


def _blocks(size: int) -> tuple[Step, ...]:
    """As much as a buffer holds at a time, wherever that cuts an event."""
    text = b"".join(_event(number, 200) for number in range(size * 4 // 200))
    return _paced([text[at : at + size] for at in range(0, len(text), size)])


def _silent_for(seconds: float) -> Misbehaviour:
    """Cut as load balancers do that have seen nothing for so long."""
    return Misbehaviour(
        f"is cut after {seconds:g} seconds of silence", "cut-at-limit", (_HEAD, _chunk(_event(0)), seconds)
    )


_EVENTS = [_event(number) for number in range(len(_WORDS))]
_TEXT = b"".join(_EVENTS)
_WRONG_KEY = b'{"error":{"type":"authentication_error","code":"invalid_api_key","message":"Incorrect API key."}}'

KINDS = {
    "compressed": Misbehaviour(
        "compresses the stream, and holds it until its end",
        "compressed",
        (1.2, _head(_TYPE, _CHUNKED, "Content-Encoding: gzip"), _chunk(gzip.compress(_TEXT, mtime=0)), _END),
    ),
    "buffered": Misbehaviour("collects all events", "buffered", (_HEAD, 1.2, _chunk(_TEXT), _END)),
    "blocks": Misbehaviour("sends when a buffer of 16 KiB is full", "buffered-blocks", _blocks(16 * 1024)),
    "late-head": Misbehaviour("sends no head before the first event", "head-held", (1.2, *_paced(_EVENTS))),
    "length": Misbehaviour(
        "knows the length before it begins", "content-length", (_head(_TYPE, f"Content-Length: {len(_TEXT)}"), _TEXT)
    ),
    "http10": Misbehaviour("speaks HTTP/1.0", "http-1.0", (_head(_TYPE, version="1.0"), _EVENTS[0], _GAP_S, _TEXT)),
    "wrong-type": Misbehaviour(
        "says text/plain", "wrong-media-type", _paced(_EVENTS, _head("Content-Type: text/plain", _CHUNKED))
    ),
    "no-blank-line": Misbehaviour(
        "puts one line end between events",
        "sse-single-newline",
        _paced([event[:-1] for event in _EVENTS]),
    ),
    "no-data": Misbehaviour("leaves out `data:`", "sse-no-data", _paced([word.encode() + b"\n\n" for word in _WORDS])),
    "json-lines": Misbehaviour(
        "sends JSON lines as events", "sse-json-lines", _paced([event[6:-1] for event in _EVENTS])
    ),
    "never-ends": Misbehaviour(
        r"writes \n as two letters", "sse-never-ends", _paced([rb"data: %b\n\n" % word.encode() for word in _WORDS])
    ),
    "cr": Misbehaviour("ends lines with CR", "sse-cr-only", _paced([event.replace(b"\n", b"\r") for event in _EVENTS])),
    "bom": Misbehaviour(
        "begins with a byte order mark", "sse-bom", _paced([b"\xef\xbb\xbf" + _EVENTS[0], *_EVENTS[1:]])
    ),
    "utf8": Misbehaviour("sends Latin-1 for UTF-8", "utf8-invalid", _paced([*_EVENTS, b"data: caf\xe9\n\n"])),
    "cut": Misbehaviour("breaks off in the middle", "broken-off", _paced(_EVENTS)[:-1]),
    "reset": Misbehaviour("resets the connection in the middle", "broken-off", (*_paced(_EVENTS)[:-1], _Close.RESET)),
    "cut-at-15s": Misbehaviour(
        "is cut after 15 seconds in all, however lively",
        "cut-at-limit",
        (_HEAD, *(step for number in range(30) for step in (_chunk(_event(number)), 0.5))),
    ),
    "cut-at-30s": _silent_for(30.0),
    "cut-at-60s": _silent_for(60.0),
    "cut-at-100s": _silent_for(100.0),
    "silent": Misbehaviour("never answers", "no-answer", (3600.0,)),
    "no-ending": Misbehaviour(
        "ends an OpenAI stream without its [DONE]",
        "ending-missing",
        _paced([_choice(b'"content":"%b"' % word.encode()) for word in _WORDS]),
    ),
    "error-in-200": Misbehaviour(
        "tells a wrong key under 200",
        "auth-error-in-200",
        _paced([_WRONG_KEY], _head("Content-Type: application/json", _CHUNKED)),
    ),
    "redirect": Misbehaviour(
        "redirects", "redirect", (_head("Location: /elsewhere/", "Content-Length: 0", status="307 Temporary Redirect"),)
    ),
    "preflight": Misbehaviour(
        "refuses the preflight of a browser, as it knows no OPTIONS",
        "preflight-failed",
        _paced(_EVENTS, _head(_TYPE, _CHUNKED, "Access-Control-Allow-Origin: *")),
        preflight=(_head("Allow: GET, POST", "Content-Length: 0", status="405 Method Not Allowed"),),
        ask="--origin http://localhost:5173 --header 'Authorization: Bearer x'",
    ),
    "tls-self-signed": Misbehaviour(
        "shows a certificate that is signed by itself",
        "tls-self-signed",
        _paced(_EVENTS),
        certificate="self-signed.pem",
    ),
    "tls-expired": Misbehaviour(
        "shows a certificate that has expired",
        "tls-expired",
        _paced(_EVENTS),
        certificate="expired.pem",
        authority="authority.pem",
    ),
}
"""Every way to misbehave, by the name it has on the command line."""


async def start(kind: str, host: str, port: int, wait: Wait = asyncio.sleep) -> asyncio.Server:
    """Starts the upstream that misbehaves in this way; port 0 is a free one. Errors: OSError if it cannot listen.

    `wait` is how seconds pass, for who has no time to see a minute of silence.
    """
    plays = KINDS[kind]
    tls = None
    if plays.certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(_CERTIFICATES / plays.certificate)
    return await asyncio.start_server(partial(_answer, plays, wait), host, port, limit=_MOST_HEAD_BYTES, ssl=tls)


async def _answer(plays: Misbehaviour, wait: Wait, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Plays the steps to whoever has sent a head, then closes. A client that left is noticed at the next write."""
    try:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = await reader.readuntil(b"\r\n\r\n")
            asks_first = head.startswith(b"OPTIONS ")
            for step in plays.preflight if plays.preflight is not None and asks_first else plays.steps:
                if isinstance(step, bytes):
                    writer.write(step)
                    await writer.drain()
                elif isinstance(step, float):
                    await wait(step)
                else:
                    _reset(writer)
    finally:
        writer.close()


def _reset(writer: asyncio.StreamWriter) -> None:
    """What is told by RST and not by FIN: nobody can take it for the end."""
    linger_not = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_not)
    writer.transport.abort()
