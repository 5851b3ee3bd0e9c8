"""httpx with httpx-sse: read_httpx_sse.py URL."""

import httpx
from httpx_sse import aconnect_sse
from tell import run, tell


async def read(url: str) -> None:
    async with httpx.AsyncClient() as client, aconnect_sse(client, "GET", url) as source:
        tell(open=dict(source.response.headers))
        async for event in source.aiter_sse():
            tell(event={"type": event.event, "id": event.id, "data": event.data})


run(read)
