"""OpenAI's two APIs, read by its official SDK."""

from collections.abc import AsyncIterator

import openai
import pytest

from proxy.demo.run import Demo

from .conftest import Receive

PROMPT = "Why is the sky blue today?"
FAST = {"x-demo-pace": "0"}


@pytest.fixture
async def sdk(demo: Demo) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(
        base_url=f"{demo.upstream_url}/v1", api_key="any", max_retries=0, default_headers=FAST
    ) as client:
        yield client


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


async def test_a_chat_stream_says_the_same_as_the_whole_completion(sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.chat.completions.create(model="m", messages=user(PROMPT))
    stream = await sdk.chat.completions.create(model="m", messages=user(PROMPT), stream=True)
    deltas = [chunk.choices[0].delta.content or "" async for chunk in stream]
    assert PROMPT in (whole.choices[0].message.content or "")
    assert "".join(deltas) == whole.choices[0].message.content


async def test_chat_usage_counts_the_words_of_the_prompt_and_the_tokens_that_left(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(
        model="m", messages=user(PROMPT), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    said = [chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]
    usage = chunks[-1].usage
    assert chunks[-1].choices == []
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (6, len(said))
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens


async def test_a_chat_stream_has_no_usage_unless_asked(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(model="m", messages=user(PROMPT), stream=True)
    chunks = [chunk async for chunk in stream]
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)


async def test_a_chat_stream_begins_with_the_role_and_ends_with_its_reason(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.chat.completions.create(model="m", messages=user(PROMPT), stream=True)
    choices = [chunk.choices[0] async for chunk in stream]
    assert (choices[0].delta.role, choices[0].delta.content) == ("assistant", "")
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert choices[-1].finish_reason == "stop"


async def test_the_last_event_of_a_chat_stream_is_the_sentinel(demo: Demo, receive: Receive) -> None:
    document = {"messages": user(PROMPT), "stream": True}
    received = await receive(f"{demo.upstream_url}/v1/chat/completions?pace=0", document)
    assert received.headers["Content-Type"].startswith("text/event-stream")
    assert received.body.endswith(b"\n\ndata: [DONE]\n\n")
    assert received.is_whole


@pytest.mark.parametrize("field", ["max_tokens", "max_completion_tokens"])
async def test_a_token_limit_cuts_a_chat_answer_for_length(sdk: openai.AsyncOpenAI, field: str) -> None:
    limit: dict[str, int] = {field: 4}
    whole = await sdk.chat.completions.create(model="m", messages=user(PROMPT), **limit)
    assert whole.choices[0].finish_reason == "length"
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 4


async def test_a_chat_answers_the_last_message_of_the_user_and_counts_all(sdk: openai.AsyncOpenAI) -> None:
    parts = [{"type": "text", "text": "second one"}, {"type": "image_url", "image_url": {"url": "data:,"}}]
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": parts},
    ]
    whole = await sdk.chat.completions.create(model="m", messages=messages)
    assert "“second one" in (whole.choices[0].message.content or "")
    assert whole.usage is not None
    assert whole.usage.prompt_tokens == 5


async def test_a_response_stream_gives_the_sdk_a_whole_response(sdk: openai.AsyncOpenAI) -> None:
    whole = await sdk.responses.create(model="m", input=PROMPT)
    async with sdk.responses.stream(model="m", input=PROMPT) as stream:
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        final = await stream.get_final_response()
    assert "".join(deltas) == final.output_text == whole.output_text
    assert final.status == "completed"
    assert final.usage is not None
    assert (final.usage.input_tokens, final.usage.output_tokens) == (6, len(deltas))


async def test_a_response_stream_has_its_events_in_order_and_numbers_them(sdk: openai.AsyncOpenAI) -> None:
    stream = await sdk.responses.create(model="m", input=user(PROMPT), stream=True, max_output_tokens=2)
    events = [event async for event in stream]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "incomplete",
    ]


async def test_a_token_limit_makes_a_response_incomplete(sdk: openai.AsyncOpenAI) -> None:
    response = await sdk.responses.create(model="m", input=PROMPT, instructions="be brief", max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.usage is not None
    assert (response.usage.input_tokens, response.usage.output_tokens) == (8, 3)


async def test_a_wrong_request_raises_the_error_of_the_sdk(sdk: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        await sdk.chat.completions.create(model="m", messages=[])
    assert raised.value.param == "messages"
    assert raised.value.type == "invalid_request_error"


async def test_the_sdk_lists_the_model(sdk: openai.AsyncOpenAI) -> None:
    assert [model.id async for model in sdk.models.list()] == ["demo"]
