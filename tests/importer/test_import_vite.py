"""vite: the example of its documentation, and what people add to it."""

import json
from pathlib import Path

import pytest

from .carried import carried, run

DOCUMENTED = """import { defineConfig } from 'vite'
import vue from '@vitejs/plugin-vue'

export default defineConfig({
  plugins: [vue()],
  server: {
    proxy: {
      // string shorthand: http://localhost:5173/foo -> http://localhost:4567/foo
      '/foo': 'http://localhost:4567',
      // with options
      '/api': {
        target: 'http://jsonplaceholder.typicode.com',
        changeOrigin: true,
        rewrite: (path) => path.replace(/^\\/api/, ''),
      },
      // with RegExp
      '^/fallback/.*': {
        target: 'http://jsonplaceholder.typicode.com',
        changeOrigin: true,
        rewrite: (path) => path.replace(/^\\/fallback/, ''),
      },
      '/proxied': {
        target: 'http://jsonplaceholder.typicode.com',
        changeOrigin: true,
        configure: (proxy, options) => {
          proxy.on('proxyReq', (proxyReq) => { proxyReq.setHeader('X-Proxied', 'yes') })
        },
      },
      '/socket.io': { target: 'ws://localhost:5174', ws: true, rewriteWsOrigin: true },
    },
  },
})
"""


def test_the_documented_example(tmp_path: Path) -> None:
    made = carried(tmp_path, "vite.config.ts", DOCUMENTED)
    there = "http://jsonplaceholder.typicode.com:80"
    assert made.goes_to("/foo/x") == "http://localhost:4567/foo/x"
    assert made.goes_to("/api/users/1?a=b") == f"{there}/users/1?a=b"
    assert made.goes_to("/fallback/x/y") == f"{there}/x/y"
    assert made.goes_to("/proxied/x") == f"{there}/proxied/x"
    assert "X-Proxied: yes" in made.sends("/proxied/x")
    assert made.goes_to("/socket.io/?EIO=4") == "http://localhost:5174/socket.io/?EIO=4"
    assert "Host: jsonplaceholder.typicode.com" in made.sends("/api/x")
    assert "Host: localhost:5173" in made.sends("/foo")
    assert made.says("/api, line 11 of vite.config.ts")


@pytest.mark.parametrize(
    ("rewrite", "asked", "given"),
    [
        ("(p) => p.replace('/api', '/v1')", "/api/x/api", "/v1/x/api"),
        ("function (p) { return p.replace(new RegExp(`^${prefix}`), '') }", "/api/x", "/x"),
        ("(p) => p.substring(prefix.length)", "/api/x", "/x"),
        ("(p) => p.replace(/^\\/api\\/(\\d+)/, '/n/$1')", "/api/12/x", "/n/12/x"),
        ("(p) => p.replace(/^\\/(?<first>\\w+)/, '/up/$<first>')", "/api/x", "/up/api/x"),
        ("(p) => p", "/api/x", "/api/x"),
    ],
)
def test_a_rewrite_does_what_it_did(tmp_path: Path, rewrite: str, asked: str, given: str) -> None:
    entry = f"{{ target: 'http://localhost:3000', rewrite: {rewrite} }}"
    text = f"const prefix = '/api'\nexport default {{ server: {{ proxy: {{ '/api': {entry} }} }} }}\n"
    made = carried(tmp_path, "vite.config.js", text)
    assert made.goes_to(asked) == f"http://localhost:3000{given}"
    assert not made.says("the rewrite does")


def test_a_rewrite_that_no_key_of_ours_does_is_not_guessed(tmp_path: Path) -> None:
    text = """export default { server: { proxy: { '/api': {
  target: 'http://localhost:3000',
  rewrite: (path) => path.toUpperCase(),
} } } }"""
    made = carried(tmp_path, "vite.config.mjs", text)
    assert made.goes_to("/api/x") == "http://localhost:3000/api/x"
    assert made.says("not carried over (line 3)", "/api became /API")


def test_a_function_with_its_environment_and_a_missing_variable(tmp_path: Path) -> None:
    (tmp_path / ".env.development").write_text("VITE_API=http://127.0.0.1:7000/base\n")
    text = """import { defineConfig, loadEnv } from 'vite';
export default defineConfig(async ({ mode, command }) => {
  const env = loadEnv(mode, process.cwd(), '');
  return { server: { proxy: {
    '/api': { target: env.VITE_API, changeOrigin: true },
    '/other': { target: env.OTHER_API },
    '/third': { target: process.env.THIRD ?? 'http://localhost:3' },
  } } };
});
"""
    made = carried(tmp_path, "vite.config.ts", text, environ={"THIRD": "http://localhost:33"})
    assert made.goes_to("/api/x") == "http://127.0.0.1:7000/base/api/x"
    assert made.goes_to("/third") == "http://localhost:33/third"
    assert made.goes_to("/other") == "NoRoute"
    assert made.says("look", "OTHER_API")
    assert made.says("not carried over (line 6)", "no target is known")


def test_secrets_never_reach_the_output(tmp_path: Path) -> None:
    key, literal = "sk-live-0123456789abcdef", "sk-literal-0123456789"
    text = f"""export default {{ server: {{ proxy: {{
  '/a': {{ target: 'https://api.example.com', headers: {{ Authorization: `Bearer ${{process.env.API_KEY}}` }} }},
  '/b': {{ target: 'https://api.example.com', headers: {{ 'x-api-key': '{literal}', 'X-Team': 'red' }} }},
  '/c': {{ target: 'https://user:{literal}@api.example.com' }},
}} }} }}"""
    environ = {"API_KEY": key, "UPSTREAM_X_API_KEY": literal, "UPSTREAM_BASIC_AUTH": "dXNlcjpw"}
    made = carried(tmp_path, "vite.config.js", text, environ={"API_KEY": key}, load_with=environ)
    assert key not in made.text + made.told
    assert literal not in made.text + made.told
    assert f"Authorization: Bearer {key}" in made.sends("/a", host=b"localhost")
    assert f"x-api-key: {literal}" in made.sends("/b")
    assert "X-Team: red" in made.sends("/b")
    assert "Authorization: Basic dXNlcjpw" in made.sends("/c")
    assert "API_KEY, UPSTREAM_BASIC_AUTH, UPSTREAM_X_API_KEY" in made.told


def test_typescript_with_types_is_compiled_by_what_the_project_has(tmp_path: Path) -> None:
    """A stand-in for the project's compiler; `make e2e` has a real one."""
    package = tmp_path / "node_modules" / "typescript"
    package.mkdir(parents=True)
    (package / "package.json").write_text(json.dumps({"main": "index.js"}))
    (package / "index.js").write_text(
        "exports.transpileModule = (text) => ({ outputText: text.replace(/: string/g, '').replace(/ as const/g, '') });"
    )
    entry = "{ target: 'http://localhost:1' as const, rewrite: (p: string) => p.slice(4) }"
    text = f"export default {{ server: {{ proxy: {{ '/api': {entry} }} }} }}\n"
    made = carried(tmp_path, "vite.config.ts", text)
    assert made.goes_to("/api/x") == "http://localhost:1/x"


def test_an_entry_that_an_earlier_one_shadowed_is_told(tmp_path: Path) -> None:
    text = "export default { server: { proxy: { '/api': 'http://localhost:1', '/api/v2': 'http://localhost:2' } } }"
    made = carried(tmp_path, "vite.config.js", text)
    assert made.goes_to("/api/v2/x") == "http://localhost:2/api/v2/x"
    assert made.says("look", "/api came first there")


def test_an_upstream_on_our_port_moves_the_listener(tmp_path: Path) -> None:
    text = "export default { server: { proxy: { '/api': 'http://127.0.0.1:8787' } } }"
    made = carried(tmp_path, "vite.config.js", text)
    assert [str(address) for address in made.config.listen] == ["127.0.0.1:8797"]
    assert made.says("Point each entry there at http://127.0.0.1:8797")


def test_the_network_and_other_programs_are_out_of_reach(tmp_path: Path) -> None:
    text = """import { execSync } from 'node:child_process'
import { writeFileSync } from 'fs'
import net from 'net'
execSync('touch made-by-a-process'); writeFileSync('made-by-fs', 'x'); net.connect(1);
fetch('http://127.0.0.1:1/').catch(() => {});
export default { server: { proxy: { '/api': 'http://localhost:1' } } }"""
    made = carried(tmp_path, "vite.config.js", text)
    assert made.goes_to("/api") == "http://localhost:1/api"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["vite.config.js"]


def test_what_the_file_prints_does_not_get_among_the_data(tmp_path: Path) -> None:
    entry = "export default { server: { proxy: { '/a': 'http://b' } } }"
    text = f"console.log('noise: {{')\nprocess.stdout.write('more')\n{entry}"
    (tmp_path / "vite.config.js").write_text(text)
    done = run(tmp_path, "vite.config.js")
    assert done.returncode == 0, done.stderr
    assert "noise" not in done.stdout + done.stderr
    assert "more" not in done.stdout


def test_text_that_looks_like_a_reference_of_ours_stays_text(tmp_path: Path) -> None:
    """Else a header of theirs would read the environment of ours."""
    entry = "{ target: 'http://a', headers: { 'X-Template': '${HOME}/x', 'X-Half': '${' } }"
    made = carried(tmp_path, "vite.config.js", f"export default {{ server: {{ proxy: {{ '/a': {entry} }} }} }}")
    assert "X-Template: ${HOME}/x" in made.sends("/a")
    assert "X-Half: ${" in made.sends("/a")
