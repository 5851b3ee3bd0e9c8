"""Who may reach a route at all, decided before any secret is touched.

The Host check stops DNS rebinding, where a page's own GET carries no Origin; the Origin check stops pages of other
sites from spending an injected key. Browsers cannot forge either field; other clients can, and are held off by the
listen address or by client tokens. A token is what a client says on purpose: nothing that a browser adds by itself
(cookies, a remembered login) is one. Source: RFC 9110 section 15.5.20; W3C Fetch Metadata; RFC 6750 section 2.1.
"""

import functools
import hashlib
import hmac
import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address

from proxy.core.cors import Cors
from proxy.core.errors import ClientError, MisdirectedRequest, RequestRefused, Unauthorized
from proxy.core.message import Field, RequestHead


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


TOKEN_FIELD = b"x-proxy-token"
"""The field that carries a client token and nothing else; never sent upstream where tokens are asked for."""
TOKEN_FIELDS = frozenset({b"authorization", TOKEN_FIELD})
"""Where a token may stand on every route; a preset adds the field in which its provider's SDK sends a key."""
_BEARER = re.compile(rb"bearer +", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Client tokens, of which a request has to carry one; only their digests are kept."""

    digests: tuple[bytes, ...] = field(repr=False)

    def allow(self, offered: bytes) -> bool:
        """Whether it is one of them. How long that takes tells neither which one nor how much of it was right."""
        digest = _digest(offered)
        found = False
        for known in self.digests:
            found |= hmac.compare_digest(digest, known)
        return found

    def without(self, fields: list[Field], places: frozenset[bytes]) -> list[Field]:
        """The fields without the tokens: what else a client sent in these places is the upstream's business."""
        return [
            entry
            for entry in fields
            if entry[0] != TOKEN_FIELD and not (entry[0] in places and self.allow(_offered(entry)))
        ]


def tokens(values: list[bytes]) -> Tokens | None:
    """The tokens a configuration lists; None where it lists none, and whoever reaches the proxy may use it."""
    return Tokens(tuple(_digest(value) for value in values)) if values else None


def check_token(request: RequestHead, known: Tokens, places: frozenset[bytes]) -> None:
    """Refuses who carries no token in any of these fields. Errors: Unauthorized, the same for none and a wrong one."""
    found = False
    for entry in request.fields:
        if entry[0] in places:
            found |= known.allow(_offered(entry))
    if not found:
        raise Unauthorized


def _offered(entry: Field) -> bytes:
    """What a field offers as a token: all of it, in Authorization what stands behind the scheme Bearer."""
    key, _, value = entry
    if key != b"authorization":
        return value
    scheme = _BEARER.match(value)
    return value[scheme.end() :] if scheme else b""


def _digest(value: bytes) -> bytes:
    return hashlib.sha256(value).digest()
