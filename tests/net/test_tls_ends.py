"""A TLS upstream that closes right behind its last bytes: all of them arrive, whatever the client does meanwhile."""

import asyncio
import contextlib
import random
import socket
import ssl
import zlib

import pytest
import trustme

from proxy.core.routes import Tls

from .certificates import serving
from .conftest import MakeProxy
from .wire import chunk, head

BODY = random.Random(7).randbytes(600_000)
# What is read at once is no multiple of it, so that a part of a record is left as often as not.
RECORD_BYTES = 7_001
HEADS = {
    "length": head(b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(BODY), b"Connection: close"),
    "chunked": head(b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked"),
    "close": head(b"HTTP/1.1 200 OK", b"Connection: close"),
}


def answer(listening: socket.socket, context: ssl.SSLContext, framing: str, says_goodbye: bool) -> None:
    """Answers one request and closes at once, without waiting for the other side's goodbye as a loop's TLS would."""
    accepted, _ = listening.accept()
    with context.wrap_socket(accepted, server_side=True) as secure:
        received = b""
        while b"\r\n\r\n" not in received:
            received += secure.recv(65536)
        pieces = [BODY[at : at + 30_000] for at in range(0, len(BODY), 30_000)]
        body = b"".join(map(chunk, [*pieces, b""])) if framing == "chunked" else BODY
        whole = HEADS[framing] + body
        for at in range(0, len(whole), RECORD_BYTES):
            secure.sendall(whole[at : at + RECORD_BYTES])
        if says_goodbye:
            secure.setblocking(False)
            with contextlib.suppress(ssl.SSLError):
                secure.unwrap()


@pytest.mark.parametrize("stalls", [False, True])
@pytest.mark.parametrize(
    ("framing", "says_goodbye"),
    [("length", True), ("length", False), ("chunked", True), ("chunked", False), ("close", True)],
)
async def test_an_end_overtakes_no_bytes(
    proxy: MakeProxy, authority: trustme.CA, authority_file: str, framing: str, says_goodbye: bool, stalls: bool
):
    """MUST. E8, S5. Both loops drop what waits in TLS when an end comes: so none is read before that is gone."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        proxied = await proxy(listening.getsockname()[1], host="localhost", tls=Tls(ca=authority_file))
        for _ in range(5):
            answering = asyncio.create_task(
                asyncio.to_thread(answer, listening, serving(authority), framing, says_goodbye)
            )
            client = await proxied.connect(receive_buffer=8192 if stalls else None, kept=False)
            client.get()
            message = await client.next_head()
            if stalls:
                client.pause()
                await asyncio.wait_for(answering, 10)
                client.resume()
            assert await client.wait_body_end(message, 10) == "complete"
            assert (message.size, message.checksum) == (len(BODY), zlib.crc32(BODY))
            await answering
            client.close()
