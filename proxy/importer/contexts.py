"""Which requests an entry takes: prefixes, globs and regular expressions of the dev servers as `path` or `path_regex`.

Prefixes are compared by letters there and by whole segments here: `/api` took `/apix` too, which nobody means.
"""

import re
from typing import Any

from proxy.importer.draft import Draft
from proxy.importer.rewriting import python_pattern

_PLAIN = re.compile(r"/?[A-Za-z0-9._~%!$&'+,;=:@/-]*")
_ANCHORED = re.compile(r"\^(/(?:[A-Za-z0-9_~%/-]|\\[./-])*)(?:/?\.\*)?\$?")


def match(draft: Draft, context: Any, kind: str) -> None:
    """Gives the draft its `path` or `path_regex`; says so where it has none."""
    if isinstance(context, dict):
        if "$regexp" in context:
            draft.values["path_regex"] = python_pattern(context["$regexp"], context["flags"])
        else:
            draft.note("left out", "requests are chosen by a function", draft.line)
    elif not isinstance(context, str):
        draft.note("left out", "no path tells which requests it takes", draft.line)
    elif kind in ("vite", "vue") and context.startswith("^"):
        _regex(draft, context)
    elif kind in ("vite", "vue"):
        draft.values["path"] = _prefix(context)
    else:
        _glob(draft, context)


def _regex(draft: Draft, context: str) -> None:
    """`^/api` and `^/api/.*` are prefixes in disguise, up to the segment boundary."""
    anchored = _ANCHORED.fullmatch(context)
    if anchored and not context.endswith("$"):
        draft.values["path"] = _prefix(anchored[1].replace("\\", ""))
    else:
        draft.values["path_regex"] = python_pattern(context)


def _glob(draft: Draft, context: str) -> None:
    if context.startswith("!"):
        draft.note("left out", f"{context} excludes requests: give them a route of their own", draft.line)
        return
    plain = re.sub(r"/?\*{1,2}$", "", context) if _covers_all_below(context) else context
    if _PLAIN.fullmatch(plain):
        draft.values["path"] = _prefix(plain)
    else:
        draft.values["path_regex"] = f"^{_translated(context)}$"


def _covers_all_below(context: str) -> bool:
    """Whether a glob ends in what stands for all below."""
    return bool(re.search(r"(^|/)\*{1,2}$", context))


def _prefix(text: str) -> str:
    return text if text.startswith("/") else f"/{text}"


def _translated(glob: str) -> str:
    """A glob as a regular expression: `**` any path, `*` and `?` within a segment, `{a,b}` either."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    found, depth = "", 0
    for token in re.findall(r"\*\*/|\*\*|\*|\?|[{},]|[^*?{},]+", glob):
        if token == "{":
            depth += 1
            found += "(?:"
        elif token == "}" and depth:
            depth -= 1
            found += ")"
        elif token == "," and depth:
            found += "|"
        else:
            found += parts.get(token) or re.escape(token).replace("\\/", "/").replace("\\-", "-")
    return found
