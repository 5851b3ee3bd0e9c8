"""Streams as providers send them, with what is to be learnt of each. Shapes are theirs, the values are ours."""

import base64
import json
from typing import Any

from tests.core.dialects import Transcript
from tests.core.framers import aws_message

CHAT_PATH, RESPONSES_PATH, MESSAGES_PATH = "/v1/chat/completions", "/v1/responses", "/v1/messages"
GEMINI_PATH, CONVERSE_PATH = "/v1beta/models/m:streamGenerateContent", "/model/m/converse-stream"
INVOKE_PATH = "/model/m/invoke-with-response-stream"
DONE = b"data: [DONE]\n\n"
BOM = b"\xef\xbb\xbf"


def text(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def data(value: object) -> bytes:
    return b"data: " + text(value) + b"\n\n"


def named(kind: str, **more: object) -> bytes:
    return f"event: {kind}\n".encode() + data({"type": kind, **more})


def chunk(choices: list[Any], **more: object) -> bytes:
    head = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1700000000, "model": "some-model"}
    return data({**head, "choices": choices, **more})


def choice(finish: str | None = None, index: int = 0, **delta: object) -> dict[str, object]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def said(words: str, index: int = 0, **more: object) -> bytes:
    return chunk([choice(None, index, content=words)], **more)


def counted(prompt: int, completion: int) -> dict[str, object]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def called(**function: str) -> bytes:
    return chunk([choice(tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": function}])])


ROLE = chunk([choice(role="assistant", content="")])
STOP = chunk([choice("stop")])
PREAMBLE = chunk([], prompt_filter_results=[{"prompt_index": 0, "content_filter_results": {}}])
CHAT_ERROR = data({"error": {"message": "worker lost", "type": "server_error", "param": None, "code": None}})
USAGE = {"input": 9, "output": 2, "total": 11}
# More than a watch gathers before it reads, so that its batches are more than one.
MANY = [said(f"word{number} ") for number in range(60)]


def chat(frames: list[bytes], verdict: Any, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript(CHAT_PATH, frames, "openai-chat", verdict, **given)


CHAT = {
    "complete": chat(
        [ROLE, said("Grüße, 世界 \N{GRINNING FACE}\u2028\x85"), STOP, chunk([], usage=counted(9, 2)), DONE],
        "complete",
        usage=USAGE,
        first_token=1,
    ),
    "details": chat(
        [
            said("a"),
            STOP,
            chunk(
                [],
                usage={
                    **counted(9, 2),
                    "prompt_tokens_details": {"cached_tokens": 8},
                    "completion_tokens_details": {"reasoning_tokens": 1},
                },
            ),
            DONE,
        ],
        "complete",
        usage={**USAGE, "cached": 8, "reasoning": 1},
        first_token=0,
    ),
    "limited": chat([ROLE, said("a"), chunk([choice("length")]), DONE], "complete", first_token=1, limited=True),
    "no-usage": chat([ROLE, said("a"), STOP, DONE], "complete", first_token=1),
    "failed": chat([ROLE, said("a"), CHAT_ERROR], "failed", first_token=1, well=False),
    "failed-but-done": chat([ROLE, said("a"), CHAT_ERROR, DONE], "failed", first_token=1),
    "failed-the-other-way": chat(
        [said("a"), data({"object": "error", "message": "out of memory", "code": 500}), DONE], "failed", first_token=0
    ),
    "failed-behind-the-preamble": chat([PREAMBLE, CHAT_ERROR], "failed"),
    "an-error-of-null": chat([said("a", error=None), STOP, DONE], "complete", first_token=0),
    "truncated": chat([ROLE, said("a"), said("b")], "truncated", first_token=1),
    "truncated-inside": chat([ROLE, said("a")], "truncated", first_token=1, well=False, tail=said("b")[:-1]),
    "truncated-with-a-line-end": chat([said("a")], "truncated", first_token=0, tail=b"data: [DONE]\n"),
    "cut-behind-its-end": chat([said("a"), STOP, DONE], "complete", first_token=0, well=False),
    "no-sentinel": chat(
        [ROLE, said("a"), STOP, chunk([], usage=counted(9, 2))], "complete", usage=USAGE, first_token=1
    ),
    "preamble-first": chat([PREAMBLE, said("a"), STOP, DONE], "complete", first_token=1),
    "comments": chat(
        [b": OPENROUTER PROCESSING\n\n", b":\n\n", ROLE, b": keep-alive\n\n", said("a"), b":\n\n", STOP, DONE],
        "complete",
        events=4,
        first_event=2,
        first_token=4,
    ),
    "two-choices": chat(
        [said("a", 0), said("b", 1), chunk([choice("stop", 1)]), said("c", 0), chunk([choice("length", 0)]), DONE],
        "complete",
        first_token=0,
        limited=True,
    ),
    "two-choices-one-cut-off": chat([said("a", 0), said("b", 1), STOP, said("c", 1)], "truncated", first_token=0),
    "one-choice-behind-the-other": chat(
        [said("a", 0), STOP, said("b", 1), chunk([choice("stop", 1)])], "complete", first_token=0
    ),
    "the-second-choice-cut-off": chat([said("a", 0), STOP, said("b", 1)], "truncated", first_token=0),
    "usage-on-every-chunk": chat(
        [
            chunk([choice(role="assistant")], usage=counted(9, 0)),
            *[said("a", usage=counted(9, number)) for number in range(1, 40)],
            chunk([choice("stop")], usage=counted(9, 40)),
            DONE,
        ],
        "complete",
        usage={"input": 9, "output": 40, "total": 49},
        first_token=1,
    ),
    "usage-on-every-chunk-cut-off": chat(
        [said("a", usage=counted(9, number)) for number in range(1, 40)],
        "truncated",
        usage={"input": 9, "output": 39, "total": 48},
        first_token=0,
    ),
    "usage-of-many-shapes": chat(
        [
            said("a"),
            said("b", usage={**counted(9, 1), "prompt_tokens_details": {"cached_tokens": 4}}),
            said("c", usage=counted(9, 2)),
            said("d", usage={"completion_tokens": 3}),
            said("e", usage={"total_tokens": "many", "completion_tokens": 4}),
        ],
        "truncated",
        usage={"input": 9, "output": 4, "total": 11, "cached": 4},
        first_token=0,
    ),
    "usage-of-null": chat(
        [said("a", usage=None), chunk([], usage=counted(9, 2)), chunk([choice("stop")], usage=None), DONE],
        "complete",
        usage=USAGE,
        first_token=0,
    ),
    "usage-of-groq": chat(
        [said("a"), chunk([choice("stop")], x_groq={"id": "req_1", "usage": counted(9, 2)}), DONE],
        "complete",
        usage=USAGE,
        first_token=0,
    ),
    "a-tool": chat(
        [
            chunk([choice(role="assistant", content=None)]),
            called(name="", arguments=""),
            called(name="weather", arguments=""),
            called(arguments='{"city":"[DONE]"'),
            called(arguments="}"),
            chunk([choice("tool_calls")]),
            DONE,
        ],
        "complete",
        first_token=2,
    ),
    "arguments-first": chat([called(arguments="{"), STOP, DONE], "complete", first_token=0),
    "reasoning": chat(
        [ROLE, chunk([choice(content=None, reasoning_content="Hm")]), said("a"), STOP, DONE], "complete", first_token=1
    ),
    "reasoning-of-openrouter": chat([ROLE, chunk([choice(reasoning="Hm")]), STOP, DONE], "complete", first_token=1),
    "a-refusal": chat([ROLE, chunk([choice(refusal="No")]), STOP, DONE], "complete", first_token=1),
    "completions": Transcript(
        "/v1/completions",
        [
            data({"object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": None}]}),
            data({"object": "text_completion", "choices": [{"index": 0, "text": "Hi", "finish_reason": None}]}),
            data({"object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}),
            DONE,
        ],
        "openai-chat",
        "complete",
        4,
        first_token=1,
    ),
    "words-of-the-trade": chat(
        [
            said('"error" "finish_reason":"stop" [DONE] {"usage":{"prompt_tokens":99}}'),
            said("data: [DONE]\n\ndata: x"),
            STOP,
            DONE,
        ],
        "complete",
        first_token=0,
    ),
    "spaces-in-its-json": chat(
        [
            b'data: {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": null}]}\n\n',
            b'data: {"choices": [{"index": 0, "delta": {"content": "b"}, "finish_reason": null}], "usage" : {'
            b'"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}}\n\n',
            b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason" : "length"}]}\n\n',
            DONE,
        ],
        "complete",
        usage=USAGE,
        limited=True,
        first_token=0,
    ),
    "a-sentinel-without-a-space": chat([said("a"), b"data:[DONE]\n\n"], "complete", first_token=0),
    "many-lines-of-data": chat(
        [b'data: {"choices":[{"index":0,\ndata: "delta":{"content":"a"}}]}\n\n', b"data\n\n", DONE],
        "complete",
        first_token=0,
    ),
    "long": chat([ROLE, *MANY, STOP, chunk([], usage=counted(9, 2)), DONE], "complete", usage=USAGE, first_token=1),
    "nothing": chat([], "truncated", first_event=None),
    "an-error-in-a-comment": chat(
        [said("a"), b': {"error":{}} [DONE]\n\n', said("b")], "truncated", events=2, first_token=0
    ),
    "only-comments": chat([b": wait\n\n"] * 3, "truncated", events=0, first_event=None),
}


def responses(frames: list[bytes], verdict: Any, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript(RESPONSES_PATH, frames, "openai-responses", verdict, **given)


def response(kind: str, number: int, **more: object) -> bytes:
    body = {"id": "resp_1", "object": "response", "error": None, "incomplete_details": None, "output": [], **more}
    return named(f"response.{kind}", sequence_number=number, response=body)


RESPONSES_USAGE = {
    "input_tokens": 5,
    "input_tokens_details": {"cached_tokens": 3},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 9,
}
RESPONSES_TOLD = {"input": 5, "output": 4, "total": 9, "cached": 3, "reasoning": 2}
CREATED = [response("created", 0, status="in_progress"), response("in_progress", 1, status="in_progress")]
OUT = [
    named("response.output_text.delta", sequence_number=2, item_id="msg_1", output_index=0, content_index=0, delta=""),
    named(
        "response.output_text.delta", sequence_number=3, item_id="msg_1", output_index=0, content_index=0, delta="Hi"
    ),
    named("response.output_text.done", sequence_number=4, item_id="msg_1", output_index=0, content_index=0, text="Hi"),
]
COMPLETED = response("completed", 5, status="completed", usage=RESPONSES_USAGE)
FLAT = {"sequence_number": 5, "code": "server_error", "message": "worker lost", "param": None}

RESPONSES = {
    "complete": responses([*CREATED, *OUT, COMPLETED], "complete", usage=RESPONSES_TOLD, first_token=3),
    "limited": responses(
        [*CREATED, *OUT, response("incomplete", 5, status="incomplete", usage=RESPONSES_USAGE)],
        "complete",
        usage=RESPONSES_TOLD,
        first_token=3,
        limited=True,
    ),
    "failed": responses(
        [*CREATED, *OUT, response("failed", 5, status="failed", error={"code": "server_error"})],
        "failed",
        first_token=3,
    ),
    "error-flat": responses([*CREATED, *OUT, named("error", **FLAT)], "failed", first_token=3),
    "error-nested": responses(
        [*CREATED, named("error", sequence_number=2, error={"type": "server_error", "message": "worker lost"})],
        "failed",
    ),
    "error-by-its-name": responses([*CREATED, *OUT, b"event: error\n" + data(FLAT)], "failed", first_token=3),
    "error-then-done": responses([*OUT, named("error", **FLAT), DONE], "failed", first_token=1),
    "truncated": responses([*CREATED, *OUT], "truncated", first_token=3),
    "truncated-inside": responses([*CREATED, *OUT], "truncated", first_token=3, tail=COMPLETED[:-1]),
    "a-tool": responses(
        [
            *CREATED,
            named("response.output_item.added", sequence_number=2, item={"type": "function_call", "name": "weather"}),
            named("response.function_call_arguments.delta", sequence_number=3, item_id="fc_1", delta='{"city"'),
            COMPLETED,
        ],
        "complete",
        usage=RESPONSES_TOLD,
        first_token=3,
    ),
    "reasoning": responses(
        [CREATED[0], named("response.reasoning_summary_text.delta", sequence_number=1, delta="Hm"), COMPLETED],
        "complete",
        usage=RESPONSES_TOLD,
        first_token=1,
    ),
    "without-event-names": responses(
        [frame[frame.index(b"data:") :] for frame in [*CREATED, *OUT, COMPLETED]],
        "complete",
        usage=RESPONSES_TOLD,
        first_token=3,
    ),
    "unknown-path": responses([*CREATED, *OUT, COMPLETED], "complete", usage=RESPONSES_TOLD, first_token=3)._replace(
        path="/anything"
    ),
}


def anthropic(frames: list[bytes], verdict: Any, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript(MESSAGES_PATH, frames, "anthropic", verdict, **given)


def started(**usage: int) -> bytes:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "stop_reason": None}
    return named("message_start", message={**message, "usage": usage})


def block(**delta: str) -> bytes:
    return named("content_block_delta", index=0, delta=delta)


def stopping(reason: str, **usage: int) -> bytes:
    return named("message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage=usage)


START, PING, STOPPED = started(input_tokens=5, output_tokens=1), named("ping"), named("message_stop")
BLOCK = named("content_block_start", index=0, content_block={"type": "text", "text": ""})
HI = block(type="text_delta", text="Hi")
BLOCK_END = named("content_block_stop", index=0)
OVERLOADED = named("error", error={"type": "overloaded_error", "message": "Overloaded"})

ANTHROPIC = {
    "complete": anthropic(
        [START, BLOCK, PING, HI, BLOCK_END, stopping("end_turn", output_tokens=2), STOPPED],
        "complete",
        usage={"input": 5, "output": 2},
        first_token=3,
    ),
    "limited": anthropic(
        [START, BLOCK, HI, stopping("max_tokens", output_tokens=2), STOPPED],
        "complete",
        usage={"input": 5, "output": 2},
        first_token=2,
        limited=True,
    ),
    "running-totals": anthropic(
        [
            started(input_tokens=5, cache_read_input_tokens=3, output_tokens=1),
            HI,
            stopping("end_turn", output_tokens=20),
            stopping("end_turn", output_tokens=30, input_tokens=6),
            STOPPED,
        ],
        "complete",
        usage={"input": 6, "output": 30, "cached": 3},
        first_token=1,
    ),
    "failed": anthropic([START, BLOCK, HI, OVERLOADED], "failed", usage={"input": 5, "output": 1}, first_token=2),
    "failed-at-once": anthropic([OVERLOADED], "failed"),
    "failed-but-stopped": anthropic(
        [START, HI, OVERLOADED, STOPPED], "failed", usage={"input": 5, "output": 1}, first_token=1
    ),
    "truncated": anthropic(
        [START, BLOCK, HI, BLOCK_END, stopping("end_turn", output_tokens=2)],
        "truncated",
        usage={"input": 5, "output": 2},
        first_token=2,
    ),
    "truncated-inside": anthropic(
        [START, HI], "truncated", usage={"input": 5, "output": 1}, first_token=1, tail=STOPPED[:-1], well=False
    ),
    "pings-first": anthropic(
        [PING, PING, START, PING, HI, STOPPED], "complete", usage={"input": 5, "output": 1}, first_token=4
    ),
    "a-tool": anthropic(
        [
            START,
            named("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": "weather"}),
            block(type="input_json_delta", partial_json=""),
            block(type="input_json_delta", partial_json='{"type":"message_stop'),
            stopping("tool_use", output_tokens=9),
            STOPPED,
        ],
        "complete",
        usage={"input": 5, "output": 9},
        first_token=3,
    ),
    "thinking": anthropic(
        [
            START,
            block(type="signature_delta", signature="c2ln"),
            block(type="delta_of_next_year", text="?"),
            block(type="thinking_delta", thinking="Hm"),
            HI,
            STOPPED,
        ],
        "complete",
        usage={"input": 5, "output": 1},
        first_token=3,
    ),
    "without-event-names": anthropic(
        [
            frame[frame.index(b"data:") :]
            for frame in [START, BLOCK, PING, HI, stopping("max_tokens", output_tokens=2), STOPPED]
        ],
        "complete",
        usage={"input": 5, "output": 2},
        first_token=3,
        limited=True,
    ),
    "error-without-event-name": anthropic(
        [START, HI, OVERLOADED[OVERLOADED.index(b"data:") :]], "failed", usage={"input": 5, "output": 1}, first_token=1
    ),
    "unknown-path": anthropic(
        [PING, START, HI, STOPPED], "complete", usage={"input": 5, "output": 1}, first_token=2
    )._replace(path="/anything"),
    "vertex": anthropic([START, HI, STOPPED], "complete", usage={"input": 5, "output": 1}, first_token=1)._replace(
        path="/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict", family="gemini"
    ),
    "long": anthropic(
        [START, *[block(type="text_delta", text=f"word{number}") for number in range(60)], OVERLOADED],
        "failed",
        usage={"input": 5, "output": 1},
        first_token=1,
    ),
}


def candidate(words: str | None, finish: str | None = None, index: int = 0, **more: object) -> dict[str, object]:
    content = {} if words is None else {"content": {"role": "model", "parts": [{"text": words}]}}
    ending = {} if finish is None else {"finishReason": finish}
    return {"candidates": [{**content, **ending, "index": index}], **more}


def metered(prompt: int, output: int | None = None, **more: int) -> dict[str, object]:
    counts = {"promptTokenCount": prompt, "totalTokenCount": prompt + (output or 0), **more}
    return {"usageMetadata": counts if output is None else {**counts, "candidatesTokenCount": output}}


GEMINI_USAGE = {"input": 5, "output": 2, "total": 7}
GEMINI_ERROR: dict[str, object] = {"error": {"code": 503, "message": "try later", "status": "UNAVAILABLE"}}
GEMINI_OBJECTS: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "complete": (
        [candidate('Say ["]}\\', **metered(5)), candidate(" {[ there", "STOP", **metered(5, 2))],
        {"verdict": "complete", "usage": GEMINI_USAGE, "first_token": 0},
    ),
    "finished-without-content": (
        [candidate("Hi"), candidate("!"), candidate(None, "STOP", **metered(5, 2))],
        {"verdict": "complete", "usage": GEMINI_USAGE, "first_token": 0},
    ),
    "limited": (
        [candidate(""), candidate("Hi"), candidate(None, "MAX_TOKENS")],
        {"verdict": "complete", "limited": True, "first_token": 1},
    ),
    "running-totals": (
        [
            candidate("Hi", **metered(5, 1, cachedContentTokenCount=4)),
            *[candidate("Hi", **metered(5, number)) for number in range(2, 30)],
            candidate("no usage here"),
            candidate("", "STOP", **metered(5, 30, thoughtsTokenCount=3)),
        ],
        {
            "verdict": "complete",
            "usage": {"input": 5, "output": 30, "total": 35, "cached": 4, "reasoning": 3},
            "first_token": 0,
        },
    ),
    "failed": ([candidate("Hi"), GEMINI_ERROR], {"verdict": "failed", "first_token": 0}),
    "failed-at-once": ([GEMINI_ERROR], {"verdict": "failed"}),
    "an-error-of-null": (
        [candidate("Hi", error=None), candidate(None, "STOP")],
        {"verdict": "complete", "first_token": 0},
    ),
    "refused": (
        [{"promptFeedback": {"blockReason": "SAFETY"}, **metered(5)}],
        {"verdict": "complete", "usage": {"input": 5, "total": 5}},
    ),
    "a-tool": (
        [
            {"candidates": [{"content": {"parts": [{"functionCall": {"name": "weather", "args": {}}}]}}]},
            candidate(None, "STOP"),
        ],
        {"verdict": "complete", "first_token": 0},
    ),
    "no-object": (
        [7, "candidates", None, [candidate("x")], candidate("Hi", "STOP")],
        {"verdict": "complete", "first_token": 4},
    ),
    "truncated": ([candidate("Hi"), candidate("there")], {"verdict": "truncated", "first_token": 0}),
}


def gemini(frames: list[bytes], **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript(GEMINI_PATH, frames, "gemini", **given)


GEMINI = {
    **{name: gemini([data(said) for said in objects], **told) for name, (objects, told) in GEMINI_OBJECTS.items()},
    "unknown-path": gemini([data(candidate("Hi", "STOP"))], verdict="complete", first_token=0)._replace(path="/x"),
    "truncated-inside": gemini(
        [data(candidate("Hi"))], verdict="truncated", first_token=0, tail=data(candidate(None, "STOP"))[:-1]
    ),
}


def grown(objects: list[Any]) -> list[bytes]:
    """The elements of an array, with a line of their own for what stands between, and its closing bracket."""
    return [b"[" + text(objects[0]), *[b"\n,\r\n" + text(said) for said in objects[1:]], b"\n]"]


# What is neither an object nor an array has no frame of its own there.
ARRAYED = {name: told for name, told in GEMINI_OBJECTS.items() if name != "no-object"}
GEMINI_ARRAY = {
    **{
        name: gemini(grown(objects), framing="array", **{"events": len(objects), **told}, tail=b"\n")
        for name, (objects, told) in ARRAYED.items()
    },
    "cut-behind-a-comma": gemini(
        grown([candidate("Hi"), candidate(None, "STOP")])[:2],
        framing="array",
        verdict="truncated",
        first_token=0,
        tail=b"\n,",
    ),
    "cut-inside": gemini(
        grown([candidate("Hi")])[:1], framing="array", verdict="truncated", first_token=0, well=False, tail=b',{"cand'
    ),
    "indented": gemini(
        [
            b"[" + json.dumps(candidate("Hi"), indent=2).encode(),
            b"\n,\r\n" + json.dumps(candidate("!", "STOP", **metered(5, 2)), indent=2).encode(),
            b"\n]",
        ],
        framing="array",
        verdict="complete",
        usage=GEMINI_USAGE,
        first_token=0,
        events=2,
    ),
    "an-error-in-place-of-the-array": gemini([text(GEMINI_ERROR)], framing="array", verdict="failed", tail=b"\n"),
    "nothing-in-it": gemini([b"[", b"]"], framing="array", verdict="truncated", events=1, first_event=1),
}


def line(**said: object) -> bytes:
    return text({"model": "m", "created_at": "2026-01-01T00:00:00Z", **said}) + b"\n"


def ollama(frames: list[bytes], verdict: Any, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript("/api/chat", frames, "ollama-ndjson", verdict, framing="lines", **given)


def spoken(words: str, **more: object) -> bytes:
    return line(message={"role": "assistant", "content": words, **more}, done=False)


FINISHED: dict[str, object] = {
    "done": True,
    "total_duration": 9,
    "prompt_eval_count": 5,
    "eval_count": 2,
    "eval_duration": 3,
}
END = line(message={"role": "assistant", "content": ""}, done_reason="stop", **FINISHED)
OLLAMA_USAGE = {"input": 5, "output": 2}

OLLAMA = {
    "complete": ollama(
        [spoken(""), spoken("Grü\u2028\x85"), spoken("ße"), END], "complete", usage=OLLAMA_USAGE, first_token=1
    ),
    "generate": ollama(
        [line(response="Hi", done=False), line(response="", done_reason="length", **FINISHED)],
        "complete",
        usage=OLLAMA_USAGE,
        first_token=0,
        limited=True,
    )._replace(path="/api/generate"),
    "without-its-last-line-end": ollama(
        [spoken("Hi"), spoken("!")], "complete", usage=OLLAMA_USAGE, first_token=0, tail=END[:-1], events=3
    ),
    "long-without-its-last-line-end": ollama(
        [spoken(f"word{number} ") for number in range(70)],
        "complete",
        usage=OLLAMA_USAGE,
        first_token=0,
        tail=END[:-1],
        events=71,
    ),
    "crlf": ollama([spoken("Hi")[:-1] + b"\r\n", END[:-1] + b"\r\n"], "complete", usage=OLLAMA_USAGE, first_token=0),
    "blank-lines": ollama(
        [b"\n", spoken("Hi"), b"\r\n", b" \t\n", END, b"\n"],
        "complete",
        usage=OLLAMA_USAGE,
        first_event=1,
        first_token=1,
        events=2,
    ),
    "records": ollama(
        [b"\x1e" + spoken("Hi"), b"\x1e\n", b"\x1e" + END], "complete", usage=OLLAMA_USAGE, first_token=0, events=2
    ),
    "failed": ollama([spoken("Hi"), text({"error": "model runner stopped"}) + b"\n"], "failed", first_token=0),
    "an-error-of-null": ollama(
        [line(message={"content": "Hi"}, done=False, error=None), END], "complete", usage=OLLAMA_USAGE, first_token=0
    ),
    "truncated": ollama([spoken("Hi"), spoken("!")], "truncated", first_token=0),
    "truncated-inside": ollama([spoken("Hi")], "truncated", first_token=0, tail=END[:20], events=2),
    "a-tool": ollama(
        [spoken("", tool_calls=[{"function": {"name": "weather", "arguments": {}}}]), END],
        "complete",
        usage=OLLAMA_USAGE,
        first_token=0,
    ),
    "thinking": ollama([spoken("", thinking="Hm"), spoken("Hi"), END], "complete", usage=OLLAMA_USAGE, first_token=0),
    "unknown-path": ollama([spoken("Hi"), END], "complete", usage=OLLAMA_USAGE, first_token=0)._replace(path="/x"),
    "pull": Transcript(
        "/api/pull",
        [text({"status": f"pulling {number}"}) + b"\n" for number in range(4)],
        "plain",
        "unknown",
        4,
        first_token=0,
        framing="lines",
    ),
}


def message(kind: str, **payload: object) -> bytes:
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return aws_message(headers, text(payload))


def wrapped(value: object) -> bytes:
    return message("chunk", bytes=base64.b64encode(text(value)).decode(), p="abcdefgh")


def flipped(frame: bytes, at: int) -> bytes:
    at %= len(frame)
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]


EXCEPTION = aws_message(
    {":exception-type": "throttlingException", ":content-type": "application/json", ":message-type": "exception"},
    b'{"message":"slow down"}',
)
UNMODELLED = aws_message({":message-type": "error", ":error-code": "500", ":error-message": "lost"}, b"")
CONVERSE = [
    message("messageStart", role="assistant"),
    message("contentBlockDelta", contentBlockIndex=0, delta={"text": "Hé"}),
    message("contentBlockStop", contentBlockIndex=0),
    message("messageStop", stopReason="end_turn"),
    message("metadata", usage={"inputTokens": 5, "outputTokens": 1, "totalTokens": 6, "cacheReadInputTokens": 2}),
]
CONVERSED = {"input": 5, "output": 1, "total": 6, "cached": 2}
METRICS = {"inputTokenCount": 5, "outputTokenCount": 3, "invocationLatency": 9, "firstByteLatency": 4}


def bedrock(frames: list[bytes], verdict: Any, path: str = CONVERSE_PATH, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript(path, frames, "bedrock-eventstream", verdict, framing="aws", **given)


BEDROCK = {
    "complete": bedrock(CONVERSE, "complete", usage=CONVERSED, first_token=1),
    "limited": bedrock(
        [*CONVERSE[:3], message("messageStop", stopReason="max_tokens")], "complete", first_token=1, limited=True
    ),
    "a-tool": bedrock(
        [
            CONVERSE[0],
            message("contentBlockStart", start={}),
            message("contentBlockStart", start={"toolUse": {"toolUseId": "t", "name": "weather"}}),
            CONVERSE[3],
        ],
        "complete",
        first_token=2,
    ),
    "failed": bedrock([*CONVERSE[:2], EXCEPTION], "failed", first_token=1, well=False),
    "failed-in-no-modelled-way": bedrock([*CONVERSE[:2], UNMODELLED], "failed", first_token=1),
    "truncated": bedrock(CONVERSE[:3], "truncated", first_token=1),
    "truncated-inside": bedrock(CONVERSE[:3], "truncated", first_token=1, tail=CONVERSE[3][:-1], well=False),
    "a-wrong-checksum": bedrock(
        [CONVERSE[0], flipped(CONVERSE[1], -1), *CONVERSE[1:]], "complete", usage=CONVERSED, first_token=2, events=5
    ),
    "a-wrong-checksum-at-the-end": bedrock(
        [*CONVERSE[:3], flipped(CONVERSE[3], 60)], "unknown", first_token=1, events=3
    ),
    "a-wrong-checksum-and-cut-off": bedrock(
        [*CONVERSE[:3], flipped(CONVERSE[3], 60)], "truncated", first_token=1, events=3, well=False
    ),
    "a-wrong-length": bedrock(
        CONVERSE[:2], "unknown", first_token=1, events=2, tail=flipped(CONVERSE[2], 3) + b"".join(CONVERSE[3:])
    ),
    "invoke": bedrock(
        [
            wrapped({"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}),
            wrapped({"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hi"}}),
            wrapped({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 3}}),
            wrapped({"type": "message_stop", "amazon-bedrock-invocationMetrics": METRICS}),
        ],
        "complete",
        INVOKE_PATH,
        usage={"input": 5, "output": 3},
        first_token=1,
        limited=True,
    ),
    "invoke-failed": bedrock(
        [wrapped({"type": "error", "error": {"type": "overloaded_error"}}), UNMODELLED], "failed", INVOKE_PATH
    ),
    "invoke-failed-inside": bedrock([wrapped({"type": "error", "error": {}})], "failed", INVOKE_PATH),
    "invoke-titan": bedrock(
        [
            wrapped({"outputText": ""}),
            wrapped({"outputText": "Hi"}),
            wrapped({"completionReason": "FINISH", "amazon-bedrock-invocationMetrics": METRICS}),
        ],
        "complete",
        INVOKE_PATH,
        usage={"input": 5, "output": 3},
        first_token=1,
    ),
    "invoke-llama": bedrock(
        [wrapped({"generation": "Hi", "stop_reason": None})], "truncated", INVOKE_PATH, first_token=0
    ),
    "invoke-nonsense": bedrock(
        [
            message("chunk"),
            message("chunk", bytes=7),
            message("chunk", bytes="no base64!"),
            message("chunk", bytes="é"),
            message("chunk", bytes="/w=="),
            message("chunk", bytes="W10="),
        ],
        "truncated",
        INVOKE_PATH,
    ),
}


def plain(frames: list[bytes], dialect: str, verdict: Any, **more: Any) -> Transcript:
    given: dict[str, Any] = {"events": len(frames), **more}
    return Transcript("/anything", frames, dialect, verdict, **given)


def token(number: int, words: str, generated: str | None = None, **details: object) -> bytes:
    said = {"index": number, "token": {"id": 4, "text": words, "logprob": -0.1, "special": False}}
    return b"data:" + text({**said, "generated_text": generated, "details": details or None}) + b"\n\n"


def replicate(kind: str, number: int, *lines: str) -> bytes:
    return "".join([f"event: {kind}\nid: 1700000000:{number}\n", *[f"data: {line}\n" for line in lines], "\n"]).encode()


COHERE = [
    named("message-start", id="x1", delta={"message": {"role": "assistant"}}),
    named("content-start", index=0, delta={"message": {"content": {"type": "text", "text": ""}}}),
    named("content-delta", index=0, delta={"message": {"content": {"text": "Hi"}}}),
    named("content-end", index=0),
]


def cohered(reason: str) -> bytes:
    usage = {
        "billed_units": {"input_tokens": 5, "output_tokens": 1},
        "tokens": {"input_tokens": 70, "output_tokens": 1},
    }
    return named("message-end", delta={"finish_reason": reason, "usage": usage})


COHERED = {"input": 70, "output": 1}
TOKENS = [token(1, ""), token(2, "Hi")]
MCP = [
    b"id: s1-0\ndata:\n\n",
    b'event: message\nid: s1-1\ndata: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n',
    b'id: s1-2\ndata: {"jsonrpc":"2.0","id":7,"result":{"content":[]}}\n\n',
]

PLAIN = {
    "cohere": plain([*COHERE, cohered("COMPLETE")], "cohere", "complete", usage=COHERED, first_token=2),
    "cohere-limited": plain(
        [*COHERE, cohered("MAX_TOKENS")], "cohere", "complete", usage=COHERED, first_token=2, limited=True
    ),
    "cohere-failed": plain([*COHERE, cohered("ERROR")], "cohere", "failed", usage=COHERED, first_token=2),
    "cohere-truncated": plain(COHERE, "cohere", "truncated", first_token=2),
    "cohere-tool": plain(
        [COHERE[0], named("tool-plan-delta", delta={"message": {"tool_plan": "I"}}), cohered("TOOL_CALL")],
        "cohere",
        "complete",
        usage=COHERED,
        first_token=1,
    ),
    "tgi": plain(
        [*TOKENS, token(3, "</s>", "Hi", finish_reason="eos_token", generated_tokens=2)],
        "tgi",
        "complete",
        usage={"output": 2},
        first_token=1,
    ),
    "tgi-limited": plain(
        [*TOKENS, token(3, "!", "Hi!", finish_reason="length", generated_tokens=2)],
        "tgi",
        "complete",
        usage={"output": 2},
        first_token=1,
        limited=True,
    ),
    "tgi-failed": plain(
        [*TOKENS, b'data:{"error":"out of memory","error_type":"generation"}\n\n'], "tgi", "failed", first_token=1
    ),
    "tgi-truncated": plain(TOKENS, "tgi", "truncated", first_token=1),
    "replicate": plain(
        [replicate("output", 0, ""), replicate("output", 1, "Hi", "there"), replicate("done", 2, "{}")],
        "replicate",
        "complete",
        first_token=1,
    ),
    "replicate-failed": plain(
        [replicate("output", 0, "Hi"), replicate("error", 1, "lost"), replicate("done", 2, "{}")],
        "replicate",
        "failed",
        first_token=0,
    ),
    "replicate-truncated": plain([replicate("output", 0, "Hi")] * 3, "replicate", "truncated", first_token=0),
    "mcp": plain(MCP, "plain", "unknown", first_token=0),
    "nobody": plain(
        [b": hi\n\n", *[b"data: tick\n\n"] * 9], "plain", "unknown", events=9, first_event=1, first_token=1
    ),
    "nobody-cut-off": plain([b"data: tick\n\n"] * 4, "plain", "truncated", first_token=0, well=False),
    "nobody-inside": plain([b"data: tick\n\n"] * 4, "plain", "unknown", first_token=0, tail=b"data: tick\n"),
    "nobody-short": plain([b"data: tick\n\n"], "plain", "unknown", first_token=0),
    "nobody-long": plain(
        [b"data: tick\n\n", b"event: x\n\n", b"data\n\n", b"id: 1\ndata:\n\n"] * 120,
        "plain",
        "unknown",
        first_token=0,
        events=360,
    ),
    "nothing": plain([], "plain", "unknown", first_event=None),
    "preset": plain([*COHERE, cohered("COMPLETE")], "plain", "unknown", first_token=0)._replace(family="plain-sse"),
}

FAMILIES = {
    "chat": CHAT,
    "responses": RESPONSES,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "array": GEMINI_ARRAY,
    "ollama": OLLAMA,
    "bedrock": BEDROCK,
    "plain": PLAIN,
}
ALL = {f"{family}-{name}": transcript for family, found in FAMILIES.items() for name, transcript in found.items()}
EVENT_STREAMS = {name: transcript for name, transcript in ALL.items() if transcript.framing == "sse"}
