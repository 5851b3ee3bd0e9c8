"""The project's own rules of what counts as a stream and what its head then says; its bytes do not depend on it."""

import asyncio

import pytest

from tests.net.client import Client
from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import request
from tests.net.wire import Message, chunk, head

PARTS = [b"data: 1\n\n", b"data: 2\n\n"]


async def streamed(
    origin: MakeOrigin, proxy: MakeProxy, fields: list[bytes], asked: list[bytes], classify: str = "auto"
) -> tuple[Message, str]:
    """An answer with these fields, each part of which is seen before the next is sent, and why it was a stream."""
    gates = [asyncio.Event() for _ in PARTS]
    steps = [step for gate, part in zip(gates, PARTS, strict=True) for step in (gate, chunk(part))]
    start = head(b"HTTP/1.1 200 OK", *fields, b"Transfer-Encoding: chunked")
    one = await origin([request, start, *steps, chunk(b"")])
    proxied = await proxy(one, stream={"classify": classify})
    client: Client = await proxied.connect()
    client.get(b"/", *asked)
    response = await client.next_head()
    for number, gate in enumerate(gates):
        gate.set()
        await client.wait_body(response, len(b"".join(PARTS[: number + 1])))
    assert await client.wait_body_end(response) == "complete"
    assert response.chunks == PARTS
    return response, (await proxied.ended()).stream


STREAM_TYPES = [
    b"text/event-stream",
    b"application/x-ndjson",
    b"application/ndjson",
    b"application/jsonl",
    b"application/jsonlines",
    b"application/json-seq",
    b"application/stream+json",
    b"application/vnd.amazon.eventstream",
    b"multipart/x-mixed-replace; boundary=x",
    b"TEXT/Event-Stream",
    b"Application/X-NDJSON;charset=UTF-8",
    b"text/event-stream;charset=utf-8",
    b"text/event-stream ; charset=utf-8",
    b"text/event-stream\t;\tcharset=utf-8",
    b"text/event-stream;",
]
ACCEPTS = [
    b"Accept: text/event-stream",
    b"Accept: application/json, text/event-stream",
    b"Accept: Text/Event-Stream;q=0.5, */*",
]
JSON = [b"Content-Type: application/json"]
STREAMS: dict[str, tuple[list[bytes], list[bytes], str, str]] = {
    **{kind.decode(): ([b"Content-Type: " + kind], [], "auto", "type") for kind in STREAM_TYPES},
    **{accept.decode(): (JSON, [accept], "auto", "accept") for accept in ACCEPTS},
    "accepted in a second line": (JSON, [b"Accept: text/html", ACCEPTS[0]], "auto", "accept"),
    "accepted, of no type": ([], [ACCEPTS[0]], "auto", "accept"),
    "route": (JSON, [], "always", "route"),
    "route, of no type": ([], [], "always", "route"),
}


@pytest.mark.parametrize("case", STREAMS)
async def test_what_is_a_stream(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """S2: the type of the response, the Accept of the request or the route makes a stream, and the log says which."""
    fields, asked, classify, reason = STREAMS[case]
    response, stream = await streamed(origin, proxy, fields, asked, classify)
    assert (stream, response.get(b"x-accel-buffering")) == (reason, b"no")


LOOK_ALIKES = [
    b"text/event-streamfoo",
    b"text/event-stream nonsense",
    b"text/event-stream, text/html",
    b"xtext/event-stream",
    b"application/x-ndjsonp",
    b'text/plain; note="text/event-stream"',
]


@pytest.mark.parametrize("media_type", LOOK_ALIKES)
async def test_what_only_looks_like_one(origin: MakeOrigin, proxy: MakeProxy, media_type: bytes):
    """S3: a type that begins like a stream's is none, and its pieces arrive one by one all the same."""
    response, stream = await streamed(origin, proxy, [b"Content-Type: " + media_type], [])
    assert (stream, response.get(b"x-accel-buffering"), response.get(b"cache-control")) == ("", None, None)


BUFFERINGS = {
    "none": [],
    "yes": [b"X-Accel-Buffering: yes"],
    "no": [b"X-Accel-Buffering: no"],
    "in other letters": [b"x-accel-buffering: YES"],
    "two": [b"X-Accel-Buffering: yes", b"X-Accel-Buffering: no"],
}


@pytest.mark.parametrize("case", BUFFERINGS)
@pytest.mark.parametrize("media_type", [b"text/event-stream", b"application/x-ndjson"])
async def test_the_next_nginx_is_told_not_to_buffer(origin: MakeOrigin, proxy: MakeProxy, case: str, media_type: bytes):
    """S11: a stream carries exactly one X-Accel-Buffering, and it says no, whatever the upstream's said."""
    response, _ = await streamed(origin, proxy, [b"Content-Type: " + media_type, *BUFFERINGS[case]], [])
    assert response.all(b"x-accel-buffering") == [b"no"]


PLAIN: dict[str, tuple[list[bytes], str]] = {
    "JSON": (JSON, "auto"),
    "no type": ([], "auto"),
    "with own hints": ([*JSON, b"X-Accel-Buffering: yes", b"Cache-Control: max-age=5"], "auto"),
    "two lines of Cache-Control": ([*JSON, b"Cache-Control: public", b"Cache-Control: max-age=5"], "auto"),
    "a stream that the route calls none": ([b"Content-Type: text/event-stream"], "never"),
}


@pytest.mark.parametrize("case", PLAIN)
async def test_what_is_no_stream_is_told_nothing(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """S13: other responses leave with the hints they came with, and nobody's body depends on the difference."""
    fields, classify = PLAIN[case]
    response, stream = await streamed(origin, proxy, fields, [], classify)
    sent = [tuple(line.split(b": ", 1)) for line in [*fields, b"Transfer-Encoding: chunked"]]
    assert [entry for entry in response.fields if entry[0] != b"Date"] == sent
    assert stream == ""
    as_stream, _ = await streamed(origin, proxy, fields, [], "always")
    assert as_stream.chunks == response.chunks
