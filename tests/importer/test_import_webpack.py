"""webpack-dev-server and vue-cli: the forms their documentation and its readers use."""

from pathlib import Path

from .carried import carried


def test_a_target_alone(tmp_path: Path) -> None:
    """webpack's guide, object form: the path is kept, and the client's Host with it."""
    made = carried(
        tmp_path,
        "webpack.config.js",
        "module.exports = {\n  devServer: {\n    proxy: {\n      '/api': 'http://localhost:3000',\n    },\n  },\n};\n",
    )
    assert made.goes_to("/api/users?x=1") == "http://localhost:3000/api/users?x=1"
    assert made.goes_to("/other") == "NoRoute"
    assert "Host: localhost:5173" in made.sends("/api")
    assert made.says("broke streams", "devServer.compress")
    assert made.says("/api, line 4 of webpack.config.js")


def test_the_array_form_with_several_contexts_and_a_rewrite(tmp_path: Path) -> None:
    """webpack-dev-server 5: `context` is a list, `pathRewrite` a map, `secure: false` for a self-signed upstream."""
    made = carried(
        tmp_path,
        "webpack.config.js",
        """
const path = require('path');
const HtmlWebpackPlugin = require('html-webpack-plugin');
module.exports = (env, argv) => ({
  mode: argv.mode,
  plugins: [new HtmlWebpackPlugin({ template: path.resolve(__dirname, 'x.html') })],
  devServer: {
    compress: false,
    proxy: [
      {
        context: ['/auth', '/api'],
        target: 'https://localhost:3000',
        pathRewrite: { '^/api': '' },
        secure: false,
        changeOrigin: true,
      },
    ],
  },
});
""",
    )
    assert made.goes_to("/auth/login") == "https://localhost:3000/auth/login"
    assert made.goes_to("/api/users") == "https://localhost:3000/users"
    assert "Host: localhost:3000" in made.sends("/api/users")
    assert [route.tls.verify for route in made.config.routes] == [False, False]
    assert made.says("look (line 14)", "secure: false")
    assert not made.says("broke streams", "compress")


def test_bypass_and_globs(tmp_path: Path) -> None:
    made = carried(
        tmp_path,
        "webpack.config.js",
        """module.exports = { devServer: { proxy: {
  '/api/**': {
    target: 'http://localhost:3000',
    bypass: function (req, res, proxyOptions) {
      if (req.headers.accept.indexOf('html') !== -1) return '/index.html';
    },
  },
  '/files/*.json': { target: 'http://localhost:3001' },
  '**/{a,b}/x': { target: 'http://localhost:3002' },
} } };""",
    )
    assert made.goes_to("/api/a/b") == "http://localhost:3000/api/a/b"
    assert made.goes_to("/files/x.json") == "http://localhost:3001/files/x.json"
    assert made.goes_to("/files/y/x.json") == "NoRoute"
    assert made.goes_to("/deep/down/b/x") == "http://localhost:3002/deep/down/b/x"
    assert made.goes_to("/deep/down/c/x") == "NoRoute"
    assert made.says("not carried over (line 4)", "bypass")


def test_a_merged_configuration_in_two_files(tmp_path: Path) -> None:
    (tmp_path / "webpack.common.js").write_text("module.exports = { devServer: { compress: true } };\n")
    made = carried(
        tmp_path,
        "webpack.dev.js",
        """const { merge } = require('webpack-merge');
const common = require('./webpack.common.js');
const agent = new (require('https').Agent)({ keepAlive: true });
module.exports = merge(common, {
  devServer: { proxy: { '/v1': { target: { host: '127.0.0.1', port: 9000 }, agent, proxyTimeout: 30000 } } },
});""",
    )
    assert made.goes_to("/v1/chat") == "http://127.0.0.1:9000/v1/chat"
    assert made.says("broke streams", "compress: true")
    assert made.says("broke streams (line 5)", "proxyTimeout", "30 s")
    assert made.says("not carried over (line 5)", "agent")


def test_vue_cli_with_rewrite_and_hooks(tmp_path: Path) -> None:
    """What is published against streams that do not stream: header surgery in onProxyRes."""
    made = carried(
        tmp_path,
        "vue.config.js",
        """
const { defineConfig } = require('@vue/cli-service')
module.exports = defineConfig({
  transpileDependencies: true,
  devServer: {
    port: 8080,
    proxy: {
      '^/api': {
        target: 'https://api.example.com/v2',
        changeOrigin: true,
        pathRewrite: { '^/api/old': '/new' },
        onProxyRes(proxyRes, req, res) {
          delete proxyRes.headers['content-encoding'];
          proxyRes.headers['X-Accel-Buffering'] = 'no';
          proxyRes.headers['x-served-by'] = 'vue';
          res.setHeader('Access-Control-Allow-Origin', req.headers.origin);
        },
        onProxyReq: (proxyReq, req) => {
          proxyReq.setHeader('X-Client', 'web');
          proxyReq.setHeader('X-From', req.headers.host);
          proxyReq.removeHeader('Referer');
        },
      },
    },
  },
})
""",
    )
    assert made.goes_to("/api/users") == "https://api.example.com:443/v2/api/users"
    assert made.goes_to("/api/old/users") == "https://api.example.com:443/v2/new/users"
    sent = made.sends("/api/users", b"Referer: http://localhost/")
    assert "X-Client: web" in sent
    assert not [line for line in sent if line.startswith(("Referer", "X-From"))]
    (route,) = made.config.routes
    assert dict(route.headers.response.set) == {"x-served-by": ("vue",)}
    assert made.says("look (line 12)", "content-encoding was removed for streams")
    assert made.says("not carried over (line 12)", "cors.origins")
    assert made.says("not carried over (line 18)", "X-From from the request")


def test_a_string_for_everything(tmp_path: Path) -> None:
    made = carried(tmp_path, "vue.config.js", "module.exports = { devServer: { proxy: 'http://localhost:4000/' } }")
    assert made.goes_to("/any/thing") == "http://localhost:4000/any/thing"
    assert made.says("look", "every request")


def test_what_reads_answers_whole_is_flagged(tmp_path: Path) -> None:
    made = carried(
        tmp_path,
        "webpack.config.js",
        """const { responseInterceptor } = require('http-proxy-middleware');
module.exports = { devServer: { proxy: [
  {
    context: '/a',
    target: 'http://localhost:1',
    selfHandleResponse: true,
    onProxyRes: responseInterceptor(async (buffer) => buffer),
  },
  {
    context: '/b',
    target: 'http://localhost:2',
    onProxyRes: (proxyRes, req, res) => { proxyRes.on('data', (d) => res.write(d)); },
  },
] } };""",
    )
    assert made.says("broke streams (line 6)", "selfHandleResponse")
    assert made.says("broke streams", "responseInterceptor")
    assert made.says("broke streams (line 12)", "on data")
    assert made.goes_to("/b/x") == "http://localhost:2/b/x"


def test_a_rule_without_a_path_of_its_own_is_not_lost(tmp_path: Path) -> None:
    """None of the sample paths shows what it does."""
    entry = "{ target: 'http://a', pathRewrite: { '/v\\\\d+/': '/' } }"
    text = f"module.exports = {{ devServer: {{ proxy: {{ '/api': {entry} }} }} }}"
    made = carried(tmp_path, "webpack.config.js", text)
    assert made.goes_to("/api/v2/x") == "http://a:80/api/x"


def test_of_several_rules_what_is_left_out_is_told(tmp_path: Path) -> None:
    text = """module.exports = { devServer: { proxy: { '/api': {
  target: 'http://a',
  pathRewrite: { '^/api/old': '/new', '^/api': '' },
} } } }"""
    made = carried(tmp_path, "webpack.config.js", text)
    assert made.says("not carried over (line 3)")
