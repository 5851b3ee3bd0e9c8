"""requests with stream=True and iter_lines: read_requests.py URL."""

import requests
from tell import run, tell


async def read(url: str) -> None:
    accept = {"Accept": "text/event-stream"}
    with requests.get(url, headers=accept, stream=True, timeout=60) as response:  # noqa: ASYNC210  nothing else runs
        tell(open=dict(response.headers))
        for line in response.iter_lines():
            if line.startswith(b"data:"):
                tell(event=line.decode())


run(read)
