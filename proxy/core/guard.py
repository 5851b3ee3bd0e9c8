"""Who may reach a route at all, decided before any secret is touched.

The Host check stops DNS rebinding, where a page's own GET carries no Origin; the Origin check stops pages of other
sites from spending an injected key. Browsers cannot forge either field; other clients can, and are held off by the
listen address. Source: RFC 9110 section 15.5.20; W3C Fetch Metadata.
"""

import functools
import re
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

from proxy.core.cors import Cors
from proxy.core.errors import ClientError, MisdirectedRequest, RequestRefused
from proxy.core.message import RequestHead


@dataclass(frozen=True)
class Hosts:
    """The Host names a listener answers for; loopback names and addresses always belong."""

    names: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        # The same few values come with every request; bounded, as anybody can send others.
        object.__setattr__(self, "allow", functools.lru_cache(maxsize=256)(self.allow))

    def allow(self, host: bytes) -> bool:
        """Whether this host, port and letter case aside, is one of ours."""
        name = host_name(host)
        return name in _LOOPBACK or name in self.names or _is_loopback(name)


# A name or an address in brackets, and perhaps a port: RFC 9110 section 7.2, RFC 3986 section 3.2.2.
_AUTHORITY = re.compile(rb"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::[0-9]*)?\Z")
_LOOPBACK = frozenset({b"localhost", b"127.0.0.1", b"::1"})


def host_name(host: bytes) -> bytes:
    """The name part of a Host value, lower-case, without port, brackets and final dot."""
    if host.startswith(b"["):
        return host[1:].partition(b"]")[0].lower()
    return host.partition(b":")[0].removesuffix(b".").lower()


def _is_loopback(name: bytes) -> bool:
    try:
        address = ip_address(name.decode("ascii"))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def authority(request: RequestHead, absolute: bytes | None) -> bytes:
    """The authority the request is for: that of an absolute-form target, else Host; empty for HTTP/1.0 without one.

    Errors: ClientError where HTTP/1.1 has no, an empty, an invalid, or more than one Host, also beside an absolute-form
    target. Source: RFC 9112 section 3.2.
    """
    host = request.first(b"host") or b""
    repeated = len(request.names) < len(request.fields) and len(request.values(b"host")) > 1
    if repeated or (not host and request.version >= (1, 1)):
        raise ClientError("The request needs exactly one Host that is not empty.")
    if (host and not _is_authority(host)) or (absolute and not _is_authority(absolute)):
        raise ClientError("The Host is not a name with an optional port.")
    return host if absolute is None else absolute


@functools.lru_cache(maxsize=256)
def _is_authority(host: bytes) -> bool:
    match = _AUTHORITY.match(host)
    if match is None or match[1] is None:
        return match is not None
    try:
        IPv6Address(match[1].decode("ascii"))
    except ValueError:
        return False
    return True


def check_host(host: bytes, hosts: Hosts) -> None:
    """Refuses what is not for us. Errors: MisdirectedRequest."""
    if host and not hosts.allow(host):
        raise MisdirectedRequest


def check_origin(request: RequestHead, host: bytes, hosts: Hosts | None, cors: Cors | None) -> None:
    """Refuses pages of other sites on a route that injects a secret. Errors: RequestRefused.

    `same-site` is foreign too: all ports of localhost are one site.
    """
    if len(request.values(b"origin")) > 1 or len(request.values(b"sec-fetch-site")) > 1:
        raise RequestRefused(_ORIGIN)
    origin = request.first(b"origin")
    site = request.first(b"sec-fetch-site")
    if origin is not None:
        if cors is not None and cors.allows(origin):
            return
        scheme, _, origin_authority = origin.partition(b"://")
        ours = hosts.allow(origin_authority) if hosts else host_name(origin_authority) == host_name(host)
        if not origin_authority or not ours:
            raise RequestRefused(_ORIGIN)
        own = b"https" if request.peer.secure else b"http"
        if site is None and (scheme, origin_authority.lower()) != (own, host.lower()):
            raise RequestRefused(_ORIGIN)
    if site is not None and site not in (b"same-origin", b"none"):
        raise RequestRefused(_ORIGIN)


_ORIGIN = (
    "Pages of that origin may not use this route, as it carries a key: list the origin in cors.origins of the route."
)
