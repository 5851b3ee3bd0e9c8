"""nginx's `location` blocks that have a `proxy_pass`, as drafts; crossplane reads the file.

A whole configuration, a `server` block or a single `location` will do. Source: the directives' own documentation.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import crossplane

from proxy.importer import nginx_directives, nginx_target
from proxy.importer.draft import Draft, Imported, Note, NotImported

Directive = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Scope:
    """What is in force inside a block: directives of the blocks around it, the innermost last."""

    directives: tuple[Directive, ...] = ()
    upstreams: dict[str, Directive] = field(default_factory=dict)

    def inside(self, block: list[Directive]) -> "Scope":
        """The scope within a block; some lists are inherited only where the block has none of its own."""
        own = {one["directive"] for one in block}
        kept = [one for one in self.directives if one["directive"] not in own]
        return Scope((*kept, *(one for one in block if "block" not in one)), self.upstreams)

    def all(self, name: str) -> list[Directive]:
        """Every directive of this name."""
        return [one for one in self.directives if one["directive"] == name]

    def last(self, name: str) -> Directive | None:
        """The one that counts."""
        found = self.all(name)
        return found[-1] if found else None

    def is_on(self, name: str, default: bool) -> bool:
        """Whether a switch is on."""
        found = self.last(name)
        return default if found is None else found["args"][:1] == ["on"]


def read(file: Path) -> Imported:
    """The proxied locations of a configuration. Errors: NotImported, with file and line where it cannot be read."""
    found = Imported("nginx")
    top = _parsed(file, found)
    http = [one for one in top if one["directive"] == "http"]
    inside = [*(inner for one in http for inner in one["block"]), *(one for one in top if one["directive"] != "http")]
    scope = Scope(upstreams={one["args"][0]: one for one in inside if one["directive"] == "upstream"}).inside(
        [one for one in inside if "block" not in one]
    )
    servers = [one for one in inside if one["directive"] == "server"]
    drafts: list[tuple[int, Draft]] = []
    for server in servers:
        names = _hosts(server, found)
        found.hosts += [name for name in names if name is not None]
        hosts = names if len(servers) > 1 else [None]
        inner = scope.inside(server["block"])
        _server_notes(inner, found)
        for host in hosts:
            drafts += _locations(server["block"], inner, host, found)
    drafts += _locations(inside, scope, None, found)
    found.drafts = [draft for _, draft in sorted(drafts, key=lambda pair: pair[0])]
    if not found.drafts:
        raise NotImported(f"{file}: expected a location with proxy_pass, found none")
    return found


def _parsed(file: Path, found: Imported) -> list[Directive]:
    payload = crossplane.parse(
        str(file), comments=False, combine=True, check_ctx=False, check_args=False, catch_errors=True
    )
    for error in payload["errors"]:
        text = str(error["error"]).partition(" in ")[0]
        if not text.startswith("[Errno"):
            line = f":{error['line']}" if error.get("line") else ""
            raise NotImported(f"{error['file']}{line}: {text}")
        found.notes.append(Note("look", "an included file could not be read", error.get("line")))
    top = [one for config in payload["config"] for one in config["parsed"]]
    _forget_lines(top, str(file))
    return top


def _forget_lines(block: list[Directive], file: str) -> None:
    """Lines of included files would be taken for this one's."""
    for one in block:
        if one.get("file", file) != file:
            one["line"] = None
        _forget_lines(one.get("block", []), file)


def _hosts(server: Directive, found: Imported) -> list[str | None]:
    """The names of one of several servers; None for the one that takes every name."""
    hosts: list[str | None] = []
    for one in server["block"]:
        if one["directive"] != "server_name":
            continue
        for name in one["args"]:
            if re.fullmatch(r"[A-Za-z0-9.-]+", name) and name not in ("localhost", "_"):
                hosts.append(name.lower())
            elif name in ("localhost", "_"):
                hosts.append(None)
            else:
                text = f"server_name {name}: `host` is one exact name"
                found.notes.append(Note("left out", text, one["line"]))
    return list(dict.fromkeys(hosts)) or [None]


def _server_notes(scope: Scope, found: Imported) -> None:
    for one in scope.all("listen"):
        if "ssl" in one["args"]:
            text = "TLS towards clients: `listen` and `tls: {cert: FILE, key: FILE}`"
            found.notes.append(Note("left out", text, one["line"]))
    for name in ("return", "rewrite"):
        for one in scope.all(name):
            found.notes.append(Note("left out", f"{name} {' '.join(one['args'])} of the server", one["line"]))


def _locations(block: list[Directive], scope: Scope, host: str | None, found: Imported) -> Iterator[tuple[int, Draft]]:
    """Each proxied location with its rank: exact ones go first, as nothing beats them there."""
    for one in block:
        if one["directive"] != "location":
            continue
        inner = scope.inside(one["block"])
        # Neither is inherited.
        passes = [inside for inside in one["block"] if inside["directive"] == "proxy_pass"]
        yield from _locations(one["block"], inner, host, found)
        title = " ".join(["location", *one["args"]])
        if not passes:
            if not any(inside["directive"] == "location" for inside in one["block"]):
                found.notes.append(Note("left out", f"{title} has no proxy_pass", one["line"]))
            continue
        draft = Draft(title, one["line"])
        exact = _match(draft, one["args"])
        if host is not None:
            draft.values.update(host=host, name=f"{host} {one['args'][-1]}")
        nginx_target.carry(draft, passes[-1], one, inner)
        nginx_directives.carry(draft, one["block"], inner)
        yield (0 if exact else 1), draft


def _match(draft: Draft, args: list[str]) -> bool:
    """Gives the draft its `path` or `path_regex`; whether the location is for one path alone."""
    modifier, pattern = (args[0], args[1]) if len(args) > 1 else ("", args[0])
    if not modifier and (found := re.match(r"(=|\^~|~\*|~)(?=\S)", pattern)):
        modifier, pattern = found[1], pattern[found.end() :]
    if modifier == "=":
        draft.values["path_regex"] = f"^{re.escape(pattern).replace(chr(92) + '/', '/').replace(chr(92) + '-', '-')}$"
    elif modifier in ("~", "~*"):
        text = re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern)
        draft.values["path_regex"] = f"(?i){text}" if modifier == "~*" else text
    elif pattern.startswith("@"):
        draft.note("left out", "a named location, which others refer to", draft.line)
    else:
        draft.values["path"] = pattern
    return modifier == "="
