"""WebSocket and socket.io: what is sent comes back, one message after the other, over an upgraded connection."""

import pytest

from .harness import Program, Stage


async def echoes(stage: Stage, kind: str) -> Program:
    return await stage.listening(await stage.node("sockets.mjs", kind))


async def test_websocket_messages_come_back_one_by_one_with_their_kind_protocol_and_close_code(stage: Stage) -> None:
    origin = await echoes(stage, "websocket")
    proxy = await stage.streamsafe(origin.url)
    client = await stage.node("websocket.mjs", f"{proxy.url}/chat")
    assert (await client.told("open")).value == "chat"
    exchanges = [
        ({"text": "流れ 👩‍🚀"}, "流れ 👩‍🚀"),
        ({"bytes": "00ff80"}, {"bytes": "00ff80"}),
        ({"ping": "there?"}, {"pong": "there?"}),
        ({"text": "x" * 200_000}, "x" * 200_000),
    ]
    for order, event in exchanges:
        await client.order(**order)
        assert (await client.told("event")).value == event
    await client.order(close=True)
    assert (await origin.told("closed")).value == [4000, "enough"]
    assert (await client.told("end")).value == [4000, "enough"]


async def test_nginx_with_its_defaults_opens_no_websocket(stage: Stage) -> None:
    origin = await echoes(stage, "websocket")
    peer = await stage.plain_nginx(origin.url)
    client = await stage.node("websocket.mjs", f"{peer.url}/chat")
    assert "Unexpected server response" in (await client.told("refused")).value


async def test_socket_io_polls_and_then_upgrades(stage: Stage) -> None:
    origin = await echoes(stage, "socketio")
    proxy = await stage.streamsafe(origin.url)
    client = await stage.node("socketio.mjs", proxy.url)
    assert (await client.told("open")).value == "polling"
    assert (await client.told("upgraded")).value == "websocket"
    for text in ("one", "zwei", "三"):
        await client.order(text=text)
        assert (await client.told("event")).value == {"via": "websocket", "text": text}
    assert [(await origin.told("transport")).value for _ in range(2)] == ["polling", "websocket"]
    await client.end()
    assert "transport" in (await origin.told("closed")).value


async def test_behind_nginx_with_its_defaults_socket_io_goes_on_polling(stage: Stage) -> None:
    origin = await echoes(stage, "socketio")
    peer = await stage.plain_nginx(origin.url)
    client = await stage.node("socketio.mjs", peer.url)
    assert (await client.told("open")).value == "polling"
    await client.told("refused")
    await client.order(text="one")
    assert (await client.told("event")).value == {"via": "polling", "text": "one"}
    assert (await origin.told("transport")).value == "polling"
    with pytest.raises(TimeoutError):
        await origin.told("transport", 0.3)
