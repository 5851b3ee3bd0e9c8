"""Where a location's `proxy_pass` and `rewrite` send a request: the upstream and the change of the path."""

import re
from typing import TYPE_CHECKING, Any

from proxy.core.redact import target
from proxy.importer import rewriting
from proxy.importer.draft import Draft

if TYPE_CHECKING:
    from proxy.importer.nginx import Directive, Scope

_PASS = re.compile(r"(https?)://([^/]+?)(/.*)?")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|([A-Za-z_]\w*))")
_WITH_QUERY = re.compile(r"(?:\$is_args\$args|\?\$args|\?\$query_string|\$is_args\$query_string)$")


def carry(draft: Draft, passed: "Directive", location: "Directive", scope: "Scope") -> None:
    """Gives the draft its upstream and its change of the path."""
    line = passed["line"]
    written = _resolved(passed["args"][0], scope)
    written = _WITH_QUERY.sub("", written)
    has_variables = "$" in passed["args"][0]
    if has_variables and (match := re.fullmatch(r"(https?://[^/$]+)(?:\$uri|\$request_uri)?", written)):
        written = match[1]
    match = _PASS.fullmatch(written)
    if match is None or "$" in match[2] or match[2].startswith("unix:"):
        draft.note(
            "left out", f"proxy_pass {target(passed['args'][0])}: its target is not known before a request", line
        )
        return
    scheme, name, uri = match[1], match[2], match[3]
    draft.values["upstream"] = _upstream(draft, scheme, name, scope, line)
    rewrites = [one for one in location["block"] if one["directive"] == "rewrite"]
    if uri is None or rewrites:
        _rewrites(draft, rewrites)
    elif "path" in draft.values and "$" not in uri:
        _replace_prefix(draft, uri, line)
    elif "path_regex" in draft.values and re.fullmatch(r"[^$]*(?:\$[0-9][^$]*)*", uri):
        draft.values["rewrite"] = {
            "from": _covering(draft.values["path_regex"]),
            "to": re.sub(r"\$([0-9])", r"\\\1", uri),
        }
    else:
        draft.note("left out", f"the path in proxy_pass {target(passed['args'][0])}", line)


def _resolved(text: str, scope: "Scope") -> str:
    """With what `set` gave the variables."""
    values = {one["args"][0].lstrip("$"): one["args"][1] for one in scope.all("set") if len(one["args"]) == 2}
    return _VARIABLE.sub(lambda match: values.get(match[1] or match[2], match[0]), text)


def _replace_prefix(draft: Draft, uri: str, line: int | None) -> None:
    """nginx puts the URI in the place of the prefix, letter by letter."""
    prefix = draft.values["path"]
    if uri == prefix or (prefix == "/" and uri == "/"):
        return
    if prefix.endswith("/") == uri.endswith("/"):
        _with_base(draft, uri)
        if prefix != "/":
            draft.values["strip_prefix"] = True
        return
    text = f"{prefix}x becomes {uri}x there: a slash too many or too few?"
    draft.note("look", text, line)
    draft.values["rewrite"] = {"from": f"^{re.escape(prefix).replace(chr(92) + '-', '-')}", "to": uri}


def _with_base(draft: Draft, uri: str) -> None:
    base = uri if uri != "/" else ""
    upstream = draft.values["upstream"]
    if isinstance(upstream, list):
        draft.values["upstream"] = [{**one, "url": one["url"] + base} for one in upstream]
    else:
        draft.values["upstream"] = upstream + base


def _upstream(draft: Draft, scheme: str, name: str, scope: "Scope", line: int | None) -> Any:
    """A URL, or the servers of an `upstream` block as far as they can be written."""
    block = scope.upstreams.get(name)
    if block is None:
        return f"{scheme}://{name}"
    servers = []
    for one in block["block"]:
        if one["directive"] == "server":
            servers += _server(draft, one, scheme)
        elif one["directive"] == "least_conn":
            draft.values["balance"] = "least_streams"
        elif one["directive"] in ("ip_hash", "hash", "random"):
            text = f"{one['directive']} of upstream {name}: see `balance`"
            draft.note("left out", text, one["line"])
    if not servers:
        draft.note("left out", f"upstream {name} has no server that can be used", block["line"])
        return f"{scheme}://{name}"
    return servers[0]["url"] if len(servers) == 1 else servers


def _server(draft: Draft, one: "Directive", scheme: str) -> list[dict[str, Any]]:
    address, *parameters = one["args"]
    if address.startswith("unix:") or {"down", "backup"} & set(parameters):
        draft.note("left out", f"server {' '.join(one['args'])}", one["line"])
        return []
    weight = next((int(text[7:]) for text in parameters if re.fullmatch("weight=[0-9]+", text)), 1)
    url = f"{scheme}://{address}" if re.search(r":[0-9]+$", address) else f"{scheme}://{address}:80"
    return [{"url": url, "weight": weight} if weight != 1 else {"url": url}]


def _rewrites(draft: Draft, rewrites: "list[Directive]") -> None:
    """The first `rewrite ... break` in front of the upstream."""
    for index, one in enumerate(rewrites):
        pattern, replacement, *flags = one["args"]
        text = f"rewrite {' '.join(one['args'])}"
        if index or {"redirect", "permanent"} & set(flags) or re.search(r"\$[A-Za-z{]", replacement):
            draft.note("left out", text, one["line"])
            continue
        from_ = _covering(re.sub(r"\(\?<(?=[A-Za-z_])", "(?P<", pattern))
        to = re.sub(r"\$([0-9])", r"\\\1", replacement.partition("?")[0])
        samples = [(path, _applied(from_, to, path)) for path in rewriting.sampled(draft.values.get("path", "/"))]
        if any(path != changed for path, changed in samples) and rewriting.apply(draft, samples, []):
            continue
        draft.values["rewrite"] = {"from": from_, "to": to}


def _applied(pattern: str, replacement: str, path: str) -> str:
    try:
        return re.sub(pattern, replacement, path)
    except (re.error, IndexError):
        return path


def _covering(pattern: str) -> str:
    """The pattern, so that it matches the whole path: nginx's replacement stands for all of it."""
    flags = "(?i)" if pattern.startswith("(?i)") else ""
    bare = pattern.removeprefix("(?i)")
    if "|" in re.sub(r"\([^()]*\)", "", bare):
        bare = f"(?:{bare})"
    head = "" if bare.startswith("^") else "^.*?"
    tail = "" if bare.endswith("$") else ".*$"
    return f"{flags}{head}{bare}{tail}"
