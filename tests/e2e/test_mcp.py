"""The MCP SDK over streamable HTTP: progress arrives as it is made, and a lost connection means what the server says.

The protocol of 2025 lets a client come back to its stream: a lost connection cancels nothing. In that of 2026 to close
the stream is to cancel.
"""

import pytest

from .harness import PATIENCE_S, Program, Stage
from .line import line_to

DEAF = "gzip on; gzip_types *; proxy_ignore_headers X-Accel-Buffering;"
MODERN = "2026-07-28"


async def tool(stage: Stage) -> Program:
    return await stage.listening(await stage.python("mcp_server.py"))


async def step(server: Program, number: int) -> None:
    await server.order(step=number)
    assert (await server.told("stepped")).value == number


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_progress_arrives_while_the_tool_is_held(stage: Stage, mode: str) -> None:
    server = await tool(stage)
    proxy = await stage.streamsafe(server.url)
    client = await stage.client("call_mcp.py", proxy.url, mode)
    await server.told("started", 30)
    for number in (1, 2, 3):
        await step(server, number)
        assert (await client.told("event")).value == [number, 3, f"step {number}"]
    await server.order(finish=True)
    assert (await client.told("result")).value == "counted"
    await client.told("end")


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_an_nginx_that_is_told_to_ignore_the_servers_hint_holds_the_progress(stage: Stage, mode: str) -> None:
    server = await tool(stage)
    peer = await stage.plain_nginx(server.url, DEAF)
    client = await stage.client("call_mcp.py", peer.url, mode)
    await server.told("started", 30)
    await step(server, 1)
    with pytest.raises(TimeoutError):
        await client.told("event", PATIENCE_S)
    await server.order(finish=True)
    finished = await server.told("finished")
    assert (await client.told("event")).at >= finished.at


async def test_a_lost_connection_cancels_nothing_and_the_client_comes_back_for_the_rest(stage: Stage) -> None:
    server = await tool(stage)
    proxy = await stage.streamsafe(server.url)
    async with line_to(proxy.url) as line:
        client = await stage.client("call_mcp.py", line.url, "legacy")
        await server.told("started", 30)
        await step(server, 1)
        assert (await client.told("event")).value == [1, 3, "step 1"]
        line.cut()
        await step(server, 2)
        assert (await client.told("event")).value == [2, 3, "step 2"]
        assert int((await server.told("resumed")).value) > 0
        await server.order(finish=True)
        await server.told("finished")
        assert (await client.told("result")).value == "counted"
        with pytest.raises(TimeoutError):
            await server.told("cancelled", 0)


async def test_a_client_whose_stream_was_held_has_nothing_to_come_back_with(stage: Stage) -> None:
    server = await tool(stage)
    peer = await stage.plain_nginx(server.url, DEAF)
    async with line_to(peer.url) as line:
        client = await stage.client("call_mcp.py", line.url, "legacy")
        await server.told("started", 30)
        line.cut()
        await client.told("error")
        with pytest.raises(TimeoutError):
            await server.told("resumed", PATIENCE_S)


async def test_where_closing_is_cancelling_the_tool_is_cancelled(stage: Stage) -> None:
    server = await tool(stage)
    proxy = await stage.streamsafe(server.url)
    client = await stage.client("call_mcp.py", proxy.url, MODERN)
    await server.told("started", 30)
    await step(server, 1)
    await client.order(cancel=True)
    await client.told("gave_up")
    await server.told("cancelled")


async def test_behind_an_nginx_that_keeps_what_clients_left_the_tool_runs_on(stage: Stage) -> None:
    server = await tool(stage)
    peer = await stage.plain_nginx(server.url, "proxy_ignore_client_abort on;")
    client = await stage.client("call_mcp.py", peer.url, MODERN)
    await server.told("started", 30)
    await step(server, 1)
    await client.order(cancel=True)
    await client.told("gave_up")
    with pytest.raises(TimeoutError):
        await server.told("cancelled", 2 * PATIENCE_S)
    await step(server, 2)
