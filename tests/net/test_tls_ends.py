"""A TLS upstream that closes right behind its last bytes: all of them arrive, whatever the client does meanwhile."""

import asyncio
import contextlib
import random
import socket
import ssl
import threading
import zlib

import pytest
import trustme

from proxy.core.errors import ProxyError
from proxy.core.routes import Origin, Tls
from proxy.net.upstream.dial import dial
from proxy.net.upstream.tls import context

from .certificates import serving
from .conftest import MakeOrigin, MakeProxy
from .origin import Connection, read_on, request, stop_reading
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


class Taker:
    """Takes a body, and knows when it has ended, and how."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.ended: asyncio.Future[ProxyError | None] = asyncio.get_running_loop().create_future()

    def receive_lone(self, read: bytes) -> bool:
        return False

    def receive(self, data: bytes, last: bool) -> None:
        self.body += data
        if last:
            self.ended.set_result(None)

    def failed(self, error: ProxyError) -> None:
        self.ended.set_result(error)


def answer_in_two(listening: socket.socket, context: ssl.SSLContext, rest_bytes: int, go_on: threading.Event) -> None:
    """Answers a request with 75,000 bytes, of which so many of TLS come behind `go_on`, and then the end.

    The last record begins within 64 KiB, and ends behind them.
    """
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    accepted, _ = listening.accept()
    with accepted:
        for step in (tls.do_handshake, lambda: tls.read(65536)):
            while True:
                try:
                    step()
                    break
                except ssl.SSLWantReadError:
                    accepted.sendall(outgoing.read())
                    incoming.write(accepted.recv(65536))
        tls.write(head(b"HTTP/1.1 200 OK", b"Content-Length: 75000"))
        first = outgoing.read()
        for start, end in [(0, 15_000), (15_000, 60_000), (60_000, 75_000)]:
            tls.write(BODY[start:end])
        body = outgoing.read()
        accepted.sendall(first + body[:-rest_bytes])
        go_on.wait(10)
        accepted.sendall(body[-rest_bytes:])


@pytest.mark.parametrize("rest_bytes", [50_000, 60_000, 65_000, 75_000])
async def test_what_tls_has_of_a_record_is_not_left_behind(authority: trustme.CA, authority_file: str, rest_bytes: int):
    """MUST. E8, S5. Loops do not count it where they say how much comes, and read the end before what did not fit."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(10)
        go_on = threading.Event()
        answering = threading.Thread(target=answer_in_two, args=(listening, serving(authority), rest_bytes, go_on))
        answering.start()
        tls = Tls(ca=authority_file)
        connection = await dial(Origin("localhost", listening.getsockname()[1], tls), 10, context(tls))
        connection.begin(b"GET", None)
        connection.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        connection.request_sent = True
        await connection.head()
        taker = Taker()
        connection.attach(taker)
        connection.pause()
        go_on.set()
        answering.join()  # so that the loop finds all of it, and the end behind it
        for _ in range(20):  # turns, in which it reads what there is room for
            await asyncio.sleep(0)
        connection.resume()
        assert await asyncio.wait_for(taker.ended, 10) is None
        assert taker.body == BODY[:75_000]
        connection.close()


UPGRADE = (b"Connection: upgrade", b"Upgrade: websocket")


def send_and_leave(port: int, context: ssl.SSLContext, body: bytes) -> None:
    """Opens a tunnel, sends that and closes at once."""
    with context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="localhost") as secure:
        secure.sendall(head(b"GET / HTTP/1.1", b"Host: localhost", *UPGRADE))
        assert secure.recv(65536).startswith(b"HTTP/1.1 101")
        secure.sendall(body)
        secure.setblocking(False)
        with contextlib.suppress(ssl.SSLError):
            secure.unwrap()


def take_all_as_it_is(connection: Connection) -> None:
    """What comes behind a handshake is no HTTP."""
    connection.reader = None


async def test_nor_does_that_of_a_client_in_a_tunnel(
    origin: MakeOrigin, proxy: MakeProxy, certificate_file: str, authority_file: str
):
    """MUST. U1. Its upstream has fallen behind when it leaves, and gets all that it had sent."""
    switched = head(b"HTTP/1.1 101 Switching Protocols", *UPGRADE)
    for _ in range(5):
        gate = asyncio.Event()
        one = await origin([request, take_all_as_it_is, stop_reading, switched, gate, read_on], receive_buffer=4096)
        proxied = await proxy(one, settings={"tls_cert": certificate_file, "tls_key": certificate_file})
        trusting = ssl.create_default_context(cafile=authority_file)
        await asyncio.to_thread(send_and_leave, proxied.port, trusting, BODY)
        gate.set()
        await one.connections[0].wait_ended()
        assert one.connections[0].raw.partition(b"\r\n\r\n")[2] == BODY
