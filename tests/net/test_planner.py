"""What was decided for a head is decided again for the same head, and for nothing else."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import HttpVersion11
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from proxy.core.message import Peer, RequestHead
from proxy.core.plan import Forward, Plan, Proxy, Refuse, plan
from proxy.net import planner
from proxy.net.planner import KEPT, KEPT_BYTES, Planner, named, read

from .conftest import MakeOrigin, MakeProxy
from .harness import INSTANCE, route
from .origin import whole_request
from .responses import OK

PEER = Peer("127.0.0.1", secure=False)
HOST = (b"Host", b"localhost")

lengths = st.sampled_from([b"1", b"7", b"10", b"99", b"100", b"0", b"007", b"+5", b"", b"5, 5", b"9" * 19])
names = st.sampled_from([b"Accept", b"accept", b"Connection", b"X-A", b"Cookie", b"Via", b"Origin", b"TE", b"Expect"])
values = st.sampled_from([b"a", b"x-a", b"text/event-stream", b"content-length", b"100-continue", b"trailers"])
others = st.lists(st.tuples(names, values), max_size=4)


def request(*fields: tuple[bytes, bytes], method: str = "POST", target: str = "/v1") -> Any:
    """aiohttp's request, as far as it is looked at."""
    has_body = any(name.lower() == b"content-length" and value != b"0" for name, value in fields)
    return SimpleNamespace(
        method=method,
        raw_path=target,
        version=HttpVersion11,
        raw_headers=tuple(fields),
        headers=CIMultiDict([(name.decode(), value.decode()) for name, value in fields]),
        body_exists=has_body,
    )


def decide(remembering: Planner, asked: Any, peer: Peer = PEER) -> tuple[RequestHead, Plan]:
    """What a handler gets."""
    return remembering.plan(asked, peer, named(asked))


def proxy(**overrides: Any) -> Proxy:
    return Proxy(INSTANCE, (route(1, **overrides),))


def outcome(decided: object) -> object:
    """What can be compared: two errors of one kind are equal."""
    return (type(decided.error), decided.route) if isinstance(decided, Refuse) else decided


@given(others, st.lists(st.tuples(lengths, st.integers(0, 4)), min_size=1, max_size=6), st.sampled_from([None, 60]))
def test_a_plan_from_memory_is_the_plan_made_anew(
    before: list[tuple[bytes, bytes]], told: list[tuple[bytes, int]], limit: int | None
):
    """MUST. H16, H18: whatever was decided before, with whatever lengths at whatever places."""
    decider = proxy(limits={"request_body": limit})
    remembering = Planner(decider)
    for length, at in told:
        fields = [HOST, *before]
        fields.insert(at, (b"Content-Length", length))
        one = request(*fields)
        head, decided = decide(remembering, one)
        assert head == read(one, PEER)
        assert outcome(decided) == outcome(plan(decider, read(one, PEER)))


def test_a_known_head_is_not_decided_again(monkeypatch: pytest.MonkeyPatch):
    """What the memory is for: no second decision, also for another length of as many digits."""
    remembering = Planner(proxy())
    first = decide(remembering, request(HOST, (b"Content-Length", b"10")))
    monkeypatch.delattr(planner, "plan")
    assert decide(remembering, request(HOST, (b"Content-Length", b"10"))) == first
    asked = request(HOST, (b"Content-Length", b"99"))
    _, other = decide(remembering, asked)
    assert isinstance(other, Forward)
    assert other.head(named(asked)).endswith(b"Content-Length: 99\r\n\r\n")
    assert other.request.first(b"content-length") == b"99"


IDS = ["0af7651916cd43dd", "b7ad6b7169203331", "a" * 128, "not fine", "", "a,b"]
PARENTS = [f"00-{'a' * 31}{at}-{'b' * 16}-01" for at in "123"] + [f"00-{'0' * 32}-{'b' * 16}-01", "00-x"]
trace_fields = st.sampled_from(
    [(name, value.encode()) for name in (b"X-Request-ID", b"x-request-id", b"X-REQUEST-ID") for value in IDS]
    + [(name, value.encode()) for name in (b"traceparent", b"TraceParent") for value in PARENTS]
    + [(b"tracestate", b"a=b"), (b"Content-Length", b"12"), (b"Content-Length", b"34"), (b"X-A", b"1")]
)


@given(st.lists(st.lists(trace_fields, max_size=4), min_size=1, max_size=6))
def test_a_plan_from_memory_is_the_plan_made_anew_for_whatever_names(requests: list[list[tuple[bytes, bytes]]]):
    """MUST. O13, H16: well-formed or not, repeated, with a tracestate that goes or stays."""
    decider = proxy()
    remembering = Planner(decider)
    for fields in requests:
        one = request(HOST, *fields)
        head, decided = decide(remembering, one)
        assert head == read(one, PEER)
        assert outcome(decided) == outcome(plan(decider, read(one, PEER)))


def test_a_head_with_names_of_its_own_is_not_decided_again(monkeypatch: pytest.MonkeyPatch):
    """Each request of a traced client has others."""
    remembering = Planner(proxy())
    for at, request_id in enumerate(IDS[:2]):
        asked = request(
            HOST,
            (b"x-request-id", request_id.encode()),
            (b"traceparent", PARENTS[at].encode()),
            (b"Content-Length", b"1"),
        )
        head, decided = decide(remembering, asked)
        assert head.first(b"x-request-id") == request_id.encode()
        assert isinstance(decided, Forward)
        assert f"X-Request-ID: {request_id}\r\ntraceparent: {PARENTS[at]}\r\n".encode() in decided.head(named(asked))
        monkeypatch.delattr(planner, "plan", raising=False)


@pytest.mark.parametrize(
    "other",
    [
        (request(HOST, (b"X-A", b"1"), method="PUT"), PEER),
        (request(HOST, (b"X-A", b"1"), target="/v2"), PEER),
        (request(HOST, (b"X-A", b"2")), PEER),
        (request(HOST, (b"x-a", b"1")), PEER),
        (request((b"X-A", b"1"), HOST), PEER),
        (request(HOST, (b"X-A", b"1")), Peer("127.0.0.2", secure=False)),
        (request(HOST, (b"X-A", b"1")), Peer("127.0.0.1", secure=True)),
    ],
    ids=["method", "target", "value", "letter case", "order", "address", "TLS"],
)
def test_whatever_differs_is_decided_for_itself(other: tuple[Any, Peer]):
    """MUST. H18: one client's fields never go upstream with another's request."""
    decider = proxy()
    remembering = Planner(decider)
    decide(remembering, request(HOST, (b"X-A", b"1")))
    head, decided = decide(remembering, *other)
    assert (head, decided) == (read(*other), plan(decider, read(*other)))


def test_memory_is_bounded():
    """MUST. Z6: by number and by the size of a head; what is refused or asks by a full URL is not kept."""
    remembering = Planner(proxy())
    for number in range(KEPT + 10):
        decide(remembering, request(HOST, (b"X-A", b"%d" % number)))
    assert len(remembering._known) == KEPT
    before = set(remembering._known)
    decide(remembering, request(HOST, (b"X-A", b"a" * KEPT_BYTES)))
    decide(remembering, request((b"Host", b"evil.example")))
    decide(remembering, request(HOST, target="http://localhost/v1"))
    assert set(remembering._known) == before


async def test_repeated_requests_reach_the_origin_each_with_its_own_length(origin: MakeOrigin, proxy: MakeProxy):
    """MUST. M9: over real sockets, as an SDK sends them."""
    one = await origin([whole_request, OK] * 4)
    client = await (await proxy(one)).connect()
    bodies = [b"0123456789", b"abcdefghij", b"ABCDEFGHIJK", b"x" * 99]
    for body in bodies:
        client.ask(b"POST", b"/v1", b"X-A: 1", body=body)
        assert (await client.answer()).status == 200
    got = one.connections[0].requests
    assert [message.body for message in got] == bodies
    assert [message.get(b"content-length") for message in got] == [b"%d" % len(body) for body in bodies]
