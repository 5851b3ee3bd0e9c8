"""The JSON Schema of the configuration, for editors.

Made from the model; what is added here is what the model cannot say by itself: defaults as one writes them, what is not
available yet, and that a variable may stand for any single value. Source: JSON Schema 2020-12.
"""

from collections.abc import Iterator
from typing import Any

from proxy.config.model import Config
from proxy.config.section import Section, section_in
from proxy.config.values import REFERENCE_PATTERN

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, Any]:
    """The schema, with descriptions and defaults; accepts short forms and `${...}` wherever the loader does."""
    schema = Config.model_json_schema(mode="validation")
    for section in sections(Config):
        properties = (schema if section is Config else schema["$defs"][section.__name__])["properties"]
        defaults = section.written_defaults()
        for key, described in properties.items():
            described["description"] = section.description(key)
            if key in defaults:
                described["default"] = defaults[key]
    return {"$schema": _DIALECT, **_with_references(schema), "title": "streamsafe configuration"}


def sections(section: type[Section]) -> Iterator[type[Section]]:
    """A section and all below it, each once, in the order of their keys."""
    seen: dict[type[Section], None] = {section: None}
    waiting = [section]
    while waiting:
        for field in waiting.pop(0).by_key().values():
            below = section_in(field.annotation)
            if below is not None and below not in seen:
                seen[below] = None
                waiting.append(below)
    return iter(seen)


def _with_references(node: Any) -> Any:
    """The schema with variables allowed where only certain words are."""
    if isinstance(node, list):
        return [_with_references(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    # pydantic's titles repeat the key in another letter case.
    result = {key: _with_references(value) for key, value in node.items() if key != "title"}
    words = result.get("enum")
    if isinstance(words, list) and all(isinstance(word, str) for word in words):
        del result["enum"]
        result.pop("type", None)
        result["anyOf"] = [{"enum": words}, {"type": "string", "pattern": REFERENCE_PATTERN}]
    return result
