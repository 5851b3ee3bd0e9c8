"""A configuration into what `core` decides with: everything that can be decided at load is decided here.

Nothing here reads a file or validates: what arrives has been loaded, and what is missing in it is meant to be.
"""

import re
import secrets
from dataclasses import dataclass, field, replace
from urllib.parse import urlsplit

from proxy.config import injection
from proxy.config.addresses import Address
from proxy.config.cors import Cors as CorsModel
from proxy.config.headers import HeaderRules
from proxy.config.model import Config, Route
from proxy.config.presets import BEARER, CREDENTIAL_FIELDS, CREDENTIAL_QUERY, PRESETS
from proxy.config.presets import Credential as Slot
from proxy.config.route import Cookies as CookiesModel
from proxy.config.upstream import HashBalance, Upstream
from proxy.core import guard, routes
from proxy.core.cookies import Cookies
from proxy.core.cors import EXPOSED, Cors
from proxy.core.forwarding import Forwarding, Trusted
from proxy.core.guard import Hosts
from proxy.core.headers import NO_RULES, Rules
from proxy.core.message import field as message_field
from proxy.core.plan import Proxy
from proxy.core.streams import Heartbeat, StreamPolicy

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Site:
    """One address to listen on, and the proxy behind it."""

    where: Address
    proxy: Proxy


@dataclass(frozen=True, slots=True)
class Admin:
    """The admin listener: where it is, the Host check of what is not for probes, and the token that it needs."""

    where: Address
    hosts: Hosts | None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Inspector:
    """What the inspector may keep, in bytes, and what it must never show."""

    capture_bytes: int
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """All that a running proxy needs to know. Times in seconds, sizes in bytes, `tls_*` are paths."""

    sites: tuple[Site, ...]
    keep_alive_s: float = 75.0
    drain_s: float = 30.0
    head_bytes: int = 32 * 1024
    """The largest request head that any route takes."""
    tls_cert: str | None = None
    tls_key: str | None = None
    admin: Admin | None = None
    """None: nothing is counted and nothing told."""
    inspector: Inspector | None = None
    """None: no exchange is kept. It is on the admin listener: without that there is none either."""


def instance_name(config: Config) -> str:
    """What the instance calls itself: made up if it has no name, for all its processes and until its end."""
    return config.name or f"streamsafe-{secrets.token_hex(3)}"


def compiled(config: Config, instance: str | None = None) -> Settings:
    """The settings of a loaded configuration, for an instance of that name."""
    called = (instance or instance_name(config)).encode("ascii")
    ordered = routes.ordered(compiled_route(route) for route in config.routes)
    trusted = Trusted(
        tuple(network for network in config.trusted_proxies if network != "unix"), "unix" in config.trusted_proxies
    )
    tokens = guard.tokens([token.reveal().encode("ascii") for token in config.clients.tokens])
    sites = tuple(
        Site(where, Proxy(called, ordered, _hosts(config, where), trusted, tokens)) for where in config.listen
    )
    tls = config.tls
    return Settings(
        sites,
        keep_alive_s=config.keep_alive,
        drain_s=config.drain,
        head_bytes=max(route.limits.request_head for route in config.routes),
        tls_cert=tls.cert if tls else None,
        tls_key=tls.key if tls else None,
        admin=_admin(config),
        inspector=Inspector(config.inspector.capture, tuple(injection.secrets(config)))
        if config.inspector and config.admin
        else None,
    )


def _admin(config: Config) -> Admin | None:
    if config.admin is None:
        return None
    token = config.admin_token.reveal() if config.admin_token else None
    # Beyond loopback the token is the guard: a scraper comes with whatever address it found us by.
    return Admin(config.admin, _hosts(config, config.admin) if config.admin.is_local else None, token)


def _hosts(config: Config, where: Address) -> Hosts | None:
    """The Host check of a listener: always where only this machine connects, elsewhere if names are listed."""
    if not config.allowed_hosts and (where.path is not None or not where.is_local):
        return None
    names = {name.encode("ascii") for name in config.allowed_hosts}
    if where.host and not where.is_wildcard:
        names.add(where.host.lower().encode("ascii"))
    return Hosts(frozenset(names))


def compiled_route(route: Route) -> routes.Route:
    """A route of the configuration as `core` sees it."""
    limits, timeouts, upstreams = route.limits, route.timeouts, _upstreams(route)
    return routes.Route(
        name=route.name,
        match=_match(route),
        upstream=upstreams[0],
        sharing=_sharing(route, upstreams),
        strip_prefix=route.strip_prefix,
        rewrite=(re.compile(route.rewrite.from_.encode("ascii")), route.rewrite.to.encode("ascii"))
        if route.rewrite
        else None,
        credential=_credential(route),
        cors=_cors(route.cors) if route.cors else None,
        request_rules=_rules(route.headers.request),
        response_rules=_rules(route.headers.response),
        preserve_host=route.preserve_host,
        forwarding=Forwarding(
            x_forwarded=route.forwarding.x_forwarded,
            forwarded=route.forwarding.forwarded,
            x_real_ip=route.forwarding.x_real_ip,
            via=route.forwarding.via,
        ),
        rewrite_redirects=route.redirects == "rewrite",
        cookies=_cookies(route.cookies),
        websocket=route.websocket,
        stream=_stream_policy(route),
        close_on_refuse=route.stream.on_refuse == "close",
        timeouts=routes.Timeouts(
            connect=timeouts.connect,
            head=timeouts.head,
            first_byte=timeouts.first_byte,
            idle=timeouts.idle,
            total=timeouts.total,
            client_write=timeouts.client_write,
            client_body=timeouts.client_body,
            tunnel_idle=timeouts.tunnel_idle,
        ),
        limits=routes.Limits(
            request_head=limits.request_head,
            request_body=limits.request_body,
            response_head=limits.response_head,
            event=limits.event,
            concurrent=limits.concurrent,
        ),
        injects=injection.beside_key(route),
        token_fields=guard.TOKEN_FIELDS | {_slot(route).field.lower().encode("ascii")},
    )


def _match(route: Route) -> routes.Match:
    return routes.Match(
        prefix=None if route.path is None else route.path.encode("ascii"),
        regex=None if route.path_regex is None else re.compile(route.path_regex.encode("ascii")),
        host=None if route.host is None else route.host.encode("ascii"),
        methods=frozenset(method.encode("ascii") for method in route.methods) or None,
    )


def _stream_policy(route: Route) -> StreamPolicy:
    stream = route.stream
    beat = stream.heartbeat
    return StreamPolicy(
        stream.classify,
        decode=route.compression == "auto",
        whole=stream.deliver == "events",
        heartbeat=Heartbeat(beat.every, beat.form, beat.early) if beat else None,
        error_event=stream.on_break == "error-event",
        reads_on=stream.on_client_gone == "drain",
        to_events=stream.convert == "ndjson-to-sse",
        content_type=stream.content_type.encode("ascii") if stream.content_type else None,
        family=PRESETS[route.preset].dialect if route.preset else None,
    )


def _upstreams(route: Route) -> tuple[routes.Upstream, ...]:
    """The upstreams, each with a name of its own that tells no path and no query, which may be secret."""
    plain = [_upstream(route, written) for written in route.upstream]
    names = [upstream.name for upstream in plain]
    return tuple(
        replace(upstream, name=f"{upstream.name}#{number}") if names.count(upstream.name) > 1 else upstream
        for number, upstream in enumerate(plain, 1)
    )


def _sharing(route: Route, upstreams: tuple[routes.Upstream, ...]) -> routes.Sharing | None:
    """How they share requests; None for one that nobody asks how it is."""
    health, retry, balance = route.health, route.retry, route.balance
    if len(upstreams) == 1 and health.path is None:
        return None
    return routes.Sharing(
        upstreams,
        "hash" if isinstance(balance, HashBalance) else balance,
        balance.header.lower().encode("ascii") if isinstance(balance, HashBalance) else b"",
        routes.HealthPolicy(
            path=None if health.path is None else health.path.encode("ascii"),
            every=health.every,
            timeout=health.timeout,
            healthy_after=health.healthy_after,
            unhealthy_after=health.unhealthy_after,
            eject=health.eject,
        ),
        routes.RetryPolicy(
            attempts=retry.attempts,
            connect="connect" in retry.on,
            statuses=frozenset(reason for reason in retry.on if isinstance(reason, int)),
        ),
    )


def _upstream(route: Route, written: Upstream) -> routes.Upstream:
    parts = urlsplit(written.url)
    host, default_port = parts.hostname or "", _DEFAULT_PORTS[parts.scheme]
    port = default_port if parts.port is None else parts.port
    name = f"[{host}]" if ":" in host else host
    return routes.Upstream(
        origin=routes.Origin(
            host,
            port,
            _tls(route) if parts.scheme == "https" else None,
            route.allow_link_local_upstream,
        ),
        authority=(name if port == default_port else f"{name}:{port}").encode("ascii"),
        base_path=parts.path.encode("ascii"),
        query=parts.query.encode("ascii"),
        weight=written.weight,
    )


def _tls(route: Route) -> routes.Tls:
    tls = route.tls
    return routes.Tls(verify=tls.verify, ca=tls.ca, cert=tls.cert, key=tls.key, server_name=tls.server_name)


def _slot(route: Route) -> Slot:
    """The field in which clients of this route's provider send a key."""
    preset = PRESETS.get(route.preset or "")
    return preset.credential if preset else BEARER


def _credential(route: Route) -> routes.Credential | None:
    if route.api_key is None:
        return None
    preset = PRESETS.get(route.preset or "")
    slot = _slot(route)
    return routes.Credential(
        message_field(slot.field.encode("ascii"), slot.value(route.api_key.reveal()).encode("utf-8")),
        tuple(
            message_field(name.encode("ascii"), value.encode("ascii"))
            for name, value in (preset.request_defaults if preset else ())
        ),
        frozenset(CREDENTIAL_FIELDS),
        frozenset(CREDENTIAL_QUERY),
    )


def _cors(cors: CorsModel) -> Cors:
    written = [origin.encode("ascii") for origin in cors.origins if origin != "*"]
    below = [origin.replace(b"*.", b"", 1) for origin in written if b"://*." in origin]
    exact = [origin for origin in written if b"://*." not in origin]
    return Cors(
        frozenset(origin for origin in exact if not origin.endswith(b":*")),
        any_port=_any_port(exact),
        below=frozenset(origin for origin in below if not origin.endswith(b":*")),
        below_any_port=_any_port(below),
        any_origin="*" in cors.origins,
        credentials=cors.credentials,
        expose=b", ".join([EXPOSED, *(name.encode("ascii") for name in cors.expose)]),
        max_age_s=None if cors.max_age is None else int(cors.max_age),
    )


def _any_port(origins: list[bytes]) -> frozenset[bytes]:
    return frozenset(origin.removesuffix(b":*") for origin in origins if origin.endswith(b":*"))


def _cookies(written: CookiesModel) -> Cookies | None:
    if not written.domain and not written.path:
        return None
    return Cookies(
        domain={
            old.lower().removeprefix(".").encode("ascii"): new.encode("ascii") for old, new in written.domain.items()
        },
        path={old.encode("ascii"): new.encode("ascii") for old, new in written.path.items()},
    )


def _rules(rules: HeaderRules) -> Rules:
    def lines(written: dict[str, tuple[str, ...]]) -> tuple[tuple[bytes, bytes, bytes], ...]:
        return tuple(
            message_field(name.encode("ascii"), value.encode("utf-8"))
            for name, listed in written.items()
            for value in listed
        )

    made = Rules(
        remove=frozenset(name.lower().encode("ascii") for name in rules.remove),
        rename=tuple((old.lower().encode("ascii"), new.encode("ascii")) for old, new in rules.rename.items()),
        set=lines(rules.set),
        add=lines(rules.add),
    )
    return made if made != NO_RULES else NO_RULES  # which is known by its identity
