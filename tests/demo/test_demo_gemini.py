"""Gemini: events, a growing array, or all at once."""

import json

from proxy.demo.run import Demo

from .conftest import Receive

DOCUMENT = {
    "systemInstruction": {"parts": [{"text": "be brief"}]},
    "contents": [{"role": "user", "parts": [{"text": "Why is the sky blue?"}]}],
}


def said(documents: list[dict]) -> str:
    return "".join(document["candidates"][0]["content"]["parts"][0]["text"] for document in documents)


async def test_events_array_and_document_say_the_same(demo: Demo, receive: Receive) -> None:
    model = f"{demo.upstream_url}/v1beta/models/some-model"
    events = await receive(f"{model}:streamGenerateContent?alt=sse&pace=0", DOCUMENT)
    array = await receive(f"{model}:streamGenerateContent?pace=0", DOCUMENT)
    whole = await receive(f"{model}:generateContent?pace=0", DOCUMENT)
    assert events.headers["Content-Type"] == "text/event-stream"
    assert array.headers["Content-Type"] == "application/json; charset=UTF-8"
    assert said(events.documents()) == said(json.loads(array.body)) == said([json.loads(whole.body)])
    assert json.loads(whole.body)["modelVersion"] == "some-model"


async def test_only_the_last_event_has_a_finish_reason_and_usage_is_a_running_total(
    demo: Demo, receive: Receive
) -> None:
    url = f"{demo.upstream_url}/v1beta/models/m:streamGenerateContent?alt=sse&pace=0&tokens=3"
    documents = (await receive(url, DOCUMENT)).documents()
    assert [document["candidates"][0].get("finishReason") for document in documents] == [None, None, "STOP"]
    assert [document["usageMetadata"] for document in documents] == [
        {"promptTokenCount": 7, "candidatesTokenCount": count, "totalTokenCount": 7 + count} for count in (1, 2, 3)
    ]


async def test_a_token_limit_is_a_finish_reason(demo: Demo, receive: Receive) -> None:
    url = f"{demo.upstream_url}/v1beta/models/m:generateContent?pace=0"
    received = await receive(url, {**DOCUMENT, "generationConfig": {"maxOutputTokens": 2}})
    assert json.loads(received.body)["candidates"][0]["finishReason"] == "MAX_TOKENS"


async def test_the_array_grows_by_an_element_an_arrival(demo: Demo, receive: Receive) -> None:
    url = f"{demo.upstream_url}/v1beta/models/m:streamGenerateContent?pace=20&tokens=5"
    received = await receive(url, DOCUMENT)
    starts = [octets[:1] for _at, octets in received.arrivals]
    assert starts[:5] == [b"[", b",", b",", b",", b","]
    assert received.times[-1] - received.times[0] > 0.16
