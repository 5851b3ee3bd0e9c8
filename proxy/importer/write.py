"""Drafts as YAML with comments, in a form that loads: what does not becomes a comment, with the reason."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import yaml

from proxy.config.addresses import is_loopback
from proxy.config.load import ConfigError, load_text
from proxy.importer.draft import NAMES, Draft, Imported, Kind, Note, NotImported

_WIDTH = 118
_REFERENCE = re.compile(r"\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")
_OURS = (8787, 8788)
_OTHERS = ("127.0.0.1:8797", "127.0.0.1:8798")


@dataclass(frozen=True, slots=True)
class Written:
    """The text, and what to say about it."""

    text: str
    routes: int
    counts: dict[Kind, int]
    """How many notes of each kind."""
    secrets: tuple[str, ...]
    """Variables that have to be set."""


class _AnyName(Mapping[str, str]):
    """An environment in which every name is set, so that a file can be checked before its secrets are there."""

    def __getitem__(self, name: str) -> str:
        return "sk-0123456789abcdefghij"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __contains__(self, name: object) -> bool:
        return True


def written(found: Imported, name: str) -> Written:
    """The configuration for what was found in the file of this name. Errors: NotImported if no route is left."""
    name = _one_line(name)
    usable, lost = _sorted_out(found.drafts)
    if not usable:
        reasons = "; ".join(
            dict.fromkeys(note.text for draft in lost for note in draft.notes if note.kind == "left out")
        )
        raise NotImported(f"{name}: expected an entry that can be carried over, found none: {reasons}")
    blocks = [_head(found, name, usable), "\nroutes:"]
    blocks += [_route(draft, name) for draft in usable]
    blocks += [_lost(draft, name) for draft in lost]
    text = "\n".join(blocks) + "\n"
    load_text(text, name, _AnyName())
    notes = list(found.all_notes())
    counts = {kind: sum(1 for note in notes if note.kind == kind) for kind in NAMES}
    secrets = tuple(sorted({variable for draft in usable for variable in draft.secrets}))
    return Written(text, len(usable), counts, secrets)


def _sorted_out(drafts: list[Draft]) -> tuple[list[Draft], list[Draft]]:
    """Those that make a route beside the ones before them, and those that do not, which say why."""
    usable: list[Draft] = []
    lost: list[Draft] = []
    for draft in drafts:
        draft.values = _escaped(draft.values, draft.secrets)
        _tidy(draft)
        if "upstream" not in draft.values or not {"path", "path_regex"} & draft.values.keys():
            lost.append(draft)
        elif reason := _refused([*usable, draft]):
            draft.note("left out", reason, draft.line)
            lost.append(draft)
        else:
            usable.append(draft)
    return usable, lost


def _escaped(value: Any, secrets: set[str]) -> Any:
    """The value, so that the only references in it are ours: text of the source must not read the environment."""
    if isinstance(value, dict):
        return {key: _escaped(one, secrets) for key, one in value.items()}
    if isinstance(value, list):
        return [_escaped(one, secrets) for one in value]
    if not isinstance(value, str):
        return value
    return _REFERENCE.sub(lambda match: match[0] if match[1] in secrets else f"${match[0]}", value)


def _tidy(draft: Draft) -> None:
    """Empty maps out; CORS that allows nobody too."""
    values = draft.values
    if not values.get("cors", {"origins": ["x"]}).get("origins"):
        del values["cors"]
    for key in [key for key, value in values.items() if value == {}]:
        del values[key]


def _refused(drafts: list[Draft]) -> str | None:
    """What the configuration's own checks say against these routes."""
    listeners = {"listen": _OTHERS[0], "admin": _OTHERS[1]}
    text = yaml.safe_dump({**listeners, "routes": [draft.values for draft in drafts]})
    try:
        load_text(text, "import", _AnyName())
    except ConfigError as error:
        message = error.messages[-1]
        return f"{message.path}: {message.text}"
    return None


_HOW_OF_DEV_SERVERS = (
    "# Point each entry there at http://127.0.0.1:8787, without its rewrite; or let the page call that address,",
    "# with `cors: {origins: [...]}` on its route.",
)
_HOW = {
    "nginx": (
        "# Let each location there proxy_pass http://127.0.0.1:8787, without a path and with the client's Host; or let",
        "# clients call that address.",
    )
}


def _head(found: Imported, name: str, usable: list[Draft]) -> str:
    lines = [
        f"# Made by `streamsafe import` from {name} ({found.source}).",
        "#",
        *_HOW.get(found.source, _HOW_OF_DEV_SERVERS),
    ]
    if found.notes:
        lines += ["#", *_comments(found.notes, "")]
    ports = {(urlsplit(url).hostname, urlsplit(url).port) for draft in usable for url in _urls(draft)}
    if any(is_loopback(host or "") and port in _OURS for host, port in ports):
        lines += ["", "# An upstream has our usual port.", f"listen: {_OTHERS[0]}", f"admin: {_OTHERS[1]}"]
        lines = [line.replace("127.0.0.1:8787", _OTHERS[0]) if line.startswith("#") else line for line in lines]
    if found.hosts:
        lines += ["", f"allowed_hosts: {json.dumps(sorted(set(found.hosts)))}"]
    return "\n".join(lines)


def _urls(draft: Draft) -> list[str]:
    upstream = draft.values["upstream"]
    return [one["url"] for one in upstream] if isinstance(upstream, list) else [upstream]


def _route(draft: Draft, name: str) -> str:
    body = yaml.safe_dump([draft.values], sort_keys=False, allow_unicode=True, width=_WIDTH, default_flow_style=False)
    title = f"  # {_one_line(draft.title)}" + (f", line {draft.line} of {name}" if draft.line else "")
    lines = [title, *_comments(draft.notes, "  "), *(f"  {line}" for line in body.rstrip().split("\n"))]
    return "\n".join(lines)


def _lost(draft: Draft, name: str) -> str:
    title = f"  # No route for {_one_line(draft.title)}" + (f", line {draft.line} of {name}" if draft.line else "")
    return "\n".join([title, *_comments(draft.notes, "  ")])


def _comments(notes: list[Note], indent: str) -> list[str]:
    return [f"{indent}# {NAMES[note.kind]}{_at(note.line)}: {_one_line(note.text)}" for note in notes]


def _at(line: int | None) -> str:
    return f" (line {line})" if line else ""


def _one_line(text: Any) -> str:
    """Text that stays a comment, whatever the source had in it."""
    return "".join(char if char.isprintable() else " " for char in str(text))[:300]
