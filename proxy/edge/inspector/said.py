"""What a frame adds to the answer that a person reads: text, reasoning, or the call of a tool.

Core's dialects know when an answer began and how it ended; what it says concerns nobody but who looks at it.
Source: the providers' API references, as in `core.dialects`.
"""

from typing import Literal

from proxy.core.dialects import at, items, load

Channel = Literal["text", "reasoning", "tool"]
Said = tuple[Channel, str]


def said(dialect: str, name: str, text: str) -> list[Said]:
    """What the frame says, in its order; nothing for a dialect in which nobody speaks."""
    read = _BY_DIALECT.get(dialect)
    if read is None:
        return []
    found = read(name, text)
    return [(channel, value) for channel, value in found if isinstance(value, str) and value]


def _chat(name: str, text: str) -> list[tuple[Channel, object]]:
    found: list[tuple[Channel, object]] = []
    for choice in items(load(text).get("choices")):
        delta = at(choice, "delta")
        found += [("reasoning", at(delta, key)) for key in ("reasoning_content", "reasoning")]
        found += [("text", at(delta, key)) for key in ("content", "refusal")]
        found.append(("text", at(choice, "text")))
        for call in items(at(delta, "tool_calls")):
            found += [("tool", at(call, "function", key)) for key in ("name", "arguments")]
    return found


def _responses(name: str, text: str) -> list[tuple[Channel, object]]:
    told = load(text)
    kind = str(told.get("type") or name)
    if not kind.endswith(".delta"):
        return []
    if "reasoning" in kind:
        return [("reasoning", told.get("delta"))]
    return [("tool" if "arguments" in kind or "call" in kind else "text", told.get("delta"))]


def _anthropic(name: str, text: str) -> list[tuple[Channel, object]]:
    told = load(text)
    delta = at(told, "delta")
    return [
        ("tool", at(told, "content_block", "name")),
        ("reasoning", at(delta, "thinking")),
        ("text", at(delta, "text")),
        ("tool", at(delta, "partial_json")),
    ]


def _gemini(name: str, text: str) -> list[tuple[Channel, object]]:
    found: list[tuple[Channel, object]] = []
    for candidate in items(load(text.lstrip("[, \t\r\n")).get("candidates")):
        for part in items(at(candidate, "content", "parts")):
            found.append(("reasoning" if at(part, "thought") else "text", at(part, "text")))
            found.append(("tool", at(part, "functionCall", "name")))
    return found


def _ollama(name: str, text: str) -> list[tuple[Channel, object]]:
    told = load(text)
    return [
        ("reasoning", at(told, "message", "thinking")),
        ("text", at(told, "message", "content")),
        ("text", told.get("response")),
    ]


def _cohere(name: str, text: str) -> list[tuple[Channel, object]]:
    told = load(text)
    return [
        ("text", at(told, "delta", "message", "content", "text")),
        ("tool", at(told, "delta", "message", "tool_calls", "function", "arguments")),
    ]


def _bedrock(name: str, text: str) -> list[tuple[Channel, object]]:
    told = load(text)
    return [
        ("text", at(told, "delta", "text")),
        ("reasoning", at(told, "delta", "reasoningContent", "text")),
        ("tool", at(told, "delta", "toolUse", "input")),
    ]


def _tgi(name: str, text: str) -> list[tuple[Channel, object]]:
    told = load(text)
    return [] if at(told, "token", "special") else [("text", at(told, "token", "text"))]


def _replicate(name: str, text: str) -> list[tuple[Channel, object]]:
    return [("text", text)] if name == "output" else []


_BY_DIALECT = {
    "openai-chat": _chat,
    "openai-responses": _responses,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "ollama-ndjson": _ollama,
    "cohere": _cohere,
    "bedrock-eventstream": _bedrock,
    "tgi": _tgi,
    "replicate": _replicate,
}
