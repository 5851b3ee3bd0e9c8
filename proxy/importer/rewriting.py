"""How a path is changed, from JavaScript and nginx into our two keys: `strip_prefix` and `rewrite`.

A candidate is taken only where it does to every sample path what the original did. Pure.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from proxy.importer.draft import Draft

Sample = tuple[str, str]
"""A path as it came, and what the original made of it."""


class Call(NamedTuple):
    """A replacement that the original made: `pattern` in JavaScript's syntax, or plain text."""

    pattern: str
    replacement: str
    flags: str = ""
    is_text: bool = False


def python_pattern(pattern: str, flags: str = "") -> str:
    """A regular expression of JavaScript or PCRE in Python's syntax, as far as they differ in paths."""
    pattern = pattern.replace("\\/", "/")
    pattern = re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern)
    return f"(?i){pattern}" if "i" in flags else pattern


def apply(draft: Draft, samples: Sequence[Sample], calls: Sequence[Call]) -> bool:
    """Gives the draft the keys that do what the original did to every sample; False where none of ours does.

    A replacement that shows on no sample is taken over all the same, as long as it changes none of them either.
    """
    is_changed = not all(_same(path, changed) for path, changed in samples)
    if not is_changed and not calls:
        return True
    for candidate in _candidates(draft, calls):
        if all(_same(_rewritten(candidate, path), changed) for path, changed in samples):
            draft.values.update({key: value for key, value in candidate.items() if key != "path"})
            return True
    return not is_changed


def _candidates(draft: Draft, calls: Sequence[Call]) -> Iterator[dict[str, Any]]:
    if draft.values.get("path", "/") != "/":
        yield {"path": draft.values["path"], "strip_prefix": True}
    for call in calls:
        for rule in _rules(call):
            yield {"rewrite": rule}


def _rules(call: Call) -> Iterator[dict[str, str]]:
    """Our rules that may do the same as a call, the plainest first."""
    pattern = re.escape(call.pattern).replace("\\/", "/").replace("\\-", "-") if call.is_text else call.pattern
    pattern, replacement = python_pattern(pattern, call.flags), _replacement(call.replacement)
    if replacement:
        yield {"from": pattern, "to": replacement}
        if "g" not in call.flags and not re.search(r"\\[0-9]|\\g<[0-9]", replacement):
            yield {"from": f"^(?P<before>.*?)(?:{pattern})", "to": rf"\g<before>{replacement}"}
        return
    # Nothing may not be written, so that the slash behind it is taken along and put back.
    plain = pattern.removesuffix("/")
    yield {"from": f"{plain}/?", "to": "/"}
    yield {"from": f"{plain}/", "to": "/"}
    yield {"from": f"^(?P<before>.*?)(?:{pattern})", "to": r"\g<before>"}


def _replacement(text: str) -> str:
    r"""`$1`, `$&`, `$<name>` and `$$` as `\1`, `\g<0>`, `\g<name>` and `$`."""
    text = text.replace("\\", "\\\\")

    def one(match: re.Match[str]) -> str:
        what = match[1]
        if what == "$":
            return "$"
        if what == "&":
            return r"\g<0>"
        return rf"\g{what}" if what.startswith("<") else rf"\g<{what}>" if len(what) > 1 else rf"\{what}"

    return re.sub(r"\$(\$|&|<\w+>|[0-9]{1,2})", one, text)


def _rewritten(candidate: dict[str, Any], path: str) -> str | None:
    """What the proxy would make of it."""
    if "path" in candidate:
        return path[len(candidate["path"].rstrip("/")) :]
    rule = candidate["rewrite"]
    try:
        return re.sub(rule["from"], rule["to"], path)
    except (re.error, IndexError):
        return None


def _same(ours: str | None, theirs: str) -> bool:
    """Whether both are the same path. A missing slash is put in front and double ones are joined, as the originals do
    before they send it."""
    return ours is not None and _normal(ours) == _normal(theirs)


def _normal(path: str) -> str:
    return re.sub("/+", "/", f"/{path}")


def sampled(path: str) -> Iterable[str]:
    """Paths on which a change of paths below this one shows."""
    base = path.rstrip("/")
    return [f"{base}{end}" for end in ("/", "/x", "/x/y.z", "/12/x", f"/x{base}/z")]
