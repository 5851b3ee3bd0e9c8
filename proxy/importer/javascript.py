"""What Node told of webpack-dev-server, vue-cli, vite, umi and http-proxy-middleware, as drafts.

Sources: the option tables of http-proxy 1.18, http-proxy-middleware 2 and 3, webpack-dev-server 4 and 5, vite 6.
"""

import json
import re
from pathlib import Path
from typing import Any

from proxy.importer import contexts, hooks, options, rewriting
from proxy.importer.draft import Draft, Imported, NotImported
from proxy.importer.node import LIMIT_S, evaluated

NAMES = {
    "vite": "vite",
    "vue": "vue-cli",
    "webpack": "webpack-dev-server",
    "umi": "umi",
    "cra": "http-proxy-middleware",
}


def read(file: Path, limit_s: float = LIMIT_S) -> Imported:
    """The proxy entries of a file that Node evaluates. Errors: NotImported."""
    told = evaluated(file, limit_s)
    found = Imported(NAMES[told["kind"]])
    if not told["entries"]:
        raise NotImported(f"{file}: expected a proxy entry, found none ({_WHERE[told['kind']]})")
    for entry in told["entries"]:
        found.drafts += _drafts(file, entry, told["kind"])
    _whole(found, told)
    _shadowed(found.drafts)
    return found


_WHERE = {
    "vite": "looked for server.proxy",
    "vue": "looked for devServer.proxy",
    "webpack": "looked for devServer.proxy",
    "umi": "looked for proxy",
    "cra": "looked for app.use(createProxyMiddleware(...))",
}


def _whole(found: Imported, told: dict[str, Any]) -> None:
    """What is true of every entry."""
    found.notes += options.compression(told["kind"], told["compress"])
    found.notes += [options.extra(one["name"], one["value"], one["line"]) for one in told["extras"]]
    found.notes += [options.unset(name) for name in told["unset"] if options.is_of_the_user(name)]


def _drafts(file: Path, entry: dict[str, Any], kind: str) -> list[Draft]:
    """One draft for each context of an entry."""
    drafts = []
    given = entry["options"]
    rewrites = entry["rewrites"] or [None] * len(entry["contexts"])
    version = _middleware_version(file, given) if kind == "cra" else 2
    for context, rewrite in zip(entry["contexts"], rewrites, strict=True):
        draft = Draft(_title(context), entry["line"])
        contexts.match(draft, context, kind)
        if entry["isWhole"]:
            draft.note("look", "there every request went on that the dev server had no file for; here every one does")
        options.carry(draft, given, kind)
        hooks.carry(draft, entry["hooks"])
        line = (given.get("rewrite") or given.get("pathRewrite") or {}).get("line")
        _path(draft, rewrite, line, entry["mount"] if version >= 3 else None)
        drafts.append(draft)
    return drafts


def _title(context: Any) -> str:
    return context if isinstance(context, str) else json.dumps(context)[:60]


def _path(draft: Draft, rewrite: dict[str, Any] | None, line: int | None, mount: str | None) -> None:
    """The change of the path. `mount` is where Express took a prefix off before the middleware saw the path."""
    if mount:
        text = f"app.use('{mount}', ...) takes the prefix off with http-proxy-middleware 3, and so does strip_prefix"
        draft.note("look", text, draft.line)
        if rewrite is None:
            draft.values["strip_prefix"] = True
        else:
            draft.note("left out", "pathRewrite behind a mount: see rewrite and strip_prefix", line)
        return
    if rewrite is None:
        return
    samples = [(path, changed) for path, changed in rewrite["samples"] if changed is not None]
    calls = [
        rewriting.Call(call["pattern"], call["replacement"], call["flags"], call["isText"]) for call in rewrite["calls"]
    ]
    if not samples:
        draft.note("left out", "the rewrite gives no path by itself: it may be async or need the request", line)
    elif rewriting.apply(draft, _below(draft, samples), calls):
        if rewrite["rules"] > 1:
            text = f"pathRewrite has {rewrite['rules']} rules, and a route has one: add a route for each of the others"
            draft.note("left out", text, line)
    else:
        shown = "; ".join(f"{path} became {changed}" for path, changed in samples[:3])
        draft.note("left out", f"the rewrite does what neither strip_prefix nor one `rewrite` can: {shown}", line)


def _below(draft: Draft, samples: list[rewriting.Sample]) -> list[rewriting.Sample]:
    """Those samples that the route takes."""
    if pattern := draft.values.get("path_regex"):
        return [sample for sample in samples if re.search(pattern, sample[0])]
    return samples


def _middleware_version(file: Path, given: dict[str, Any]) -> int:
    """Of http-proxy-middleware, by what is installed or asked for, or by what the options are called."""
    for folder in [file.resolve().parent, *file.resolve().parents]:
        try:
            package = json.loads((folder / "package.json").read_text("utf-8"))
        except (OSError, ValueError):
            continue
        asked = {**package.get("devDependencies", {}), **package.get("dependencies", {})}
        if match := re.search(r"\d+", str(asked.get("http-proxy-middleware", ""))):
            return int(match[0])
    return 3 if {"on", "pathFilter", "plugins"} & given.keys() else 2


def _shadowed(drafts: list[Draft]) -> None:
    """There the first entry wins, here the most specific."""
    for index, draft in enumerate(drafts):
        path = draft.values.get("path")
        for earlier in drafts[:index]:
            above = str(earlier.values.get("path", "")).rstrip("/")
            if (
                path
                and "path" in earlier.values
                and path != earlier.values["path"]
                and f"{path}/".startswith(f"{above}/")
            ):
                text = f"{earlier.title} came first there and took these requests too; here the longer path wins"
                draft.note("look", text, draft.line)
