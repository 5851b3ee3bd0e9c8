"""Checks that need more than one part of the configuration: two routes, or a route and a listener.

They look at values that may have other faults, so that everything wrong is told at once; parts that are wrong in
themselves are left out. Nothing here is about one key alone: that belongs to its type in the model.
"""

from collections.abc import Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from proxy.config import injection
from proxy.config.addresses import Address, Addresses, ListenAddress, is_address, is_loopback
from proxy.config.cors import ANYONE
from proxy.config.messages import Place, Report
from proxy.config.route import RouteMatch
from proxy.config.section import OrOff
from proxy.config.upstream import Upstream, Upstreams
from proxy.config.values import Flag
from proxy.core.destinations import is_prohibited

T = TypeVar("T")

_MATCH: TypeAdapter[RouteMatch] = TypeAdapter(RouteMatch)
_ADMIN: TypeAdapter[Address | None] = TypeAdapter(OrOff[ListenAddress])
_ADDRESSES: TypeAdapter[tuple[Address, ...]] = TypeAdapter(Addresses)
_UPSTREAMS: TypeAdapter[tuple[Upstream, ...]] = TypeAdapter(Upstreams)
_FLAG: TypeAdapter[bool] = TypeAdapter(Flag)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def check(values: dict[str, Any], report: Report) -> None:
    """Notes what is wrong between the parts. `values` are expanded, with the defaults in the routes."""
    raw = values.get("routes")
    routes = list(_maps(raw)) if isinstance(raw, list) else []
    matches = {
        index: match
        for index, route in routes
        if (match := _valid(_MATCH, {key: route[key] for key in RouteMatch.model_fields if key in route}))
    }
    _refuse_duplicates(matches, report)
    for index, route in routes:
        _refuse_anyone(index, route, report)
        _refuse_link_local(index, route, report)
    listeners = _valid(_ADDRESSES, values["listen"]) if "listen" in values else (Address("127.0.0.1", 8787),)
    for index, listener in enumerate(listeners or ()):
        several = isinstance(values.get("listen"), list)
        if not listener.is_local and not _is_guarded(values):
            _refuse_open_secret(listener, ("listen", index) if several else ("listen",), routes, report)
        _refuse_own_address(listener, "listener", routes, report)
    _check_admin(values, listeners or (), routes, report)


def _maps(routes: list[Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    return ((index, route) for index, route in enumerate(routes) if isinstance(route, dict))


def _valid(adapter: TypeAdapter[T], value: object) -> T | None:
    """The value as its type, or None where it has faults of its own."""
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None


def _refuse_duplicates(matches: dict[int, RouteMatch], report: Report) -> None:
    seen: dict[object, int] = {}
    names: dict[str, int] = {}
    for index, match in matches.items():
        key = (match.path, match.path_regex, match.host, frozenset(match.methods))
        other = seen.setdefault(key, index)
        namesake = names.setdefault(match.name, index)
        if other != index:
            first = ("routes", other)
            report.add(
                ("routes", index, "path_regex" if match.path_regex else "path"),
                "expected a path, host and methods of its own, "
                f"found those of {report.path(first)}{report.line(first)}",
            )
        elif namesake != index:
            first = ("routes", namesake)
            report.add(
                ("routes", index, "name"),
                f"expected a name of its own (the default is the path), found that of the route{report.line(first)}",
            )


def _is_guarded(values: dict[str, Any]) -> bool:
    """Whether clients have to show a token, or the operator has said that anybody may come."""
    clients = values.get("clients")
    tokens = clients.get("tokens") if isinstance(clients, dict) else None
    return bool(tokens) or _valid(_FLAG, values.get("allow_unauthenticated")) is True


def _refuse_open_secret(
    listener: Address, place: Place, routes: list[tuple[int, dict[str, Any]]], report: Report
) -> None:
    """A secret on a listener that others reach is theirs to spend."""
    for index, route in routes:
        if injection.in_written(route):
            report.add(
                place,
                f"{report.path(('routes', index))} injects a secret, listener {listener} is not loopback and no client "
                "tokens are set: set clients.tokens, listen on 127.0.0.1, or say allow_unauthenticated: true",
            )


def _refuse_anyone(index: int, route: dict[str, Any], report: Report) -> None:
    """A page that anyone can make must not spend a secret; the model says so itself of `api_key`."""
    cors = route.get("cors")
    origins = cors.get("origins") if isinstance(cors, dict) else None
    if isinstance(origins, list) and route.get("api_key") is None and injection.beside_key_in_written(route):
        for at, origin in enumerate(origins):
            if origin is None or (isinstance(origin, str) and origin in ANYONE):
                place = ("routes", index, "cors", "origins", at)
                where = report.path(("routes", index))
                report.expected(place, f"exact origins, as {where} injects a secret (a header rule or its URL)", origin)


def _refuse_link_local(index: int, route: dict[str, Any], report: Report) -> None:
    """Names are looked at when they are dialled; an address can be refused now."""
    if _valid(_FLAG, route.get("allow_link_local_upstream")) is True:
        return
    for upstream in _valid(_UPSTREAMS, route.get("upstream")) or ():
        host = urlsplit(str(upstream.url)).hostname or ""
        if is_address(host) and is_prohibited(host):
            report.add(
                ("routes", index, "upstream"),
                "expected no link-local address and no cloud's metadata service, found one: "
                "allow_link_local_upstream: true allows it",
            )


def _check_admin(
    values: dict[str, Any], listeners: tuple[Address, ...], routes: list[tuple[int, dict[str, Any]]], report: Report
) -> None:
    """What the admin listener tells is for who runs the proxy: not for the network, nor for clients of a route."""
    admin = _valid(_ADMIN, values["admin"]) if "admin" in values else Address("127.0.0.1", 8788)
    if admin is None:
        return
    if not admin.is_local and values.get("admin_token") is None:
        report.add(
            ("admin",),
            f"expected a loopback address, or admin_token (`${{NAME}}` or `${{file:/path}}`) beside it, found {admin}",
        )
    if admin in listeners and admin.port != 0:
        report.add(("admin",), f"expected an address of its own, found {admin}, which is also in `listen`")
    _refuse_own_address(admin, "admin listener", routes, report)


def _refuse_own_address(listener: Address, what: str, routes: list[tuple[int, dict[str, Any]]], report: Report) -> None:
    """A route to the proxy itself would go round until the loop is detected, one request at a time; one to its admin
    listener would show that to every client."""
    for index, route in routes:
        for upstream in _valid(_UPSTREAMS, route.get("upstream")) or ():
            url = urlsplit(str(upstream.url))
            host, port = url.hostname or "", url.port or _DEFAULT_PORTS[url.scheme]
            same_host = host == listener.host or (is_loopback(host) and (listener.is_local or listener.is_wildcard))
            if listener.port and port == listener.port and same_host:
                report.add(
                    ("routes", index, "upstream"),
                    f"expected another server, found this proxy's own {what} {listener}",
                )
