"""The official SDKs, unchanged, through the proxy: what they get, and when.

Each client below is an async generator of tokens, so that one set of rules is held to all of them. The upstream is the
demo's: what it does when is known, so what the proxy adds can be told.
"""

import asyncio
import itertools
import json
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anthropic
import httpx
import openai
import pytest
from aiohttp import web
from httpx_sse import aconnect_sse

from proxy.app import Running
from proxy.config.compile import compiled
from proxy.config.load import from_values
from proxy.core.exchange import Exchange
from proxy.demo.run import start

PROMPT = "Why do naïve proxies spoil 流れ and 👩‍🚀?"
QUESTION: list[Any] = [{"role": "user", "content": PROMPT}]
KEYS = {"OPENAI": "sk-ours-openai-0123", "ANTHROPIC": "sk-ant-ours-0123", "GEMINI": "ours-gemini-0123"}
CLIENTS_OWN = "sk-of-the-client-0123456789"
PACE, TOKENS = 25, 20
DURATION_S = (TOKENS - 1) / PACE
HURRY = {"x-demo-pace": "0", "x-demo-tokens": str(TOKENS)}
PACED = {"x-demo-pace": str(PACE), "x-demo-tokens": str(TOKENS)}


@dataclass(frozen=True)
class Way:
    """Base URLs for each kind of client: through the proxy, or straight to the upstream."""

    openai: str
    anthropic: str
    plain: str


@dataclass
class Rig:
    """The demo upstream with the proxy in front of it, and what the proxy tells its observers."""

    proxied: Way
    direct: Way
    told: asyncio.Queue[Exchange] = field(default_factory=asyncio.Queue)

    def ended(self, exchange: Exchange) -> None:
        self.told.put_nowait(exchange)

    async def wait_state(self, is_wanted: Callable[[dict[str, int]], bool], within_s: float = 5.0) -> None:
        """Asks the upstream for its state, not through the proxy, until it is as wanted."""
        async with asyncio.timeout(within_s), httpx.AsyncClient(trust_env=False) as client:
            while True:
                if is_wanted((await client.get(f"{self.direct.plain}/demo/state")).json()):
                    return
                await asyncio.sleep(0.01)

    async def wait_exchange(self) -> Exchange:
        """The next exchange that ends, or the oldest that has."""
        async with asyncio.timeout(5):
            return await self.told.get()


def route_of(preset: str, upstream: str) -> dict[str, Any]:
    key = f"${{{preset.upper()}}}"
    return {"path": f"/{preset}/", "strip_prefix": True, "upstream": upstream, "preset": preset, "api_key": key}


@asynccontextmanager
async def proxy_for(routes: list[dict[str, Any]], observers: list[Any] | None = None) -> AsyncIterator[str]:
    config = from_values({"listen": "127.0.0.1:0", "routes": routes}, KEYS)
    running = await Running.start(compiled(config), observers or [])
    try:
        yield running.addresses[0]
    finally:
        await running.stop(0)


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with AsyncExitStack() as ends:
        url = (await ends.enter_async_context(await start())).upstream_url
        made = Rig(Way("", "", ""), Way(f"{url}/v1", url, url))
        routes = [route_of("openai", f"{url}/v1"), route_of("anthropic", url), {"path": "/", "upstream": url}]
        ours = await ends.enter_async_context(proxy_for(routes, [made]))
        made.proxied = Way(f"{ours}/openai", f"{ours}/anthropic", ours)
        yield made


def openai_client(base_url: str) -> openai.AsyncOpenAI:
    transport = openai.DefaultAsyncHttpxClient(trust_env=False)
    return openai.AsyncOpenAI(api_key=CLIENTS_OWN, base_url=base_url, http_client=transport, max_retries=0)


def anthropic_client(base_url: str) -> anthropic.AsyncAnthropic:
    transport = anthropic.DefaultAsyncHttpxClient(trust_env=False)
    return anthropic.AsyncAnthropic(api_key=CLIENTS_OWN, base_url=base_url, http_client=transport, max_retries=0)


async def chat(way: Way, demo: dict[str, str]) -> AsyncIterator[str]:
    async with openai_client(way.openai) as client:
        stream = await client.chat.completions.create(
            model="demo",
            messages=QUESTION,
            stream=True,
            stream_options={"include_usage": True},
            extra_headers=demo,
        )
        usage = None
        async with stream:
            async for chunk in stream:
                usage = chunk.usage or usage
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
        assert usage is not None
        assert usage.completion_tokens == TOKENS


async def responses(way: Way, demo: dict[str, str]) -> AsyncIterator[str]:
    async with openai_client(way.openai) as client:
        stream = await client.responses.create(model="demo", input=PROMPT, stream=True, extra_headers=demo)
        last, texts = None, []
        async with stream:
            async for event in stream:
                last = event
                if event.type == "response.output_text.delta":
                    texts.append(event.delta)
                    yield event.delta
        assert last is not None
        assert last.type == "response.completed"
        assert last.response.output_text == "".join(texts)


async def messages(way: Way, demo: dict[str, str]) -> AsyncIterator[str]:
    async with anthropic_client(way.anthropic) as client:
        asked = client.messages.stream(model="demo", max_tokens=1000, messages=QUESTION, extra_headers=demo)
        async with asked as stream:
            async for text in stream.text_stream:
                yield text
            final = await stream.get_final_message()
        assert final.stop_reason == "end_turn"
        assert final.usage.output_tokens == TOKENS


async def feed_events(way: Way, headers: dict[str, str]) -> AsyncIterator[tuple[str, str, str]]:
    """Name, id and data of each event; `retry` alone is none to a browser."""
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        aconnect_sse(client, "GET", f"{way.plain}/feed", headers=dict(headers)) as source,
    ):
        async for event in source.aiter_sse():
            if event.data:
                yield event.event, event.id, event.data


async def feed(way: Way, demo: dict[str, str]) -> AsyncIterator[str]:
    last = ""
    async with aclosing(feed_events(way, demo)) as events:
        async for last, _, data in events:
            if last == "token":
                yield json.loads(data)["text"]
    assert last == "done"


@asynccontextmanager
async def gemini_answer(way: Way, query: str, demo: dict[str, str]) -> AsyncIterator[httpx.Response]:
    url = f"{way.plain}/v1beta/models/demo:streamGenerateContent{query}"
    document = {"contents": [{"role": "user", "parts": [{"text": PROMPT}]}]}
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", url, json=document, headers=demo) as response,
    ):
        response.raise_for_status()
        yield response


def gemini_text(document: str) -> Any:
    return json.loads(document)["candidates"][0]["content"]["parts"][0]["text"]


async def gemini_events(way: Way, demo: dict[str, str]) -> AsyncIterator[str]:
    async with gemini_answer(way, "?alt=sse", demo) as response:
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield gemini_text(line[6:])


async def gemini_array(way: Way, demo: dict[str, str]) -> AsyncIterator[str]:
    """Elements as they become whole: each is on a line of its own, with the bracket or comma before it."""
    line = ""
    async with gemini_answer(way, "", demo) as response:
        async for line in response.aiter_lines():
            if line != "]":
                yield gemini_text(line[1:])
    assert line == "]"


async def ollama(way: Way, demo: dict[str, str]) -> AsyncIterator[str]:
    document = {"model": "demo", "messages": QUESTION}
    last: dict[str, Any] = {}
    async with (
        httpx.AsyncClient(trust_env=False) as client,
        client.stream("POST", f"{way.plain}/api/chat", json=document, headers=demo) as response,
    ):
        async for line in response.aiter_lines():
            last = json.loads(line)
            if not last["done"]:
                yield last["message"]["content"]
    assert last["done"]
    assert last["eval_count"] == TOKENS


Speaker = Callable[[Way, dict[str, str]], Any]
SPEAKERS: list[Speaker] = [chat, responses, messages, feed, gemini_events, gemini_array, ollama]
every_client = pytest.mark.parametrize("client", SPEAKERS, ids=lambda client: client.__name__)
# What each says when a body has no end. Some SDKs let their HTTP client's error through: httpx of old, httpx2 of late.
HTTP_CLIENTS = [sys.modules[name] for name in ("httpx", "httpx2") if name in sys.modules]
BROKEN = (openai.APIConnectionError, *[module.RemoteProtocolError for module in HTTP_CLIENTS])


@every_client
async def test_tokens_arrive_through_the_proxy_at_the_pace_they_are_generated(rig: Rig, client: Speaker) -> None:
    clock = asyncio.get_running_loop().time
    expected = [token async for token in client(rig.direct, HURRY)]
    started, arrivals, tokens = clock(), [], []
    async for token in client(rig.proxied, PACED):
        tokens.append(token)
        arrivals.append(clock() - started)
    ended = clock() - started

    assert "".join(tokens) == "".join(expected)
    assert tokens == expected
    assert arrivals[0] < 0.4 * DURATION_S
    assert arrivals[-1] >= DURATION_S - 0.02
    assert arrivals[-1] - arrivals[0] >= 0.6 * ended
    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    assert 0.5 / PACE < statistics.median(gaps) < 1.5 / PACE
    exchange = await rig.wait_exchange()
    assert exchange.outcome == "complete"
    assert exchange.stream == ("" if client is gemini_array else "type")


@every_client
async def test_a_stream_that_breaks_off_is_an_error_for_its_client_and_never_an_end(rig: Rig, client: Speaker) -> None:
    tokens = []

    async def read() -> None:
        async for token in client(rig.proxied, {**PACED, "x-demo-pace": "100", "x-demo-fail": "after=5"}):
            tokens.append(token)

    with pytest.raises(BROKEN):
        await read()
    assert len(tokens) == 5
    exchange = await rig.wait_exchange()
    assert (exchange.outcome, exchange.code) == ("upstream_aborted", "connection_terminated")


@every_client
async def test_a_client_that_leaves_early_stops_the_generation_within_a_second(rig: Rig, client: Speaker) -> None:
    slow = {"x-demo-pace": "20", "x-demo-tokens": "1200"}
    async with aclosing(client(rig.proxied, slow)) as tokens:
        async for _ in tokens:
            await rig.wait_state(lambda state: state["generating"] == 1)
            break
    await rig.wait_state(lambda state: state["generating"] == 0, within_s=1.0)
    await rig.wait_state(lambda state: state["cancelled"] == 1)
    assert (await rig.wait_exchange()).outcome == "client_closed"


@every_client
async def test_streams_side_by_side_do_not_wait_for_each_other(rig: Rig, client: Speaker) -> None:
    async def read() -> str:
        return "".join([token async for token in client(rig.proxied, PACED)])

    async with asyncio.timeout(2 * DURATION_S):
        texts = await asyncio.gather(*[read() for _ in range(5)])
    assert len(set(texts)) == 1


async def test_an_answer_in_one_piece_is_what_the_upstream_gave(rig: Rig) -> None:
    async def ask(way: Way) -> tuple[openai.types.chat.ChatCompletion, anthropic.types.Message]:
        async with openai_client(way.openai) as client:
            said = await client.chat.completions.create(model="demo", messages=QUESTION, extra_headers=HURRY)
        async with anthropic_client(way.anthropic) as client:
            question = {"model": "demo", "max_tokens": 1000, "messages": QUESTION}
            return said, await client.messages.create(**question, extra_headers=HURRY)

    (chatted, message), (chatted_directly, message_directly) = await ask(rig.proxied), await ask(rig.direct)
    assert (chatted.choices, chatted.usage) == (chatted_directly.choices, chatted_directly.usage)
    assert (message.content, message.usage) == (message_directly.content, message_directly.usage)
    assert (await rig.wait_exchange()).stream == ""


async def test_an_error_of_the_upstream_reaches_the_sdk_as_it_was(rig: Rig) -> None:
    async with openai_client(rig.proxied.openai) as client:
        with pytest.raises(openai.BadRequestError, match="messages must not be empty"):
            await client.chat.completions.create(model="demo", messages=[])


async def test_a_feed_carries_its_ids_and_goes_on_after_the_last_one_seen(rig: Rig) -> None:
    whole = [event async for event in feed_events(rig.direct, HURRY)]
    seen = []
    async with aclosing(feed_events(rig.proxied, PACED)) as events:
        async for event in events:
            seen.append(event)
            if len(seen) == 7:
                break
    async for event in feed_events(rig.proxied, {**HURRY, "Last-Event-ID": seen[-1][1]}):
        seen.append(event)
    assert seen == whole
    assert [event_id for _, event_id, _ in seen] == [str(number + 1) for number in range(TOKENS + 1)]


async def test_an_error_of_the_proxy_itself_is_shown_by_the_sdk(unused_tcp_port: int) -> None:
    route = {"path": "/", "upstream": f"http://127.0.0.1:{unused_tcp_port}", "name": "gone"}
    async with proxy_for([route]) as url, openai_client(url) as client:
        with pytest.raises(openai.APIStatusError, match="is it running, and is its port right") as caught:
            await client.models.list()
    assert caught.value.status_code == 502
    assert caught.value.code == "connection_refused"
    assert caught.value.type == "upstream"


Echo = tuple[list[web.BaseRequest], str]


@pytest.fixture
async def echo(aiohttp_raw_server: Callable[..., Coroutine[Any, Any, Any]]) -> Echo:
    """The requests that an upstream got, and its URL."""
    requests: list[web.BaseRequest] = []

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        requests.append(request)
        return web.json_response({"id": "x", "choices": [], "content": []})

    server = await aiohttp_raw_server(answer)
    return requests, str(server.make_url("")).rstrip("/")


async def ask_openai(url: str) -> None:
    async with openai_client(f"{url}/openai") as client:
        await client.chat.completions.create(model="demo", messages=QUESTION)


async def ask_anthropic(url: str) -> None:
    async with anthropic_client(f"{url}/anthropic") as client:
        await client.messages.create(model="demo", max_tokens=9, messages=QUESTION)


async def ask_gemini(url: str) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        target = f"{url}/gemini/v1beta/models/demo:generateContent?key={CLIENTS_OWN}&alt=json"
        answer = await client.post(target, json={}, headers={"x-goog-api-key": CLIENTS_OWN})
        answer.raise_for_status()


@pytest.mark.parametrize(
    ("ask", "preset", "target", "credential"),
    [
        (ask_openai, "openai", "/v1/chat/completions", {"Authorization": f"Bearer {KEYS['OPENAI']}"}),
        (ask_anthropic, "anthropic", "/v1/messages", {"x-api-key": KEYS["ANTHROPIC"]}),
        (ask_gemini, "gemini", "/v1beta/models/demo:generateContent?alt=json", {"x-goog-api-key": KEYS["GEMINI"]}),
    ],
)
async def test_the_key_of_the_route_reaches_the_upstream_and_that_of_the_client_does_not(
    echo: Echo,
    ask: Callable[[str], Coroutine[Any, Any, None]],
    preset: str,
    target: str,
    credential: dict[str, str],
) -> None:
    requests, upstream = echo
    base = f"{upstream}/v1" if preset == "openai" else upstream
    async with proxy_for([route_of(preset, base)]) as url:
        await ask(url)
    (request,) = requests
    assert request.path_qs == target
    assert {name: request.headers.getall(name) for name in credential} == {k: [v] for k, v in credential.items()}
    assert CLIENTS_OWN not in repr(request.raw_headers) + request.raw_path
    assert request.host == upstream.removeprefix("http://")


async def test_without_a_key_of_its_own_a_route_passes_the_clients(echo: Echo) -> None:
    requests, upstream = echo
    async with proxy_for([{**route_of("openai", f"{upstream}/v1"), "api_key": None}]) as url:
        await ask_openai(url)
    assert requests[0].headers["Authorization"] == f"Bearer {CLIENTS_OWN}"
