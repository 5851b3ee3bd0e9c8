"""`convert: ndjson-to-sse` and `content_type`: streams for clients that know only events, live, and nothing else."""

import asyncio
import json

import pytest
from httpx_sse._decoders import SSEDecoder

from .codings import COMPRESSORS, whole
from .conftest import MakeOrigin, MakeProxy
from .origin import request, whole_request
from .responses import SSE, counted
from .streams import DONE, OLLAMA_DONE, ollama, token, turns, usage
from .wire import Message, chunk, head

CONVERTS = {"to_events": True}
CHATS = b"/api/chat"
EVENT_STREAM = b"text/event-stream"


def start(media_type: bytes | None, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """The head of a chunked answer."""
    labels = [] if media_type is None else [b"Content-Type: " + media_type]
    return head(b"HTTP/1.1 " + status, *labels, *lines, b"Transfer-Encoding: chunked")


NDJSON = start(b"application/x-ndjson")


def said(body: bytes) -> list[object]:
    """What an EventSource dispatches, read as JSON; by somebody else's parser."""
    decoder, found = SSEDecoder(), []
    for text in body.decode().splitlines():
        event = decoder.decode(text)
        if event is not None:
            found.append(json.loads(event.data))
    return found


async def converted(
    origin: MakeOrigin, proxy: MakeProxy, sent: bytes, *lines: bytes, policy: dict[str, object] | None = None
) -> Message:
    """What becomes of an answer."""
    one = await origin([request, sent])
    client = await (await proxy(one, stream=CONVERTS if policy is None else policy)).connect()
    return await client.ask_for_answer(CHATS, *lines)


async def test_a_line_is_an_event_as_soon_as_it_ends(origin: MakeOrigin, proxy: MakeProxy):
    """Live: each is there before the upstream goes on, and nothing of one that has not ended."""
    lines = [ollama("流れ"), ollama("b"), OLLAMA_DONE]
    one = await origin([whole_request, NDJSON])
    proxied = await proxy(one, stream=CONVERTS)
    client = await proxied.connect()
    client.ask(b"POST", CHATS, body=b"{}")
    response = await client.next_head()
    assert response.get(b"content-type") == EVENT_STREAM
    assert response.get(b"x-accel-buffering") == b"no"
    expected = b""
    for line in lines:
        one.connections[0].send(chunk(line[:-1]))
        await turns()
        assert response.body == expected
        one.connections[0].send(chunk(line[-1:]))
        expected += b"data: " + line + b"\n"
        assert await client.wait_body(response, len(expected)) == expected
    one.connections[0].send(chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert said(response.body) == [json.loads(line) for line in lines]
    exchange = await proxied.ended()
    assert (exchange.dialect, exchange.verdict, exchange.events) == ("ollama-ndjson", "complete", 3)
    assert exchange.usage is not None
    assert (exchange.usage.input, exchange.usage.output) == (5, 2)


LINES = {
    "CRLF": (b'{"a": 1}\r\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
    "no end of the last line": (b'{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
    "blank lines": (b'\n{"a": 1}\n\r\n \n{"a": 2}\n\n', [{"a": 1}, {"a": 2}]),
    "a bare CR between tokens": (b'{"a":\r1}\n{"a":\r\r2}\n', [{"a": 1}, {"a": 2}]),
    "nothing": (b"", []),
    "what looks like events": (b'{"a": "\\n\\ndata: x"}\n', [{"a": "\n\ndata: x"}]),
}


@pytest.mark.parametrize("by_byte", [False, True], ids=["one read", "byte by byte"])
@pytest.mark.parametrize("case", LINES)
async def test_ends_of_lines(origin: MakeOrigin, proxy: MakeProxy, case: str, by_byte: bool):
    """Every line that is not blank is one event, however it ends and however it is cut."""
    text, expected = LINES[case]
    pieces = [text[at : at + 1] for at in range(len(text))] if by_byte else [text]
    response = await converted(origin, proxy, NDJSON + b"".join(chunk(one) for one in pieces if one) + chunk(b""))
    assert said(response.body) == expected
    assert b"\r" not in response.body


@pytest.mark.parametrize("name", COMPRESSORS)
async def test_compressed_lines_are_decoded_first(origin: MakeOrigin, proxy: MakeProxy, name: str):
    """E3. Else nobody could tell where one ends."""
    coding, text = COMPRESSORS[name][0], ollama("a") + OLLAMA_DONE
    sent = start(b"application/x-ndjson", b"Content-Encoding: " + coding) + chunk(whole(name, text)) + chunk(b"")
    response = await converted(origin, proxy, sent)
    assert response.get(b"content-encoding") is None
    assert said(response.body) == [json.loads(line) for line in text.splitlines()]


async def test_a_counted_answer_becomes_chunked(origin: MakeOrigin, proxy: MakeProxy):
    """M9. It grows by what makes a line an event."""
    response = await converted(origin, proxy, counted(b'{"a": 1}\n', b"Content-Type: application/x-ndjson"))
    assert (response.framing, response.get(b"content-length")) == ("chunked", None)
    assert response.body == b'data: {"a": 1}\n\n'


TYPES = [b"application/x-ndjson", b"application/jsonl; charset=utf-8", b"text/plain", b"application/octet-stream", None]


@pytest.mark.parametrize("media_type", TYPES)
async def test_what_may_be_lines_is_taken_for_lines(origin: MakeOrigin, proxy: MakeProxy, media_type: bytes | None):
    """Servers of bare JSON lines label them with anything, or nothing."""
    response = await converted(origin, proxy, start(media_type) + chunk(b'{"a": 1}\n') + chunk(b""))
    assert (response.body, response.get(b"content-type")) == (b'data: {"a": 1}\n\n', EVENT_STREAM)


@pytest.mark.parametrize("asks", [False, True], ids=["no accept", "accept"])
async def test_one_json_text_is_left_alone_unless_events_were_asked_for(
    origin: MakeOrigin, proxy: MakeProxy, asks: bool
):
    """`application/json` may be just that."""
    sent = start(b"application/json") + chunk(b'{"a": 1}\n') + chunk(b"")
    response = await converted(origin, proxy, sent, *([b"Accept: text/event-stream"] if asks else []))
    expected = (b'data: {"a": 1}\n\n', EVENT_STREAM) if asks else (b'{"a": 1}\n', b"application/json")
    assert (response.body, response.get(b"content-type")) == expected


UNTOUCHED = {
    "an error": start(b"application/x-ndjson", status=b"500 Oh") + chunk(b'{"error": "x"}\n') + chunk(b""),
    "a part": start(b"application/x-ndjson", status=b"206 Part") + chunk(b'{"a": 1}\n') + chunk(b""),
    "events": SSE + chunk(token("a") + DONE) + chunk(b""),
    "a page": start(b"text/html") + chunk(b"<p>\n") + chunk(b""),
    "another coding": start(b"application/x-ndjson", b"Content-Encoding: compress") + chunk(b"x\n") + chunk(b""),
    "no-transform, coded": start(b"application/x-ndjson", b"Content-Encoding: gzip", b"Cache-Control: no-transform")
    + chunk(whole("gzip", b"{}\n"))
    + chunk(b""),
}


@pytest.mark.parametrize("case", UNTOUCHED)
async def test_everything_else_is_left_alone(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """Byte for byte, with its label."""
    sent = UNTOUCHED[case]
    response = await converted(origin, proxy, sent)
    plain = await converted(origin, proxy, sent, policy={})
    assert response.body == plain.body
    assert response.get(b"content-type") == plain.get(b"content-type")


async def test_without_it_lines_stay_lines(origin: MakeOrigin, proxy: MakeProxy):
    """The twin."""
    response = await converted(origin, proxy, NDJSON + chunk(ollama("a")) + chunk(b""), policy={})
    assert (response.body, response.get(b"content-type")) == (ollama("a"), b"application/x-ndjson")


async def test_a_line_over_the_limit_is_one_event_still(origin: MakeOrigin, proxy: MakeProxy):
    """It passes in parts; what held it would need its memory."""
    line = b'{"a": "%s"}\n' % (b"x" * 500)
    one = await origin([request, NDJSON])
    proxied = await proxy(one, stream=CONVERTS, limits={"event": 100})
    client = await proxied.connect()
    client.get(CHATS)
    response = await client.next_head()
    one.connections[0].send(chunk(line[:300]))
    await client.wait_body(response, len(b"data: ") + 300)
    one.connections[0].send(chunk(line[300:]) + chunk(b"{}\n") + chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert said(response.body) == [json.loads(line), {}]


RELABELS = {"content_type": EVENT_STREAM, "family": "openai"}


async def test_events_under_another_label_become_a_stream(origin: MakeOrigin, proxy: MakeProxy):
    """`content_type`: with hints for the hops behind us, decoding and a dialect; the bytes stay and leave at once."""
    gate = asyncio.Event()
    compressor = COMPRESSORS["gzip"][1]()
    first, second = chunk(compressor.piece(token("a"))), chunk(compressor.piece(usage(3, 4) + DONE))
    sent = start(b"text/plain", b"Content-Encoding: gzip")
    one = await origin([whole_request, sent, first, gate, second, chunk(compressor.end()) + chunk(b"")])
    proxied = await proxy(one, stream=RELABELS)
    client = await proxied.connect()
    client.ask(b"POST", b"/v1/chat/completions", body=b"{}")
    response = await client.next_head()
    assert response.get(b"content-type") == EVENT_STREAM
    assert response.get(b"x-accel-buffering") == b"no"
    assert response.get(b"cache-control") == b"no-cache, no-transform"
    assert response.get(b"content-encoding") is None
    assert await client.wait_body(response, len(token("a"))) == token("a")
    gate.set()
    assert await client.wait_body_end(response) == "complete"
    assert response.body == token("a") + usage(3, 4) + DONE
    exchange = await proxied.ended()
    assert (exchange.dialect, exchange.verdict, exchange.stream) == ("openai-chat", "complete", "type")
    assert exchange.usage is not None
    assert exchange.usage.output == 4


@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Oh", b"304 Not Modified", b"206 Partial Content"])
async def test_what_is_no_success_keeps_its_label(origin: MakeOrigin, proxy: MakeProxy, status: bytes):
    """An error is no stream; an SDK reads its JSON."""
    ending = b"" if status.startswith(b"304") else chunk(b"{}") + chunk(b"")
    lines = [b"Content-Type: text/plain", *([b"Transfer-Encoding: chunked"] if ending else [])]
    response = await converted(origin, proxy, head(b"HTTP/1.1 " + status, *lines) + ending, policy=RELABELS)
    assert response.get(b"content-type") == b"text/plain"
    assert response.get(b"x-accel-buffering") is None


async def test_lines_relabelled_as_lines_are_converted(origin: MakeOrigin, proxy: MakeProxy):
    """Both keys together: what was called `application/json` is called lines, and becomes events."""
    policy = {**CONVERTS, "content_type": b"application/x-ndjson"}
    sent = start(b"application/json") + chunk(b'{"a": 1}\n{"a": 2}\n') + chunk(b"")
    response = await converted(origin, proxy, sent, policy=policy)
    assert (said(response.body), response.get(b"content-type")) == ([{"a": 1}, {"a": 2}], EVENT_STREAM)
