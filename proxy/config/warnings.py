"""What is allowed but should be known: told at every start and by `streamsafe check`."""

from urllib.parse import urlsplit

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
    for route in config.routes:
        found += _of_route(route)
    return found


def _of_route(route: Route) -> list[str]:
    found = []
    parts = urlsplit(route.upstream[0].url)
    beyond_loopback = not is_loopback(parts.hostname or "")
    if parts.scheme == "https" and not route.tls.verify:
        found.append(
            f"security: route {route.name}: the certificate of {parts.netloc} is not checked; "
            "name its authority in tls.ca instead"
        )
    if parts.scheme == "http" and route.api_key is not None and beyond_loopback:
        found.append(f"security: route {route.name}: the key is sent to {parts.netloc} without encryption")
    if route.api_key is not None and route.cors is not None:
        found.append(f"security: route {route.name}: pages of {', '.join(route.cors.origins)} may spend its key")
    rules = route.headers.response
    for name in [*rules.set, *rules.remove, *rules.rename]:
        if name.lower() in _STREAM_HINTS:
            found.append(
                f"route {route.name}: headers.response changes {name}, "
                f"which on streams {_STREAM_HINTS[name.lower()]}; your rule wins"
            )
    return found
