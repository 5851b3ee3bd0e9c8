"""What cannot be read is told, with what and where; nothing half-done is written."""

import time
from pathlib import Path

import pytest

from proxy.importer import javascript
from proxy.importer.draft import NotImported
from tests.cli.command import run_once

from .carried import run


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("vite.config.js", "export default {\n  server: {\n    proxy: {,\n", "vite.config.js:3: Unexpected token"),
        (
            "vite.config.js",
            "export default {}",
            "vite.config.js: expected a proxy entry, found none (looked for server.proxy)",
        ),
        ("webpack.config.js", "\n\nthrow new Error('no key here')", "webpack.config.js:3: no key here"),
        (
            "webpack.config.js",
            "const a = 1;\nmodule.exports = require('./gone')",
            "webpack.config.js:2: cannot find ./gone",
        ),
        ("webpack.config.js", "process.exit(3)", "webpack.config.js: it ended Node before it gave a configuration"),
        ("setupProxy.js", "module.exports = 1", "setupProxy.js: expected a function of the app to be exported"),
        ("vite.config.js", "export default { server: { proxy: { '/a': {} } } }", "no target is known"),
        ("nginx.conf", "server {\n  location / {\n", "nginx.conf:2: unexpected end of file"),
        ("nginx.conf", "events {}", "nginx.conf: expected a location with proxy_pass, found none"),
        ("config.toml", "", "expected a file that ends in .js"),
    ],
)
def test_what_and_where(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    done = run(tmp_path, name, "--out", "proxy.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "proxy.yaml").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path, "vite.config.js")
    assert (done.returncode, done.stderr) == (
        2,
        "streamsafe: vite.config.js: expected a readable file, found: no such file or directory\n",
    )


def test_missing_node_is_told(tmp_path: Path) -> None:
    (tmp_path / "vite.config.js").write_text("export default {}")
    done = run_once(tmp_path, "import", "vite.config.js", environ={"PATH": str(tmp_path)})
    assert done.returncode == 1
    assert "needs Node 18 or later, and there is no `node` here" in done.stderr


@pytest.mark.parametrize("text", ["for (;;) {}", "export default () => new Promise(() => setInterval(() => {}, 1000))"])
def test_a_file_that_does_not_end_is_ended(tmp_path: Path, text: str) -> None:
    run(tmp_path, "--help")  # leaves this out where there is no Node
    (tmp_path / "vite.config.js").write_text(text)
    began = time.monotonic()
    with pytest.raises(NotImported, match=r"did not end within 1 s") as raised:
        javascript.read(tmp_path / "vite.config.js", limit_s=1)
    assert time.monotonic() - began < 4
    assert not raised.value.could_run


def test_the_output_goes_to_a_new_file_only(tmp_path: Path) -> None:
    (tmp_path / "vite.config.js").write_text("export default { server: { proxy: { '/a': 'http://localhost:1' } } }")
    done = run(tmp_path, "vite.config.js", "--out", "proxy.yaml")
    assert (done.returncode, done.stdout) == (0, "")
    assert "1 route in proxy.yaml" in done.stderr
    written = (tmp_path / "proxy.yaml").read_text()
    assert run_once(tmp_path, "check", "-c", "proxy.yaml").returncode == 0
    again = run(tmp_path, "vite.config.js", "--out", "proxy.yaml")
    assert again.returncode == 2
    assert "proxy.yaml exists already" in again.stderr
    assert (tmp_path / "proxy.yaml").read_text() == written


def test_help_says_that_the_file_is_executed(tmp_path: Path) -> None:
    said = " ".join(run_once(tmp_path, "import", "--help").stdout.split())
    assert "EXECUTED" in said
    assert "10 seconds" in said
