"""What is allowed but should be known: told at every start and by `streamsafe check`."""

from urllib.parse import urlsplit

from proxy.config import injection
from proxy.config.addresses import is_loopback
from proxy.config.model import Config, Route

# Fields with which a stream is kept from the next hop's buffers; a rule of the operator wins over them.
_STREAM_HINTS = {
    "x-accel-buffering": "tells nginx not to buffer",
    "cache-control": "keeps middlewares from compressing",
}


def warnings(config: Config) -> list[str]:
    """One sentence each; those about safety begin with `security:`."""
    found = [
        f"security: listening on {where}, which other machines can reach"
        for where in config.listen
        if not where.is_local
    ]
    if config.admin is not None and not config.admin.is_local:
        found.append(f"security: the admin listener is on {config.admin}, which other machines can reach")
    if config.allowed_hosts:
        found.append(f"security: requests for these hosts are taken too: {', '.join(config.allowed_hosts)}")
    if not config.clients.tokens:
        found += _open_keys(config)
    for route in config.routes:
        found += _of_route(route)
    return found


def _open_keys(config: Config) -> list[str]:
    """Routes whose secret anybody may spend, by `allow_unauthenticated`."""
    others = "" if config.allowed_hosts else ", and so can pages that rebind DNS, as allowed_hosts is empty"
    return [
        f"security: route {route.name}: anyone who reaches {where} can spend its key{others}"
        for where in config.listen
        if not where.is_local
        for route in config.routes
        if injection.in_route(route)
    ]


def _of_route(route: Route) -> list[str]:
    injects = injection.in_route(route)
    found = [warning for upstream in route.upstream for warning in _of_upstream(route, upstream.url, injects)]
    if route.retry.attempts > max(len(route.upstream), 1):
        found.append(
            f"route {route.name}: retry.attempts is {route.retry.attempts}, but each upstream is tried once, and there "
            f"{'is one' if len(route.upstream) == 1 else f'are {len(route.upstream)}'}"
        )
    if route.allow_link_local_upstream:
        found.append(f"security: route {route.name}: may connect to link-local addresses and metadata services")
    if injects and route.cors is not None:
        found.append(f"security: route {route.name}: pages of {', '.join(route.cors.origins)} may spend its key")
    rules = route.headers.response
    for name in [*rules.set, *rules.remove, *rules.rename]:
        if name.lower() in _STREAM_HINTS:
            found.append(
                f"route {route.name}: headers.response changes {name}, "
                f"which on streams {_STREAM_HINTS[name.lower()]}; your rule wins"
            )
    return found


def _of_upstream(route: Route, url: str, injects: bool) -> list[str]:
    found = []
    parts = urlsplit(url)
    beyond_loopback = not is_loopback(parts.hostname or "")
    if parts.scheme == "https" and not route.tls.verify:
        found.append(
            f"security: route {route.name}: the certificate of {parts.netloc} is not checked; "
            "name its authority in tls.ca instead"
        )
    if parts.scheme == "http" and injects and beyond_loopback:
        found.append(f"security: route {route.name}: the key is sent to {parts.netloc} without encryption")
    if injection.in_url(url):
        found.append(
            f"security: route {route.name}: the key is in the upstream's URL, which upstreams log and put into "
            "redirects; api_key or a header rule sends it in a header"
        )
    return found
