"""`streamsafe check` and `streamsafe schema`: what is wrong and where, what is in force, and what an editor is told."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import marks
from proxy.config.load import load_text

from .command import run_once

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.yaml"
SECRET = "sk-proj-0123456789abcdefghij"
NAMES = sorted(set(re.findall(r"\$\{([A-Z_]+)\}", re.sub(r"(?m)^\s*#.*$", "", EXAMPLE.read_text("utf-8")))))
ENVIRON = {name: f"{SECRET}-{name.lower().replace('_', '-')}" for name in NAMES}


def write(home: Path, text: str) -> str:
    (home / "proxy.yaml").write_text(text, "utf-8")
    return "proxy.yaml"


def test_the_example_is_fine_with_its_environment(tmp_path: Path) -> None:
    done = run_once(tmp_path, "check", "-c", str(EXAMPLE), environ=ENVIRON)
    assert (done.returncode, done.stdout) == (0, "")
    routes = len(yaml.safe_load(EXAMPLE.read_text("utf-8"))["routes"])
    assert done.stderr.endswith(f"{EXAMPLE}: fine, {routes} routes\n")


def test_the_example_needs_its_environment(tmp_path: Path) -> None:
    assert NAMES
    done = run_once(tmp_path, "check", "-c", str(EXAMPLE))
    assert done.returncode == 2
    assert f"expected {NAMES[0]} in the environment, found it not set" in done.stderr


def test_print_is_yaml_that_loads_and_never_shows_a_secret(tmp_path: Path) -> None:
    done = run_once(tmp_path, "check", "--print", "-c", str(EXAMPLE), environ=ENVIRON)
    assert done.returncode == 0
    shown = yaml.safe_load(done.stdout)
    assert [route["name"] for route in shown["routes"]]
    for secret in ENVIRON.values():
        assert secret not in done.stdout + done.stderr
    assert "…" in done.stdout


def test_what_is_printed_is_itself_a_configuration_that_means_the_same(tmp_path: Path) -> None:
    file = write(
        tmp_path, "defaults: {timeouts: {idle: 90s}}\nroutes: [{path: /a, upstream: 'http://a'}, {preset: ark}]\n"
    )
    printed = run_once(tmp_path, "check", "--print", "-c", file).stdout
    write(tmp_path, printed)
    again = run_once(tmp_path, "check", "--print", "-c", file)
    assert (again.returncode, again.stdout) == (0, printed)
    assert load_text(printed, "printed", {}).routes[0].timeouts.idle == 90


def test_one_route_is_not_called_routes(tmp_path: Path) -> None:
    done = run_once(tmp_path, "check", "-c", write(tmp_path, "routes: [{upstream: 'http://a'}]"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "proxy.yaml: fine, 1 route\n")


def test_a_warning_is_told_and_is_no_error(tmp_path: Path) -> None:
    text = "routes: [{preset: openai, api_key: '${KEY}', upstream: 'http://a.example'}]"
    done = run_once(tmp_path, "check", "-c", write(tmp_path, text), environ={"KEY": SECRET})
    assert done.returncode == 0
    assert done.stderr.startswith("proxy.yaml: warning: security: route /: the key is sent to a.example without")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "routes:\n- {preset: ark, strip_prefx: true}",
            '2:17: routes[0].strip_prefx: expected a known key, found "strip_pr',
        ),
        (
            "routes:\n- {upstream: a}",
            "2:14: routes[0].upstream: expected an http:// or https:// URL with a host, found",
        ),
        ("listen: 8787\nroutes: [{preset: ark}]", "1:9: listen: expected HOST:PORT, [v6]:PORT or unix:/path, found"),
        ("drain: soon\nroutes: [{preset: ark}]", "1:8: drain: expected a duration such as 250ms, 15s, 5m or 1h, found"),
        ("routes: []", "1:9: routes: expected at least one entry, found an empty list"),
        ("listen: 127.0.0.1:1", "1:1: routes: expected a value, found no such key"),
        (
            "routes:\n- {path: /a, preset: ark}\n- {preset: ark, path: /a, name: b}",
            "3:23: routes.b.path: expected a path",
        ),
        ("routes: [{upstream: 3000}]", "1:21: routes[0].upstream: expected a URL such as http://127.0.0.1:3000"),
        ("routes: [{upstream: ['http://a', null]}]", "1:34: routes[0].upstream[1]: expected a URL such as"),
        ("routes:\n- {preset: ark, timeouts: {idle: -1}}", "2:34: routes[0].timeouts.idle: expected a duration above"),
        ("routes:\n- {preset: ark, cors: {origins: [a]}}", "2:34: routes[0].cors.origins[0]: expected an origin"),
        ("routes:\n- {preset: ark, api_key: abc}", "2:26: routes[0].api_key: expected ${NAME} or ${file:/path}"),
        ("routes:\n- {preset: ark, preset: ark}", "2:17: routes[0].preset: expected each key once"),
        ("admin: 0.0.0.0:1\nroutes: [{preset: ark}]", "1:8: admin: expected a loopback address, or admin_token"),
        (
            "admin: 127.0.0.1:9\nroutes: [{upstream: 'http://localhost:9'}]",
            "2:21: routes[0].upstream: expected another server, found this proxy's own admin listener 127.0.0.1:9",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    done = run_once(tmp_path, "check", "-c", write(tmp_path, text))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"proxy.yaml:{said}")
    assert done.stderr.count("\n") == 1


def test_files_that_tls_needs_are_read_too(tmp_path: Path) -> None:
    """All of them, each with its place: what is fine here starts."""
    (tmp_path / "no.pem").write_text("no certificate")
    file = write(
        tmp_path,
        "tls: {cert: none.pem, key: none.pem}\nroutes:\n"
        "- {name: a, path: /a, upstream: 'https://a.example', tls: {ca: no.pem}}\n"
        "- {name: b, path: /b, upstream: 'https://b.example', tls: {cert: none.pem}}\n"
        "- {name: c, path: /c, upstream: 'https://c.example'}\n",
    )
    done = run_once(tmp_path, "check", "-c", file)
    assert (done.returncode, done.stdout) == (2, "")
    server, first, second = done.stderr.splitlines()
    assert server == "proxy.yaml: tls: none.pem: no such file or directory"
    assert first.startswith("proxy.yaml: routes.a.tls: no usable PEM in no.pem (")
    assert second == "proxy.yaml: routes.b.tls: none.pem: no such file or directory"


def test_everything_that_is_wrong_is_told_at_once_by_position(tmp_path: Path) -> None:
    text = "drain: x\nkeep_alive: x\nlog: {level: x}\nroutes:\n- {preset: x}\n- {path: x, preset: ark}\n"
    done = run_once(tmp_path, "check", "-c", write(tmp_path, text))
    assert done.returncode == 2
    places = [re.match(r"proxy\.yaml:(\d+):(\d+): ", line) for line in done.stderr.splitlines()]
    assert [int(place[1]) for place in places if place] == [1, 2, 3, 5, 6]
    assert len(places) == 5


def fits(schema: dict[str, Any], value: object, top: dict[str, Any]) -> bool:
    """Whether a value is accepted, as far as the words go that our schema uses; any other word is an error here."""
    checks = {
        "$ref": lambda word: fits(top["$defs"][word.removeprefix("#/$defs/")], value, top),
        "anyOf": lambda words: any(fits(word, value, top) for word in words),
        "enum": lambda words: any(value == word and type(value) is type(word) for word in words),
        "const": lambda word: value == word,
        "type": lambda word: any(is_type(value, name) for name in ([word] if isinstance(word, str) else word)),
        "pattern": lambda word: not isinstance(value, str) or re.search(word, value) is not None,
        "minimum": lambda word: not isinstance(value, int | float) or value >= word,
        "minLength": lambda word: not isinstance(value, str) or len(value) >= word,
        "minItems": lambda word: not isinstance(value, list) or len(value) >= word,
        "items": lambda word: not isinstance(value, list) or all(fits(word, entry, top) for entry in value),
        "propertyNames": lambda word: not isinstance(value, dict) or all(fits(word, key, top) for key in value),
        "required": lambda words: not isinstance(value, dict) or set(words) <= set(value),
    }
    known = schema.get("properties", {})
    if isinstance(value, dict):
        rest = schema.get("additionalProperties", True)
        for key, entry in value.items():
            below = known.get(key, rest)
            if below is False or (isinstance(below, dict) and not fits(below, entry, top)):
                return False
    plain = {"properties", "additionalProperties", "description", "default", "title", "format", "$schema", "$defs"}
    assert set(schema) <= set(checks) | plain, set(schema) - set(checks) - plain
    return all(checks[word](given) for word, given in schema.items() if word in checks)


def is_type(value: object, name: str) -> bool:
    types: dict[str, Any] = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    if name in ("number", "integer"):
        return isinstance(value, int if name == "integer" else int | float) and not isinstance(value, bool)
    return isinstance(value, types[name])


def test_schema_prints_a_json_schema_that_accepts_the_example(tmp_path: Path) -> None:
    done = run_once(tmp_path, "schema")
    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    example = marks.read(EXAMPLE.read_text("utf-8"), "example").value  # to YAML 1.1 the key `on` is true
    assert fits(schema, example, schema)


@pytest.mark.parametrize(
    "wrong",
    [
        {"routs": []},
        {"routes": []},
        {"routes": [{"upstream": "http://a", "strip": True}]},
        {"routes": [{"upstream": "http://a", "strip_prefix": "perhaps"}]},
        {"routes": [{"preset": "nobody"}]},
        {"routes": [{"preset": "ark", "timeouts": {"idle": "soon"}}]},
        {"routes": [{"preset": "ark", "api_key": "sk-literal"}]},
        {"routes": [{"preset": "ark"}], "log": {"level": "loud"}},
        {},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(tmp_path: Path, wrong: dict[str, Any]) -> None:
    schema = json.loads(run_once(tmp_path, "schema").stdout)
    assert not fits(schema, wrong, schema)
    assert run_once(tmp_path, "check", "-c", write(tmp_path, yaml.safe_dump(wrong))).returncode == 2


def test_the_version_is_one_line_on_stdout(tmp_path: Path) -> None:
    done = run_once(tmp_path, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"streamsafe, version \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize("command", [[], ["serve"], ["demo"], ["check"], ["schema"]])
@pytest.mark.parametrize("word", ["--help", "-h"])
def test_help_is_on_stdout(tmp_path: Path, command: list[str], word: str) -> None:
    done = run_once(tmp_path, *command, word)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(" ".join(["Usage: streamsafe", *command, "[OPTIONS]"]))
