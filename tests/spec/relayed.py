"""One request and its answer through the proxy, as each side got them; and proxies that a configuration describes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from proxy.app import Running
from proxy.config.addresses import Address
from proxy.config.compile import Settings, Site, compiled
from proxy.config.load import load_text
from proxy.core import routes
from proxy.core.forwarding import Forwarding
from proxy.core.plan import Proxy
from tests.net.client import Client
from tests.net.harness import INSTANCE, Exchanges, Proxied
from tests.net.origin import Connection, Origin, Script, whole_request
from tests.net.responses import OK
from tests.net.wire import Message, head

BARE = Forwarding(x_forwarded=False, forwarded=False, x_real_ip=False, via=False)
"""Adds nothing: what the upstream then gets is what was relayed."""
TODAY = b"Date: today"
"""A Date of the upstream's, so that ours does not differ from run to run."""
FORWARDED_BY_US = [
    b"X-Forwarded-For: 127.0.0.1",
    b"X-Forwarded-Host: localhost",
    b"X-Forwarded-Proto: http",
    b"X-Real-IP: 127.0.0.1",
]
VIA_US = b"Via: 1.1 " + INSTANCE


def answering(reply: bytes = OK) -> Script:
    """Answers every request of a connection alike."""
    return [step for _ in range(300) for step in (whole_request, reply)]


def lines(message: Message, *without: bytes) -> list[bytes]:
    """The field lines as they stood on the wire, in their order, but for those of these names."""
    return [
        b"%b: %b" % entry if entry[1] else entry[0] + b":" for entry in message.fields if _key(entry) not in without
    ]


def _key(entry: tuple[bytes, bytes]) -> bytes:
    return entry[0].lower()


def get(target: bytes, *field_lines: bytes, host: bytes = b"localhost") -> bytes:
    """A GET as bytes."""
    return head(b"GET %b HTTP/1.1" % target, b"Host: " + host, *field_lines)


async def relayed(proxied: Proxied, one: Origin, sent: bytes) -> tuple[Message, Message]:
    """Sends a request on a connection of its own: the request as the upstream got it, the answer as the client did."""
    answer = await asked(proxied, sent)
    assert one.connections, f"it was not forwarded but answered {answer.start!r} {answer.body!r}"
    return one.connections[-1].request, answer


async def asked(proxied: Proxied, sent: bytes) -> Message:
    """The answer to a request on a connection of its own."""
    client = await proxied.connect()
    client.methods.append(sent.split(b" ")[0])
    client.send(sent)
    return await client.answer()


async def refused(proxied: Proxied, sent: bytes) -> tuple[int, str]:
    """Status and code of one of our own errors."""
    answer = await asked(proxied, sent)
    assert answer.get(b"proxy-status"), f"this is no answer of the proxy's own: {answer.start!r} {answer.fields!r}"
    return answer.status, json.loads(answer.body)["error"]["code"]


def configured(text: str, environ: Mapping[str, str] | None = None) -> Proxy:
    """What decides behind the first listener of a configuration."""
    return compiled(load_text(text, "spec.yaml", environ or {})).sites[0].proxy


def led_to(route: routes.Route, port: int) -> routes.Route:
    """The route with all that its upstream's URL says, but connections go to a port of this machine, without TLS."""
    return replace(route, upstream=replace(route.upstream, origin=routes.Origin("127.0.0.1", port)))


@asynccontextmanager
async def listening(where: Address, *served: routes.Route, **fields: Any) -> AsyncIterator[Proxied]:
    """A proxy that listens elsewhere than on 127.0.0.1; `fields` are those of the core's Proxy."""
    exchanges = Exchanges()
    site = Site(where, Proxy(INSTANCE, routes.ordered(served), **fields))
    running = await Running.start(Settings((site,)), [exchanges])
    port = 0 if where.path is not None else int(running.addresses[0].rpartition(":")[2])
    try:
        yield Proxied(running, exchanges, port)
    finally:
        await running.stop(0)


@asynccontextmanager
async def client_of(family: socket.AddressFamily, where: Any) -> AsyncIterator[Client]:
    """A client on a socket of that family."""
    loop = asyncio.get_running_loop()
    if family is socket.AF_UNIX:
        _, client = await loop.create_unix_connection(Client, where)
    else:
        made = socket.socket(family)
        made.setblocking(False)
        await loop.sock_connect(made, where)
        _, client = await loop.create_connection(Client, sock=made)
    try:
        yield client
    finally:
        client.close()
        await client.wait_gone()


@asynccontextmanager
async def also_on_ipv6(one: Origin) -> AsyncIterator[int]:
    """The same origin on ::1 too; gives the port."""
    made = socket.socket(socket.AF_INET6)
    made.bind(("::1", 0))
    server = await asyncio.get_running_loop().create_server(lambda: Connection(one, True, True), sock=made)
    try:
        yield made.getsockname()[1]
    finally:
        server.close()
        for connection in one.connections:
            if not connection.gone:
                connection.transport.abort()
                await connection.wait_gone()
        await server.wait_closed()
