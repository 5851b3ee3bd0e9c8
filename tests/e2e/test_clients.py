"""SDKs, libraries and tools: each piece is there while the origin still holds the next."""

from dataclasses import dataclass

import pytest

from .harness import PATIENCE_S, Stage, deliver
from .pieces import CHAT, EVENTS, LINES, MESSAGES, Script


@dataclass(frozen=True)
class Client:
    """A client's script, and what the origin sends it."""

    script: str
    said: Script


CLIENTS = [
    Client("openai.mjs", CHAT),
    Client("langchain.mjs", CHAT),
    Client("eventsource-parser.mjs", EVENTS),
    Client("ask_openai.py", CHAT),
    Client("ask_anthropic.py", MESSAGES),
    Client("read_httpx_sse.py", EVENTS),
    Client("read_requests.py", LINES),
    Client("curl", LINES),
]
every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.script)


@every_client
async def test_each_piece_arrives_while_the_next_is_held(stage: Stage, client: Client) -> None:
    origin = await stage.origin()
    proxy = await stage.streamsafe(origin.url)
    program = await stage.client(client.script, proxy.url)
    await origin.told("request", 30)
    delivery = await deliver(origin, program, client.said.pieces, client.said.last)
    assert delivery.values == client.said.values
    assert delivery.in_time == [True] * 3
    if client.script == "curl":
        assert await program.ended() == 0
    else:
        await program.told("end")


@every_client
async def test_a_compressing_dev_proxy_holds_every_piece_until_the_end(stage: Stage, client: Client) -> None:
    origin = await stage.origin()
    peer = await stage.peer(origin.url)
    program = await stage.client(client.script, peer.url)
    await origin.told("request", 30)
    delivery = await deliver(origin, program, client.said.pieces, client.said.last, PATIENCE_S)
    assert delivery.values == client.said.values
    assert delivery.in_time == [False, False, False]


@every_client
async def test_a_stream_that_breaks_off_is_an_error_and_no_end(stage: Stage, client: Client) -> None:
    origin = await stage.origin()
    proxy = await stage.streamsafe(origin.url)
    program = await stage.client(client.script, proxy.url)
    await origin.told("request", 30)
    await origin.send(client.said.pieces[0])
    assert (await program.told("event")).value == client.said.values[0]
    await origin.order(cut=True)
    if client.script == "curl":
        assert await program.ended() == 18  # CURLE_PARTIAL_FILE
    else:
        said = (await program.told("error")).value
        assert not said.startswith("Missing"), f"the body had an end: {said}"


@every_client
async def test_behind_a_dev_proxy_a_client_waits_for_ever_after_its_stream_broke_off(
    stage: Stage, client: Client
) -> None:
    origin = await stage.origin()
    peer = await stage.peer(origin.url)
    program = await stage.client(client.script, peer.url)
    await origin.told("request", 30)
    await origin.send(client.said.pieces[0])
    await origin.order(cut=True)
    assert (await origin.told("closed")).value == "early"
    for key in ("event", "error", "end"):
        with pytest.raises(TimeoutError):
            await program.told(key, PATIENCE_S)
