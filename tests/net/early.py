"""Early heartbeats: who asks for them, and how one sees that they have come."""

from proxy.core.streams import Heartbeat

from .client import Client
from .streams import OFTEN_S, PING
from .wire import Message

EARLY = {"heartbeat": Heartbeat(OFTEN_S, early=True), "family": "openai"}
ASKS = b'{"model": "demo", "stream": true}'
EVENT_STREAM = b"Accept: text/event-stream"


async def early(client: Client) -> Message:
    """The head of an early answer, with two heartbeats."""
    response = await client.next_head()
    assert response.status == 200
    await client.wait_body(response, 2 * len(PING))
    assert response.body.startswith(PING + PING)
    return response
