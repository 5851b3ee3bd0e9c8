"""The MCP SDK's client calls the gated tool: call_mcp.py URL MODE. Any order cancels the call."""

import asyncio
import sys

from mcp import Client
from tell import orders, run, tell


async def progressed(progress: float, total: float | None, message: str | None) -> None:
    tell(event=[progress, total, message])


async def call(url: str) -> None:
    async with Client(f"{url}/mcp", mode=sys.argv[2]) as client:
        calling = asyncio.create_task(client.call_tool("count", {}, progress_callback=progressed), name="call")
        listening = asyncio.create_task(wait_order(), name="orders")
        await asyncio.wait([calling, listening], return_when=asyncio.FIRST_COMPLETED)
        if not calling.done():
            calling.cancel()
            await asyncio.wait([calling])
            tell(gave_up=True)
        else:
            tell(result=(await calling).content[0].text)
            listening.cancel()


async def wait_order() -> None:
    async for _ in orders():
        return


run(call)
