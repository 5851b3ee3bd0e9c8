"""What an upstream is told about the client: X-Forwarded-*, X-Real-IP, Forwarded and Via.

Never trust first: what a peer outside `trusted` says about itself is dropped before ours is set.
Source: RFC 7239, RFC 9110 section 7.6.3.
"""

import functools
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from proxy.core.message import Field, Fields, RequestHead, members, values

Network = IPv4Network | IPv6Network

INBOUND = frozenset({b"forwarded", b"x-real-ip"})
_PREFIX = b"x-forwarded-"


@dataclass(frozen=True, slots=True)
class Forwarding:
    """Which fields a route sets."""

    x_forwarded: bool = True
    forwarded: bool = False
    x_real_ip: bool = True
    via: bool = True


@dataclass(frozen=True, slots=True)
class Trusted:
    """The peers whose forwarding fields are believed: networks, and peers on a Unix socket if `unix`."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    def believes(self, ip: str) -> bool:
        """Whether this peer's own forwarding fields are kept; `ip` is empty for a Unix socket."""
        if not ip:
            return self.unix
        if not self.networks:
            return False
        address = ip_address(ip)
        return any(address in network for network in self.networks)


NOBODY = Trusted()


def plain_ip(ip: str) -> str:
    """The address as it is shown: without a zone, IPv4-mapped IPv6 as IPv4."""
    if ":" not in ip:
        return ip
    address = IPv6Address(ip.partition("%")[0])
    return str(address.ipv4_mapped or address)


def client_ip(head: RequestHead, trusted: Trusted) -> str:
    """The rightmost address that is not a trusted proxy; empty if there is none. Used for logs and limits."""
    ip = head.peer.ip
    if not trusted.believes(ip):
        return ip
    for hop in reversed(members(head.values(b"x-forwarded-for"))):
        try:
            ip = plain_ip(str(ip_address(_without_port(hop.decode("ascii")))))
        except ValueError:
            break  # no address: whoever sent us that is the last we know of
        if not trusted.believes(ip):
            break
    return ip


def _without_port(hop: str) -> str:
    """An address as some proxies write it: `1.2.3.4:5`, `[::1]:5`, `[::1]`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def apply(fields: list[Field], head: RequestHead, forwarding: Forwarding, trusted: Trusted) -> list[Field]:
    """The fields with this hop told; `fields` are already stripped of what is hop-by-hop."""
    if trusted.believes(head.peer.ip):
        return _extended(fields, head, forwarding)
    names = b"\n".join(head.names)  # one search is cheaper than one in every name
    if _PREFIX in names or b"_" in names or not INBOUND.isdisjoint(head.names):
        fields = [entry for entry in fields if not _tells_of_client(entry[0])]
    ip, secure = head.peer
    host = head.first(b"host") or b""
    return [*fields, *_told(ip, secure, host, forwarding.x_forwarded, forwarding.x_real_ip, forwarding.forwarded)]


def _extended(fields: list[Field], head: RequestHead, forwarding: Forwarding) -> list[Field]:
    """What a trusted proxy said is kept: the lists grow by one, single values stay."""
    hops = _said(fields, b"x-forwarded-for")
    elements = _said(fields, b"forwarded")
    ip, secure = head.peer
    host = head.first(b"host") or b""
    told = _told(ip, secure, host, forwarding.x_forwarded, forwarding.x_real_ip, forwarding.forwarded)
    ours = [_behind(entry, hops if entry[0] == b"x-forwarded-for" else elements) for entry in told]
    grown = {key for key, _, _ in ours} & {b"x-forwarded-for", b"forwarded"}
    kept = [entry for entry in fields if entry[0] not in grown]
    names = {key for key, _, _ in kept}
    return kept + [entry for entry in ours if entry[0] not in names]


def _tells_of_client(name: bytes) -> bool:
    """Whether a field says what only a proxy may; CGI and WSGI back ends take `_` for `-`."""
    name = name.replace(b"_", b"-")
    return name in INBOUND or name.startswith(_PREFIX)


def _behind(ours: Field, before: list[bytes]) -> Field:
    """A field of ours, and in the two that are lists what came before it."""
    key, name, value = ours
    return (key, name, b", ".join([*before, value])) if key in (b"x-forwarded-for", b"forwarded") else ours


@functools.lru_cache(maxsize=1024)
def _told(address: str, secure: bool, host: bytes, x_forwarded: bool, x_real_ip: bool, forwarded: bool) -> Fields:
    """What this hop says of a client. Kept, as a client's requests differ in nothing that is told here."""
    ip = address.encode()
    scheme = b"https" if secure else b"http"
    told: list[Field] = []
    if x_forwarded:
        if ip:
            told.append((b"x-forwarded-for", b"X-Forwarded-For", ip))
        if host:
            told.append((b"x-forwarded-host", b"X-Forwarded-Host", host))
        told.append((b"x-forwarded-proto", b"X-Forwarded-Proto", scheme))
    if x_real_ip and ip:
        told.append((b"x-real-ip", b"X-Real-IP", ip))
    if forwarded:
        node = (b'"[%b]"' % ip if b":" in ip else ip) or b"unknown"
        element = b"for=%b;proto=%b" % (node, scheme)
        if host:
            element += b';host="%b"' % host.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
        told.append((b"forwarded", b"Forwarded", element))
    return tuple(told)


def via(fields: list[Field], instance: bytes) -> list[Field]:
    """The fields with this instance appended to Via. Source: RFC 9110 section 7.6.3."""
    others = [entry for entry in fields if entry[0] != b"via"]
    return [*others, (b"via", b"Via", b", ".join([*_said(fields, b"via"), b"1.1 " + instance]))]


def _said(fields: list[Field], key: bytes) -> list[bytes]:
    """The lines of a list, without those that say nothing: they would become empty members. RFC 9110 5.6.1.1."""
    return [value for value in values(fields, key) if value]


def has_passed(head: RequestHead, instance: bytes) -> bool:
    """Whether Via says that the request came through this instance before; what stands in comments says nothing."""
    return any(hop.split()[1:2] == [instance.lower()] for hop in members(head.values(b"via")))
