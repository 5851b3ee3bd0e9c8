"""What to do with a request: refuse it, answer it ourselves, or forward it, and how.

The order of the checks is the design: cheap and unforgeable first, a secret last. Nothing here knows how to connect.
"""

import re
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import NamedTuple

from proxy.core import cors, forwarding, framing, guard, headers, routes, streams, target, tracing, upgrade
from proxy.core.errors import (
    ClientError,
    ExpectationFailed,
    LoopDetected,
    MethodRefused,
    NoRoute,
    ProxyError,
    RequestBodyTooLarge,
    RequestHeadTooLarge,
    RequestRefused,
    VersionRefused,
)
from proxy.core.framing import Body
from proxy.core.message import ALLOW, Field, RequestHead, field, first, members, request_lines


@dataclass(frozen=True, slots=True)
class Proxy:
    """A configuration, ready to decide with. `routes` are ordered; `hosts` is None where no Host check applies."""

    instance: bytes
    routes: tuple[routes.Route, ...]
    hosts: guard.Hosts | None = guard.Hosts()
    trusted: forwarding.Trusted = forwarding.NOBODY
    tokens: guard.Tokens | None = None
    """Of which every request to a route has to carry one; None asks for none."""
    via: Field = dataclass_field(init=False)
    """What Via says where nobody said anything before."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "via", forwarding.via([], self.instance)[0])


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of our own that is no error."""

    status: int
    fields: tuple[Field, ...] = ()
    route: routes.Route | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """An error to answer; `route` is None where the request did not get as far as one."""

    error: ProxyError
    route: routes.Route | None = None


class Way(NamedTuple):
    """What differs where a request may go to one of several upstreams: its route with that one, and its head."""

    route: routes.Route
    lines: bytes


class Forward(NamedTuple):
    """A request to forward to its route's upstream, or to one of several: `by` gives the same for one of them."""

    route: routes.Route
    request: RequestHead
    lines: bytes
    """The head that goes upstream but for its end: the names of the request, and how its body is framed."""
    body: Body
    host: bytes
    """The authority the client asked for; redirects that point at the upstream are turned to it."""
    tunnel: bool = False
    """Whether the upstream is asked to switch protocols."""
    told: tracing.Told = tracing.BOTH
    """Which names of the request are told behind `lines`."""
    ways: tuple[Way, ...] = ()
    """Where the route has several upstreams, one for each, in their order; which is taken is decided when it is sent,
    and anew for each attempt."""

    def by(self, number: int) -> "Forward":
        """The same by one of its ways."""
        _, request, _, body, host, tunnel, told, ways = self
        route, lines = ways[number]
        return Forward(route, request, lines, body, host, tunnel, told)

    def head(self, trace: tracing.Trace) -> bytes:
        """The head that goes upstream, for a request of these names."""
        return self.lines + tracing.lines(self.told, trace) + framing.told(self.body)


Plan = Reply | Refuse | Forward

_REFUSED_METHODS = frozenset({b"CONNECT", b"TRACE", b"TRACK"})
_BODY_EXPECTED = frozenset({b"POST", b"PUT", b"PATCH"})
_OPTIONS = Reply(204, (ALLOW,))


def plan(proxy: Proxy, request: RequestHead) -> Plan:
    """What to do with a request; every refusal is a value, with the route it concerns."""
    route = None
    try:
        if request.method in _REFUSED_METHODS:
            raise MethodRefused
        if request.version not in ((1, 1), (1, 0)):
            raise VersionRefused
        body = framing.of_request(request)
        if request.target == b"*" and request.method == b"OPTIONS":
            guard_host(proxy, request, None)
            return _OPTIONS
        asked = target.parse(request.target)
        host = guard_host(proxy, request, asked.authority)
        if asked.authority is not None:
            request = request.for_host(host)  # which replaces what Host says: RFC 9112 section 3.2.2
        if request.method == b"OPTIONS" and _hops_left(request.first(b"max-forwards")) == 0:
            return _OPTIONS
        route = _route(proxy, request, host, asked.path)
        _check(proxy, route, request, asked, host, body)
        if _is_our_preflight(route, request):
            return _preflight(route, request)
        tunnel = _asks_for_tunnel(proxy, route, request, host, body)
        if body is framing.NO_BODY and request.method in _BODY_EXPECTED:
            body = framing.EMPTY_BODY  # RFC 9110 section 8.6
        fields = _request_fields(proxy, route, request, host)
        if tunnel:
            fields += upgrade.ASKED
        elif b"te" in request.names and headers.accepts_trailers(request):
            fields += (_TE_TRAILERS, _CONNECTION_TE)
        lines = request_lines(request.method, upstream_target(route, asked), fields)
        ways = _ways(route, request, host, asked, fields) if route.ways else ()
        return Forward(route, request, lines, body, host, tunnel, tracing.told(route.request_rules, fields), ways)
    except ProxyError as error:
        return Refuse(error, route)


def _route(proxy: Proxy, request: RequestHead, host: bytes, path: bytes) -> routes.Route:
    """The request's route; a preflight's is that of the request it asks for, where we answer it. Errors: NoRoute."""
    if request.method == b"OPTIONS" and cors.is_preflight(request):
        asked_method = request.first(b"access-control-request-method") or b""
        route = routes.find(proxy.routes, asked_method, host, path)
        if route is not None and _is_our_preflight(route, request):
            return route
    route = routes.find(proxy.routes, request.method, host, path)
    if route is None:
        raise NoRoute
    return route


def guard_host(proxy: Proxy, request: RequestHead, absolute: bytes | None) -> bytes:
    """The authority asked for, if it is ours. Errors: ClientError, MisdirectedRequest."""
    host = guard.authority(request, absolute)
    if proxy.hosts is not None:
        guard.check_host(host, proxy.hosts)
    return host


def _check(
    proxy: Proxy, route: routes.Route, request: RequestHead, asked: target.Target, host: bytes, body: Body
) -> None:
    """What a route refuses, a client without a token last. Errors: ClientError and its kinds, LoopDetected."""
    limits = route.limits
    if limits.request_head is not None and request.is_over(limits.request_head):
        raise RequestHeadTooLarge
    if limits.request_body is not None and body.length is not None and body.length > limits.request_body:
        raise RequestBodyTooLarge
    if b"expect" in request.names and not _can_be_met(request):
        raise ExpectationFailed
    if target.is_suspect(asked.path) and _leaves(route, asked.path):
        raise ClientError("The path leaves the route it belongs to.")
    if route.guarded and not host:
        raise ClientError("This route carries a key and needs a Host.")
    if _is_our_preflight(route, request):
        return  # which carries neither a token nor anything for the upstream
    if route.guarded:
        guard.check_origin(request, host, proxy.hosts, route.cors)
    if b"via" in request.names and forwarding.has_passed(request, proxy.instance):
        raise LoopDetected
    if proxy.tokens is not None:
        guard.check_token(request, proxy.tokens, route.token_fields)


def _is_our_preflight(route: routes.Route, request: RequestHead) -> bool:
    """Whether this is a preflight that we answer: one to a route with CORS or a secret. Others are forwarded."""
    return request.method == b"OPTIONS" and (route.guarded or route.cors is not None) and cors.is_preflight(request)


def _leaves(route: routes.Route, path: bytes) -> bool:
    prefix = route.match.prefix
    return target.leaves(path[len(prefix) :]) if prefix is not None else target.climbs(path)


def _asks_for_tunnel(proxy: Proxy, route: routes.Route, request: RequestHead, host: bytes, body: Body) -> bool:
    """Whether the request is a handshake that this route tunnels. Errors: ClientError, RequestRefused."""
    if not upgrade.asks(request):
        return False
    if not route.websocket:
        raise RequestRefused("WebSocket is switched off for this route: `websocket: true` allows it.")
    if body is not framing.NO_BODY:
        raise ClientError("A WebSocket handshake has no body.")
    if not route.guarded:
        upgrade.check_origin(request, host, proxy.hosts, route.cors)
    return True


def _can_be_met(request: RequestHead) -> bool:
    """Whether Expect asks only for 100-continue; HTTP/1.0 has no expectations. Source: RFC 9110 section 10.1.1."""
    return request.version < (1, 1) or members(request.values(b"expect")) == [b"100-continue"]


def _preflight(route: routes.Route, request: RequestHead) -> Reply:
    fields = cors.preflight(route.cors, request) if route.cors else None
    if fields is None:
        raise RequestRefused("Pages of that origin may not use this route: list the origin in its cors.origins.")
    return Reply(204, tuple(fields), route)


def upstream_target(route: routes.Route, asked: target.Target) -> bytes:
    """The target sent upstream: base path, what is left of the path, and the query, all as received bytes.

    Errors: ConfigurationError for a rewrite that gives no path.
    """
    path, base = asked.path, route.upstream.base_path
    if route.strip_prefix and route.match.prefix is not None:
        path = path[len(route.match.prefix.rstrip(b"/")) :]
    elif route.rewrite:
        pattern, replacement = route.rewrite
        path = target.checked(pattern.sub(replacement, path))
    query = asked.query
    if route.credential and query:
        query = _without_credentials(query, route.credential.clears_query)
    return target.join(base, path) + target.join_query(route.upstream.query, query)


def _without_credentials(query: bytes, names: frozenset[bytes]) -> bytes:
    """The query without the parameters of these names; `;` separates them too, for who reads it so."""
    parts = _PARAMETER.findall(query)
    kept = [part for part in parts if target.decoded(part[1:].partition(b"=")[0]).lower() not in names]
    if len(kept) == len(parts):
        return query
    return b"?" + b"".join(kept)[1:] if kept else b""


def _ways(
    route: routes.Route, request: RequestHead, host: bytes, asked: target.Target, fields: list[Field]
) -> tuple[Way, ...]:
    """The head for each upstream of a route: only the target and Host, which stands first, are its own."""
    shared = fields[1:]
    return tuple(
        [
            Way(
                way,
                request_lines(request.method, upstream_target(way, asked), [_host_field(way, host), *shared]),
            )
            for way in route.ways
        ]
    )


def _host_field(route: routes.Route, host: bytes) -> Field:
    """What the upstream is told as Host: its own, unless the route keeps the one that was asked for."""
    return b"host", b"Host", host if route.preserve_host and host else route.upstream.authority


def _request_fields(proxy: Proxy, route: routes.Route, request: RequestHead, host: bytes) -> list[Field]:
    """Strip, tell, apply the rules, inject: in this order, so that nothing a client names can undo what comes after."""
    fields = headers.end_to_end(request.fields, route.request_dropped, request.names)
    if tracing.TRACESTATE in request.names and not tracing.continues(request):
        fields = [entry for entry in fields if entry[0] != tracing.TRACESTATE]
    if proxy.tokens is not None:
        fields = proxy.tokens.without(fields, route.token_fields)
    fields = forwarding.apply(fields, request, route.forwarding, proxy.trusted)
    if route.forwarding.via:
        fields = forwarding.via(fields, proxy.instance) if b"via" in request.names else [*fields, proxy.via]
    if route.stream.decode and streams.may_stream(request, route.stream) and not streams.refuses_identity(request):
        fields = headers.replace(fields, _IDENTITY)
    if route.request_rules is not headers.NO_RULES:
        fields = route.request_rules.apply(fields)
    if b"max-forwards" in request.names and request.method == b"OPTIONS":
        fields = [_one_less(entry) if entry[0] == b"max-forwards" else entry for entry in fields]
    if request.version == (1, 0):
        fields = [entry for entry in fields if entry[0] != b"expect"]  # HTTP/1.0 has none, and we speak 1.1 upstream
    result = [_host_field(route, host), *fields]
    if route.credential:
        result = headers.replace(result, route.credential.field)
        result += [entry for entry in route.credential.defaults if first(result, entry[0]) is None]
    return result


def _one_less(max_forwards: Field) -> Field:
    """Source: RFC 9110 section 7.6.2."""
    key, name, value = max_forwards
    left = _hops_left(value)
    return (key, name, b"%d" % (left - 1)) if left else max_forwards


def _hops_left(max_forwards: bytes | None) -> int | None:
    """The number in Max-Forwards; None where there is none, or nothing that is one."""
    if not max_forwards or not max_forwards.isdigit():
        return None
    return min(int(max_forwards.lstrip(b"0")[:19] or b"0"), _MOST_HOPS)


_MOST_HOPS = 10**18
_PARAMETER = re.compile(rb"[?&;][^&;]*")
_IDENTITY = field(b"Accept-Encoding", b"identity")
_TE_TRAILERS = field(b"TE", b"trailers")
_CONNECTION_TE = field(b"Connection", b"TE")
