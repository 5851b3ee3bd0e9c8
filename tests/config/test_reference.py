"""The documentation, the example and the schema say what the model says."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from proxy.config import reference
from proxy.config.available import NOT_YET
from proxy.config.load import load_text
from proxy.config.marks import read
from proxy.config.model import Config, Route, resolved
from proxy.config.presets import PRESETS
from proxy.config.schema import json_schema, sections

TOP = Path(__file__).parents[2]
EXAMPLE = TOP / "config.example.yaml"
ENVIRON = {"OPENAI_API_KEY": "sk-example-0123456789"}


def test_the_documentation_in_the_tree_is_current() -> None:
    assert (TOP / "docs" / "configuration.md").read_text("utf-8") == reference.documentation()


def test_the_example_in_the_tree_is_current() -> None:
    assert EXAMPLE.read_text("utf-8") == reference.example()


def test_the_example_loads_with_its_one_variable() -> None:
    config = load_text(reference.example(), "config.example.yaml", ENVIRON)
    assert [route.name for route in config.routes] == ["openai", "/"]


def flat(value: Any, place: str = "") -> dict[str, object]:
    """The single values of nested maps, by dotted place."""
    if isinstance(value, dict) and value:
        return {name: entry for key in value for name, entry in flat(value[key], f"{place}.{key}").items()}
    return {place: value}


def test_the_example_shows_the_default_wherever_it_names_no_other() -> None:
    config = load_text(reference.example(), "config.example.yaml", ENVIRON)
    shown = resolved(config)
    differs = {
        place
        for section, values in ((Config, shown), (Route, shown["routes"][0]))
        for place, value in flat({key: entry for key, entry in values.items() if key != "routes"}).items()
        if flat(section.written_defaults()).get(place) != value
    }
    # Of these, the comment in the example says what the default is, or that there is none.
    assert differs == {
        *(".name", ".path", ".strip_prefix", ".preset", ".api_key", ".upstream"),
        *(".cors.origins", ".cors.credentials", ".cors.expose", ".cors.max_age"),
    }
    comments = re.findall(r"(?:#.*\n\s*)*#.*(?:Default: [^.\n]+|Required)\.\n\s*(?:- )?([a-z_]+):", reference.example())
    assert set(comments) == {"name", "path", "strip_prefix", "preset", "api_key", "upstream", "cors", "origins"}


def test_the_example_shows_every_key() -> None:
    example = reference.example()
    for section in sections(Config):
        for key in section.by_key():
            assert re.search(rf"^[\s#-]*{key}:", example, re.MULTILINE), section.place + key


def test_the_parts_of_the_example_that_are_off_load_too() -> None:
    switched_on = re.sub(
        r"^( *)# ((?:rewrite|tls):|  (?:from|to|cert|key):)", r"\1\2", reference.example(), flags=re.MULTILINE
    )
    switched_on = re.sub(r"^ *(?:rewrite|tls): off\n", "", switched_on, flags=re.MULTILINE)
    switched_on = switched_on.replace("strip_prefix: true", "strip_prefix: false")
    config = load_text(switched_on, "f", ENVIRON)
    assert config.tls is not None
    assert config.routes[0].rewrite is not None


def test_the_documentation_has_every_key_preset_and_gap() -> None:
    documentation = reference.documentation()
    for section in sections(Config):
        for key in section.by_key():
            assert f"| `{key}` |" in documentation
            assert section.by_key()[key].description, section.place + key
    for name in PRESETS:
        assert f"| `{name}` |" in documentation
    for not_yet in NOT_YET.values():
        assert str(not_yet).replace("|", "\\|") in documentation


@pytest.mark.parametrize(("argument", "text"), [("docs", reference.documentation), ("example", reference.example)])
def test_the_command_prints_what_was_asked_for(argument: str, text: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main([argument]) == 0
    assert capsys.readouterr().out == text()


@pytest.mark.parametrize("arguments", [[], ["x"], ["docs", "example"]])
def test_the_command_says_how_to_use_it(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert reference.main(arguments) == 2
    assert capsys.readouterr().err == "usage: python -m proxy.config.reference docs|example\n"


KINDS: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
}


def is_kind(name: str, value: Any) -> bool:
    return isinstance(value, KINDS[name]) and (name == "boolean" or not isinstance(value, bool))


def others(schema: dict[str, Any], value: dict[str, Any]) -> list[Any]:
    return [entry for key, entry in value.items() if key not in schema.get("properties", {})]


# What each word of a schema asks of a value of the kind it is about. Source: JSON Schema 2020-12.
WORDS: dict[str, tuple[Any, Callable[[Any, Any, dict[str, Any]], bool]]] = {
    "$ref": (object, lambda said, value, _: accepts(json_schema()["$defs"][said.removeprefix("#/$defs/")], value)),
    "anyOf": (object, lambda said, value, _: any(accepts(part, value) for part in said)),
    "enum": (object, lambda said, value, _: any(value == part and type(value) is type(part) for part in said)),
    "const": (object, lambda said, value, _: value == said),
    "type": (
        object,
        lambda said, value, _: any(is_kind(name, value) for name in ([said] if isinstance(said, str) else said)),
    ),
    "properties": (dict, lambda said, value, _: all(accepts(said[key], value[key]) for key in value if key in said)),
    "additionalProperties": (
        dict,
        lambda said, value, schema: (
            not others(schema, value) if said is False else all(accepts(said, entry) for entry in others(schema, value))
        ),
    ),
    "propertyNames": (dict, lambda said, value, _: all(accepts(said, key) for key in value)),
    "required": (dict, lambda said, value, _: all(key in value for key in said)),
    "items": (list, lambda said, value, _: all(accepts(said, entry) for entry in value)),
    "minItems": (list, lambda said, value, _: len(value) >= said),
    "minLength": (str, lambda said, value, _: len(value) >= said),
    "pattern": (str, lambda said, value, _: re.search(said, value) is not None),
    "minimum": (int | float, lambda said, value, _: value >= said),
}
NOTES = {"$schema", "$defs", "title", "description", "default", "format"}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether a JSON Schema, in the few words ours is made of, accepts a value."""
    for word in schema.keys() - NOTES:
        kind, asks = WORDS[word]
        if isinstance(value, kind) and not asks(schema[word], value, schema):
            return False
    return True


def schema_accepts(text: str) -> bool:
    return accepts(json_schema(), read(text, "f").value)


@pytest.mark.parametrize(
    "text",
    [
        reference.example(),
        "routes: [{upstream: http://a}]",
        "routes: [{upstream: [http://a, {url: http://b, weight: 2}]}]",
        "routes: [{upstream: a, stream: always}]",
        "routes: [{upstream: a, stream: {heartbeat: 15s}}]",
        "routes: [{upstream: a, stream: {heartbeat: {every: 15s, form: line}}}]",
        "routes: [{upstream: a, stream: {heartbeat: off}, cors: off, rewrite: off, timeouts: {idle: off, head: 1.5}}]",
        "routes: [{upstream: a, cors: {origins: [null, '*']}, balance: {hash: x}, retry: {on: [429, connect]}}]",
        "routes: [{upstream: a, headers: {request: {set: {a: b, c: [d, e], f: 1}}}}]",
        "{listen: [a:1, 'unix:/s'], admin: off, drain: 5, workers: auto, routes: [{preset: ark, api_key: '${KEY}'}]}",
        "{drain: '${D}', workers: '${W}', log: {format: '${F}'}, routes: [{preset: '${P}', preserve_host: '${H}'}]}",
        "{defaults: {stream: never, limits: {request_body: 10MB}}, routes: [{upstream: a}]}",
    ],
)
def test_the_schema_accepts_what_may_be_written(text: str) -> None:
    assert schema_accepts(text)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "routes: []",
        "nam: x\nroutes: [{upstream: a}]",
        "routes: [{upstream: a, strem: always}]",
        "routes: [{upstream: a, stream: sometimes}]",
        "routes: [{upstream: a, api_key: sk-literal}]",
        "routes: [{upstream: a, api_key: '${KEY:-sk-literal}'}]",
        "routes: [{upstream: a, api_key: 'Bearer ${KEY}'}]",
        "routes: [{upstream: a, timeouts: {idle: 15x}}]",
        "routes: [{upstream: a, limits: {request_head: off}}]",
        "routes: [{upstream: a, preserve_host: 'true'}]",
        "routes: [{upstream: a, cors: {}}]",
        "{defaults: {path: /x}, routes: [{upstream: a}]}",
    ],
)
def test_the_schema_refuses_what_an_editor_can_see_is_wrong(text: str) -> None:
    assert not schema_accepts(text)


def test_every_key_in_the_schema_is_described_and_has_its_default() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    described = [schema, *schema["$defs"].values()]
    assert len(described) == len(list(sections(Config)))
    assert all(field["description"] for part in described for field in part["properties"].values())
    assert schema["$defs"]["Timeouts"]["properties"]["head"]["default"] == "10m"
    assert schema["$defs"]["Timeouts"]["properties"]["total"]["default"] == "off"
    assert "Not available yet" in schema["$defs"]["Stream"]["properties"]["on_client_gone"]["description"]


def test_the_example_is_yaml_for_others_too() -> None:
    # Other readers take the bare key `on` for true; that is why nothing else is compared here.
    assert set(yaml.safe_load(reference.example())) == set(Config.model_fields)
