"""Which addresses are never dialled: link-local ones, where clouds hand out credentials, and their like elsewhere.

Private and loopback addresses are what a reverse proxy is for. Source: RFC 3927, RFC 4291 section 2.5.6, RFC 6052; the
clouds' documents for the metadata services outside these ranges.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_METADATA = frozenset(
    map(
        ip_address,
        [
            "100.100.100.200",  # Alibaba Cloud
            "168.63.129.16",  # Azure's host agent
            "192.0.0.192",  # Oracle Cloud, older instances
            "fd00:ec2::23",  # AWS: pod identity,
            "fd00:ec2::254",  # instance metadata
            "fd20:ce::254",  # Google Cloud
        ],
    )
)
# NAT64: an IPv4 address in the last four bytes.
_TRANSLATED = IPv6Network("64:ff9b::/96")


def resolved_name(host: str) -> str:
    """The name to ask a resolver for: localhost and whatever stands below it is this machine, and nobody else's to say.

    Source: RFC 6761 section 6.3.
    """
    return "localhost" if f".{host.lower().rstrip('.')}".endswith(".localhost") else host


def is_prohibited(address: str) -> bool:
    """Whether a connection to this IP address needs the operator's explicit word."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        ip = _inner(ip) or ip
    return ip.is_link_local or ip in _METADATA


def _inner(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to this one end up at, if there is one."""
    return IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _TRANSLATED else ip.ipv4_mapped or ip.sixtofour
