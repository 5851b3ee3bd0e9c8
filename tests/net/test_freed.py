"""What an exchange held is freed as soon as it is over, by reference counts: the collector comes rarely here.

`calm_collector` lets it come after 50,000 objects, which circles of some kilobytes each would make 30 MiB by then.
"""

import collections
import gc
import gzip
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import trustme

from proxy.core.errors import ClientError
from proxy.core.routes import Tls
from proxy.core.streams import Heartbeat
from proxy.net.tracebacks import drop_tracebacks
from proxy.net.upload import Upload
from tests.spec.tunnels import handshake, switch

from .certificates import serving
from .client import Client
from .conftest import MakeOrigin, MakeProxy
from .failover import NO_EJECTION, REFUSES, SERVES, behind
from .harness import Proxied, settles
from .origin import Origin, Script, Step, fin, request, rst, whole_request
from .responses import CHUNKED, OK, SSE, UNTIL_CLOSE, counted
from .wire import chunk, head

SSE_GZIP = head(
    b"HTTP/1.1 200 OK", b"Content-Type: text/event-stream", b"Content-Encoding: gzip", b"Transfer-Encoding: chunked"
)
CHUNKED_POST = head(b"POST / HTTP/1.1", b"Host: localhost", b"Transfer-Encoding: chunked")
EVENTS = chunk(b"data: 1\n\n") + chunk(b"data: 2\n\n")
TIMES = 5

Exchange = Callable[..., Awaitable[None]]
"""What a client does, with the origins at hand."""


async def ask(client: Client, *origins: Origin) -> None:
    """A GET, whatever comes of it."""
    client.get()
    await client.wait_body_end(await client.next_head())


async def ask_twice(client: Client, one: Origin) -> None:
    await ask(client, one)
    await ask(client, one)


async def ask_by_head(client: Client, one: Origin) -> None:
    client.ask(b"HEAD")
    await client.answer()


async def post(client: Client, one: Origin) -> None:
    client.ask(b"POST", body=b"x" * 100_000)
    await client.answer()


async def post_in_chunks(client: Client, one: Origin) -> None:
    client.methods.append(b"POST")
    client.send(CHUNKED_POST + chunk(b"one") + chunk(b"two") + b"0\r\n\r\n")
    await client.answer()


async def leave_within_the_body(client: Client, one: Origin) -> None:
    client.get()
    await client.wait_body(await client.next_head(), 1)
    client.reset()


async def leave_while_an_event_comes(client: Client, one: Origin) -> None:
    """In one turn of the loop: that the client has gone is noticed by the write to it."""
    client.ask(b"POST", body=b"{}")
    await client.wait_body(await client.next_head(), 1)
    one.connections[-1].send(EVENTS)
    client.reset()


async def leave_before_the_head(client: Client, one: Origin) -> None:
    before = len(one.connections)
    client.get()
    await one.asked(before)
    client.close()


async def leave_within_the_upload(client: Client, one: Origin) -> None:
    before = len(one.connections)
    client.send(head(b"POST / HTTP/1.1", b"Host: localhost", b"Content-Length: 100") + b"part")
    await one.asked(before)
    client.reset()


async def post_what_is_malformed(client: Client, one: Origin) -> None:
    client.send(CHUNKED_POST + chunk(b"one") + b"zz\r\n")
    await client.answer()


async def ask_what_is_malformed(client: Client, one: Origin) -> None:
    client.send(b"GET / HTTP/1.1\r\nHost : localhost\r\n\r\n")
    await client.answer()


async def open_a_tunnel(client: Client, one: Origin) -> None:
    client.send(handshake())
    assert (await client.next_head()).status == 101
    client.send(b"more")


@dataclass
class Kind:
    """One kind of exchange: what the client does, and what the origin."""

    does: Exchange
    script: Script
    overrides: dict[str, Any] = field(default_factory=dict)


def answered(*steps: Step, does: Exchange = ask, **overrides: Any) -> Kind:
    return Kind(does, [request, *steps], overrides)


KINDS = {
    "a small answer": answered(OK),
    "two on one connection": answered(OK, request, OK, does=ask_twice),
    "the answer to HEAD": answered(OK[:-2], does=ask_by_head),
    "a large answer": answered(counted(b"x" * 1_000_000)),
    "an answer until the close": answered(UNTIL_CLOSE + b"ok", fin),
    "a stream": answered(SSE, EVENTS, b"0\r\n\r\n"),
    "a stream with trailers": answered(SSE, EVENTS, b"0\r\nServer-Timing: x\r\n\r\n"),
    "an interim answer": answered(head(b"HTTP/1.1 103 Early Hints"), OK),
    "a stream that is decoded": answered(SSE_GZIP, chunk(gzip.compress(b"data: 1\n\n")), b"0\r\n\r\n"),
    "whole events": answered(SSE, EVENTS, b"0\r\n\r\n", stream={"whole": True}),
    "a stream that beats": answered(SSE, EVENTS, b"0\r\n\r\n", stream={"heartbeat": Heartbeat(10)}),
    "a stream that breaks": answered(SSE, EVENTS, rst),
    "a stream whose break is told": answered(SSE, EVENTS, rst, stream={"error_event": True, "family": "openai"}),
    "a stream that is malformed": answered(SSE, EVENTS, b"zz\r\n"),
    "a stream that falls silent": answered(SSE, EVENTS, timeouts={"idle": 0.02}),
    "an answer that breaks": answered(CHUNKED, chunk(b"{"), fin),
    "an upload": Kind(post, [whole_request, OK]),
    "an upload in chunks": Kind(post_in_chunks, [whole_request, OK]),
    "an upload whose answer is early": answered(OK, does=post),
    "an upload that is malformed": Kind(post_what_is_malformed, [request]),
    "no request": Kind(ask_what_is_malformed, [request]),
    "an answer that is malformed": answered(b"SSH-2.0-x\r\n"),
    "no answer but an end": answered(fin),
    "no answer in time": answered(timeouts={"head": 0.02}),
    "a stream that is read on": answered(
        SSE, EVENTS, does=leave_within_the_body, stream={"reads_on": True, "family": "openai"}, timeouts={"idle": 0.02}
    ),
    "a client that leaves a stream": answered(SSE, EVENTS, does=leave_within_the_body),
    "a client that leaves while it flows": Kind(leave_while_an_event_comes, [whole_request, SSE, EVENTS]),
    "a client that does not wait": answered(does=leave_before_the_head),
    "a client that leaves its upload": answered(does=leave_within_the_upload),
    "a tunnel": answered(switch(), b"bytes", does=open_a_tunnel),
}


@pytest.fixture
def nobody_collects() -> Iterator[None]:
    """Only reference counts free anything during the test."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def held() -> collections.Counter[str]:
    """Objects of ours and of aiohttp's that are alive."""
    kinds = [type(one) for one in gc.get_objects()]
    return collections.Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in kinds if of_ours(kind))


def of_ours(kind: type) -> bool:
    return str(kind.__module__).startswith(("proxy.", "aiohttp."))


async def assert_nothing_is_left(
    proxied: Proxied, does: Exchange, *origins: Origin, tls: ssl.SSLContext | None = None
) -> None:
    """After several such exchanges nothing is there as many times; what is made once and kept is there once."""
    before = held()
    for _ in range(TIMES):
        client = await proxied.connect(tls=tls)
        await does(client, *origins)
        if not client.gone:
            client.close()
        assert await settles(lambda: not proxied.running.open_exchanges)
        for one in origins:
            for connection in one.connections:
                connection.close()
            await one.until(lambda one=one: not one.open_connections, "the connections to be closed")
    proxied.exchanges.ended_ones.clear()

    def left() -> list[str]:
        return [name for name, number in (held() - before).items() if number >= TIMES]

    assert await settles(lambda: not left()), left()


@pytest.mark.parametrize("name", KINDS)
async def test_an_exchange_that_is_over_is_freed_at_once(
    origin: MakeOrigin, proxy: MakeProxy, looks_often: None, nobody_collects: None, name: str
):
    """Nothing waits for the collector, neither its own objects nor those of the connections it came and went on."""
    kind = KINDS[name]
    one = await origin(kind.script)
    await assert_nothing_is_left(await proxy(one, **kind.overrides), kind.does, one)


async def test_so_is_one_that_nobody_answers(proxy: MakeProxy, dead_port: int, nobody_collects: None):
    await assert_nothing_is_left(await proxy(dead_port), ask)


async def test_so_is_one_that_nobody_accepts(proxy: MakeProxy, deaf_port: int, nobody_collects: None):
    await assert_nothing_is_left(await proxy(deaf_port, timeouts={"connect": 0.02}), ask)


async def test_so_is_one_whose_name_nobody_knows(proxy: MakeProxy, nobody_collects: None):
    await assert_nothing_is_left(await proxy(80, host="nowhere.invalid"), ask)


async def test_so_is_one_for_which_there_is_no_place(origin: MakeOrigin, proxy: MakeProxy, nobody_collects: None):
    await assert_nothing_is_left(await proxy(await origin([request]), limits={"concurrent": 0}), ask)


PASSED_ON = {
    "behind one that is down": (None, SERVES),
    "though that one is not content either": (None, REFUSES),
    "behind one that is not content": (REFUSES, SERVES),
    "and not answered by the other": (REFUSES, [request, fin]),
}


@pytest.mark.parametrize("how", PASSED_ON)
async def test_so_is_one_that_was_passed_on(
    origin: MakeOrigin, proxy: MakeProxy, dead_port: int, nobody_collects: None, how: str
):
    """From the first upstream to the second."""
    origins = [dead_port if script is None else await origin(script) for script in PASSED_ON[how]]
    proxied = await behind(proxy, *origins, health=NO_EJECTION)
    await assert_nothing_is_left(proxied, ask, *[one for one in origins if not isinstance(one, int)])


async def test_so_is_one_that_was_sent_again(origin: MakeOrigin, proxy: MakeProxy, nobody_collects: None):
    """As its connection had been kept, and ended."""
    one = await origin(*[[request, OK, request, fin], [request, OK]] * TIMES)
    await assert_nothing_is_left(await proxy(one), ask_twice, one)
    assert len(one.connections) == 2 * TIMES


async def test_so_is_one_over_tls(
    origin: MakeOrigin,
    proxy: MakeProxy,
    authority: trustme.CA,
    authority_file: str,
    certificate_file: str,
    nobody_collects: None,
):
    """On either side."""
    one = await origin([request, SSE, EVENTS, b"0\r\n\r\n"], tls=serving(authority))
    own = {"tls_cert": certificate_file, "tls_key": certificate_file}
    proxied = await proxy(one, tls=Tls(ca=authority_file), host="localhost", settings=own)
    await assert_nothing_is_left(proxied, ask, one, tls=ssl.create_default_context(cafile=authority_file))


async def test_a_kept_connection_holds_nothing_of_its_last_exchange(
    origin: MakeOrigin, proxy: MakeProxy, nobody_collects: None
):
    one = await origin([request, SSE, EVENTS, b"0\r\n\r\n"])
    proxied = await proxy(one)
    before = held()
    client = await proxied.connect()
    await ask(client, one)
    client.close()
    assert await settles(lambda: not proxied.running.open_exchanges)
    proxied.exchanges.ended_ones.clear()
    of_it = {"Exchange", "ClientConnection", "Client", "Relay", "Call", "Upload"}
    assert await settles(lambda: not of_it & {name.rpartition(".")[2] for name in held() - before})
    assert one.open_connections == 1


@pytest.mark.parametrize("upstreams", [1, 2])
async def test_a_prompt_is_not_kept_while_its_answer_streams(origin: MakeOrigin, proxy: MakeProxy, upstreams: int):
    """Up to 64 KiB that might have been sent once more, and no longer can be once an answer has begun."""
    one = await origin([whole_request, SSE, EVENTS])
    proxied = await behind(proxy, *[one] * upstreams)
    prompt = bytes(range(1, 256)) * 200
    client = await proxied.connect()
    client.ask(b"POST", body=prompt)
    await client.wait_body(await client.next_head(), 1)
    uploads = [found for found in gc.get_objects() if isinstance(found, Upload)]
    assert [upload.replayable for upload in uploads] == [False]
    assert (await one.connection()).request.size == len(prompt)


def test_an_error_lets_go_of_its_frames_and_of_those_behind_it() -> None:
    """What is kept of a failure holds nothing else of it; what it was raised behind can still be told."""
    try:
        try:
            raise OSError("first")
        except OSError as cause:
            raise ClientError from cause
    except ClientError as error:
        drop_tracebacks(error)
        kept, cause = error, error.__context__
    assert cause is not None
    assert kept.__cause__ is cause
    assert (kept.__traceback__, cause.__traceback__) == (None, None)
