"""Caddy on one core (GOMAXPROCS=1). Beyond its defaults: each write is flushed, 256 upstream connections are kept."""

from . import Peer, Site, version_of

CONFIG = """{
	admin off
	auto_https off
}
:<port> {
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:<origin> {
		flush_interval -1
		transport http {
			keepalive_idle_conns 256
			keepalive_idle_conns_per_host 256
		}
	}
}
"""


def command(site: Site) -> list[str]:
    """Its words."""
    file = site.write("Caddyfile", CONFIG)
    words = ["caddy", "run", "--config", str(file), "--adapter", "caddyfile"]
    return ["env", "GOMAXPROCS=1", f"HOME={site.folder}", *words]


def find() -> Peer:
    """The peer. Errors: Missing."""
    return Peer("caddy", "Caddy", version_of(["caddy", "version"]).removeprefix("v"), command)
