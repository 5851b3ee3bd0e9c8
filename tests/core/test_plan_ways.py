"""Rules of the heads for several upstreams: what differs is what belongs to each."""

from proxy.core.plan import plan
from proxy.core.routes import Sharing
from tests.core.samples import (
    CREDENTIAL,
    NAMED,
    TRACE,
    forward,
    proxy,
    request,
    route,
    upstream,
)


def test_a_route_with_several_upstreams_has_a_head_for_each() -> None:
    """Target, Host and the route with that upstream alone differ; the rest of the request is the same."""
    several = (upstream("one.example", b"/base"), upstream("two.example", query=b"v=1", tls=True))
    decided = forward(
        plan(
            proxy(route(upstream=several[0], sharing=Sharing(several), credential=CREDENTIAL)),
            request(b"POST /x?y HTTP/1.1", b"Content-Length: 3", b"X-A: b"),
        )
    )
    heads = [decided.by(number).head(TRACE).replace(NAMED, b"") for number in range(2)]
    rest = b"X-A: b\r\nAuthorization: Bearer injected\r\nContent-Length: 3\r\n\r\n"
    assert heads == [
        b"POST /base/x?y HTTP/1.1\r\nHost: one.example\r\n" + rest,
        b"POST /x?v=1&y HTTP/1.1\r\nHost: two.example\r\n" + rest,
    ]
    for number, one in enumerate(several):
        by = decided.by(number)
        assert (by.route.upstream, by.route.sharing, by.route.name, by.ways) == (one, None, "r", ())
        assert (by.request, by.body, by.host, by.told) == (decided.request, decided.body, decided.host, decided.told)


def test_a_route_that_keeps_the_host_keeps_it_for_each_upstream() -> None:
    several = (upstream("one.example"), upstream("two.example"))
    decided = forward(plan(proxy(route(upstream=several[0], sharing=Sharing(several), preserve_host=True)), request()))
    assert [b"\r\nHost: localhost\r\n" in decided.by(number).lines for number in range(2)] == [True, True]


def test_one_upstream_has_one_head_also_where_it_is_asked_how_it_is() -> None:
    alone = upstream("one.example")
    decided = forward(plan(proxy(route(upstream=alone, sharing=Sharing((alone,)))), request()))
    assert decided.ways == ()
