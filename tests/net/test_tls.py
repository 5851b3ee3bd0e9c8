"""TLS on both sides."""

import asyncio
import json
import os
import socket
import ssl
from collections.abc import Callable

import pytest
import trustme

from proxy.core.routes import Tls

from .certificates import serving
from .conftest import MakeOrigin, MakeProxy
from .origin import Connection, fin, request
from .responses import OK, SSE, UNTIL_CLOSE
from .wire import chunk


async def error_code(proxied) -> str:
    """The code of a 502, which is also that of the exchange."""
    response = await (await proxied.connect()).ask_for_answer()
    assert response.status == 502
    exchange = await proxied.ended()
    assert exchange.outcome == "upstream_aborted"
    assert exchange.code == json.loads(response.body)["error"]["code"]
    return exchange.code


async def test_an_unknown_authority_is_refused(origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA):
    """MUST. F10. Not a byte of the request goes out."""
    one = await origin([], read=False, tls=serving(authority))
    assert await error_code(await proxy(one, tls=Tls())) == "tls_certificate_error"
    assert not any(connection.received_bytes for connection in one.connections)


async def test_a_certificate_for_another_name_is_refused(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str
):
    """MUST. F9."""
    one = await origin([], read=False, tls=serving(authority, "else.where"))
    assert await error_code(await proxy(one, tls=Tls(ca=authority_file))) == "tls_certificate_error"


@pytest.mark.parametrize("how", ["ca", "verify: false", "server_name"])
async def test_it_works_once_it_is_trusted(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str, how: str
):
    """MUST. F9, F10. The own authority, no verification, or another name to check."""
    settings = {
        "ca": Tls(ca=authority_file),
        "verify: false": Tls(verify=False),
        "server_name": Tls(ca=authority_file, server_name="else.where"),
    }
    names = ["else.where"] if how == "server_name" else []
    one = await origin([request, OK, request, OK], tls=serving(authority, *names))
    client = await (await proxy(one, tls=settings[how], host="localhost")).connect()
    for _ in range(2):
        assert (await client.ask_for_answer()).body == b"ok"
    assert len([connection for connection in one.connections if connection.requests]) == 1


async def test_a_client_certificate_is_shown(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str, certificate_file: str
):
    """MUST. F10. Without one, that upstream refuses the handshake or the first read."""
    context = serving(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    one = await origin([request, OK], tls=context)
    shown = Tls(ca=authority_file, cert=certificate_file, key=certificate_file)
    assert (await (await (await proxy(one, tls=shown)).connect()).ask_for_answer()).body == b"ok"


async def test_a_port_that_speaks_no_tls_is_tls_protocol_error(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A4."""
    one = await origin([b"HTTP/1.1 400 Bad Request\r\n\r\n"], read=False)
    assert await error_code(await proxy(one, tls=Tls())) == "tls_protocol_error"


async def test_a_port_that_hangs_up_on_tls_is_tls_protocol_error(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. A4."""
    one = await origin([fin], read=False)
    assert await error_code(await proxy(one, tls=Tls())) == "tls_protocol_error"


async def test_events_arrive_one_by_one_over_tls_on_both_sides(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str, certificate_file: str
):
    """MUST. S1, S5. Encryption is no reason to wait."""
    gates = [asyncio.Event() for _ in range(10)]
    steps = [step for gate in gates for step in (gate, chunk(b"data: 1\n\n"))]
    one = await origin([request, SSE, *steps, chunk(b"")], tls=serving(authority))
    listening = {"tls_cert": certificate_file, "tls_key": certificate_file}
    proxied = await proxy(one, tls=Tls(ca=authority_file), settings=listening)
    client = await proxied.connect(tls=ssl.create_default_context(cafile=authority_file))
    client.get()
    response = await client.next_head()
    for number, gate in enumerate(gates):
        gate.set()
        await client.wait_body(response, 9 * (number + 1))
    assert await client.wait_body_end(response) == "complete"
    assert one.connections[0].request.get(b"x-forwarded-proto") == b"https"


async def test_large_bodies_pass_over_tls_in_both_directions(
    origin: MakeOrigin, proxy: MakeProxy, authority: trustme.CA, authority_file: str
):
    """MUST. S15. More than one TLS record and one buffer each way."""
    body = bytes(range(256)) * 8192

    async def answer_with_what_came(connection: Connection) -> None:
        await connection.until(lambda: connection.request.complete, "the body")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + connection.request.body)

    one = await origin([request, answer_with_what_came], tls=serving(authority))
    client = await (await proxy(one, tls=Tls(ca=authority_file))).connect()
    client.ask(b"POST", body=body)
    assert (await client.answer()).body == body


def cut_without_goodbye(connection: Connection) -> None:
    """FIN without close_notify: what somebody on the path could send."""
    with socket.socket(fileno=os.dup(connection.transport.get_extra_info("socket").fileno())) as made:
        made.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize(("ending", "body_ending"), [(fin, "complete"), (cut_without_goodbye, "fin")])
async def test_only_close_notify_ends_a_body_that_the_close_delimits(
    origin: MakeOrigin,
    proxy: MakeProxy,
    authority: trustme.CA,
    authority_file: str,
    ending: Callable[[Connection], None],
    body_ending: str,
):
    """MUST. A9. RFC 9112 section 9.8."""
    gate = asyncio.Event()
    one = await origin([request, UNTIL_CLOSE + b"text", gate, ending], tls=serving(authority))
    proxied = await proxy(one, tls=Tls(ca=authority_file))
    client = await proxied.connect()
    client.get()
    response = await client.next_head()
    await client.wait_body(response, 4)
    gate.set()
    assert await client.wait_body_end(response) == body_ending
    assert response.body == b"text"
    outcome = "complete" if body_ending == "complete" else "upstream_aborted"
    assert (await proxied.ended()).outcome == outcome


def ask_with_http_1_0(port: int, authority_file: str) -> tuple[bytes, str]:
    """What an HTTP/1.0 client over TLS gets, and how it ends: by close_notify or by anything else."""
    context = ssl.create_default_context(cafile=authority_file)
    received = b""
    # Without this option Python takes a bare FIN for a clean end.
    strict = {"suppress_ragged_eofs": False, "server_hostname": "localhost"}
    with (
        socket.create_connection(("127.0.0.1", port), 5) as plain,
        context.wrap_socket(plain, **strict) as secured,
    ):
        secured.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
        try:
            while data := secured.recv(65536):
                received += data
        except (ssl.SSLError, ConnectionError):
            return received, "cut"
        return received, "close_notify"


@pytest.mark.parametrize(("ending", "seen"), [(fin, "close_notify"), (Connection.reset, "cut")])
async def test_a_client_over_tls_that_knows_only_the_close_can_tell_a_cut(
    origin: MakeOrigin, proxy: MakeProxy, authority_file: str, certificate_file: str, ending, seen: str
):
    """MUST. A8. RFC 9112 section 9.8. An abort must not say goodbye, as that is the clean end of such a body."""
    pause = asyncio.Event()
    one = await origin([request, UNTIL_CLOSE + b"text", pause, ending])
    proxied = await proxy(one, settings={"tls_cert": certificate_file, "tls_key": certificate_file})
    asking = asyncio.create_task(asyncio.to_thread(ask_with_http_1_0, proxied.port, authority_file))
    await one.asked()
    await asyncio.sleep(0.05)  # the client is a thread: what it has read cannot be seen from here
    pause.set()
    received, how = await asking
    assert received.endswith(b"\r\n\r\ntext")
    assert how == seen


async def test_plain_http_on_the_tls_port_is_closed(origin: MakeOrigin, proxy: MakeProxy, certificate_file: str):
    """MUST. Z5. Without a traceback in the log."""
    one = await origin([request, OK])
    proxied = await proxy(one, settings={"tls_cert": certificate_file, "tls_key": certificate_file})
    reader, writer = await asyncio.open_connection("127.0.0.1", proxied.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 5)  # nothing, or a TLS alert
    assert answer[:1] in (b"", b"\x15")
    assert not one.connections
    writer.close()
    await writer.wait_closed()
