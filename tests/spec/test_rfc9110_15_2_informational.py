"""RFC 9110 section 15.2: interim responses reach who understands them, when they come, and leave no trace."""

import asyncio

import pytest

from tests.net.conftest import MakeOrigin, MakeProxy
from tests.net.origin import Step, fin, request
from tests.net.responses import CHUNKED, OK, counted
from tests.net.wire import chunk, head

from .refusals import HOST

HINTS = head(b"HTTP/1.1 103 Early Hints", b"Link: </a.css>; rel=preload", b"link: </b.js>")
INTERIM = {
    "102": [head(b"HTTP/1.1 102 Processing")],
    "103": [HINTS],
    "an unknown one": [head(b"HTTP/1.1 199 Odd Indeed", b"X-A: 1")],
    "no reason": [head(b"HTTP/1.1 150 ", b"X-A: 1")],
    "100 without Expect": [head(b"HTTP/1.1 100 Continue")],
    "several": [HINTS, HINTS, head(b"HTTP/1.1 102 Processing"), head(b"HTTP/1.1 110 Odd", b"X-A: 2")],
    "many": [head(b"HTTP/1.1 102 Processing", b"X-Number: %d" % number) for number in range(20)],
    "hop-by-hop fields": [
        head(
            b"HTTP/1.1 103 Early Hints",
            b"Connection: X-Hop, Upgrade",
            b"X-Hop: 1",
            b"Keep-Alive: timeout=5",
            b'Alt-Svc: h3=":443"',
            b"Proxy-Authenticate: Basic",
            b"Upgrade: h2c",
            b"Trailer: X-End",
            b"X-A: 3",
        )
    ],
}


@pytest.mark.parametrize("case", INTERIM)
async def test_interim_responses_pass(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """X1: Every 1xx reaches an HTTP/1.1 client when it comes, cleaned, and nothing of it is in the final head. 15.2."""
    gates = [asyncio.Event() for _ in INTERIM[case]]
    steps = [step for sent, gate in zip(INTERIM[case], gates, strict=True) for step in (sent, gate)]
    one = await origin([request, *steps, OK, request, OK])
    client = await (await proxy(one)).connect()
    client.get()
    for sent, gate in zip(INTERIM[case], gates, strict=True):
        response = await client.answer()
        start, *lines = sent.removesuffix(b"\r\n\r\n").split(b"\r\n")
        if case == "hop-by-hop fields":
            lines = [b"X-A: 3"]
        assert (response.start, [b"%b: %b" % entry for entry in response.fields]) == (start, lines)
        gate.set()
    final = await client.answer()
    assert (final.status, sorted(final.names), final.body) == (200, [b"Content-Length", b"Date"], b"ok")
    assert (await client.ask_for_answer()).body == b"ok"
    assert len(one.connections) == 1


ANSWERED = "when the client has its answer"
CODED = CHUNKED + chunk(b"ok") + chunk(b"")
V10, V11 = b"GET / HTTP/1.0", b"GET / HTTP/1.1"
IGNORED = {
    "to HTTP/1.0": (V10, [HINTS, HINTS, OK, fin], [200]),
    "100 to HTTP/1.0": (V10, [head(b"HTTP/1.1 100 Continue") + OK, fin], [200]),
    "before our error to HTTP/1.0": (V10, [HINTS, fin], [502]),
    "with a counted answer": (V11, [OK + HINTS + OK], [200]),
    "with a chunked answer": (V11, [CODED + HINTS], [200]),
    "behind a 204": (V11, [head(b"HTTP/1.1 204 No Content") + HINTS + OK], [204]),
    "later than an answer": (V11, [OK, ANSWERED, HINTS], [200]),
    "later than our error": (V11, [ANSWERED, HINTS + OK], [504]),
    "between a 1xx and a broken head": (V11, [HINTS + b"HTTP/1.1 2\x00\r\n" + HINTS + OK], [103, 502]),
}


@pytest.mark.parametrize("case", IGNORED)
async def test_interim_responses_that_are_ignored(origin: MakeOrigin, proxy: MakeProxy, case: str):
    """X2: HTTP/1.0 gets no 1xx, and one behind the final head or our own error goes nowhere. RFC 9110 15.2."""
    start, steps, statuses = IGNORED[case]
    answered = asyncio.Event()
    one = await origin(
        [request, *[answered if step is ANSWERED else step for step in steps]], [request, counted(b"next")]
    )
    proxied = await proxy(one, timeouts={"head": 0.1} if statuses == [504] else {})
    client = await proxied.connect()
    client.send(head(start, HOST))
    assert [(await client.answer()).status for _ in statuses] == statuses
    answered.set()
    await (client.wait_ended() if start is V10 else one.connections[0].wait_ended(1))
    asking = await proxied.connect() if start is V10 else client
    assert (await asking.ask_for_answer(b"/next")).body in (b"next", b"ok")
    assert client.raw.count(b" 103 ") == statuses.count(103)
    assert [message.status for message in client.reader.messages] == statuses + [200] * (asking is client)


async def test_each_head_has_the_limit_for_itself(origin: MakeOrigin, proxy: MakeProxy):
    """`limits.response_head` is for one head: several interim ones that are small do not make a large one."""
    hint = head(b"HTTP/1.1 103 Early Hints", b"Link: </" + b"a" * 100 + b">")
    gates = [asyncio.Event() for _ in range(4)]
    steps: list[Step] = [step for gate in gates for step in (hint, gate)]
    one = await origin([request, *steps, OK])
    client = await (await proxy(one, limits={"response_head": 200})).connect()
    client.get()
    for gate in gates:
        assert (await client.next_head()).status == 103
        gate.set()
    assert (await client.answer()).status == 200


async def test_the_version_is_that_of_the_head_itself(origin: MakeOrigin, proxy: MakeProxy):
    """RFC 9112 section 2.3: a good interim head does not vouch for the one that follows."""
    one = await origin([request, HINTS + head(b"HTTP/2.0 200 OK", b"Content-Length: 2") + b"ok"])
    client = await (await proxy(one)).connect()
    client.get()
    assert [(await client.next_head()).status for _ in range(2)] == [103, 502]
