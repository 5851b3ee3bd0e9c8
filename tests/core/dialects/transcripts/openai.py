"""Streams of OpenAI's two kinds, and of those who speak as it does."""

from typing import Any

from tests.core.dialects import Transcript
from tests.core.dialects.transcripts.frames import DONE, data, named

CHAT_PATH, RESPONSES_PATH = "/v1/chat/completions", "/v1/responses"


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
