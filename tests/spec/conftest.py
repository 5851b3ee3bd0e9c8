"""The scripted origin, the proxy in front of it and the certificates are those of `tests/net`."""

from tests.net.certificates import authority, authority_file, certificate_file
from tests.net.conftest import deaf_port, left_behind, origin, proxy

__all__ = ["authority", "authority_file", "certificate_file", "deaf_port", "left_behind", "origin", "proxy"]
