"""`on_break: error-event`: an event that says that the stream broke, in the client's words, and then an abort.

Never where an event is open, never behind the end of an answer, never a made-up end.
"""

import asyncio
import json

import anthropic as anthropic_sdk
import openai
import pytest

from .codings import COMPRESSORS
from .conftest import MakeOrigin, MakeProxy
from .harness import Proxied
from .origin import Step, fin, request, rst, whole_request
from .responses import CHUNKED, SSE
from .streams import CHAT, DONE, anthropic, data, ollama, token, turns
from .wire import Message, chunk, head

BROKEN = "upstream closed the stream before it was complete"
TELLS = {"error_event": True, "family": "openai"}
CHAT_ERROR = (
    b'data: {"error":{"message":"%b","type":"upstream_error","param":null,"code":"stream_truncated"}}\n\n'
    % BROKEN.encode()
)
STARTED = anthropic("message_start", message={"id": "m", "type": "message", "role": "assistant", "usage": {}})
CREATED = data({"type": "response.created", "sequence_number": 6, "response": {}}, "response.created")

pytestmark = pytest.mark.usefixtures("looks_often")


async def broken(
    origin: MakeOrigin,
    proxy: MakeProxy,
    sent: bytes,
    *ending: Step,
    start: bytes = SSE,
    target: bytes = CHAT,
    version: bytes = b"1.1",
    **overrides,
) -> tuple[Message, str, Proxied]:
    """A stream that is read as far as it goes, and then ends so: what came, how it ended, and the proxy."""
    gate = asyncio.Event()
    one = await origin([request, start + (chunk(sent) if b"chunked" in start else sent), gate, *ending])
    proxied = await proxy(one, **{"stream": TELLS, **overrides})
    client = await proxied.connect()
    client.send(head(b"GET %b HTTP/%b" % (target, version), b"Host: localhost"))
    response = await client.next_head()
    await turns()
    gate.set()
    return response, await client.wait_body_end(response), proxied


BREAKS: dict[str, tuple[list[Step], dict[str, object], str]] = {
    "FIN": ([fin], {}, "connection_terminated"),
    "reset": ([rst], {}, "connection_terminated"),
    "FIN inside a chunk's size": ([b"1", fin], {}, "connection_terminated"),
    "malformed chunk": ([b"no size\r\n"], {}, "http_protocol_error"),
    "idle": ([], {"timeouts": {"idle": 0.1}}, "connection_read_timeout"),
    "total": ([], {"timeouts": {"total": 0.2}}, "total_timeout"),
}


@pytest.mark.parametrize("version", [b"1.1", b"1.0"], ids=["HTTP-1.1", "HTTP-1.0"])
@pytest.mark.parametrize("case", BREAKS)
async def test_however_it_breaks_the_event_comes_and_then_the_abort(
    origin: MakeOrigin, proxy: MakeProxy, case: str, version: bytes
):
    """A6, A11. No last chunk; where a close is the end, a reset. Never a [DONE]."""
    ending, overrides, code = BREAKS[case]
    response, ended, proxied = await broken(origin, proxy, token("a"), *ending, version=version, **overrides)
    assert response.body == token("a") + CHAT_ERROR
    assert (ended, response.complete) == ("fin" if version == b"1.1" else "reset", False)
    (client,) = proxied.clients
    assert not client.raw.endswith(b"0\r\n\r\n")
    exchange = await proxied.ended()
    assert exchange.outcome == ("upstream_timeout" if case in ("idle", "total") else "upstream_aborted")
    assert (exchange.code, exchange.verdict, exchange.bytes_out) == (code, "truncated", response.size)


async def test_without_the_setting_there_is_only_the_abort(origin: MakeOrigin, proxy: MakeProxy):
    """A10. The twin."""
    response, ended, _ = await broken(origin, proxy, token("a"), fin, stream={"family": "openai"})
    assert (response.body, ended) == (token("a"), "fin")


async def test_a_close_delimited_stream_that_is_reset_breaks(origin: MakeOrigin, proxy: MakeProxy):
    """A9. What the client gets is chunked, and has no end."""
    start = head(b"HTTP/1.1 200 OK", b"Content-Type: text/event-stream")
    response, ended, _ = await broken(origin, proxy, token("a"), rst, start=start)
    assert (response.body, ended) == (token("a") + CHAT_ERROR, "fin")


async def test_a_close_delimited_stream_that_is_closed_does_not(origin: MakeOrigin, proxy: MakeProxy):
    """The twin: that is its end. It has no end in the dialect, and is `truncated`."""
    start = head(b"HTTP/1.1 200 OK", b"Content-Type: text/event-stream")
    response, ended, proxied = await broken(origin, proxy, token("a"), fin, start=start)
    assert (response.body, ended) == (token("a"), "complete")
    assert (await proxied.ended()).verdict == "truncated"


@pytest.mark.parametrize("fault", ["corrupt", "cut"])
async def test_a_fault_of_the_coding_breaks_it(origin: MakeOrigin, proxy: MakeProxy, fault: str):
    """E8. What was decoded is an event stream, and the event stands behind it uncoded."""
    start = SSE.replace(b"Transfer", b"Content-Encoding: gzip\r\nTransfer")
    coded = COMPRESSORS["gzip"][1]().piece(token("a"))
    rest = chunk(b"\xff\xfe" * 100) if fault == "corrupt" else chunk(b"")
    response, ended, proxied = await broken(origin, proxy, coded, rest, start=start)
    assert (response.body, ended) == (token("a") + CHAT_ERROR, "fin")
    assert (await proxied.ended()).code == "http_response_content_coding"


def chat_error(said: bytes) -> bool:
    return said == CHAT_ERROR


def responses_error(said: bytes) -> bool:
    told = json.loads(said.split(b"data: ", 1)[1])
    inner = {"type": "upstream_error", "code": "stream_truncated", "message": BROKEN, "param": None}
    outer = {"type": "error", "sequence_number": 7, "code": "stream_truncated", "message": BROKEN, "param": None}
    return said.startswith(b"event: error\ndata: ") and told == {**outer, "error": inner}


def anthropic_error(said: bytes) -> bool:
    told = json.loads(said.split(b"data: ", 1)[1])
    return said.startswith(b"event: error\ndata: ") and told == {
        "type": "error",
        "error": {"type": "api_error", "message": BROKEN},
    }


def gemini_error(said: bytes) -> bool:
    return json.loads(said.removeprefix(b"data: ")) == {
        "error": {"code": 503, "message": BROKEN, "status": "UNAVAILABLE"}
    }


def ollama_error(said: bytes) -> bool:
    return json.loads(said) == {"error": BROKEN} and said.endswith(b"}\n")


def converted_error(said: bytes) -> bool:
    return said == b'data: {"error": "%b"}\n\n' % BROKEN.encode()


LINES = CHUNKED.replace(b"json", b"x-ndjson")
GEMINI = b"/v1beta/models/demo:streamGenerateContent?alt=sse"
DIALECTS = {
    "openai-chat": (CHAT, SSE, token("a"), {"family": "openai"}, chat_error),
    "openai-responses": (b"/v1/responses", SSE, CREATED, {"family": "openai"}, responses_error),
    "anthropic": (b"/v1/messages", SSE, STARTED, {"family": "anthropic"}, anthropic_error),
    "gemini": (GEMINI, SSE, data({"candidates": []}), {"family": "gemini"}, gemini_error),
    "ollama": (b"/api/chat", LINES, ollama("a"), {"family": "ollama"}, ollama_error),
    "ollama as events": (b"/api/chat", LINES, ollama("a"), {"to_events": True}, converted_error),
    "by its first event": (b"/somewhere", SSE, STARTED, {}, anthropic_error),
}


@pytest.mark.parametrize("whole", [False, True], ids=["bytes", "events"])
@pytest.mark.parametrize("case", DIALECTS)
async def test_each_dialect_has_its_own(origin: MakeOrigin, proxy: MakeProxy, case: str, whole: bool):
    """A11, A12. In one event, which ends."""
    target, start, sent, policy, is_right = DIALECTS[case]
    stream = {"error_event": True, "whole": whole, **policy}
    response, ended, _ = await broken(origin, proxy, sent, fin, start=start, target=target, stream=stream)
    passed = b"data: " + sent + b"\n" if case == "ollama as events" else sent
    assert response.body.startswith(passed)
    assert is_right(response.body[len(passed) :]), response.body
    assert ended == "fin"


NO_EVENT = {
    "a plain stream": (b"/x", SSE, b"data: 1\n\n", {"family": "plain-sse"}),
    "a growing array": (GEMINI, CHUNKED, b'[{"candidates": []}', {"family": "gemini"}),
    "JSON": (CHAT, CHUNKED, b'{"half": ', {}),
    "a counted stream": (CHAT, SSE.replace(b"Transfer-Encoding: chunked", b"Content-Length: 999"), token("a"), {}),
    "no-transform": (CHAT, SSE.replace(b"Transfer", b"Cache-Control: no-transform\r\nTransfer"), token("a"), {}),
    "inside an event": (CHAT, SSE, token("a") + b"data: {", {}),
    "behind a line": (CHAT, SSE, token("a")[:-1], {}),
    "behind a lone CR": (CHAT, SSE, b"data: {}\r\n\r", {}),
    "behind [DONE]": (CHAT, SSE, token("a") + DONE, {}),
    "behind an error": (CHAT, SSE, data({"error": {"message": "no"}}), {}),
    "behind message_stop": (b"/v1/messages", SSE, STARTED + anthropic("message_stop"), {}),
    "an error's body": (CHAT, SSE.replace(b"200 OK", b"500 Oh"), token("a"), {}),
}


@pytest.mark.parametrize("case", NO_EVENT)
async def test_where_there_is_no_place_there_is_only_the_abort(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """A7, A10. Every byte that came has left, and nothing of ours."""
    target, start, sent, policy = NO_EVENT[case]
    stream = {"error_event": True, **policy}
    response, ended, _ = await broken(origin, proxy, sent, fin, start=start, target=target, stream=stream)
    assert (response.body, ended) == (sent, "fin")


@pytest.mark.parametrize(
    ("error_event", "rest"), [(True, CHAT_ERROR), (False, b"data: {")], ids=["error-event", "abort"]
)
async def test_with_whole_events_an_unfinished_one_is_withheld_for_the_event(
    origin: MakeOrigin, proxy: MakeProxy, error_event: bool, rest: bytes
):
    """A parser would drop it; in front of our event it would spoil that. Without one it leaves, as all bytes do."""
    stream = {"whole": True, "error_event": error_event, "family": "openai"}
    response, ended, _ = await broken(origin, proxy, token("a") + b"data: {", fin, stream=stream)
    assert (response.body, ended) == (token("a") + rest, "fin")


@pytest.mark.parametrize("case", ["chat", "anthropic", "responses", "ollama"])
async def test_a_clean_end_without_the_dialects_is_truncated_and_no_break(
    origin: MakeOrigin, proxy: MakeProxy, case: str
):
    """The framing ended well: the client is told nothing, the log that the answer is not all there."""
    name = {"chat": "openai-chat", "responses": "openai-responses"}.get(case, case)
    target, start, sent, policy, _ = DIALECTS[name]
    stream = {"error_event": True, **policy}
    response, ended, proxied = await broken(origin, proxy, sent, chunk(b""), start=start, target=target, stream=stream)
    assert (response.body, ended) == (sent, "complete")
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.verdict) == ("complete", "truncated")


async def test_a_break_behind_the_end_is_a_complete_answer(origin: MakeOrigin, proxy: MakeProxy):
    """The dialect had said that all was said; the framing had not, so the client sees an abort."""
    response, ended, proxied = await broken(origin, proxy, token("a") + DONE, rst)
    assert (response.body, ended) == (token("a") + DONE, "fin")
    exchange = await proxied.ended()
    assert (exchange.outcome, exchange.verdict) == ("upstream_aborted", "complete")


async def sdk_target(origin: MakeOrigin, proxy: MakeProxy, sent: bytes, family: str, tells: bool) -> str:
    """Where an SDK finds a stream that breaks."""
    one = await origin([whole_request, SSE + chunk(sent), fin])
    proxied = await proxy(one, stream={"error_event": tells, "family": family})
    return f"http://127.0.0.1:{proxied.port}"


async def read_by_openai(url: str) -> list[str]:
    """The tokens, until something is raised."""
    transport = openai.DefaultAsyncHttpxClient(trust_env=False)
    async with openai.AsyncOpenAI(api_key="x", base_url=f"{url}/v1", http_client=transport, max_retries=0) as client:
        stream = await client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "?"}], stream=True
        )
        async with stream:
            return [part.choices[0].delta.content or "" async for part in stream]


async def read_by_anthropic(url: str) -> list[str]:
    """The kinds of events, until something is raised."""
    transport = anthropic_sdk.DefaultAsyncHttpxClient(trust_env=False)
    made = anthropic_sdk.AsyncAnthropic(api_key="x", base_url=url, http_client=transport, max_retries=0)
    async with made as client:
        stream = await client.messages.create(
            model="demo", max_tokens=9, messages=[{"role": "user", "content": "?"}], stream=True
        )
        async with stream:
            return [event.type async for event in stream]


@pytest.mark.parametrize("tells", [True, False], ids=["error-event", "abort"])
async def test_the_openai_sdk_raises_its_own_error(origin: MakeOrigin, proxy: MakeProxy, tells: bool):
    """With our words; an abort alone is a fault of its transport, which applications seldom catch."""
    url = await sdk_target(origin, proxy, token("a"), "openai", tells)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the test
        await read_by_openai(url)
    assert (type(caught.value) is openai.APIError) == tells
    assert (BROKEN in str(caught.value)) == tells


@pytest.mark.parametrize("tells", [True, False], ids=["error-event", "abort"])
async def test_the_anthropic_sdk_raises_its_own_error(origin: MakeOrigin, proxy: MakeProxy, tells: bool):
    """The same for Messages."""
    url = await sdk_target(origin, proxy, STARTED, "anthropic", tells)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the test
        await read_by_anthropic(url)
    assert isinstance(caught.value, anthropic_sdk.APIStatusError) == tells
    assert (BROKEN in str(caught.value)) == tells


async def test_a_fault_of_the_client_is_not_told_as_the_upstreams(origin: MakeOrigin, proxy: MakeProxy):
    """A15. It sent a chunk that is none: the stream is aborted, and no event says that anybody else broke it."""
    one = await origin([request, SSE + chunk(token("a"))])
    proxied = await proxy(one, stream=TELLS)
    client = await proxied.connect()
    client.methods.append(b"POST")
    client.send(head(b"POST %b HTTP/1.1" % CHAT, b"Host: localhost", b"Transfer-Encoding: chunked") + chunk(b"good"))
    response = await client.next_head()
    await client.wait_body(response, len(token("a")))
    client.send(b"zz\r\n")
    assert await client.wait_body_end(response) == "fin"
    assert response.body == token("a")
    assert (await proxied.ended()).outcome == "refused"
