"""Who may import whom, how long files and functions may be, tests too, and that core's tests mirror core.

The source is read, never run: an import inside a function or under TYPE_CHECKING counts like any other.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE, LONGEST_FUNCTION = 400, 50

# Of the standard library, what computes and does nothing else: no clock, no chance, no file, no socket, no log.
PURE = frozenset(
    [
        "abc",
        "base64",
        "binascii",
        "collections",
        "dataclasses",
        "email.utils.parsedate_to_datetime",
        "enum",
        "functools",
        "hashlib",
        "hmac",
        "html",
        "http.HTTPStatus",
        "ipaddress",
        "itertools",
        "json",
        "math",
        "operator",
        "re",
        "string",
        "struct",
        "sys",
        "types",
        "typing",
        "unicodedata",
        "urllib.parse",
        "zlib",
    ]
)
# What a configuration has no business with: it is read, and nothing is started.
DOING = frozenset(
    [
        "_socket",
        "asyncio",
        "concurrent",
        "http",
        "logging",
        "multiprocessing",
        "select",
        "selectors",
        "signal",
        "socket",
        "socketserver",
        "ssl",
        "subprocess",
        "threading",
        "urllib.request",
    ]
)
ANYTHING = frozenset({"*"})


@dataclass(frozen=True)
class Layer:
    """What one part of the package may import: `ours` of it, `others` besides (`*` is everything, minus `never`)."""

    ours: frozenset[str]
    others: frozenset[str] = ANYTHING
    never: frozenset[str] = frozenset()

    def allows(self, name: str) -> bool:
        if under(name, {"proxy"}):
            return under(name, self.ours)
        if under(name, self.never):
            return False
        return self.others == ANYTHING or under(name, self.others)


def names(*parts: str) -> frozenset[str]:
    return frozenset(f"proxy.{part}" for part in parts)


STANDARD = frozenset(sys.stdlib_module_names)
JUDGING = names(*(f"doctor.{part}" for part in ("observation", "reading", "grammar", "endings", "suspects", "rules")))
LAYERS = {
    "proxy.core": Layer(
        names("core"), PURE | {"multidict", "yarl", "brotli", "backports.zstd", "compression.zstd", "__future__"}
    ),
    "proxy.config": Layer(names("config", "core"), STANDARD | {"pydantic", "pydantic_core", "yaml"}, DOING),
    "proxy.threads": Layer(frozenset(), STANDARD),
    "proxy.net": Layer(names("net", "core", "threads")),
    "proxy.edge": Layer(names("edge", "core", "threads") | JUDGING),
    # Pure like core, so that other layers may judge with them.
    **dict.fromkeys(JUDGING, Layer(JUDGING | names("core"), PURE)),
    "proxy.doctor": Layer(names("doctor", "core")),
    # Reads files of others, and runs one of them in a process of its own: no socket.
    "proxy.importer": Layer(
        names("importer", "config", "core"), STANDARD | {"crossplane", "yaml"}, DOING - {"subprocess"}
    ),
    "proxy.demo": Layer(names("demo"), STANDARD | {"aiohttp"}),
    "proxy.app": Layer(names("app", "config", "core", "edge", "net", "threads", "__version__")),
    "proxy.cli": Layer(names("cli", "config", "app", "demo", "doctor", "edge", "importer", "__version__")),
    "proxy.__main__": Layer(names("cli"), STANDARD),
    "proxy": Layer(frozenset(), PURE),
}


def under(name: str, parts: frozenset[str] | set[str]) -> bool:
    """Whether a dotted name is one of these or inside one."""
    return any(name == part or name.startswith(f"{part}.") for part in parts)


def modules(root: Path, part: str = "proxy") -> Iterator[tuple[str, ast.Module, str]]:
    """Name, tree and path of every module below `root`/`part`."""
    for file in files(root, part):
        if file.suffix == ".py":
            parts = file.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield name, ast.parse(file.read_text("utf-8")), str(file.relative_to(root))


def files(root: Path, part: str) -> Iterator[Path]:
    """What we have written below `root`/`part`; what Node has installed for the end-to-end tests is not ours."""
    for file in sorted((root / part).rglob("*")):
        if "node_modules" not in file.parts and file.is_file():
            yield file


def imports(name: str, tree: ast.Module, path: str) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported anywhere in a module."""
    package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Call) and "import" in called(node):
            yield node.lineno, f"importlib.{called(node)}"


def called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def violations(root: Path) -> list[str]:
    """Every import that its layer may not have, as `path:line: what imports what`."""
    found = []
    for name, tree, path in modules(root):
        layer = next((layer for part, layer in LAYERS.items() if part != "proxy" and under(name, {part})), None)
        if layer is None and name != "proxy":
            found.append(f"{path}:1: {name} belongs to no layer")
            continue
        allowed = layer or LAYERS["proxy"]
        for line, imported in imports(name, tree, path):
            if not allowed.allows(imported) or under(imported, {"importlib.import_module", "importlib.__import__"}):
                found.append(f"{path}:{line}: {name} imports {imported}")
    return found


def too_long(root: Path) -> list[str]:
    """Files and functions that are longer than anybody reads."""
    found = []
    for part in ("proxy", "tests"):
        for file in files(root, part):
            if file.suffix in (".py", ".js", ".mjs", ".css", ".html"):
                lines = len(file.read_text("utf-8").splitlines())
                if lines > LONGEST_FILE:
                    found.append(f"{file.relative_to(root)}: {lines} lines")
        for _, tree, path in modules(root, part):
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > LONGEST_FUNCTION:
                        found.append(f"{path}:{node.lineno}: {node.name}, {lines} lines")
    return found


def without_tests(root: Path) -> list[str]:
    """Modules of core that have no test file of their name, in a folder of the same name."""
    core = root / "proxy" / "core"
    modules_of_core = (path.relative_to(core) for path in sorted(core.rglob("*.py")) if path.stem != "__init__")
    wanted = (Path("tests", "core", path.with_name(f"test_{path.name}")) for path in modules_of_core)
    return [path.as_posix() for path in wanted if not (root / path).is_file()]


def plant(root: Path, path: str, text: str) -> Path:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    return root


def test_every_module_imports_only_what_its_layer_may() -> None:
    assert violations(ROOT) == []


def test_nothing_is_longer_than_anybody_reads() -> None:
    assert too_long(ROOT) == []


def test_every_module_of_core_has_tests_of_its_name() -> None:
    assert without_tests(ROOT) == []


@pytest.mark.parametrize(
    ("path", "text", "imported"),
    [
        ("proxy/core/a.py", "import asyncio", "asyncio"),
        ("proxy/core/a.py", "import os.path", "os.path"),
        ("proxy/core/a.py", "from time import monotonic", "time.monotonic"),
        ("proxy/core/a.py", "import logging as quiet", "logging"),
        ("proxy/core/a.py", "import ssl, socket", "ssl"),
        ("proxy/core/a.py", "import aiohttp", "aiohttp"),
        ("proxy/core/a.py", "from urllib import request", "urllib.request"),
        ("proxy/core/a.py", "from http import client", "http.client"),
        ("proxy/core/a.py", "from backports import datetime_fromisoformat", "backports.datetime_fromisoformat"),
        ("proxy/core/a.py", "from proxy.net.tap import Tap", "proxy.net.tap.Tap"),
        ("proxy/core/a.py", "from proxy import net", "proxy.net"),
        ("proxy/core/a.py", "import proxy", "proxy"),
        ("proxy/core/a.py", "from ..config import load", "proxy.config.load"),
        ("proxy/core/__init__.py", "from ..config import load", "proxy.config.load"),
        ("proxy/core/b/c.py", "from ...edge.access_log import AccessLog", "proxy.edge.access_log.AccessLog"),
        ("proxy/core/a.py", "def f():\n    import socket", "socket"),
        ("proxy/core/a.py", "if TYPE_CHECKING:\n    from proxy.edge import log_lines", "proxy.edge.log_lines"),
        ("proxy/core/a.py", "try:\n    import json\nexcept ImportError:\n    import orjson", "orjson"),
        ("proxy/config/a.py", "import asyncio", "asyncio"),
        ("proxy/config/a.py", "from socket import create_server", "socket.create_server"),
        ("proxy/config/a.py", "import click", "click"),
        ("proxy/config/a.py", "from proxy.net import server", "proxy.net.server"),
        ("proxy/net/a.py", "from proxy.edge.access_log import AccessLog", "proxy.edge.access_log.AccessLog"),
        ("proxy/net/a.py", "from proxy.config import load", "proxy.config.load"),
        ("proxy/net/upstream/a.py", "from ...app import Running", "proxy.app.Running"),
        ("proxy/edge/a.py", "import proxy.net.server", "proxy.net.server"),
        ("proxy/edge/a.py", "__import__('proxy.net')", "importlib.__import__"),
        ("proxy/edge/a.py", "importlib.import_module('proxy.net')", "importlib.import_module"),
        ("proxy/app.py", "from proxy.cli import main", "proxy.cli.main"),
        ("proxy/app.py", "from proxy.demo.run import start", "proxy.demo.run.start"),
        ("proxy/cli/a.py", "from proxy.net.server import listen", "proxy.net.server.listen"),
        ("proxy/cli/a.py", "from proxy.core import errors", "proxy.core.errors"),
        ("proxy/doctor/rules/a.py", "from proxy.doctor.probe import observe", "proxy.doctor.probe.observe"),
        ("proxy/doctor/reading.py", "import time", "time"),
        ("proxy/doctor/probe.py", "from proxy.net import sockets", "proxy.net.sockets"),
        ("proxy/edge/a.py", "from proxy.doctor import live", "proxy.doctor.live"),
        ("proxy/importer/a.py", "from proxy.net import sockets", "proxy.net.sockets"),
        ("proxy/importer/a.py", "from proxy.edge import log_lines", "proxy.edge.log_lines"),
        ("proxy/importer/a.py", "import socket", "socket"),
        ("proxy/demo/a.py", "from proxy.core import errors", "proxy.core.errors"),
        ("proxy/demo/a.py", "import click", "click"),
        ("proxy/__init__.py", "from proxy.app import Running", "proxy.app.Running"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, path: str, text: str, imported: str) -> None:
    (found, *_) = violations(plant(tmp_path, path, text))
    assert found.startswith(f"{path}:")
    assert found.endswith(f" imports {imported}")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("proxy/core/a.py", "from collections.abc import Iterable\nfrom urllib.parse import urlsplit"),
        ("proxy/core/a.py", "from backports import zstd\nfrom compression import zstd\nimport brotli"),
        ("proxy/core/a.py", "from proxy.core import errors\nfrom . import plan\nfrom .plan import Plan"),
        ("proxy/config/a.py", "import os, yaml\nfrom pydantic import Field\nfrom proxy.core.cors import Cors"),
        ("proxy/net/a.py", "import asyncio, aiohttp\nfrom proxy.core import plan"),
        ("proxy/app.py", "from proxy.net import server\nfrom proxy.edge import access_log"),
        ("proxy/doctor/rules/a.py", "from proxy.doctor.reading import read\nfrom proxy.core import streams"),
        ("proxy/cli/a.py", "from proxy import __version__\nfrom proxy.app import Running"),
    ],
)
def test_what_a_layer_may_import_is_not_reported(tmp_path: Path, path: str, text: str) -> None:
    assert violations(plant(tmp_path, path, text)) == []


def test_a_new_folder_has_to_be_given_a_layer(tmp_path: Path) -> None:
    assert violations(plant(tmp_path, "proxy/utils/a.py", "")) == [
        "proxy/utils/a.py:1: proxy.utils.a belongs to no layer"
    ]


def test_a_planted_long_file_function_and_missing_test_are_found(tmp_path: Path) -> None:
    plant(tmp_path, "proxy/core/full.py", "\n" * LONGEST_FILE)
    assert too_long(tmp_path) == []
    plant(tmp_path, "proxy/core/full.py", "\n" * (LONGEST_FILE + 1))
    plant(tmp_path, "proxy/net/a.py", "class A:\n    async def f(self):" + "\n        pass" * LONGEST_FUNCTION)
    plant(tmp_path, "proxy/core/x.py", "")
    plant(tmp_path, "tests/core/test_x.py", "")
    plant(tmp_path, "proxy/core/of/x.py", "")
    plant(tmp_path, "proxy/core/of/y.py", "")
    plant(tmp_path, "tests/core/of/test_y.py", "")
    plant(tmp_path, "tests/net/test_a.py", "\ndef test():" + "\n    pass" * LONGEST_FUNCTION)
    plant(tmp_path, "tests/e2e/node_modules/theirs.js", "\n" * (LONGEST_FILE + 1))
    assert too_long(tmp_path) == [
        "proxy/core/full.py: 401 lines",
        "proxy/net/a.py:2: f, 51 lines",
        "tests/net/test_a.py:2: test, 51 lines",
    ]
    assert without_tests(tmp_path) == ["tests/core/test_full.py", "tests/core/of/test_x.py"]
