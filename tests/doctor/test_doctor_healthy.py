"""No healthy stream is accused: slow, short, empty, endless, many-formed ones."""

import pytest

from .planted import CLOSING, END, HEAD, Step, chunk, chunked, event, head, ids, played

CHAT = b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
DONE = b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
ANTHROPIC = (
    b'event: message_start\ndata: {"type":"message_start","message":{}}\n\n',
    b'event: ping\ndata: {"type":"ping"}\n\n',
    b'event: content_block_delta\ndata: {"type":"content_block_delta","delta":{"text":"Hi"}}\n\n',
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)
RESPONSES = (
    b'event: response.created\ndata: {"type":"response.created"}\n\n',
    b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"x"}\n\n',
    b'event: response.completed\ndata: {"type":"response.completed"}\n\n',
)
NDJSON = head("Content-Type: application/x-ndjson", "Transfer-Encoding: chunked")
OLLAMA: list[Step] = [NDJSON, chunk(b'{"model":"m","done":false}\n'), 0.05, chunk(b'{"model":"m","done":true}\n'), END]

STREAMS: dict[str, list[Step]] = {
    "slow but steady": [HEAD, *(step for n in range(4) for step in (1.1, chunk(event(n)))), END],
    "steady": chunked(*map(event, range(20))),
    "few events": [HEAD, chunk(event(1)), 0.4, chunk(event(2)), END],
    "thinks first, then answers in pieces": [HEAD, 1.2, *(s for n in range(9) for s in (chunk(event(n)), 0.02)), END],
    "ends by closing": [CLOSING, event(1), 0.1, event(2)],
    "comments and heartbeats": chunked(b": hi\n\n", event(1), b": ping\n\n", event(2)),
    "comment lines without an empty one": chunked(b": ping\n", event(1), b": ping\n", event(2)),
    "an id-only block, a retry, an empty data": chunked(b"retry: 10\n\n", b"id: 1\n\n", b"id: 2\ndata:\n\n", event(1)),
    "CRLF": chunked(b"data: a\r\n\r\n", b"data: b\r\n\r\n"),
    "several data lines in one event": chunked(b"data: a\ndata: b\n\n", b"data: {\ndata: }\n\n"),
    "an unknown field beside data": chunked(b"time: 1\ndata: a\n\n", b"time: 2\ndata: b\n\n"),
    "no blank behind data:": chunked(b"data:a\n\n", b"data:b\n\n"),
    "chat": chunked(CHAT, CHAT, DONE, b"data: [DONE]\n\n"),
    "Anthropic": chunked(*ANTHROPIC),
    "Responses": chunked(*RESPONSES),
    "Ollama": OLLAMA,
    "MCP": chunked(b"id: 1\ndata:\n\n", b'event: message\ndata: {"jsonrpc":"2.0","id":7,"result":{}}\n\n'),
    "characters of several bytes": chunked("data: né 你好 🙂\n\n".encode(), "data: 你\n\n".encode()),
    "text about authentication": chunked(b'data: {"text":"error 401: auth"}\n\n', event(2)),
    "with a 103 before": [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", *chunked(event(1), event(2))],
    "large events at once over several reads": [
        HEAD,
        *(s for n in range(3) for s in (chunk(event(n, 20000)), 0.05)),
        END,
    ],
}

TOO_LITTLE: dict[str, list[Step]] = {
    "a single event": [HEAD, chunk(event(1)), END],
    "a single event after a wait": [HEAD, 1.2, chunk(event(1)), END],
    "an empty stream": [HEAD, END],
    "an empty stream that ends by closing": [CLOSING],
    "an empty stream with its length": [head("Content-Type: text/event-stream", "Content-Length: 0")],
    "a short answer that was ready": [HEAD, chunk(b"".join(map(event, range(30)))), END],
    "three events at once after a wait": [HEAD, 1.2, chunk(b"".join(map(event, range(3)))), END],
    "a snapshot after a wait, and the stream goes on": [HEAD, 1.2, chunk(b"".join(map(event, range(9)))), 0.5, END],
}


@pytest.mark.parametrize("script", STREAMS.values(), ids=STREAMS)
async def test_a_healthy_stream_streams_and_nothing_is_found(script: list[Step]) -> None:
    diagnosis = await played(script)
    assert (ids(diagnosis), diagnosis.verdict) == ([], "streams")


@pytest.mark.parametrize("script", TOO_LITTLE.values(), ids=TOO_LITTLE)
async def test_what_is_too_little_to_judge_is_not_judged(script: list[Step]) -> None:
    diagnosis = await played(script)
    assert (ids(diagnosis), diagnosis.verdict) == ([], "cannot_tell")


async def test_a_stream_that_never_ends_is_watched_for_its_time_and_found_to_stream() -> None:
    endless: list[Step] = [HEAD, *(step for n in range(200) for step in (chunk(event(n)), 0.05))]
    diagnosis = await played(endless, timeout_s=1.0)
    assert (ids(diagnosis), diagnosis.verdict) == (["unended"], "streams")
    assert 0.9 < diagnosis.chain.seen.ended_s < 1.5


async def test_one_that_is_cut_off_by_the_doctor_is_not_called_incomplete() -> None:
    """No ending, half an event, half a character: the doctor did that itself."""
    half = "data: 你".encode()[:-1]
    diagnosis = await played([HEAD, chunk(CHAT), 0.1, chunk(CHAT + half), 5.0], timeout_s=0.6)
    assert ids(diagnosis) == ["unended"]
