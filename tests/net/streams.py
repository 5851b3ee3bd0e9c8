"""Streams as providers send them, for scripts; and what a test has to know of a proxy in the middle of one."""

import asyncio
import itertools
import json
from collections.abc import Iterable

from proxy.core.streams import Heartbeat
from proxy.net.downstream import Client as Served

from .client import Client
from .harness import Proxied
from .wire import Message

CHAT = b"/v1/chat/completions"
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
ANTHROPIC_PING = b'event: ping\ndata: {"type":"ping"}\n\n'
OFTEN_S = 0.05
"""How often hearts beat in tests that wait for them."""
OFTEN = Heartbeat(OFTEN_S)
TURNS = 8
"""Turns of the loop in which what was sent on one side has long arrived on the other: two would do."""


def data(said: object, name: str = "") -> bytes:
    """An event with that JSON, whose text is not escaped."""
    start = f"event: {name}\n" if name else ""
    return f"{start}data: {json.dumps(said, ensure_ascii=False)}\n\n".encode()


def token(text: str) -> bytes:
    """A chunk of a chat completion."""
    return data({"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]})


def usage(given: int, made: int) -> bytes:
    """The chunk with which a chat completion tells what it cost."""
    counts = {"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made}
    return data({"object": "chat.completion.chunk", "choices": [], "usage": counts})


def anthropic(kind: str, **said: object) -> bytes:
    """An event of Anthropic's Messages."""
    return data({"type": kind, **said}, kind)


def line(**said: object) -> bytes:
    """A line of JSON."""
    return json.dumps(said, ensure_ascii=False).encode() + b"\n"


def ollama(text: str) -> bytes:
    """A line of Ollama's chat."""
    return line(model="demo", message={"role": "assistant", "content": text}, done=False)


OLLAMA_DONE = line(model="demo", done=True, done_reason="stop", prompt_eval_count=5, eval_count=2)


def cut(text: bytes, *places: int) -> list[bytes]:
    """The text, cut there."""
    ends = [0, *places, len(text)]
    return [text[start:end] for start, end in itertools.pairwise(ends)]


def by_read(message: Message) -> list[bytes]:
    """What each read of the client brought of a body, without the framing."""
    reads: dict[float, bytes] = {}
    for at, piece in message.pieces:
        reads[at] = reads.get(at, b"") + piece
    return list(reads.values())


async def turns(count: int = TURNS) -> None:
    """Lets the loop turn without sleeping."""
    for _ in range(count):
        await asyncio.sleep(0)


async def beats(client: Client, message: Message, count: int, beat: bytes = PING) -> None:
    """Returns when that many more heartbeats have come, and nothing else."""
    before = message.size
    body = await client.wait_body(message, before + count * len(beat))
    assert body[before:].startswith(beat * count), body[before:]


def served(proxied: Proxied) -> list[Served]:
    """The clients whose requests are being served."""
    return [client for entry in proxied.running._listening for client in entry.handler.clients]


def unsent(proxied: Proxied) -> int:
    """Bytes that the proxy holds for its clients in their transports."""
    transports = [client.connection.transport for client in served(proxied)]
    return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)


def texts(events: Iterable[bytes]) -> list[str]:
    """The tokens of chunks, as a right client reads them."""
    said = [json.loads(event[len(b"data: ") :]) for event in events]
    return [chunk["choices"][0]["delta"]["content"] for chunk in said]
