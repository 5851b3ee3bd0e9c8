"""The scripted origin and the proxy in front of it are those of `tests/net`."""

from tests.net.conftest import deaf_port, left_behind, origin, proxy

__all__ = ["deaf_port", "left_behind", "origin", "proxy"]
