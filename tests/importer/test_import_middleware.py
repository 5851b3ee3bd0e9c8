"""umi and create-react-app, which use http-proxy-middleware."""

import json
from pathlib import Path

import pytest

from .carried import carried


def test_umi(tmp_path: Path) -> None:
    """umi's documentation: a map, with a path that is rewritten."""
    made = carried(
        tmp_path,
        ".umirc.ts",
        """import { defineConfig } from 'umi';
import routes from './config/routes';
export default defineConfig({
  routes,
  proxy: {
    '/api': { 'target': 'http://jsonplaceholder.typicode.com/', 'changeOrigin': true, 'pathRewrite': { '^/api' : '' } },
  },
});
""".replace("import routes from './config/routes';\n", "const routes = [];\n"),
    )
    assert made.goes_to("/api/todos") == "http://jsonplaceholder.typicode.com:80/todos"
    assert made.says("broke streams", "UMI_DEV_SERVER_COMPRESS=none")


def test_a_set_of_entries_in_a_file_beside(tmp_path: Path) -> None:
    """As Ant Design Pro has it: config/config.ts reads config/proxy.ts, which has one set for each stage."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "proxy.ts").write_text(
        "export default {\n  dev: {\n    '/api/': {\n      target: 'https://preview.pro.ant.design',\n"
        "      changeOrigin: true,\n    },\n  },\n  test: {},\n};\n"
    )
    made = carried(
        tmp_path,
        "config/config.ts",
        "import { defineConfig } from '@umijs/max';\nimport proxy from './proxy';\n"
        "const { REACT_APP_ENV = 'dev' } = process.env;\n"
        "export default defineConfig({ proxy: proxy[REACT_APP_ENV] });\n",
    )
    assert made.goes_to("/api/login") == "https://preview.pro.ant.design:443/api/login"
    assert "Host: preview.pro.ant.design" in made.sends("/api/login")


CRA = """const { createProxyMiddleware } = require('http-proxy-middleware');

module.exports = function (app) {
  app.use(
    '/api',
    createProxyMiddleware({
      target: 'http://localhost:5000',
      changeOrigin: true,
    })
  );
};
"""


@pytest.mark.parametrize(("version", "target"), [("^2.0.6", "/api/users"), ("^3.0.0", "/users"), (None, "/api/users")])
def test_the_example_of_create_react_app_by_the_version_in_use(
    tmp_path: Path, version: str | None, target: str
) -> None:
    """Version 2 sees the whole path behind a mount, version 3 what Express leaves of it."""
    if version is not None:
        (tmp_path / "package.json").write_text(json.dumps({"dependencies": {"http-proxy-middleware": version}}))
    made = carried(tmp_path, "src/setupProxy.js", CRA)
    assert made.goes_to("/api/users") == f"http://localhost:5000{target}"
    assert made.says("line 6 of setupProxy.js")


def test_contexts_filters_and_the_oldest_form(tmp_path: Path) -> None:
    made = carried(
        tmp_path,
        "setupProxy.js",
        """const proxy = require('http-proxy-middleware');
const { createProxyMiddleware } = proxy;
module.exports = (app) => {
  app.use(proxy('/old', { target: 'http://localhost:1', ws: true }));
  app.use(proxy(['/auth/google', '/auth/x'], { target: 'http://localhost:2' }));
  const pathRewrite = { '^/filtered/a': '/b' };
  app.use(createProxyMiddleware({ pathFilter: '/filtered', target: 'http://localhost:3', pathRewrite }));
  app.use(createProxyMiddleware({ pathFilter: (path) => path === '/x', target: 'http://localhost:4' }));
  app.use(proxy('/gone', { router: () => 'http://localhost:5' }));
};
""",
    )
    assert made.goes_to("/old/x") == "http://localhost:1/old/x"
    assert made.goes_to("/auth/google/cb") == "http://localhost:2/auth/google/cb"
    assert made.goes_to("/auth/x") == "http://localhost:2/auth/x"
    assert made.goes_to("/filtered/a/c") == "http://localhost:3/b/c"
    assert made.goes_to("/filtered/d") == "http://localhost:3/filtered/d"
    assert made.goes_to("/gone") == "NoRoute"
    assert made.says("No route for", "line 8 of setupProxy.js")
    assert made.says("not carried over", "chosen by a function")
    assert made.says("not carried over", "router")


def test_cors_cookies_and_limits(tmp_path: Path) -> None:
    made = carried(
        tmp_path,
        "setupProxy.js",
        """import { createProxyMiddleware } from 'http-proxy-middleware'
export default (app) => app.use('/api', createProxyMiddleware({
  target: 'http://back:9000', changeOrigin: true, proxyTimeout: 3600000,
  cookieDomainRewrite: 'localhost',
  cookiePathRewrite: { '/app': '/' },
  onProxyRes: (proxyRes) => {
    proxyRes.headers['access-control-allow-origin'] = 'http://localhost:3000'
    proxyRes.headers['access-control-allow-credentials'] = 'true'
  },
}))
""",
    )
    (route,) = made.config.routes
    assert route.timeouts.idle == route.timeouts.head == 3600
    assert dict(route.cookies.domain) == {"back": "localhost"}
    assert dict(route.cookies.path) == {"/app": "/"}
    assert route.cors is not None
    assert (route.cors.origins, route.cors.credentials) == (("http://localhost:3000",), True)
