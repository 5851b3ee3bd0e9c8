"""What the fake model says: a text made of the prompt, cut into tokens. The same prompt always gets the same answer.

The text holds characters of two, three and four bytes and a joined emoji on purpose: whoever cuts UTF-8 in the middle
and decodes the halves shows it here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from zlib import crc32

MAX_QUOTE_CHARACTERS = 140

# Languages written without spaces get a token a character: kana, ideographs and their punctuation.
_UNSPACED = "\u3001-\u30ff\u3400-\u9fff\uf900-\ufaff\uff01-\uff60"
_TOKEN = re.compile(rf"\s*(?:[{_UNSPACED}]|[^\s{_UNSPACED}]+)")

_OPENINGS = (
    "You wrote “{quote}”, and here is the answer, one word at a time. 🌊",
    "“{quote}”: a fine thing to ask while watching a stream. 🌊",
    "So: “{quote}”. Let me answer slowly enough to be watched. 🌊",
)
_SILENT_OPENING = "You wrote nothing at all, so I may speak about what I like: streams. 🌊"
_MIDDLE = (
    "No model is at work here. A small program chooses its words by rule, and each word leaves the moment it is"
    " chosen. So what you see is not intelligence but timing: if the words drip in evenly, everything between us let"
    " them pass. If they come all at once, something on the way held them back, most often to compress them.",
    "Take “{word}”: {letters} letters, {octets} bytes. It may travel with others, but it must never arrive cut in"
    " half, and neither may 👩‍🚀, naïve café, or 流れる水は腐らず.",
    "Press Stop, and I stop too: nobody should pay for words that nobody reads.",
)
_CLOSINGS = (
    "Ask again and I will say the same, word for word. 👋",
    "That was all. 再见! 👋",
    "同じ問いには、同じ答えを。 Until next time! 👋",
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole of what will be said. `cut` means that a token limit ended it early."""

    tokens: tuple[str, ...]
    prompt_tokens: int
    cut: bool

    @property
    def text(self) -> str:
        """The tokens joined: what a client should end up with."""
        return "".join(self.tokens)


def tokenize(text: str) -> list[str]:
    """The tokens of a text: words with the space before them, single characters where no spaces are written."""
    return _TOKEN.findall(text)


def compose(prompt: str) -> str:
    """The text that answers `prompt`. It quotes the prompt and depends on nothing else."""
    words = prompt.split()
    choice = crc32(" ".join(words).encode("utf-8", "replace"))
    # The longest word says most about the prompt; the first of several, so that the choice is stable.
    word = max((part.strip(".,:;!?“”\"'()") for part in words), key=len, default="")[:MAX_QUOTE_CHARACTERS] or "stream"
    opening = _OPENINGS[choice % len(_OPENINGS)] if words else _SILENT_OPENING
    closing = _CLOSINGS[choice // 7 % len(_CLOSINGS)]
    octets = len(word.encode("utf-8", "replace"))
    # One pass over a joined template, so that braces in the prompt stay what they are.
    return "\n\n".join((opening, *_MIDDLE, closing)).format(
        quote=_quote(words), word=word, letters=len(word), octets=octets
    )


def answer(prompt: str, context: Sequence[str], length: int | None, limit: int | None) -> Answer:
    """The answer to `prompt`, where `context` is every text of the request, the prompt included.

    `length` is how many tokens it shall have: the text is repeated or shortened to fit, and that is its natural end.
    `limit` is where it is cut, as a model's token limit does. None means neither.
    """
    tokens = tokenize(compose(prompt))
    if length is not None:
        tokens = list(islice(chain(tokens, cycle(["\n\n" + tokens[0], *tokens[1:]])), length))
    kept = tokens if limit is None else tokens[:limit]
    prompt_tokens = sum(len(tokenize(text)) for text in context)
    return Answer(tuple(kept), prompt_tokens, cut=len(kept) < len(tokens))


def _quote(words: list[str]) -> str:
    quote = " ".join(words)
    return quote if len(quote) <= MAX_QUOTE_CHARACTERS else quote[:MAX_QUOTE_CHARACTERS].rstrip() + "…"
