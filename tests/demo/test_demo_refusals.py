"""What is no request of an API gets a 400 in the form of that API, never a 500."""

import json
from collections.abc import Callable

import pytest

from proxy.demo.run import Demo

from .conftest import Receive

GEMINI = "/v1beta/models/m:generateContent"

# How each family says what is wrong.
MESSAGES: dict[str, Callable[[dict], str]] = {
    "/v1/chat/completions": lambda document: document["error"]["message"],
    "/v1/responses": lambda document: document["error"]["message"],
    "/v1/messages": lambda document: document["error"]["message"],
    GEMINI: lambda document: document["error"]["message"],
    "/api/chat": lambda document: document["error"],
    "/api/generate": lambda document: document["error"],
}

HI = [{"role": "user", "content": "hi"}]

WRONG = [
    ("/v1/chat/completions", {}, "messages must be an array, not missing"),
    ("/v1/chat/completions", {"messages": {}}, "messages must be an array, not an object"),
    ("/v1/chat/completions", {"messages": []}, "messages must not be empty"),
    ("/v1/chat/completions", {"messages": ["hi"]}, "messages[0] must be an object, not a string"),
    ("/v1/chat/completions", {"messages": [None]}, "messages[0] must be an object"),
    ("/v1/chat/completions", {"messages": [{"content": "hi"}]}, "messages[0].role must be a string"),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": 1}]}, "messages[0].content must be"),
    ("/v1/chat/completions", {"messages": HI, "model": 7}, "model must be a string, not a number"),
    ("/v1/chat/completions", {"messages": HI, "stream": "yes"}, "stream must be a boolean, not a string"),
    ("/v1/chat/completions", {"messages": HI, "max_tokens": "5"}, "max_tokens must be an integer"),
    ("/v1/chat/completions", {"messages": HI, "max_tokens": True}, "max_tokens must be an integer"),
    ("/v1/chat/completions", {"messages": HI, "max_tokens": 1.5}, "max_tokens must be an integer"),
    ("/v1/chat/completions", {"messages": HI, "max_tokens": 0}, "max_tokens must be at least 1"),
    ("/v1/chat/completions", {"messages": HI, "n": 2}, "n must be 1"),
    ("/v1/chat/completions", {"messages": HI, "stream_options": []}, "stream_options must be an object"),
    ("/v1/responses", {}, "input must be a string"),
    ("/v1/responses", {"input": 5}, "input must be a string"),
    ("/v1/responses", {"input": []}, "input must not be empty"),
    ("/v1/messages", {"messages": HI}, "max_tokens is required"),
    ("/v1/messages", {"messages": HI, "max_tokens": 5, "system": 5}, "system must be"),
    (GEMINI, {}, "contents must be an array"),
    (GEMINI, {"contents": [{"parts": [{"text": 5}]}]}, "contents[0].parts[0].text must be a string"),
    (GEMINI, {"contents": [{"parts": []}], "generationConfig": 1}, "generationConfig must be an object"),
    ("/api/chat", {"messages": "hi"}, "messages must be an array"),
    ("/api/chat", {"messages": HI, "options": {"num_predict": "x"}}, "options.num_predict must be an integer"),
    ("/api/generate", {"prompt": []}, "prompt must be a string, not an array"),
]

NOT_AN_OBJECT = [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff\xfe{}", b"[" * 100_000, b"9" * 5000]


@pytest.mark.parametrize(("path", "document", "message"), WRONG)
async def test_a_wrong_field_is_named_with_what_was_expected(
    demo: Demo, receive: Receive, path: str, document: dict, message: str
) -> None:
    received = await receive(demo.upstream_url + path, document)
    assert received.status == 400
    assert message in MESSAGES[path](json.loads(received.body))


@pytest.mark.parametrize("path", list(MESSAGES))
@pytest.mark.parametrize("body", NOT_AN_OBJECT, ids=lambda body: repr(body[:6]))
async def test_a_body_that_is_no_object_is_refused(demo: Demo, receive: Receive, path: str, body: bytes) -> None:
    received = await receive(demo.upstream_url + path, body)
    assert received.status == 400
    assert "body" in MESSAGES[path](json.loads(received.body))


async def test_a_body_that_is_too_large_is_refused_in_the_same_form(demo: Demo, receive: Receive) -> None:
    received = await receive(f"{demo.upstream_url}/v1/messages", b" " * 2_000_000)
    assert received.status == 413
    assert json.loads(received.body)["error"]["type"] == "request_too_large"


@pytest.mark.parametrize(
    "query",
    [
        *("pace=x", "pace=-1", "pace=nan", "pace=inf", "pace=1001", "pace=", "first=601"),
        *("tokens=0", "tokens=1e3", "tokens=100001", "tokens=²"),
        *("fail=5", "fail=after=", "fail=after=-1", "fail=after=9999999"),
    ],
)
async def test_a_setting_out_of_its_range_is_refused(demo: Demo, receive: Receive, query: str) -> None:
    for received in (
        await receive(f"{demo.upstream_url}/v1/chat/completions?{query}", {"messages": HI}),
        await receive(f"{demo.upstream_url}/feed?{query}"),
    ):
        assert received.status == 400
        assert json.loads(received.body)["error"]["param"] == query.split("=")[0]


async def test_a_lone_surrogate_of_the_prompt_is_answered_with_valid_utf_8(demo: Demo, receive: Receive) -> None:
    document = {"messages": [{"role": "user", "content": "a\ud800b"}], "model": "\udfff", "stream": True}
    received = await receive(f"{demo.upstream_url}/v1/chat/completions?pace=0", document)
    assert received.status == 200
    assert received.body.decode("utf-8")
    assert received.documents()[0]["model"] == "?"
