"""Clients of the wild, which take one read for one event: they fail on a stream as it comes, and work on whole events.

The origin cuts where a network may: inside an event, inside a character. It goes on only when the client has read.
"""

import asyncio
import json
import shutil
from collections.abc import Callable

import pytest

from .conftest import MakeOrigin, MakeProxy
from .origin import request, set_event, whole_request
from .responses import SSE
from .streams import CHAT, DONE, OLLAMA_DONE, by_read, cut, ollama, token
from .wire import chunk, head

TEXTS = ["流れ", " of ", "naïve ", "👩‍🚀", "!"]
EVENTS = [token(text) for text in TEXTS]
LINES = [ollama(text) for text in TEXTS]
NDJSON = head(b"HTTP/1.1 200 OK", b"Content-Type: application/x-ndjson", b"Transfer-Encoding: chunked")

Naive = Callable[[list[bytes]], str]


def inside_character(event: bytes) -> int:
    """A place between the bytes of one; the middle, where there is none of several bytes."""
    return next((at for at in range(len(event)) if event[at] & 0xC0 == 0x80), len(event) // 2)


def pieces_of(frames: list[bytes], last: bytes) -> list[bytes]:
    """Each frame in two, cut inside a character, or inside its JSON; each first half with the end before it.

    The last one comes for itself: two frames in one read are beyond some of these clients, and of any proxy.
    """
    text = b"".join(frames)
    places, start = [], 0
    for frame in frames:
        places.append(start + inside_character(frame))
        start += len(frame)
    return [*cut(text, *places), last]


def splits_each_read(reads: list[bytes]) -> str:
    """`chunk.split("\\n\\n")` and JSON.parse."""
    found = []
    for read in reads:
        for block in read.decode("utf-8", "ignore").split("\n\n"):
            if block and block != "data: [DONE]":
                found.append(json.loads(block.removeprefix("data: "))["choices"][0]["delta"]["content"])
    return "".join(found)


def skips_what_it_cannot_read(reads: list[bytes]) -> str:
    """The same inside `try`, with nothing in `except`: what most front ends do."""
    found = []
    for read in reads:
        for block in read.decode("utf-8", "ignore").split("\n\n"):
            try:
                found.append(json.loads(block.removeprefix("data: "))["choices"][0]["delta"]["content"])
            except ValueError:
                continue
    return "".join(found)


def decodes_each_read(reads: list[bytes]) -> str:
    """`new TextDecoder().decode(chunk)` without `stream`, in front of a parser that is right."""
    text = "".join([read.decode("utf-8", "replace") for read in reads])
    blocks = [block.removeprefix("data: ") for block in text.split("\n\n") if block]
    return "".join([json.loads(block)["choices"][0]["delta"]["content"] for block in blocks if block != "[DONE]"])


def parses_each_read(reads: list[bytes]) -> str:
    """JSON.parse of every chunk, for lines of JSON."""
    return "".join([json.loads(read).get("message", {}).get("content", "") for read in reads])


CASES: dict[str, tuple[Naive, bytes, list[bytes], bytes, bytes]] = {
    "splits": (splits_each_read, SSE, EVENTS, DONE, b"\n\n"),
    "splits, skips": (skips_what_it_cannot_read, SSE, EVENTS, DONE, b"\n\n"),
    "decodes": (decodes_each_read, SSE, EVENTS, DONE, b"\n\n"),
    "parses": (parses_each_read, NDJSON, LINES, OLLAMA_DONE, b"\n"),
}


async def what_it_reads(origin: MakeOrigin, proxy: MakeProxy, case: str, whole: bool) -> str:
    """What a naive client makes of a stream that is cut badly. Errors: its own."""
    naive, start, frames, last, separator = CASES[case]
    one = await origin([request, start + chunk(frames[0])])
    proxied = await proxy(one, stream={"whole": whole})
    pieces = pieces_of(frames[1:], last)
    client = await proxied.connect()
    client.ask(b"POST", CHAT, body=b"{}")
    response = await client.next_head()
    await client.wait_body(response, len(frames[0]))
    connection, sent = one.connections[0], frames[0]
    for piece in pieces:
        sent += piece
        connection.send(chunk(piece))
        await client.wait_body(response, sent.rindex(separator) + len(separator) if whole else len(sent))
        if whole:  # one read of several writes is the network's doing, and no proxy's
            assert response.size == sent.rindex(separator) + len(separator)
    connection.send(chunk(b""))
    assert await client.wait_body_end(response) == "complete"
    assert response.body == sent
    return naive(by_read(response))


@pytest.mark.parametrize("case", ["splits", "parses"])
async def test_a_parser_by_reads_fails_on_bytes(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """It is given half a JSON text."""
    with pytest.raises(json.JSONDecodeError):
        await what_it_reads(origin, proxy, case, whole=False)


async def test_one_that_skips_what_it_cannot_read_loses_text(origin: MakeOrigin, proxy: MakeProxy):
    """Silently."""
    read = await what_it_reads(origin, proxy, "splits, skips", whole=False)
    assert read != "".join(TEXTS)
    assert read == TEXTS[0]


async def test_one_that_decodes_each_read_damages_characters(origin: MakeOrigin, proxy: MakeProxy):
    """U+FFFD in the middle of a word."""
    read = await what_it_reads(origin, proxy, "decodes", whole=False)
    assert "\ufffd" in read


@pytest.mark.parametrize("case", CASES)
async def test_all_of_them_work_on_whole_events(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """The same bytes of the same origin; only where the writes end is different."""
    assert await what_it_reads(origin, proxy, case, whole=True) == "".join(TEXTS)


BROWSER = """
const answer = await fetch(process.argv[1], { method: "POST", body: "{}" });
const reader = answer.body.getReader();
const texts = [], faults = [];
for (;;) {
  const { done, value } = await reader.read();
  if (done) break;
  for (const block of new TextDecoder().decode(value).split("\\n\\n")) {
    if (block === "" || block === "data: [DONE]") continue;
    try {
      texts.push(JSON.parse(block.slice("data: ".length)).choices[0].delta.content);
    } catch (error) {
      faults.push(error.name);
    }
  }
  console.log(JSON.stringify({ read: value.length }));
}
console.log(JSON.stringify({ texts, faults }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("whole", [False, True], ids=["bytes", "events"])
async def test_a_page_with_fetch_and_get_reader(origin: MakeOrigin, proxy: MakeProxy, whole: bool):
    """The loop of a thousand front ends, in JavaScript: broken by bytes, and right with whole events."""
    begun = asyncio.Event()
    one = await origin([whole_request, SSE, set_event(begun)])
    proxied = await proxy(one, stream={"whole": whole})
    page = await asyncio.create_subprocess_exec(
        "node",
        "--input-type=module",
        "-e",
        BROWSER,
        f"http://127.0.0.1:{proxied.port}{CHAT.decode()}",
        stdout=asyncio.subprocess.PIPE,
    )
    assert page.stdout is not None
    try:
        async with asyncio.timeout(30):
            connection = await one.connection()
            await begun.wait()
            sent, read = b"", 0
            for piece in pieces_of(EVENTS, DONE):
                connection.send(chunk(piece))
                sent += piece
                may_leave = len(sent)
                if whole:
                    may_leave = sent.rindex(b"\n\n") + 2 if b"\n\n" in sent else 0
                while read < may_leave:
                    read += json.loads(await page.stdout.readline())["read"]
                assert read == may_leave
            connection.send(chunk(b""))
            told = json.loads(await page.stdout.readline())
            assert await page.wait() == 0
    finally:
        if page.returncode is None:
            page.kill()
            await page.wait()
    if whole:
        assert told == {"texts": TEXTS, "faults": []}
    else:
        assert told["faults"]
        assert set(told["faults"]) == {"SyntaxError"}
        assert told["texts"] != TEXTS
