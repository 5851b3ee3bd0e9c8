"""HAProxy with one thread. Beyond its defaults: connections to the origin are shared, no delay, no log."""

from . import Peer, Site, version_of

CONFIG = """
global
    maxconn <streams>
    nbthread 1
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout tunnel 600s
    option http-no-delay
    option forwardfor
    http-reuse always
frontend clients
    bind 127.0.0.1:<port> backlog 4096
    default_backend origin
backend origin
    server one 127.0.0.1:<origin>
"""


def command(site: Site) -> list[str]:
    """Its words."""
    return ["haproxy", "-db", "-f", str(site.write("haproxy.cfg", CONFIG))]


def find() -> Peer:
    """The peer. Errors: Missing."""
    return Peer("haproxy", "HAProxy", version_of(["haproxy", "-v"], 2).split("-")[0], command)
