"""RFC 9112 section 8: a part of a message is never made to look like all of it."""

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import body_bytes, request
from tests.net.responses import OK
from tests.net.wire import chunk, head

from .refusals import HOST, POST

UPLOADS = {
    "chunked, between chunks": (b"Transfer-Encoding: chunked", chunk(b"good"), b"good"),
    "chunked, inside a size": (b"Transfer-Encoding: chunked", chunk(b"good") + b"4", b"good"),
    "chunked, inside a chunk": (b"Transfer-Encoding: chunked", chunk(b"good") + b"4\r\nha", b"goodha"),
    "chunked, before the last CRLF": (b"Transfer-Encoding: chunked", chunk(b"good") + b"0\r\n", b"good"),
    "counted": (b"Content-Length: 5", b"good", b"good"),
    "counted, expected": (b"Expect: 100-continue\r\nContent-Length: 5", b"good", b"good"),
}


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("ending", ["fin", "reset"])
@pytest.mark.parametrize("case", UPLOADS)
async def test_a_body_that_ends_early(origin: MakeOrigin, proxy: MakeProxy, case: str, ending: str, kept: bool):
    """M14: A client's body that ends early aborts the upstream's request, which gets no last chunk. RFC 9112 8."""
    line, sent, body = UPLOADS[case]
    one = await origin([*([request, OK] if kept else []), request, body_bytes(1000)], [request, OK])
    proxied = await proxy(one)
    client = await proxied.connect()
    if kept:
        await client.ask_for_answer(b"/first")
    client.send(head(POST, HOST, line) + sent)
    connection = await one.connection()
    await connection.until(lambda: len(connection.requests) > kept and connection.request.size == len(body), "it")
    client.close() if ending == "fin" else client.reset()
    await connection.wait_ended(1)
    assert (connection.request.body, connection.request.complete) == (body, False)
    assert not connection.raw.endswith((b"0\r\n\r\n", b"0\r\n"))
    assert (await proxied.ended(1 + kept)).outcome == "client_closed"
    assert (await (await proxied.connect()).ask_for_answer(b"/next")).body == b"ok"
    assert [asked.target for asked in one.connections[1].requests] == [b"/next"]
