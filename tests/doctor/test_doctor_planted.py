"""Each fault is planted on a real socket, and the doctor has to name it, by itself or among what follows from it."""

import asyncio
import errno
import gzip
import zlib
from itertools import pairwise

import pytest

from .planted import (
    CLOSING,
    END,
    HEAD,
    RESET,
    Step,
    chunk,
    chunked,
    event,
    examined,
    head,
    ids,
    of,
    played,
    server,
    serving,
)

EVENTS = b"".join(map(event, range(12)))
CHAT = b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
FINISHED = b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
SSE = "Content-Type: text/event-stream"
CHUNKS = "Transfer-Encoding: chunked"
GZIPPED = gzip.compress(EVENTS)


def typed(kind: str, *body: bytes) -> list[Step]:
    steps: list[Step] = [head(f"Content-Type: {kind}", CHUNKS)]
    for piece in body:
        steps += [chunk(piece), 0.03]
    return [*steps, END]


def blocks(kib: int, first_less: int = 0) -> list[Step]:
    """A stream that passes a buffer of so many KiB: blocks, whatever they cut."""
    size, text = kib * 1024, b"".join(event(n, 200) for n in range(kib * 20))
    cuts = [0, size - first_less, 2 * size - first_less, 3 * size - first_less, len(text)]
    steps: list[Step] = [HEAD]
    for start, end in pairwise(cuts):
        steps += [chunk(text[start:end]), 0.15]
    return [*steps, END]


def flushed_gzip() -> list[Step]:
    deflate = zlib.compressobj(wbits=31)
    steps: list[Step] = [head(SSE, CHUNKS, "Content-Encoding: gzip")]
    for number in range(4):
        steps += [chunk(deflate.compress(event(number)) + deflate.flush(zlib.Z_SYNC_FLUSH)), 0.1]
    return [*steps, chunk(deflate.flush()), END]


PLANTED: dict[str, tuple[str, list[Step], list[str], str]] = {
    "compressed and collected": (
        "compressed",
        [
            1.2,
            head(SSE, CHUNKS, "Content-Encoding: gzip", "X-Powered-By: Express", "Vary: Accept-Encoding"),
            chunk(GZIPPED),
            END,
        ],
        ["compressed", "buffered", "head-held"],
        "compress: false",
    ),
    "compressed, yet flushed": ("compressed", flushed_gzip(), ["compressed"], "come one by one"),
    "a coding nobody knows": (
        "undecodable",
        [head(SSE, CHUNKS, "Content-Encoding: gzip"), chunk(b"not gzip"), END],
        ["undecodable"],
        "Content-Encoding: gzip",
    ),
    "collected behind a head": ("buffered", [HEAD, 1.2, chunk(EVENTS), END], ["buffered"], "12 events within"),
    "blocks of 4 KiB": ("buffered-blocks", blocks(4), ["buffered-blocks"], "blocks of 4 KiB"),
    "blocks of 4 KiB, a head in the first": ("buffered-blocks", blocks(4, 125), ["buffered-blocks"], "of 4 KiB"),
    "blocks of 8 KiB": ("buffered-blocks", blocks(8), ["buffered-blocks"], "blocks of 8 KiB"),
    "blocks of 16 KiB": ("buffered-blocks", blocks(16), ["buffered-blocks"], "Node's zlib"),
    "blocks of 32 KiB": ("buffered-blocks", blocks(32), ["buffered-blocks"], "Go's copy buffer"),
    "head held back": (
        "head-held",
        [1.2, HEAD, chunk(event(1)), 0.1, chunk(event(2)), END],
        ["head-held"],
        "after 1.2 s",
    ),
    "Content-Length": (
        "content-length",
        [head(SSE, f"Content-Length: {len(EVENTS)}"), EVENTS],
        ["content-length"],
        f"Content-Length: {len(EVENTS)}",
    ),
    "HTTP/1.0": (
        "http-1.0",
        [head(SSE, version="1.0"), event(1), 0.1, event(2)],
        ["http-1.0"],
        "proxy_http_version 1.1",
    ),
    "events as text/plain": (
        "wrong-media-type",
        typed("text/plain", event(1), event(2)),
        ["wrong-media-type"],
        "text/plain",
    ),
    "events without a type": (
        "wrong-media-type",
        [head(CHUNKS), chunk(event(1)), 0.1, chunk(event(2)), END],
        ["wrong-media-type"],
        "no Content-Type",
    ),
    "JSON lines as JSON": (
        "wrong-media-type",
        typed("application/json", b'{"a":1}\n', b'{"a":2}\n', b'{"a":3}\n'),
        ["wrong-media-type"],
        "x-ndjson",
    ),
    "no data:": ("sse-no-data", chunked(b"hello\n\n", b"world\n\n"), ["sse-no-data"], "hello"),
    "Data: in upper case": ("sse-no-data", chunked(b"Data: a\n\n", b"Data: b\n\n"), ["sse-no-data"], "lower case"),
    "an empty line behind event:": (
        "sse-no-data",
        chunked(b"event: a\n\ndata: 1\n\n", b"event: b\n\ndata: 2\n\n"),
        ["sse-no-data"],
        "event: a",
    ),
    "one line end": (
        "sse-single-newline",
        chunked(b'data: {"a":1}\n', b'data: {"a":2}\n', b"data: [DONE]\n\n"),
        ["sse-single-newline"],
        r"\n\n",
    ),
    "one line end, to the end": (
        "sse-single-newline",
        chunked(b'data: {"a":1}\n', b'data: {"a":2}\n'),
        ["sse-single-newline"],
        r"\n\n",
    ),
    "JSON lines as events": ("sse-json-lines", chunked(b'{"a":1}\n', b'{"a":2}\n'), ["sse-json-lines"], "2 of them"),
    "CR alone": ("sse-cr-only", chunked(b"data: a\r\r", b"data: b\r\r"), ["sse-cr-only"], "CR alone"),
    "BOM": ("sse-bom", chunked(b"\xef\xbb\xbf" + event(1), event(2)), ["sse-bom"], "byte order mark"),
    "escaped line ends": (
        "sse-never-ends",
        chunked(rb"data: a\n\n", rb"data: b\n\n"),
        ["sse-never-ends"],
        "two letters",
    ),
    "the last event": ("sse-last-event-lost", chunked(event(1), b"data: b\n"), ["sse-last-event-lost"], "data: b"),
    "re-coded text": ("utf8-invalid", chunked(b"data: caf\xe9\n\n", event(1)), ["utf8-invalid"], "xe9"),
    "replaced text": (
        "utf8-replaced",
        chunked("data: caf\ufffd\n\n".encode(), event(1)),
        ["utf8-replaced"],
        "1 of them",
    ),
    "split text": (
        "utf8-split",
        chunked("data: 你".encode()[:-1], "data: 你".encode()[-1:] + b"\n\n", event(1)),
        ["utf8-split"],
        "1 of 3",
    ),
    "no [DONE]": ("ending-missing", chunked(CHAT, CHAT), ["ending-missing"], "data: [DONE]"),
    "no [DONE], but finished": ("ending-missing", chunked(CHAT, FINISHED), ["ending-missing"], "finish_reason"),
    "no message_stop": (
        "ending-missing",
        chunked(b'event: message_start\ndata: {"type":"message_start"}\n\n', b'event: ping\ndata: {"type":"ping"}\n\n'),
        ["ending-missing"],
        "message_stop",
    ),
    "no response.completed": (
        "ending-missing",
        chunked(b'data: {"type":"response.created"}\n\n', b'data: {"type":"response.in_progress"}\n\n'),
        ["ending-missing"],
        "response.completed",
    ),
    "no done line": (
        "ending-missing",
        typed("application/x-ndjson", b'{"model":"m","done":false}\n', b'{"model":"m","done":false}\n'),
        ["ending-missing"],
        '"done": true',
    ),
    "no finishReason": (
        "ending-missing",
        chunked(b'data: {"candidates":[{"content":{}}]}\n\n', b'data: {"candidates":[{"content":{}}]}\n\n'),
        ["ending-missing"],
        "finishReason",
    ),
    "an array that is cut": (
        "ending-missing",
        typed("application/json", b'[{"candidates":[]}\n', b',{"candidates":[]}\n'),
        ["ending-missing"],
        "]",
    ),
    "cut": ("broken-off", [HEAD, chunk(event(1)), 0.1, chunk(event(2))], ["broken-off"], "closed before"),
    "reset": ("broken-off", [HEAD, chunk(event(1)), 0.1, chunk(event(2)), 0.1, RESET], ["broken-off"], "reset before"),
    "redirect": (
        "redirect",
        [head("Location: /chat/?token=abcdef", "Content-Length: 0", status="308 Permanent Redirect")],
        ["redirect"],
        "/chat/?token=…",
    ),
    "an error in a body": (
        "error-in-200",
        typed("application/json", b'{"error":{"type":"overloaded_error","message":"try later"}}'),
        ["error-in-200"],
        "overloaded_error: try later",
    ),
    "wrong key in a body": (
        "auth-error-in-200",
        typed("application/json", b'{"error":{"code":"invalid_api_key","message":"wrong"}}'),
        ["auth-error-in-200"],
        "invalid_api_key",
    ),
    "wrong key in a body, by number": (
        "auth-error-in-200",
        typed("application/json", b'{"code":401,"msg":"token expired"}'),
        ["auth-error-in-200"],
        "token expired",
    ),
    "wrong key in an event": (
        "auth-error-in-200",
        chunked(b'event: error\ndata: {"type":"error","error":{"type":"authentication_error"}}\n\n'),
        ["auth-error-in-200"],
        "authentication_error",
    ),
    "a page": ("page", typed("text/html", b"<!DOCTYPE html><html></html>"), ["page"], "index.html"),
    "one document": ("one-document", typed("application/json", b'{"choices":[]}'), ["one-document"], '"stream": true'),
    "401": ("unauthorized", [head("Content-Length: 0", status="401 Unauthorized")], ["unauthorized"], "--header"),
    "403": ("forbidden", [head("Content-Length: 2", status="403 Forbidden"), b"no"], ["forbidden"], "403 Forbidden"),
    "404": ("not-found", [head("Content-Length: 2", status="404 Not Found"), b"no"], ["not-found"], "begins no"),
    "429": (
        "request-refused",
        [head("Content-Length: 0", status="429 Slow Down")],
        ["request-refused"],
        "429 Slow Down",
    ),
    "500": ("server-error", [head("Content-Length: 0", status="500 Oh")], ["server-error"], "500 Oh"),
    "502": ("gateway-error", [head("Content-Length: 0", status="502 Bad")], ["gateway-error"], "502 Bad"),
    "204": ("no-content", [head(status="204 No Content")], ["no-content"], "EventSource"),
    "not HTTP": ("not-http", [b"SSH-2.0-OpenSSH_9.2\r\n", 0.1], ["not-http"], "SSH-2.0"),
    "closed without a word": ("no-answer", [], ["no-answer"], "closed before any answer"),
    "plain HTTP to a TLS port, as nginx says it": (
        "http-to-https-port",
        [head("Content-Length: 49", status="400 Bad Request"), b"<p>The plain HTTP request was sent to HTTPS port!"],
        ["http-to-https-port", "request-refused"],
        "https://",
    ),
}


@pytest.mark.parametrize(("rule", "script", "expected", "told"), PLANTED.values(), ids=PLANTED)
async def test_a_planted_fault_is_named(rule: str, script: list[Step], expected: list[str], told: str) -> None:
    diagnosis = await played(script)
    assert sorted(ids(diagnosis)) == sorted(expected)
    assert told in of(diagnosis, rule)
    faults = [finding for finding in diagnosis.findings if finding.severity == "fault"]
    bad = "unreachable" if not diagnosis.chain.seen.answered else "does_not_stream"
    assert (diagnosis.verdict == bad) is bool(faults)


async def test_a_server_that_says_nothing_is_left_when_the_time_is_up() -> None:
    diagnosis = await played([5.0], timeout_s=0.5)
    assert (ids(diagnosis), diagnosis.verdict) == (["no-answer"], "unreachable")
    assert "--timeout" in of(diagnosis, "no-answer")
    assert 0.4 < diagnosis.chain.seen.ended_s < 1.0


async def test_a_flood_is_read_up_to_its_limit_and_no_further() -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(CLOSING)
        try:
            while True:
                writer.write(event(1, 60000))
                sent += 60000
                await writer.drain()
        except ConnectionError:
            writer.close()

    async with serving(flood) as port:
        diagnosis = await examined(f"http://127.0.0.1:{port}/", max_bytes=200_000, timeout_s=8)
    assert diagnosis.chain.seen.end == "limit"
    assert ids(diagnosis) == ["unended"]
    assert 200_000 <= diagnosis.chain.seen.body_bytes < 800_000


async def test_a_flood_of_the_smallest_chunks_is_bounded_too() -> None:
    diagnosis = await played([HEAD, chunk(b":") * 100_000, END], max_bytes=1 << 24)
    assert (ids(diagnosis), diagnosis.chain.seen.end) == (["unended"], "limit")
    assert len(diagnosis.chain.seen.body) < 100_000


async def test_a_head_without_an_end_is_read_up_to_its_limit() -> None:
    diagnosis = await played([b"HTTP/1.1 200 OK\r\n" + b"X-A: %b\r\n" % (b"a" * 1000) * 600, 5.0], timeout_s=8)
    assert (ids(diagnosis), diagnosis.verdict) == (["no-answer"], "unreachable")
    assert diagnosis.chain.seen.ended_s < 4


async def test_a_closed_port_and_a_name_without_address_are_told_apart() -> None:
    async with server([]) as port:
        pass
    assert ids(await examined(f"http://127.0.0.1:{port}/")) == ["refused"]
    assert ids(await examined("http://does-not-exist.invalid/")) == ["unknown-name"]


@pytest.mark.parametrize(
    ("number", "rule"),
    [(errno.ENETUNREACH, "unroutable"), (errno.EHOSTUNREACH, "unroutable"), (None, "connect-timeout")],
)
async def test_what_loopback_cannot_show_is_told_by_what_the_system_says(
    monkeypatch: pytest.MonkeyPatch, number: int | None, rule: str
) -> None:
    """A network without a way, and one that drops packets: no test may depend on either."""

    async def connect(*arguments: object, **options: object) -> None:
        if number is not None:
            raise OSError(number, "said the system")
        await asyncio.sleep(60)

    monkeypatch.setattr("aiohappyeyeballs.start_connection", connect)
    diagnosis = await examined("http://127.0.0.1:9/", timeout_s=0.3)
    assert (ids(diagnosis), diagnosis.verdict) == ([rule], "unreachable")
