"""What the functions of an entry did when Node ran them once on a message that records."""

from typing import Any

from proxy.importer import fields
from proxy.importer.draft import Draft

_MARK = "asked.invalid"
# What reads or writes a body: a stream that goes through it arrives when it does.
_BODY = frozenset({"pipe", "write", "end", "send", "json", "on data", "on end", "read", "pause"})
_HARMLESS = frozenset({"on error", "on close", "flushHeaders", "flush", "removeListener", "once"})


def carry(draft: Draft, hooks: list[dict[str, Any]]) -> None:
    """The header changes of each hook as rules; what it does besides as notes."""
    for hook in hooks:
        line = hook["line"]
        if hook["readsWhole"]:
            text = f"{hook['name']} is a responseInterceptor: it reads every answer whole before it sends any of it"
            draft.note("stream", text, line)
            draft.note("left out", f"what {hook['name']} changes in answers", line)
            continue
        if hook["failed"]:
            draft.note("left out", f"{hook['name']} could not be looked into: {hook['failed']}", line)
            continue
        _changes(draft, hook)
        body = sorted(_BODY.intersection(hook["touched"]))
        if body and hook["direction"] == "response":
            draft.note("stream", f"{hook['name']} handles the body itself ({', '.join(body)})", line)
        if other := sorted(set(hook["touched"]) - _HARMLESS):
            draft.note("left out", f"what {hook['name']} does besides header fields: {', '.join(other)}", line)


def _changes(draft: Draft, hook: dict[str, Any]) -> None:
    name, line, direction = hook["name"], hook["line"], hook["direction"]
    before = _written(draft)
    for field, given in hook["set"].items():
        value = ", ".join(given) if isinstance(given, list) else given
        if _MARK in value and field.lower() != "access-control-allow-origin":
            draft.note("left out", f"{name} sets {field} from the request", line)
        elif field.lower() == "set-cookie":
            draft.note("left out", f"{name} changes cookies: see `cookies`", line)
        elif direction == "request":
            fields.request_field(draft, field, value, line)
        else:
            fields.response_field(draft, field, value, line)
    for field in hook["removed"]:
        fields.removed_field(draft, direction, field, line)
    if _written(draft) != before:
        draft.note("look", f"header rules are what {name} did when it was run once: are there conditions in it?", line)


def _written(draft: Draft) -> str:
    return repr((draft.values.get("headers"), draft.values.get("cors")))
