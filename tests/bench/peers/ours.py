"""streamsafe from the environment that runs the bench, with its defaults; its log goes to a file."""

import sys
from pathlib import Path

from proxy import __version__

from . import Peer, Site

NAME = "streamsafe"


def program() -> list[str]:
    """The words that every start begins with."""
    script = Path(sys.executable).parent / "streamsafe"
    return [str(script)] if script.exists() else [sys.executable, "-m", "proxy"]


def command(site: Site) -> list[str]:
    """For one upstream, without an admin listener."""
    listen = f"127.0.0.1:{site.port}"
    return [*program(), "serve", f"http://127.0.0.1:{site.origin}", "--listen", listen, "--admin", "off"]


def whole(site: Site) -> list[str]:
    """For one upstream, with an admin listener: metrics are counted and the inspector is there."""
    return [*command(site)[:-1], "127.0.0.1:0"]


def find() -> Peer:
    """The subject itself."""
    return Peer(NAME, NAME, __version__, command)
