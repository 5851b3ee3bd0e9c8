"""Which products a response head gives away, and how each of them is told to let a stream pass. Tables, nothing else.

A product that shows itself is one that could have done it; whether it did, no head can prove.
"""

import re
from typing import Literal, NamedTuple

from proxy.core.message import Field

Topic = Literal["buffering", "compression", "silence"]


class Product(NamedTuple):
    """A product and the field that shows it."""

    name: str
    shown_by: str


class _Mark(NamedTuple):
    field: bytes
    pattern: re.Pattern[bytes]
    name: str


def _mark(field: str, pattern: str, name: str) -> _Mark:
    return _Mark(field.encode(), re.compile(pattern.encode(), re.IGNORECASE), name)


_MARKS = (
    _mark("server", r"nginx|openresty|tengine", "nginx"),
    _mark("server", r"caddy", "Caddy"),
    _mark("via", r"\bcaddy", "Caddy"),
    _mark("server", r"envoy", "Envoy"),
    _mark("x-envoy-upstream-service-time", r"", "Envoy"),
    _mark("server", r"cloudflare", "Cloudflare"),
    _mark("cf-ray", r"", "Cloudflare"),
    _mark("via", r"cloudfront", "CloudFront"),
    _mark("x-amz-cf-id", r"", "CloudFront"),
    _mark("server", r"^awselb", "AWS load balancer"),
    _mark("via", r"varnish", "Varnish"),
    _mark("via", r"squid", "Squid"),
    _mark("via", r"vegur|heroku", "Heroku"),
    _mark("via", r"streamsafe", "streamsafe"),
    _mark("x-powered-by", r"express", "Express"),
    _mark("x-powered-by", r"next\.js", "Next.js"),
    _mark("x-powered-by", r"php", "PHP"),
    _mark("server", r"apache", "Apache"),
    _mark("server", r"microsoft-iis", "IIS"),
    _mark("server", r"litespeed", "LiteSpeed"),
    _mark("server", r"werkzeug", "Werkzeug"),
    _mark("server", r"vercel", "Vercel"),
)


def products(fields: tuple[Field, ...]) -> list[Product]:
    """The products that a head names, each once, in the order of the table."""
    found: dict[str, Product] = {}
    for mark in _MARKS:
        for key, name, value in fields:
            if key == mark.field and mark.pattern.search(value) and mark.name not in found:
                found[mark.name] = Product(mark.name, f"{name.decode('latin-1')}: {value.decode('latin-1')}")
    return list(found.values())


# What to write where. Express stands for what is built on it: webpack-dev-server, vue-cli and umi compress with its
# middleware, and nothing in a head tells them apart.
_MENDS: dict[Topic, dict[str, str]] = {
    "compression": {
        "Express": "Express: leave event streams out, compression({filter: (req, res) => !/event-stream/.test("
        "String(res.getHeader('Content-Type'))) && compression.filter(req, res)}), or res.flush() after each write",
        "webpack": "webpack-dev-server and vue-cli: devServer: {compress: false}",
        "umi": "umi: UMI_DEV_SERVER_COMPRESS=none in the environment of the dev server",
        "vite": "vite: remove a compression plugin; its own server.proxy compresses nothing",
        "Next.js": "Next.js: compress: false in next.config.js",
        "nginx": "nginx: gzip off; in the location, or take text/event-stream out of gzip_types",
        "Caddy": "Caddy: keep `encode` off the streaming path, or list its types with `match`",
        "Traefik": "Traefik: compress.excludedContentTypes: [text/event-stream]",
        "Cloudflare": "Cloudflare: send Cache-Control: no-transform from the server",
        "streamsafe": "streamsafe: `streamsafe serve` in front of the server, with compression: auto, its default",
    },
    "buffering": {
        "Express": "Express: res.flushHeaders() first, and res.flush() after each write where compression() is used",
        "nginx": "nginx: proxy_buffering off; in the location, or X-Accel-Buffering: no from the server; "
        "and proxy_http_version 1.1;",
        "webpack": "webpack-dev-server and vue-cli: devServer: {compress: false}",
        "umi": "umi: UMI_DEV_SERVER_COMPRESS=none in the environment of the dev server",
        "Caddy": "Caddy: flush_interval -1 in reverse_proxy",
        "Traefik": "Traefik: remove the buffering middleware from the route; responseForwarding.flushInterval: -1",
        "Cloudflare": "Cloudflare: turn response buffering off, and send text/event-stream with no-transform",
        "Apache": "Apache: ProxyPass with flushpackets=on, and SetEnv no-gzip 1",
        "IIS": "IIS: responseBufferLimit=0 on the handler",
        "PHP": "PHP: ob_end_flush(), output_buffering = Off, flush() after each event",
        "streamsafe": "streamsafe: `streamsafe serve` in front of the server buffers nothing and tells nginx not to",
    },
    "silence": {
        "nginx": "nginx: proxy_read_timeout 1h; (60 s is its default)",
        "AWS load balancer": "AWS load balancer: idle_timeout.timeout_seconds up to 4000 (60 s is its default)",
        "Cloudflare": "Cloudflare: send a comment such as `: ping` at least every 100 s",
        "Envoy": "Envoy: timeout: 0s on the route (15 s in all is its default), and stream_idle_timeout",
        "Heroku": "Heroku: a byte at least every 55 s, the first within 30 s",
        "YARP": "YARP: HttpRequest.ActivityTimeout (100 s is its default)",
        "streamsafe": "streamsafe: timeouts: {idle: off} on the route (5m is its default)",
    },
}
_EVERYBODYS: dict[Topic, str] = {
    "compression": "the server: Cache-Control: no-transform, which most that compress obey, though not nginx",
    "buffering": "the server: X-Accel-Buffering: no and a flush after each event",
    "silence": "the server: a comment line (`: ping` and an empty line) every 10 s while there is nothing to say",
}
# Where nobody shows: what people mostly have.
_COMMON = ("nginx", "Express", "webpack", "umi", "Caddy", "Traefik", "Cloudflare", "streamsafe")
# What is built on Express and looks like it.
_ALSO = {"Express": ("webpack", "umi")}


def mends(topic: Topic, names: list[str]) -> tuple[str, ...]:
    """What to write where, for these products; for the usual ones if none of them is known."""
    table = _MENDS[topic]
    wanted = [also for name in names for also in (name, *_ALSO.get(name, ()))]
    chosen = [table[name] for name in wanted if name in table]
    if not chosen:
        chosen = [table[name] for name in _COMMON if name in table]
    return (*chosen, _EVERYBODYS[topic])


class Cut(NamedTuple):
    """After so many seconds something ends a connection by default, and who."""

    after_s: float
    who: str
    of: Literal["silence", "whole"]


CUTS = (
    Cut(15, "Envoy (timeout of a route, the whole answer)", "whole"),
    Cut(30, "Heroku (first byte), HAProxy's common `timeout server 30s`", "silence"),
    Cut(60, "nginx (proxy_read_timeout), AWS load balancers (idle timeout)", "silence"),
    Cut(100, "Cloudflare (time to answer), YARP (ActivityTimeout)", "silence"),
)

# Block sizes, and whose they usually are.
BLOCKS = {
    4: "nginx (proxy_buffers, one page each)",
    8: "nginx (proxy_buffers on 8 KiB pages), Java servers, PHP, Apache",
    16: "Node's zlib and streams, so Express compression and webpack-dev-server; TLS records",
    32: "Go's copy buffer (Caddy, Traefik, Go programs)",
}
