"""An MCP server with one gated tool, over streamable HTTP with an event store, so that streams can be resumed.

Orders: {"step": number} lets the tool report that progress, {"finish": true} lets it return.
"""

import asyncio
import socket

import uvicorn
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from tell import orders, tell

server = MCPServer("gated")
steps: asyncio.Queue[int | None] = asyncio.Queue()


class Memory(EventStore):
    """All events of all streams, numbered from 1."""

    def __init__(self) -> None:
        self._events: list[tuple[str, object]] = []

    async def store_event(self, stream_id: str, message: object) -> str:
        self._events.append((stream_id, message))
        return str(len(self._events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        tell(resumed=last_event_id)
        wanted = self._events[int(last_event_id) - 1][0]
        for number, (stream_id, message) in enumerate(self._events, 1):
            if number > int(last_event_id) and stream_id == wanted and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return wanted


@server.tool()
async def count(context: Context) -> str:
    """Counts as it is told to."""
    tell(started=True)
    try:
        while (step := await steps.get()) is not None:
            await context.report_progress(step, 3, f"step {step}")
            tell(stepped=step)
    except asyncio.CancelledError:
        tell(cancelled=True)
        raise
    tell(finished=True)
    return "counted"


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    app = server.streamable_http_app(event_store=Memory(), retry_interval=50)
    serving = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    task = asyncio.create_task(serving.serve([listener]), name="uvicorn")
    tell(listening={"port": listener.getsockname()[1]})
    async for order in orders():
        steps.put_nowait(order.get("step"))
    serving.should_exit = serving.force_exit = True
    await task


asyncio.run(main())
