"""What both sides see when a message is refused: our error, the end of the connection, and nothing of it elsewhere."""

from tests.net.client import Client
from tests.net.harness import Proxied
from tests.net.origin import Origin
from tests.net.test_failures import assert_is_our_error
from tests.net.wire import head

HOST = b"Host: localhost"
GET = b"GET / HTTP/1.1"
POST = b"POST / HTTP/1.1"
HIDDEN = head(b"GET /hidden HTTP/1.1", HOST)
"""A request that a reader with another opinion of the framing would find inside or behind a body."""
POISON = head(b"HTTP/1.1 200 OK", b"X-Poison: 1", b"Content-Length: 6") + b"POISON"
"""A response that nobody asked for."""


async def assert_refused(client: Client, one: Origin, status: int) -> None:
    """Exactly one answer, an error of ours that announces the end which follows, and the origin never hears of it."""
    client.methods.append(b"POST")
    response = await client.answer()
    assert_is_our_error(response, status, "http_request_error", "client")
    assert response.get(b"connection") == b"close"
    assert await client.wait_ended() == "fin"
    assert len(client.reader.messages) == 1
    assert not one.connections


async def assert_blamed_on_upstream(
    proxied: Proxied, one: Origin, code: str = "http_protocol_error", method: bytes = b"GET"
) -> None:
    """502 with that code, nothing of what the upstream said, its connection ended; the next request has a new one."""
    client = await proxied.connect()
    client.ask(method)
    response = await client.answer()
    if method != b"HEAD":
        assert_is_our_error(response, 502, code, "upstream")
    assert (response.status, (await proxied.ended()).code) == (502, code)
    await one.connections[0].wait_ended(1)
    assert (await client.ask_for_answer(b"/next")).body == b"ok"
    assert [[asked.target for asked in connection.requests] for connection in one.connections] == [[b"/"], [b"/next"]]
    assert b"oison" not in client.raw.lower()
