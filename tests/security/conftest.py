"""The scripted origin and the proxies of `tests/net`, the commands of `tests/cli`."""

from tests.cli.conftest import launch, serve
from tests.net.certificates import authority, authority_file, certificate_file
from tests.net.conftest import left_behind, origin, proxy

__all__ = ["authority", "authority_file", "certificate_file", "launch", "left_behind", "origin", "proxy", "serve"]
