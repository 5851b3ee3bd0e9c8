"""A configured proxy with a keyed and a plain route, the origin behind it, and what that origin was asked."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.app import Running
from proxy.config.compile import compiled
from proxy.config.load import load_text
from tests.net.harness import Exchanges, Proxied
from tests.net.origin import Origin
from tests.net.wire import Message, head
from tests.spec.relayed import asked

CANARY = "sk-canary-0123456789abcdef"
TOKEN = "token-0123456789abcdef"
ENVIRON = {"KEY": CANARY, "PROXY_TOKEN": TOKEN}
KEYED = b"Authorization: Bearer " + CANARY.encode()
BEARER = b"Authorization: Bearer " + TOKEN.encode()
EVIL = b"Origin: https://evil.example"
HOST = b"Host: localhost"


def routes(port: int, keyed: str = "", plain: str = "") -> str:
    """`/k/` spends a key, `/n/` none; `keyed` and `plain` are more keys for them, with a comma in front."""
    url = f"upstream: 'http://127.0.0.1:{port}', strip_prefix: true"
    keys = "api_key: '${KEY}'"
    return f"routes:\n- {{name: k, path: /k/, {url}, {keys}{keyed}}}\n- {{name: n, path: /n/, {url}{plain}}}\n"


class World:
    """What tests of a running proxy ask and look at."""

    def __init__(self, proxied: Proxied, one: Origin) -> None:
        self.proxied = proxied
        self.origin = one

    async def ask(
        self, line: bytes, *lines: bytes, host: bytes | None = HOST, version: bytes = b"HTTP/1.1", body: bytes = b""
    ) -> Message:
        """The answer to a request on a connection of its own; `line` is method and target."""
        named = [] if host is None else [host]
        return await asked(self.proxied, head(line + b" " + version, *named, *lines) + body)

    async def raw(self, sent: bytes) -> Message:
        """The answer to bytes."""
        return await asked(self.proxied, sent)

    @property
    def received(self) -> list[Message]:
        """Every request that reached the origin."""
        return [request for connection in self.origin.connections for request in connection.requests]

    def assert_untouched(self) -> None:
        """Nobody connected to the origin."""
        assert not self.origin.connections


@asynccontextmanager
async def world(one: Origin, text: str) -> AsyncIterator[World]:
    """A proxy that a configuration describes, on a free port of this machine unless it says where."""
    if "listen:" not in text:
        text = f"listen: 127.0.0.1:0\nadmin: off\n{text}"
    exchanges = Exchanges()
    running = await Running.start(compiled(load_text(text, "security.yaml", ENVIRON)), [exchanges])
    proxied = Proxied(running, exchanges, int(running.addresses[0].rpartition(":")[2]))
    try:
        yield World(proxied, one)
    finally:
        for client in proxied.clients:
            if not client.gone:
                client.transport.abort()
                await client.wait_gone()
        await running.stop(0)


def code(answer: Message) -> tuple[int, str]:
    """Status and code of an error of ours."""
    assert answer.get(b"proxy-status"), f"not ours: {answer.start!r} {answer.body!r}"
    assert answer.get(b"x-content-type-options") == b"nosniff"
    return answer.status, json.loads(answer.body)["error"]["code"]


def granted(answer: Message) -> list[tuple[bytes, bytes]]:
    """The CORS fields of an answer."""
    return [(name.lower(), value) for name, value in answer.fields if name.lower().startswith(b"access-control-")]
