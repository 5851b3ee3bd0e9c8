"""Anthropic Messages, read by its official SDK."""

from collections.abc import AsyncIterator

import anthropic
import pytest

from proxy.demo.run import Demo

from .conftest import Receive

MESSAGES = [{"role": "user", "content": "Why is the sky blue today?"}]


@pytest.fixture
async def sdk(demo: Demo) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(
        base_url=demo.upstream_url, api_key="any", max_retries=0, default_headers={"x-demo-pace": "0"}
    ) as client:
        yield client


async def test_a_message_stream_says_the_same_as_the_whole_message(sdk: anthropic.AsyncAnthropic) -> None:
    whole = await sdk.messages.create(model="m", max_tokens=500, messages=MESSAGES)
    async with sdk.messages.stream(model="m", max_tokens=500, messages=MESSAGES) as stream:
        texts = [text async for text in stream.text_stream]
        final = await stream.get_final_message()
    assert whole.content[0].type == "text"
    assert "".join(texts) == whole.content[0].text
    assert (final.stop_reason, whole.stop_reason) == ("end_turn", "end_turn")
    assert (final.usage.input_tokens, final.usage.output_tokens) == (6, len(texts))
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (6, len(texts))


async def test_a_message_stream_names_its_events_and_pings(demo: Demo, receive: Receive) -> None:
    document = {"model": "m", "max_tokens": 2, "messages": MESSAGES, "stream": True}
    received = await receive(f"{demo.upstream_url}/v1/messages?pace=0", document)
    names = [line[7:] for line in received.body.decode().split("\n") if line.startswith("event: ")]
    assert names == [document["type"] for document in received.documents()]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_a_token_limit_cuts_a_message(sdk: anthropic.AsyncAnthropic) -> None:
    whole = await sdk.messages.create(
        model="m",
        max_tokens=3,
        system="be brief",
        messages=[{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    )
    assert whole.stop_reason == "max_tokens"
    assert (whole.usage.input_tokens, whole.usage.output_tokens) == (3, 3)


async def test_a_wrong_request_raises_the_error_of_the_sdk(sdk: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match=r"max_tokens must be at least 1") as raised:
        await sdk.messages.create(model="m", max_tokens=0, messages=MESSAGES)
    assert raised.value.body["error"]["type"] == "invalid_request_error"


async def test_the_sdk_lists_the_model(sdk: anthropic.AsyncAnthropic) -> None:
    assert [model.id async for model in sdk.models.list()] == ["demo"]
