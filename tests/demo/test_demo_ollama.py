"""Ollama: a JSON document a line."""

import json

import pytest

from proxy.demo.run import Demo

from .conftest import Receive

CHAT = {"model": "m", "messages": [{"role": "user", "content": "Why is the sky blue?"}]}
GENERATE = {"model": "m", "prompt": "Why is the sky blue?"}


@pytest.mark.parametrize(("path", "document"), [("/api/chat", CHAT), ("/api/generate", GENERATE)])
async def test_lines_say_the_same_as_the_whole_document_and_stream_by_default(
    demo: Demo, receive: Receive, path: str, document: dict
) -> None:
    def said(line: dict) -> str:
        return line["message"]["content"] if path == "/api/chat" else line["response"]

    url = f"{demo.upstream_url}{path}?pace=0"
    streamed = await receive(url, document)
    whole = json.loads((await receive(url, {**document, "stream": False})).body)
    assert streamed.headers["Content-Type"] == "application/x-ndjson"
    assert streamed.body.endswith(b"\n")
    lines = [json.loads(line) for line in streamed.body.splitlines()]
    assert "".join(said(line) for line in lines) == said(whole)
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    assert whole["done"]


async def test_the_last_line_counts_tokens_and_measures_in_nanoseconds(demo: Demo, receive: Receive) -> None:
    received = await receive(f"{demo.upstream_url}/api/chat?pace=50&tokens=11&first=0.1", CHAT)
    done = json.loads(received.body.splitlines()[-1])
    assert (done["prompt_eval_count"], done["eval_count"], done["done_reason"]) == (5, 11, "stop")
    assert done["prompt_eval_duration"] >= 0.095e9
    assert 0.19e9 <= done["eval_duration"] <= done["total_duration"]


@pytest.mark.parametrize(("limit", "reason"), [(2, "length"), (-1, "stop"), (0, "stop")])
async def test_num_predict_cuts_only_where_it_is_positive(
    demo: Demo, receive: Receive, limit: int, reason: str
) -> None:
    document = {**GENERATE, "stream": False, "options": {"num_predict": limit}}
    received = await receive(f"{demo.upstream_url}/api/generate?pace=0", document)
    assert json.loads(received.body)["done_reason"] == reason
