"""Which dialect a stream speaks: by the route's preset, by the request's path, or by its first frames."""

import re

from proxy.core.dialects import Dialect, Framing, load
from proxy.core.dialects.anthropic import Anthropic
from proxy.core.dialects.bedrock import Bedrock
from proxy.core.dialects.gemini import Gemini, GeminiArray
from proxy.core.dialects.ollama import Ollama
from proxy.core.dialects.openai import Chat, OtherOpenAi, Responses
from proxy.core.dialects.plain import Cohere, Plain, Replicate, Tgi
from proxy.core.streams import EVENT_STREAM

LINE_TYPES = frozenset(
    {
        b"application/x-ndjson",
        b"application/ndjson",
        b"application/jsonl",
        b"application/jsonlines",
        b"application/stream+json",
        b"application/json-seq",
    }
)
_GROWING = re.compile(rb":streamGenerateContent\Z")
_BY_PATH: tuple[tuple[re.Pattern[bytes], type[Dialect]], ...] = (
    (re.compile(rb"/(?:chat/)?completions\Z"), Chat),
    (re.compile(rb"/responses(?:/[^/]+)?\Z"), Responses),
    (re.compile(rb"/messages\Z|:streamRawPredict\Z"), Anthropic),
    (_GROWING, Gemini),
)
_BY_FAMILY: dict[str, type[Dialect]] = {"anthropic": Anthropic, "gemini": Gemini}
_OLLAMA = re.compile(rb"/api/(?:chat|generate)\Z")


def framing_of(media_type: bytes, path: bytes) -> Framing | None:
    """How a body of that type is cut into frames; None for what is no stream of frames."""
    if media_type == EVENT_STREAM:
        return "sse"
    if media_type in LINE_TYPES:
        return "lines"
    if media_type == b"application/vnd.amazon.eventstream":
        return "aws"
    return "array" if media_type == b"application/json" and _GROWING.search(path) else None


def recognise(family: str | None, framing: Framing, path: bytes) -> Dialect:
    """The dialect of an answer; `family` is what the preset says, `path` the request's without its query."""
    if framing == "aws":
        return Bedrock()
    if framing == "array":
        return GeminiArray()
    if framing == "lines":
        return Ollama() if _OLLAMA.search(path) else Unknown(framing)
    if family == "plain-sse":
        return Plain()
    # Before the preset: most providers also have a path at which they speak OpenAI's, some one for Anthropic's.
    for pattern, dialect in _BY_PATH:
        if pattern.search(path):
            return dialect()
    by_family = _BY_FAMILY.get(family or "")
    if by_family is not None:
        return by_family()
    # OpenAI streams more than chats, speech for one: at another path the first events tell.
    return Unknown(framing, otherwise=OtherOpenAi if family in ("openai", "ollama") else Plain)


# How many frames may say nothing before nobody asks any more.
_LOOKED_AT = 3


class Unknown(Plain):
    """A stream whose first frames will tell what it is; until then it is plain."""

    __slots__ = ("_framing", "_left", "_otherwise", "found")

    def __init__(self, framing: Framing, otherwise: type[Plain] = Plain) -> None:
        super().__init__()
        self._framing = framing
        self._otherwise = otherwise
        self._left = _LOOKED_AT
        self.found: Dialect | None = None
        """What it turned out to be; a plain one if nobody can tell."""

    def see(self, name: str, text: str) -> None:
        """Reads a frame, which may be known by its looks."""
        dialect = _by_line(text) if self._framing == "lines" else _by_event(name, text)
        self._left -= 1
        if dialect is None and self._left == 0:
            dialect = self._otherwise
        if dialect is not None:
            self.found = dialect()

    def error_event(self, last: bytes) -> bytes | None:
        """That of the plain dialect it will be if nobody can tell."""
        return self._otherwise().error_event(last)


def _by_line(text: str) -> type[Dialect] | None:
    return Ollama if isinstance(load(text).get("done"), bool) else None


def _by_event(name: str, text: str) -> type[Dialect] | None:
    """What an event looks like. The name is that of the event, `message` where it has none."""
    said = load(text)
    kind = said.get("type")
    if said.get("object") in ("chat.completion.chunk", "text_completion") or isinstance(said.get("choices"), list):
        return Chat
    if name.startswith("response.") or (isinstance(kind, str) and kind.startswith("response.")):
        return Responses
    if name == "message_start" or kind == "message_start":
        return Anthropic
    if said.keys() & {"candidates", "promptFeedback", "usageMetadata"}:
        return Gemini
    if kind == "message-start":
        return Cohere
    if "token" in said and "generated_text" in said:
        return Tgi
    return Replicate if name == "output" else None
