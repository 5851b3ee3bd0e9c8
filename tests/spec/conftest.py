"""The scripted origin, the proxy in front of it and the certificates are those of `tests/net`."""

from tests.net.certificates import authority, authority_file, certificate_file
from tests.net.conftest import dead_port, deaf_port, left_behind, origin, proxy

__all__ = [
    "authority",
    "authority_file",
    "certificate_file",
    "dead_port",
    "deaf_port",
    "left_behind",
    "origin",
    "proxy",
]
