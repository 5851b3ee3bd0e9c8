"""http-proxy-middleware on Express, and vite's dev server. Beyond their defaults: upstream connections are kept.

Node holds the head of an answer back until the first byte of its body: the bench's streams begin with a comment.
"""

import json
import os
import shutil
from pathlib import Path

from . import Missing, Peer, Site, version_of

PACKAGES = Path(__file__).resolve().parents[1] / "node/node_modules"
SETUP = "run tests/bench/setup, which needs npm"

MIDDLEWARE = """
const express = require('express'), http = require('http');
const { createProxyMiddleware } = require('http-proxy-middleware');
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
const app = express();
app.use(createProxyMiddleware({ target: 'http://127.0.0.1:<origin>', changeOrigin: true, xfwd: true, agent }));
app.listen(<port>, '127.0.0.1', 4096);
"""
VITE = """
import http from 'node:http';
const agent = new http.Agent({ keepAlive: true, maxSockets: Infinity });
const origin = { target: 'http://127.0.0.1:<origin>', changeOrigin: true, xfwd: true, agent };
export default {
  root: '<folder>', cacheDir: '<folder>/vite', logLevel: 'error', optimizeDeps: { noDiscovery: true },
  server: { host: '127.0.0.1', port: <port>, strictPort: true, watch: null, hmr: false, proxy: { '^/.*': origin } },
};
"""


def packages() -> Path:
    """Where the packages are: STREAMSAFE_BENCH_NODE says another folder than ours."""
    asked = os.environ.get("STREAMSAFE_BENCH_NODE")
    return Path(asked).resolve() / "node_modules" if asked else PACKAGES


def find_middleware() -> Peer:
    """http-proxy-middleware. Errors: Missing."""
    return Peer("hpm", "http-proxy-middleware", _version("http-proxy-middleware"), _middleware)


def find_vite() -> Peer:
    """vite's proxy. Errors: Missing."""
    return Peer("vite", "vite's proxy", _version("vite"), _vite)


def node_version() -> str:
    """Errors: Missing."""
    return version_of(["node", "--version"]).removeprefix("v")


def _version(package: str) -> str:
    if not shutil.which("node"):
        raise Missing("node is not installed")
    manifest = packages() / package / "package.json"
    if not manifest.exists():
        raise Missing(f"not installed: {SETUP}")
    return f"{json.loads(manifest.read_text('utf-8'))['version']} on Node {node_version()}"


def _middleware(site: Site) -> list[str]:
    return ["env", f"NODE_PATH={packages()}", "node", str(site.write("middleware.cjs", MIDDLEWARE))]


def _vite(site: Site) -> list[str]:
    config = site.write("vite.config.mjs", VITE)
    return ["node", str(packages() / "vite/bin/vite.js"), "--config", str(config), "--configLoader", "native"]
